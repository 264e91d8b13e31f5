"""A process for each contender: kept warm, told when to run, and its memory read from the system.

Native code allocates where Python's tracers cannot see, and thread pools do not survive a fork: so each contender
lives in a child that is forked before any of them has run, and all children share the parent's arrays.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple

from benchmarks.detectors.series import Contender, Found, Series
from benchmarks.machine import PeakMemory

WARM_PIXELS = 48
"""Pixels of the first run, which compiles and imports, and is not timed."""

FORK = multiprocessing.get_context("fork")


class Lap(NamedTuple):
    """One timed run: seconds of processor time, peak of memory above what was held before (MiB), and the result."""

    seconds: float
    peak_mib: float
    found: Found


class Worker:
    """A child that runs ``contender`` on the first ``n_pixel`` pixels of ``series``; use as a context.

    Where there are fewer than ``least``, they are repeated.
    """

    def __init__(self, contender: Contender, series: Series, n_pixel: int, least: int = 0) -> None:
        self.contender = contender
        self.n_pixel = max(min(n_pixel, series.indices.shape[2]), least)
        self.fault: str | None = None
        self._pipe, theirs = FORK.Pipe()
        self._child = FORK.Process(target=_serve, args=(contender, series, self.n_pixel, theirs), daemon=True)
        self._child.start()
        theirs.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child.is_alive():
            self._child.terminate()
        self._child.join()

    def warm(self) -> None:
        """Import, compile, and prepare the arrays."""
        self._ask("warm")

    def lap(self) -> Lap | None:
        """Run once; None after a fault, kept in ``fault``."""
        answer: Lap | None = self._ask("lap")
        return answer

    def _ask(self, what: str) -> Any:
        if self.fault is not None:
            return None
        try:
            self._pipe.send(what)
            answer = self._pipe.recv()
        except (EOFError, OSError):
            answer = "the process died"
        if isinstance(answer, str):
            self.fault = answer
            return None
        return answer


def _serve(contender: Contender, series: Series, n_pixel: int, pipe: Connection) -> None:
    """Answer requests until the parent ends this process; a fault is answered with its last line."""
    prepared: Any = None
    while True:
        what = pipe.recv()
        try:
            if what == "warm":
                contender.run(contender.prepare(series.first(WARM_PIXELS)))
                repeats = n_pixel > series.indices.shape[2]
                prepared = contender.prepare(series.repeated(n_pixel) if repeats else series.first(n_pixel))
                pipe.send(True)
            else:
                pipe.send(_timed(contender, prepared))
        except Exception:
            pipe.send(traceback.format_exc().strip().splitlines()[-1])


def _timed(contender: Contender, prepared: Any) -> Lap:
    memory = PeakMemory()
    begun = time.process_time()
    found = contender.run(prepared)
    seconds = time.process_time() - begun
    return Lap(seconds, memory.mib(), found)
