"""What a task has read so far, and how long it may still read; every thread that reads for the task counts into it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic


class Meter:
    """Counts what is read for one task.

    Parameters
    ----------
    deadline_s : float
        Seconds for which the task may read; those in which a host is waited for are not counted.
    """

    def __init__(self, deadline_s: float = float("inf")) -> None:
        self.deadline_s = deadline_s
        self.requests = self.bytes_read = self.retries = 0
        self._begun, self._lock = monotonic(), threading.Lock()
        self._waiting, self._since, self._waited = 0, 0.0, 0.0

    def served(self, size: int) -> None:
        """Count a request, and the bytes of its answer."""
        with self._lock:
            self.requests += 1
            self.bytes_read += size

    def retried(self) -> None:
        """Count an attempt to read an asset that is not the first."""
        with self._lock:
            self.retries += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as spent waiting for a host, once for all threads that wait together."""
        with self._lock:
            self._since = self._since if self._waiting else monotonic()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._waited += 0.0 if self._waiting else monotonic() - self._since

    @property
    def waited_s(self) -> float:
        """Seconds in which some thread of the task waited for a host."""
        with self._lock:
            return self._waited + (monotonic() - self._since if self._waiting else 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the task has read for longer than it may."""
        return self.deadline_s < float("inf") and monotonic() - self._begun - self.waited_s > self.deadline_s


_METER: ContextVar[Meter] = ContextVar("meter")
_NOBODY = Meter()


def current() -> Meter:
    """Return the meter of the task for which this thread reads; outside of tasks, one that nobody looks at."""
    return _METER.get(_NOBODY)


@contextmanager
def metered(deadline_s: float = float("inf")) -> Iterator[Meter]:
    """Count what is read inside, also in threads that run in a copy of this context."""
    meter = Meter(deadline_s)
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)
