"""A run: tasks as futures in a bounded window, region by region, resumed from the ledger.

The scheduler sees (region, slab) and region tasks, never chunks. A region's detection is submitted when its last slab
is done; a region that is due as a whole, and whose series fits, is one task. Nothing waits for the whole cube.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from distributed import Client, Future, as_completed

from groundbreak.pipeline.compute.offsets import disbelief, region_steps
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.types import Record, Region
from groundbreak.pipeline.planning.budget import TASKS_PER_THREAD
from groundbreak.pipeline.running import contradictions
from groundbreak.pipeline.running.dispatch import Dispatcher
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import BuildTask, DetectTask, RegionTask, Task
from groundbreak.pipeline.running.prepared import PreparedGrid
from groundbreak.pipeline.running.quarantine import Suspects
from groundbreak.pipeline.running.room import Room
from groundbreak.pipeline.running.shared import LONGEST_REASON
from groundbreak.pipeline.running.watch import give_up, lost, watched

LOG = logging.getLogger(__name__)

IDLE = 0.15
"""Share of the threads' time that tasks of whole regions may leave idle at the end, for what they save in reading."""


@dataclass
class Outcome:
    """What a run did."""

    done: int = 0
    """Tasks that it has finished, the failed ones included."""
    skipped: int = 0
    """Tasks that an earlier run had finished."""
    failed: dict[str, str] = field(default_factory=dict)
    """Region -> why it failed."""
    ignored: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Grid -> items found inside finished slabs, not applied."""
    tasks: set[str] = field(default_factory=set, repr=False)
    """Every task of the plan."""


@dataclass(frozen=True)
class Listener:
    """Who is told of a run's progress."""

    started: Callable[[int, int, str], None]
    """Called with (tasks to do, tasks done before, address of the cluster's dashboard)."""
    finished: Callable[[Record], None]
    """Called with each record that is left."""


@dataclass
class RegionWork:
    """A region of which something is left to do."""

    grid: PreparedGrid
    region: Region
    builds: list[BuildTask]
    """The builds that are due; its detection follows the last."""
    waiting: set[str] = field(default_factory=set)
    """Builds that are not done yet."""

    def __repr__(self) -> str:
        return f"<RegionWork {self.region.key}: {len(self.builds)} builds due, {len(self.waiting)} of them not done>"

    @property
    def whole(self) -> bool:
        """Whether all of the region is due, and may stay in memory."""
        return len(self.builds) == len(self.grid.slabs()) and self.grid.fits(self.region)

    def detection(self, ledger: Ledger) -> DetectTask:
        """Make the region's detection, knowing what went wrong in its builds.

        Raises
        ------
        BadInput
            Pixels contradict the scales and offsets that they are read with.
        """
        records = [ledger.records[name] for name in self.grid.build_tasks(self.region)]
        wrong = next((step for step in region_steps(self.grid.share.times, records) if step.contradicts), None)
        accept = self.grid.share.accept_step
        if wrong and not accept:
            raise contradictions.contradicting(self.region, wrong)
        if (doubt := disbelief(records)) and not accept:
            raise contradictions.unbelievable(self.region, doubt, self._named(doubt.first))
        return self.grid.share.detect(self.region, records)

    def _named(self, position: int) -> str:
        """Return the item of an observation, and scale and offset that it is read with."""
        scenes = self.grid.settled.observations[position].scenes
        if not scenes:
            return self.grid.settled.observations[position].id
        bands = [a for a in scenes[0].assets.values() if a.band != self.grid.plan.mask.band]
        return f"{scenes[0].id} of {scenes[0].provider} (scale {bands[0].scale:g}, offset {bands[0].offset:g})"


@dataclass
class Work:
    """What is left to do, by region, and what is known of the run so far."""

    regions: dict[str, RegionWork]
    outcome: Outcome


def due(grids: Sequence[PreparedGrid], ledger: Ledger) -> Work:
    """Find all that the ledger does not hold; cubes that have served and are not to be kept are dropped."""
    outcome = Outcome(ignored={g.name: g.settled.ignored for g in grids if g.settled.ignored})
    regions = {}
    for grid in grids:
        for region in grid.planned.regions:
            builds = grid.builds(region)
            names = [b.name for b in builds]
            outcome.tasks |= {*names, places.detect_task(region.key)}
            work = RegionWork(grid, region, [b for b in builds if not ledger.finished(b.name, b.identity)])
            if all(ledger.settled(b.name, b.identity) for b in builds) and _done_before(work, names, ledger, outcome):
                outcome.skipped += len(builds) + 1
                continue
            outcome.skipped += len(builds) - len(work.builds)
            work.waiting = {b.name for b in work.builds}
            regions[region.key] = work
    LOG.info("%d regions are due; %d tasks were done before", len(regions), outcome.skipped)
    return Work(regions, outcome)


def _done_before(work: RegionWork, builds: Sequence[str], ledger: Ledger, outcome: Outcome) -> bool:
    """Tell whether a region whose builds are done has been detected on too, or is left alone; see to its cube."""
    name, share = places.detect_task(work.region.key), work.grid.share
    if not (ledger.undisturbed(builds) and ledger.finished(name, share.undisturbed)):
        detect = work.detection(ledger)
        if ledger.quarantined(name, detect.identity):
            outcome.failed[work.region.key] = ledger.records[name].error
            return True
        if not ledger.finished(name, detect.identity):
            return False
    if not work.grid.plan.config.cube.keep:
        ledger.drop(builds)
    return True


