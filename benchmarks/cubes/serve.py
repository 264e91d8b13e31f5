"""The archive over HTTP, from a process on a core of its own, and what its log says of each contender.

Blocks are counted there, for all in one way: in a run without GDAL's cache, a block was read as often as all of its
bytes were fetched. No contender fetches whole blocks that it does not decode.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from http.server import ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from obstore.store import LocalStore

from benchmarks.cubes.job import BANDS
from groundbreak.pipeline.readers.cog import Cog, read_cog
from groundbreak.pipeline.testing import ArchiveServer

BANDS_TIF = tuple(f"{band}.tif" for band in BANDS)
"""The mask's blocks are so small that the request for a header may bring them."""

Got = tuple[str, str, int, int]
"""(method, path, first byte, length)"""


class Traffic(NamedTuple):
    """What a contender asked for."""

    requests: int
    methods: dict[str, int]
    mib: float
    blocks: int
    """Blocks of the 10 m bands at full resolution that were fetched whole."""


class Server:
    """A child that serves a folder; use as a context."""

    def __init__(self, folder: Path, cpu: int) -> None:
        self.folder = folder
        self._pipe, theirs = multiprocessing.get_context("spawn").Pipe()
        self._child = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, cpu, theirs))
        self._child.start()
        self.url: str = self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pipe.send(None)
        self._child.join()

    def begin(self, latency_s: float) -> None:
        """Forget what was asked for, and answer with this latency from here on."""
        self._pipe.send(latency_s)
        self._pipe.recv()

    def traffic(self, warm: str) -> Traffic:
        """Return what was asked for since `begin`, without what was asked of the tile of the warm-up."""
        self._pipe.send("log")
        log: list[Got] = [got for got in self._pipe.recv() if not got[1].startswith(f"{warm}/")]
        sent = sum(length for method, _, _, length in log if method != "HEAD")
        return Traffic(len(log), dict(Counter(got[0] for got in log)), sent / 2**20, blocks_read(self.folder, log))


def blocks_read(folder: Path, log: Iterable[Got]) -> int:
    """Count the blocks that were fetched, each as often as all of its bytes were."""
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for method, path, first, length in log:
        if method == "GET" and path.endswith(BANDS_TIF) and length:
            ranges[path].append((first, first + length))
    count = 0
    for path, fetched in ranges.items():
        starts, stops = (np.sort(np.array(ends)) for ends in zip(*fetched, strict=True))
        for first, length in _spans(folder / path):
            # The coverage changes only where a range begins or ends.
            inside = np.concatenate(([first], starts, stops))
            at = inside[(inside >= first) & (inside < first + length)]
            cover = np.searchsorted(starts, at, "right") - np.searchsorted(stops, at, "right")
            count += int(cover.min())
    return count


@functools.cache
def _spans(path: Path) -> list[tuple[int, int]]:
    cog = read_cog(LocalStore(), str(path).lstrip("/"))
    assert isinstance(cog, Cog)
    return [cog.blocks.span(n) for n in range(len(cog.blocks.offsets))]


def _serve(folder: Path, cpu: int, pipe: Connection) -> None:
    os.sched_setaffinity(0, {cpu})
    # Its 5 are fewer connections than contenders open at once: the system then drops some, to be tried again a second
    # later.
    ThreadingHTTPServer.request_queue_size = 256
    with ArchiveServer(folder) as server:
        pipe.send(server.url)
        while (what := pipe.recv()) is not None:
            if what == "log":
                pipe.send([_got(server.folder, r) for r in server.requests])
            else:
                server.clear_log()
                server.latency_s = what
                pipe.send(True)


def _got(folder: Path, request: Any) -> Got:
    """Return which bytes a request in the log was sent."""
    file = folder / request.path
    size = file.stat().st_size if file.is_file() and request.outcome in ("200", "206") else 0
    first, last = 0, size - 1
    if request.outcome == "206":
        begin, _, end = request.range.removeprefix("bytes=").partition("-")
        first, last = (int(begin), min(int(end or size), size - 1)) if begin else (size - int(end), size - 1)
    return request.method, request.path, first, last - first + 1
