"""Coded blocks, as they lie in a file: fetched, or read from this machine's disks when they are decoded."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import local

from obstore.store import LocalStore

from groundbreak.pipeline.access import meters, stamps
from groundbreak.pipeline.access.range_files import Store
from groundbreak.pipeline.access.troubles import Replaced
from groundbreak.pipeline.core.ranges import requests
from groundbreak.pipeline.readers.blocks import BlockPart
from groundbreak.pipeline.readers.cog import Blocks

GAP_BYTES = 64
"""Two blocks with at most so many bytes between them are fetched at once: GDAL's COGs write 8 bytes around each."""


class _Thread(local):
    """The memory that a thread keeps."""

    def __init__(self) -> None:
        self.scratches: dict[Hashable, bytearray] = {}


_THREAD = _Thread()


def thread_scratch(use: Hashable, size: int) -> memoryview:
    """Return memory that this thread keeps for a use; the system would have to clear new memory.

    Parameters
    ----------
    use : hashable
        What the memory is used for: the thread gets the same memory whenever it asks with the same value.
    size : int
        Bytes that are wanted.

    Returns
    -------
    memoryview of ``size`` bytes, which may hold anything.
    """
    scratch = _THREAD.scratches.get(use, bytearray())
    if len(scratch) < size:
        scratch = _THREAD.scratches[use] = bytearray(size)
    return memoryview(scratch)[:size]


@dataclass(frozen=True)
class OnDisk:
    """The blocks of a local file, which are read one by one."""

    path: str
    """Absolute path of the file."""
    blocks: Blocks
    stamp: str = ""
    """What the file was when the run was planned; "" where nobody knows."""

    def announce(self, wanted: Sequence[BlockPart]) -> None:
        """Advise the system to read the blocks that will be wanted, where it takes such advice."""
        # What is wrong with the file is met, and reported, when it is read.
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError), self._open() as file:
                for start, length, _ in _spans(self.blocks, wanted):
                    os.posix_fadvise(file, start, length, os.POSIX_FADV_WILLNEED)

    def get(self, block: int) -> memoryview | None:
        """Read the bytes of a block.

        Parameters
        ----------
        block : int
            Number of a block that is listed.

        Returns
        -------
        memoryview, which holds the bytes until this thread reads another block; None where the block was never written.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            The file ends within the block.
        Replaced
            The file is not the one that it was.
        """
        start, length = self.blocks.span(block)
        if not length:
            return None
        scratch = thread_scratch("coded", length)
        with self._open() as file:
            if self.stamp and self.stamp != stamps.of_stat(os.fstat(file)):
                raise Replaced()
            got = os.preadv(file, [scratch], start)
        if got != length:
            raise ValueError(f"{got} of {length} bytes came")
        meters.current().served(got)
        return scratch

    @contextmanager
    def _open(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDONLY)
        try:
            yield file
        finally:
            os.close(file)


def _spans(blocks: Blocks, wanted: Sequence[BlockPart]) -> Iterator[tuple[int, int, int]]:
    """Yield (first byte, bytes, number) of the wanted blocks that were written."""
    spans = ((*blocks.span(part.block), part.block) for part in wanted)
    return (span for span in spans if span[1])


def get_blocks(
    store: Store, path: str, blocks: Blocks, wanted: Sequence[BlockPart], stamp: str = ""
) -> dict[int, memoryview] | OnDisk:
    """Fetch the bytes of the blocks that a window needs, each once; those of a local file are only announced.

    Parameters
    ----------
    store : Store
        The store of the file's host or bucket.
    path : str
        The file's path in the store.
    blocks : Blocks
        Where the blocks lie.
    wanted : sequence of BlockPart
        The parts of the window that the wanted blocks fill.
    stamp : str
        What a local file was when the run was planned; a remote one knows its own.

    Returns
    -------
    dict or OnDisk: number of a block -> its bytes. A block that was never written is missing in the dict, and None in
    `OnDisk.get`.

    Raises
    ------
    ValueError
        The file is shorter than its header says.
    Exception
        An error of obstore or requests: the file cannot be reached.
    """
    if isinstance(store, LocalStore):
        on_disk = OnDisk(f"/{path}", blocks, stamp)
        on_disk.announce(wanted)
        return on_disk
    found: dict[int, memoryview] = {}
    for request in requests(_spans(blocks, wanted), GAP_BYTES):
        got = memoryview(store.get_range(path, start=request.start, end=request.end))
        if len(got) != request.end - request.start:
            raise ValueError(f"{len(got)} of {request.end - request.start} bytes came")
        found |= request.split(got)
    return found
