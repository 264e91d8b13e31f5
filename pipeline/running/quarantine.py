"""Tasks that kill their workers, by memory or by a crash in native code: tried more gently, then left out by name.

Whatever was on a worker when it died is suspected. So each suspect is tried again when nothing else runs: the innocent
get done, and a task that kills its workers even so, in smaller pieces, is put into quarantine: the next run leaves it
alone, and only `groundbreak retry` takes it up.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from distributed import Future
from distributed.scheduler import KilledWorker

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.core.output import LeaseLost, Output, StorageError
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.running.dispatch import records_of
from groundbreak.pipeline.running.ledger import now, write_record
from groundbreak.pipeline.running.orders import BuildTask, RegionTask, Task
from groundbreak.pipeline.running.shared import GridShare

LOG = logging.getLogger(__name__)

WHY = "quarantined: its workers died, even when it was tried by itself and in smaller pieces"
REMEDY = "out of memory, or a crash in native code; `groundbreak retry` tries it again"


class Suspects:
    """Tasks whose workers have died, and that are to be tried again by themselves."""

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()

    def result(self, future: Future[bytes], task: Task, share: GridShare) -> list[Record]:
        """Return the records of a task that has ended; none where its workers died of it and it is tried again.

        Raises
        ------
        StorageError, LeaseLost
            The task met that; it is no fault of its own.
        """
        if future.status != "error":
            return records_of(future)
        error = future.exception()
        if not isinstance(error, KilledWorker) or task.attempts > 1:
            return _left_behind(share.output, task, error)
        said = "workers died while %s was on them; it is tried again by itself"
        LOG.warning(said, task.name, extra={"task": task.name, "attempt": task.attempts})
        self._waiting.extend(gentler(task, share.grid))
        return []

    def submit_next(self, submit: Callable[[Task], None], running: Collection[object]) -> None:
        """Submit the next task that is to be tried again, if there is one left and nothing else runs."""
        if self._waiting and not running:
            submit(self._waiting.popleft())


def gentler(task: Task, grid: Grid) -> list[Task]:
    """Return what does the same as a task with less memory at a time; what it writes is the same.

    A whole region is built slab by slab, and then detected on as the cube stores it; a slab is built without fetching
    ahead; and a detection reads a quarter of the rows at a time.
    """
    if isinstance(task, RegionTask):
        return [again for build in task.builds for again in gentler(build, grid)]
    if isinstance(task, BuildTask):
        return [replace(task, attempts=task.attempts + 1, ahead=1)]
    coarse = round(max(grid.bands.values()) / grid.frame.resolution)
    rows = min(task.rows_per_strip, task.region.window.height) // 4 // coarse * coarse
    return [replace(task, attempts=task.attempts + 1, rows_per_strip=max(rows, coarse))]


def _left_behind(output: Output, task: Task, error: BaseException) -> list[Record]:
    """Write the records of a task that could not write them itself."""
    if isinstance(error, (StorageError, LeaseLost)):
        raise error
    killed = isinstance(error, KilledWorker)
    why = f"{WHY} ({REMEDY})" if killed else redact(f"{type(error).__name__}: {error}")
    LOG.warning("%s left no record: %s", task.name, why, extra={"task": task.name})
    state = "quarantined" if killed else "failed"
    # Of a whole region its builds: that they failed is what its detection will say.
    parts = task.builds if isinstance(task, RegionTask) else (task,)
    records = (Record(p.name, state, p.identity, task.attempts, now(), {}, 0, 0, {}, error=why) for p in parts)
    return [write_record(output, record) for record in records]
