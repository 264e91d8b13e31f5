"""Files of which ranges are read, each by its own object, which knows what the file was when it was first asked for.

The methods are those of a store of obstore that async-tiff and `pipeline.readers` take; the path that they are given is
the object's own, and is not looked at. Every answer is held against the file's stamp, and every request passes the gate
of its host.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Buffer, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, partial

from obstore.store import LocalStore, ObjectStore

from groundbreak.pipeline.access import meters, stamps
from groundbreak.pipeline.access.gates import gate_of
from groundbreak.pipeline.access.troubles import Replaced

THREADS = 64
"""Requests in flight at once of those that a coroutine waits for."""


class RangeFile(ABC):
    """A remote file.

    Parameters
    ----------
    name : str
        Its address, without a signature.
    host : str
        What has a gate of its own: the host and port, or the bucket.
    stamp : str
        What the file was when the run was planned; "" where nobody knows.
    patience : float
        Seconds for which its host is waited for.
    """

    def __init__(self, name: str, host: str, stamp: str, patience: float) -> None:
        self.name, self.stamp = name, stamp
        self.error: Exception | None = None
        """What the last request raised; a reader that calls from within another library loses it."""
        self._known, self._gate, self._patience = bool(stamp), gate_of(host), patience

    @abstractmethod
    def _ask(self, start: int, end: int, *, look: bool = False) -> tuple[Buffer, str]:
        """Ask once for a range; return its bytes, and the stamp of the file that they are of.

        ``look`` says that only whether the host serves the file is of interest.
        """

    def _look(self) -> None:
        """Ask for the file's first byte."""
        self._ask(0, 1, look=True)

    def get_range(self, _path: str = "", *, start: int, end: int | None = None, length: int | None = None) -> Buffer:
        """Read the bytes from ``start`` up to ``end``, or ``length`` of them; fewer where the file ends before.

        Raises
        ------
        Exception
            One of `pipeline.access.troubles`, or FileNotFoundError or PermissionError.
        """
        stop = end if end is not None else start + (length or 0)
        try:
            data, stamp = self._gate.ask(
                self.name, lambda: self._ask(start, stop), self._look, self._patience, known=self._known
            )
            if not stamps.agree(self.stamp, stamp):
                raise Replaced()
        except Exception as error:
            self.error = error
            raise
        self.stamp = self.stamp or stamp
        meters.current().served(memoryview(data).nbytes)
        return data

    async def get_range_async(
        self, path: str = "", *, start: int, end: int | None = None, length: int | None = None
    ) -> Buffer:
        """Read as `get_range` does, while others do so, too."""
        # In this context, so that what is read counts for the task that reads (`meters`).
        read = partial(copy_context().run, self.get_range, path, start=start, end=end, length=length)
        return await asyncio.get_running_loop().run_in_executor(_threads(), read)

    async def get_ranges_async(
        self,
        path: str = "",
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> list[Buffer]:
        """Read several ranges."""
        stops = ends if ends is not None else [a + n for a, n in zip(starts, lengths or (), strict=True)]
        reads = (self.get_range_async(path, start=a, end=b) for a, b in zip(starts, stops, strict=True))
        return list(await asyncio.gather(*reads))


Store = ObjectStore | RangeFile
"""What ranges of files are read from."""


def stamp_of(store: Store, path: str) -> str:
    """Return the stamp of a file that was read from; of a local one, what it is now; "" where nobody knows."""
    if isinstance(store, RangeFile):
        return store.stamp
    return stamps.of_local(f"/{path}") if isinstance(store, LocalStore) else ""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="ranges")
