"""A run: tasks as futures in a bounded window, region by region, resumed from the ledger.

The scheduler sees (region, slab) and region tasks, never chunks. A region's detection is submitted when its last slab
is done. Nothing waits for the whole cube.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from distributed import Client, Future, as_completed

from pipeline import tasks
from pipeline.cube import touched
from pipeline.ledger import Ledger, now, write_record
from pipeline.stages import Stage, build_name, detect_name
from pipeline.types import Record, Region

Task = tasks.BuildTask | tasks.DetectTask

WINDOW = 3
"""Futures in flight for each thread of the cluster."""


@dataclass
class Outcome:
    """What a run did."""

    done: int = 0
    skipped: int = 0
    """Tasks that an earlier run had finished."""
    failed: dict[str, str] = field(default_factory=dict)
    """Region -> why."""
    ignored: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Grid -> items found inside finished slabs, not applied."""
    tasks: set[str] = field(default_factory=set)
    """Every task of the plan."""


@dataclass(frozen=True)
class Listener:
    """Who is told of a run's progress."""

    started: Callable[[int, int, str], None]
    """(tasks to do, tasks done before, address of the cluster's dashboard)."""
    finished: Callable[[Record], None]


@dataclass
class Work:
    """What is left to do."""

    todo: list[Task]
    """Tasks that can be submitted at once."""
    waiting: dict[str, set[str]]
    """Region -> the builds that its detection waits for."""
    regions: dict[str, tuple[Stage, Region]]
    outcome: Outcome


def due(stages: list[Stage], ledger: Ledger) -> Work:
    """All that the ledger does not hold."""
    outcome = Outcome(ignored={s.planned.grid.name: s.settled.ignored for s in stages if s.settled.ignored})
    waiting: dict[str, set[str]] = defaultdict(set)
    todo = list(_pending(stages, ledger, outcome, waiting))
    return Work(todo, waiting, {r.key: (s, r) for s in stages for r in s.planned.regions}, outcome)


def execute(work: Work, client: Client, ledger: Ledger, listener: Listener) -> Outcome:
    """Build and detect it."""
    outcome, waiting, regions = work.outcome, work.waiting, work.regions
    threads = max(sum(client.nthreads().values()), 1)
    tasks_due = len(work.todo) + sum(1 for r in waiting if waiting[r])
    listener.started(tasks_due, outcome.skipped, client.dashboard_link)
    queue: Iterator[Task] = iter(work.todo)
    running: dict[Future[Record], Task] = {}
    stream = as_completed()

    def submit(task: Task) -> None:
        ledger.begin(task.name, task.identity)
        call = tasks.build if isinstance(task, tasks.BuildTask) else tasks.detect
        future = client.submit(call, task, key=f"{task.name}#{task.identity}#{task.attempts}", pure=False)
        running[future] = task
        stream.add(future)

    def fill() -> None:
        while len(running) < WINDOW * threads and (task := next(queue, None)) is not None:
            submit(task)

    try:
        fill()
        while running:
            future = next(stream)
            task = running.pop(future)
            record = _result(future, task)
            future.release()
            ledger.add(record)
            outcome.done += 1
            listener.finished(record)
            if isinstance(task, tasks.BuildTask):
                region = task.job.region.key
                waiting[region].discard(task.name)
                if not waiting[region]:
                    submit(_detection(*regions[region], ledger))
            elif record.state == "failed":
                if not task.failure and not record.counts:
                    # Its worker died before it could write anything: say so in the layers.
                    submit(_as_failed(task, record.error))
                outcome.failed[task.region.key] = record.error
            fill()
    except BaseException:
        client.cancel(list(running))
        raise
    return outcome


def _pending(stages: list[Stage], ledger: Ledger, outcome: Outcome, waiting: dict[str, set[str]]) -> Iterator[Task]:
    """Tasks that can be submitted now; `waiting` gets the builds that each region's detection waits for."""
    for stage in stages:
        for region in stage.planned.regions:
            builds = [stage.build(region, slab) for slab in stage.slabs()]
            outcome.tasks |= {b.name for b in builds} | {detect_name(region)}
            due = [b for b in builds if not ledger.finished(b.name, b.identity)]
            outcome.skipped += len(builds) - len(due)
            waiting[region.key] |= {b.name for b in due}
            yield from due
            if not due:
                detect = _detection(stage, region, ledger)
                if ledger.finished(detect.name, detect.identity):
                    outcome.skipped += 1
                else:
                    yield detect


def _detection(stage: Stage, region: Region, ledger: Ledger) -> tasks.DetectTask:
    """The detection of a region whose builds are over, knowing what went wrong in them."""
    records = [ledger.records[build_name(region, slab.index)] for slab in stage.slabs()]
    faults = [f for r in records for f in r.faults]
    count, allowed = len(stage.settled.observations), stage.plan.config.run.fault_threshold
    failure = next((r.error for r in records if r.state != "done"), "")
    if not failure and touched(faults) > allowed * count:
        failure = f"faults touch {touched(faults)} of {count} observations, above [run] fault_threshold = {allowed}"
    return stage.detect(region, faults, failure)


def _as_failed(task: tasks.DetectTask, error: str) -> tasks.DetectTask:
    return replace(task, failure=error or "its worker died", attempts=task.attempts + 1)


def _result(future: Future[Record], task: Task) -> Record:
    """A task's record; its worker may have died before it could write one."""
    error = future.exception()
    if error is None:
        return future.result()
    record = Record(
        task.name, "failed", task.identity, task.attempts, now(), {}, 0, 0, {}, error=f"{type(error).__name__}: {error}"
    )
    write_record(task.output, record)
    return record
