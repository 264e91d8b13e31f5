"""What a task has done, kept while it works and left as its completion record, whatever happens."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.meters import metered
from groundbreak.pipeline.core.output import LeaseLost, Output, StorageError
from groundbreak.pipeline.core.record import Fault, Record
from groundbreak.pipeline.core.summing import SummingStore
from groundbreak.pipeline.running.ledger import now, read_record, stamp, write_record

LOG = logging.getLogger(__name__)


class Recorded(Protocol):
    """A task that leaves one record."""

    @property
    def name(self) -> str:
        """The name of its record."""

    @property
    def identity(self) -> str:
        """Digest of everything that the task's output depends on."""

    @property
    def attempts(self) -> int:
        """How often it was tried, this time included."""


@dataclass
class Progress:
    """What a task has done so far; what is known of it when it fails."""

    pixels: int = 0
    read_s: float = 0.0
    """Seconds for which it has waited for what it reads."""
    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    failed: str = "failed"
    """The state of its record if it has an error."""
    dark: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    beyond: tuple[int, ...] = ()
    bright: tuple[int, ...] = ()


def recorded(
    output: Output,
    task: Recorded,
    key: str,
    work: Callable[[SummingStore, Progress], None],
    deadline: float = float("inf"),
) -> Record:
    """Run the work on a store that sums what it writes; leave a record, even of a failure, and return it.

    Parameters
    ----------
    output : Output
    task : Recorded
    key : str
        Of the store.
    work : callable
    deadline : float
        Seconds for which the work may read assets.

    Raises
    ------
    StorageError, LeaseLost
        Nothing can be, or may be, written to the output.
    """
    begun, clock = now(), time.perf_counter()
    target, done = SummingStore(output, key), Progress()
    with metered(deadline) as meter:
        try:
            work(target, done)
        except (StorageError, LeaseLost):
            raise
        except Exception as error:  # a failed region must be named and must not end the run
            done.error = describe(error)
    if done.error:
        LOG.warning("%s failed: %s", task.name, done.error.splitlines()[0], extra={"task": task.name})
    record = Record(
        task=task.name,
        state=done.failed if done.error else "done",
        identity=task.identity,
        attempts=task.attempts,
        started=begun,
        seconds={
            "total": round(time.perf_counter() - clock, 3),
            "read": round(done.read_s, 3),
            "write": round(target.seconds, 3),
            "waited": round(meter.waited_s, 3),
        },
        bytes_written=target.bytes_written,
        pixels=done.pixels,
        checksums=dict(sorted(target.checksums.items())),
        faults=tuple(done.faults),
        error=done.error,
        counts=done.counts,
        dark=done.dark,
        offsets=done.offsets,
        beyond=done.beyond,
        bright=done.bright,
        stamp=stamp(target.tags),
        bytes_read=meter.bytes_read,
        requests=meter.requests,
        retries=meter.retries,
    )
    return write_record(output, record)


def finished(output: Output, task: Recorded) -> Record | None:
    """Return the record that a task has left, where it is done already: its worker may have died with the result."""
    record = read_record(output, task.name)
    done = record is not None and record.state == "done" and record.identity == task.identity
    return record if done else None


def describe(error: Exception) -> str:
    """Say what a task failed with: the error, and where it was raised; without signatures."""
    return redact(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
