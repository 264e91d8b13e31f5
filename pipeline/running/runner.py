"""A run: tasks as futures in a bounded window, region by region, resumed from the ledger.

The scheduler sees (region, slab) and region tasks, never chunks. A region's detection is submitted when its last slab
is done; a region that is due as a whole, and whose series fits, is one task. Nothing waits for the whole cube.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from distributed import Client, Future, as_completed

from groundbreak.pipeline.compute.offsets import CHANGE, Step, region_steps
from groundbreak.pipeline.core.types import BadInput, Record, Region
from groundbreak.pipeline.planning.budget import TASKS_PER_THREAD
from groundbreak.pipeline.running import tasks
from groundbreak.pipeline.running.ledger import Ledger, now, write_record
from groundbreak.pipeline.running.prepared import PreparedGrid, build_name, detect_name

Task = tasks.BuildTask | tasks.DetectTask | tasks.RegionTask

IDLE = 0.15
"""Share of the threads' time that tasks of whole regions may leave idle at the end, for what they save in reading."""


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
class RegionWork:
    """A region of which something is left to do."""

    stage: PreparedGrid
    region: Region
    builds: list[tasks.BuildTask]
    """Those due; its detection follows the last."""
    waiting: set[str] = field(default_factory=set)
    """Builds that are not done yet."""

    @property
    def whole(self) -> bool:
        """Whether all of it is due, and may stay in memory."""
        return len(self.builds) == len(self.stage.slabs()) and self.stage.fits(self.region)

    def detection(self, ledger: Ledger) -> tasks.DetectTask:
        """Its detection, knowing what went wrong in its builds.

        Raises
        ------
        BadInput
            Dark pixels contradict the provider table.
        """
        records = [ledger.records[build_name(self.region, slab.index)] for slab in self.stage.slabs()]
        task = self.stage.detect(self.region)
        wrong = next((step for step in region_steps(task.times, records) if step.contradicts), None)
        if wrong and not self.stage.plan.config.source.accept_offset_step:
            raise _contradiction(self.region, wrong)
        return task.informed(records)


@dataclass
class Work:
    """What is left to do, by region."""

    parts: dict[str, RegionWork]
    outcome: Outcome


def due(stages: list[PreparedGrid], ledger: Ledger) -> Work:
    """All that the ledger does not hold; cubes that have served and are not to be kept are dropped."""
    outcome = Outcome(ignored={s.planned.grid.name: s.settled.ignored for s in stages if s.settled.ignored})
    parts = {}
    for stage in stages:
        for region in stage.planned.regions:
            builds = [stage.build(region, slab) for slab in stage.slabs()]
            names = [b.name for b in builds]
            outcome.tasks |= {*names, detect_name(region)}
            part = RegionWork(stage, region, [b for b in builds if not ledger.finished(b.name, b.identity)])
            if all(ledger.built(b.name, b.identity) for b in builds):
                detect = part.detection(ledger)
                if ledger.finished(detect.name, detect.identity):
                    outcome.skipped += len(builds) + 1
                    if not stage.plan.config.cube.keep:
                        ledger.drop(names)
                    continue
            outcome.skipped += len(builds) - len(part.builds)
            part.waiting = {b.name for b in part.builds}
            parts[region.key] = part
    return Work(parts, outcome)


def execute(work: Work, client: Client, ledger: Ledger, listener: Listener) -> Outcome:
    """Build and detect it."""
    outcome, parts = work.outcome, work.parts
    threads = max(sum(client.nthreads().values()), 1)
    listener.started(sum(len(p.builds) + 1 for p in parts.values()), outcome.skipped, client.dashboard_link)
    queue = _queue(list(parts.values()), ledger, threads)
    running: dict[Future[list[Record]], Task] = {}
    stream = as_completed()

    def submit(task: Task) -> None:
        for part in _parts(task):
            ledger.begin(part.name, part.identity)
        future = client.submit(tasks.run, task, key=f"{task.name}#{task.identity}#{task.attempts}", pure=False)
        running[future] = task
        stream.add(future)

    def fill() -> None:
        while len(running) < TASKS_PER_THREAD * threads and (task := next(queue, None)) is not None:
            submit(task)

    try:
        fill()
        while running:
            future = next(stream)
            task = running.pop(future)
            records = _result(future, task)
            future.release()
            for record in records:
                ledger.add(record)
                outcome.done += 1
                listener.finished(record)
            part = parts[task.region.key]
            if records[-1].task == detect_name(part.region):
                if (again := _ended(part, task, records[-1], ledger, outcome)) is not None:
                    submit(again)
            else:
                part.waiting -= {r.task for r in records}
                if not part.waiting:
                    submit(part.detection(ledger))
            fill()
    except BaseException:
        client.cancel(list(running))
        raise
    return outcome


def _queue(parts: list[RegionWork], ledger: Ledger, threads: int) -> Iterator[Task]:
    """What can be submitted, region by region; whole regions as one task each, where that keeps the threads busy."""
    whole = sum(p.whole for p in parts)
    in_memory = whole > 0 and -(-whole // threads) * threads * (1 - IDLE) <= whole
    for part in parts:
        if not part.builds:
            yield part.detection(ledger)
        elif in_memory and part.whole:
            accept = part.stage.plan.config.source.accept_offset_step
            yield tasks.RegionTask(tuple(part.builds), part.stage.detect(part.region), accept)
        else:
            yield from part.builds


def _parts(task: Task) -> tuple[tasks.BuildTask | tasks.DetectTask, ...]:
    """The parts of a task that leave a record."""
    return (*task.builds, task.detect) if isinstance(task, tasks.RegionTask) else (task,)


def _ended(part: RegionWork, task: Task, record: Record, ledger: Ledger, outcome: Outcome) -> tasks.DetectTask | None:
    """Note how a region's detection ended; what must be submitted still, if anything."""
    if record.state == "done":
        if not part.stage.plan.config.cube.keep:
            ledger.drop([build_name(part.region, slab.index) for slab in part.stage.slabs()])
        return None
    outcome.failed[part.region.key] = record.error
    if record.counts or (isinstance(task, tasks.DetectTask) and task.failure):
        return None
    # Its worker died before it could write anything: say so in the layers.
    asked = part.detection(ledger)
    return replace(asked, failure=record.error or "its worker died", attempts=task.attempts + 1)


def _result(future: Future[list[Record]], task: Task) -> list[Record]:
    """A task's records; its worker may have died before it could write one."""
    error = future.exception()
    if error is None:
        return future.result()
    records = []
    why = f"{type(error).__name__}: {error}"
    # Of a whole region its builds: that they failed is what its detection will say.
    for part in task.builds if isinstance(task, tasks.RegionTask) else (task,):
        record = Record(part.name, "failed", part.identity, task.attempts, now(), {}, 0, 0, {}, error=why)
        write_record(task.output, record)
        records.append(record)
    return records


def _contradiction(region: Region, step: Step) -> BadInput:
    day = str(CHANGE.astype("datetime64[D]"))
    rule = (
        f"dark pixels of {step.count} observations since {step.since}, which are taken to carry an offset of "
        f"{step.offset:g}, lie {abs(step.size):.3f} {'above' if step.size > 0 else 'below'} those from before {day}: "
        "the pixels contradict the metadata"
    )
    remedy = (
        "Mend the items' offsets, or say them in [source.provider], and run with --rebuild; or take them as they are "
        "with [source] accept_offset_step = true"
    )
    return BadInput(f"the items of {region.key}", rule, remedy)
