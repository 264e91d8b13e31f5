"""A run: tasks as futures in a bounded window, region by region, resumed from the ledger.

The scheduler sees (region, slab) and region tasks, never chunks. A region's detection is submitted when its last slab
is done; a region that is due as a whole, and whose series fits, is one task. Nothing waits for the whole cube.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from distributed import Client, Future, as_completed

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.planning.budget import TASKS_PER_THREAD
from groundbreak.pipeline.running.dispatch import Dispatcher
from groundbreak.pipeline.running.due import Outcome, RegionWork, Work
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import DetectTask, RegionTask, Task
from groundbreak.pipeline.running.quarantine import Suspects
from groundbreak.pipeline.running.room import Room
from groundbreak.pipeline.running.shared import LONGEST_REASON
from groundbreak.pipeline.running.watch import give_up, lost, watched

LOG = logging.getLogger(__name__)

IDLE = 0.15
"""Share of the threads' time that tasks of whole regions may leave idle at the end, for what they save in reading."""


@dataclass(frozen=True)
class Listener:
    """Who is told of a run's progress."""

    started: Callable[[int, int, str], None]
    """Called with (tasks to do, tasks done before, address of the cluster's dashboard)."""
    finished: Callable[[Record], None]
    """Called with each record that is left."""


def execute(work: Work, client: Client, ledger: Ledger, listener: Listener, room: Room) -> Outcome:
    """Build and detect all that is due, within the workers' memory, and return what was done.

    Raises
    ------
    BadInput
        Dark pixels contradict the provider table, or the cluster has gone away; what runs is cancelled.
    """
    outcome = work.outcome
    listener.started(work.tasks, outcome.skipped, client.dashboard_link)
    flow = _Flow(work, Dispatcher(client), ledger, listener, room)
    try:
        with watched(client, flow.running) as cluster:
            queue = flow.queue(cluster.threads)
            flow.fill(queue, cluster.threads)
            while flow.running:
                future = next(flow.stream)
                if future.cancelled():
                    raise lost(client)
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
    running: dict[Future[bytes], Task] = field(default_factory=dict)
    open: dict[str, RegionWork] = field(default_factory=dict)
    """The regions of which some task was submitted, and that have not ended."""
    stream: as_completed = field(default_factory=as_completed)

    def queue(self, threads: int) -> Iterator[Task]:
        """Yield what can be submitted, region by region.

        Whole regions are one task each, where that keeps the threads busy.
        """
        whole = sum(self.room.holds(region) for region in self.work.whole())
        in_memory = whole > 0 and -(-whole // threads) * threads * (1 - IDLE) <= whole
        if whole:
            LOG.info(
                "%d regions are due as a whole: %s", whole, "one task each" if in_memory else "too few to be one task"
            )
        for work in self.work.regions():
            self.open[work.region.key] = work
            if not work.builds:
                yield work.detection(self.ledger)
            elif in_memory and work.whole and self.room.holds(work.region):
                yield RegionTask(work.region, tuple(work.builds))
            else:
                yield from work.builds

    def fill(self, queue: Iterator[Task], threads: int) -> None:
        """Submit as many tasks as keep some threads busy."""
        while len(self.running) < TASKS_PER_THREAD * threads and (task := next(queue, None)) is not None:
            self.submit(task)
        self.suspects.submit_next(self.submit, self.running)

    def submit(self, task: Task) -> None:
        """Submit a task; what it will replace counts no longer."""
        for part in task.builds if isinstance(task, RegionTask) else (task,):
            self.ledger.begin(part.name, part.identity)
        LOG.debug("submitting %r", task, extra={"task": task.name, "attempt": task.attempts})
        future = self.dispatcher.submit(self.open[task.region.key].grid, self.room.fitted(task))
        self.running[future] = task
        self.stream.add(future)

    def take(self, future: Future[bytes]) -> None:
        """Take a finished task's records, and submit what must follow it."""
        task, outcome = self.running.pop(future), self.work.outcome
        region = self.open[task.region.key]
        records = self.suspects.result(future, task, region.grid.share)
        future.release()
        for record in records:
            self.ledger.add(record)
        following = _following(region, task, records, self.ledger, outcome)
        # A detection that killed its workers is followed by one that says so in the layers: that one counts.
        counted = [record for record in records if following is None or record.task != following.name]
        outcome.done += len(counted)
        for record in counted:
            self.listener.finished(record)
        if following is not None:
            self.submit(following)
        elif records and records[-1].task == places.detect_task(region.region.key):
            self._end(region)

    def _end(self, work: RegionWork) -> None:
        """Let go of a region of which nothing is left to do."""
        del self.open[work.region.key]
        self.ledger.ended([*work.grid.build_tasks(work.region), places.detect_task(work.region.key)])
        self.work.left[work.grid.name] -= 1
        if not self.work.left[work.grid.name]:
            self.dispatcher.release(work.grid)


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
