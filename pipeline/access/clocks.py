"""How long a thread may still read an asset: time that passes at a host's gate does not count."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from groundbreak.pipeline.access import meters

ASSET_S = 110.0
"""Seconds that an asset may cost without any of its requests being served."""
REQUEST_S = 50.0
"""Seconds that a single request may take, however slowly its answer drips."""
QUIET_S = 30.0
"""Seconds between two bytes of an answer, and before the first."""
CONNECT_S = 10.0
"""Seconds that a connection may take."""


class _Clock(threading.local):
    """The time that this thread has left."""

    def __init__(self) -> None:
        self.ends = float("inf")


_CLOCK = _Clock()


def begin() -> None:
    """Begin to read an asset, or go on after one of its requests was served."""
    _CLOCK.ends = monotonic() + ASSET_S


def end() -> None:
    """Say that this thread reads no asset any more."""
    _CLOCK.ends = float("inf")


def served() -> None:
    """Say that a request was served: what makes progress is not cut off."""
    if _CLOCK.ends != float("inf"):
        begin()


def left() -> float:
    """Return the seconds that this thread's asset may still cost; infinite where it reads none."""
    return _CLOCK.ends - monotonic()


@contextmanager
def waiting(at_most: float = float("inf")) -> Iterator[None]:
    """Let time pass inside that counts neither as this asset's nor as its task's: a host is waited for.

    Parameters
    ----------
    at_most : float
        Seconds of it that do not count.
    """
    began = monotonic()
    try:
        with meters.current().waiting():
            yield
    finally:
        _CLOCK.ends += min(monotonic() - began, at_most)


def jitter() -> float:
    """Return a share of a wait, between a half and all of it: those that fail together must not come back together."""
    return random.uniform(0.5, 1.0)  # noqa: S311 - nothing is kept secret by it