def execute(work: Work, client: Client, ledger: Ledger, listener: Listener, room: Room) -> Outcome:
    """Build and detect all that is due, within the workers' memory, and return what was done.

    Raises
    ------
    BadInput
        Dark pixels contradict the provider table, or the cluster has gone away; what runs is cancelled.
    """
    outcome = work.outcome
    listener.started(sum(len(r.builds) + 1 for r in work.regions.values()), outcome.skipped, client.dashboard_link)
    flow = _Flow(work, Dispatcher(client), ledger, listener, room)
    try:
        with watched(client, flow.running) as cluster:
            queue = _queue(list(work.regions.values()), ledger, cluster.threads, room)
            flow.fill(queue, cluster.threads)
            while flow.running:
                future = next(flow.stream)
                if future.cancelled():
                    raise lost(f"[cluster] address = {getattr(client.scheduler, 'address', '?')!r}", client)
                flow.take(future)
                flow.fill(queue, cluster.threads)
    except BaseException:
        LOG.info("stopping; %d tasks are cancelled", len(flow.running))
        give_up(client, flow.running)
        raise
    return outcome


@dataclass
class _Flow:
    """The tasks that the cluster has: submitted, and taken back with their records."""

    work: Work
    dispatcher: Dispatcher
    ledger: Ledger
    listener: Listener
    room: Room
    suspects: Suspects = field(default_factory=Suspects)
    running: dict[Future[list[Record]], Task] = field(default_factory=dict)
    stream: as_completed = field(default_factory=as_completed)
    left: Counter[str] = field(init=False)
    """Grid -> regions of which something is left to do."""

    def __post_init__(self) -> None:
        self.left = Counter(r.grid.name for r in self.work.regions.values())

    def fill(self, queue: Iterator[Task], threads: int) -> None:
        """Submit as many tasks as keep some threads busy."""
        while len(self.running) < TASKS_PER_THREAD * threads and (task := next(queue, None)) is not None:
            self.submit(task)
        self.suspects.submit_next(self.submit, self.running)

    def submit(self, task: Task) -> None:
        """Submit a task; what it will replace counts no longer."""
        for part in task.builds if isinstance(task, RegionTask) else (task,):
            self.ledger.begin(part.name, part.identity)
        LOG.debug("submitting %r", task)
        future = self.dispatcher.submit(self.work.regions[task.region.key].grid, self.room.fitted(task))
        self.running[future] = task
        self.stream.add(future)

    def take(self, future: Future[list[Record]]) -> None:
        """Take a finished task's records, and submit what must follow it."""
        task, outcome = self.running.pop(future), self.work.outcome
        region = self.work.regions[task.region.key]
        records = self.suspects.result(future, task, region.grid.share)
        future.release()
        for record in records:
            self.ledger.add(record)
            outcome.done += 1
            self.listener.finished(record)
        if (following := _following(region, task, records, self.ledger, outcome)) is not None:
            self.submit(following)
        elif records and records[-1].task == places.detect_task(region.region.key):
            self.left[region.grid.name] -= 1
            if not self.left[region.grid.name]:
                self.dispatcher.release(region.grid)


def _queue(regions: Sequence[RegionWork], ledger: Ledger, threads: int, room: Room) -> Iterator[Task]:
    """Yield what can be submitted, region by region.

    Whole regions are one task each, where that keeps the threads busy.
    """
    whole = sum(r.whole and room.holds(r.region) for r in regions)
    in_memory = whole > 0 and -(-whole // threads) * threads * (1 - IDLE) <= whole
    if whole:
        LOG.info("%d regions are due as a whole: %s", whole, "one task each" if in_memory else "too few to be one task")
    for work in regions:
        if not work.builds:
            yield work.detection(ledger)
        elif in_memory and work.whole and room.holds(work.region):
            yield RegionTask(work.region, tuple(work.builds))
        else:
            yield from work.builds


def _following(
    work: RegionWork, task: Task, records: Sequence[Record], ledger: Ledger, outcome: Outcome
) -> DetectTask | None:
    """Take note of what a task has left; return what must follow it, if anything."""
    if not records:  # it is tried again
        return None
    if records[-1].task == places.detect_task(work.region.key):
        return _ended(work, task, records[-1], ledger, outcome)
    work.waiting -= {r.task for r in records}
    return None if work.waiting else work.detection(ledger)


def _ended(work: RegionWork, task: Task, record: Record, ledger: Ledger, outcome: Outcome) -> DetectTask | None:
    """Take note of how a region's detection ended; return what must be submitted still, if anything."""
    if record.state == "done":
        if not work.grid.plan.config.cube.keep:
            ledger.drop(work.grid.build_tasks(work.region))
        return None
    outcome.failed[work.region.key] = record.error
    if record.counts or (isinstance(task, DetectTask) and task.failure):
        return None
    # Its worker died before it could write anything: say so in the layers.
    asked = work.detection(ledger)
    quarantined = record.state == "quarantined"
    return replace(asked, failure=record.error[:LONGEST_REASON], quarantined=quarantined, attempts=task.attempts + 1)
