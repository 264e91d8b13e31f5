"""Blocks as they lie in a file: fetched, or on this machine's disks and read when they are due."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import local

import obstore
from obstore.store import LocalStore, ObjectStore

from groundbreak.pipeline.core.ranges import requests
from groundbreak.pipeline.readers.blocks import BlockPart
from groundbreak.pipeline.readers.cog import Blocks

GAP = 64
"""Bytes between two blocks that are fetched along: GDAL's COGs write 8 around each."""


class _Thread(local):
    """What a thread keeps."""

    def __init__(self) -> None:
        self.scratches: dict[Hashable, bytearray] = {}


_THREAD = _Thread()


def thread_scratch(use: Hashable, size: int) -> memoryview:
    """Memory of this thread, the same for the same use: what is new would have to be cleared by the system."""
    scratch = _THREAD.scratches.get(use, bytearray())
    if len(scratch) < size:
        scratch = _THREAD.scratches[use] = bytearray(size)
    return memoryview(scratch)[:size]


@dataclass(frozen=True)
class OnDisk:
    """Blocks of a local file."""

    path: str
    whole: Blocks

    def announce(self, wanted: Sequence[BlockPart]) -> None:
        """Have the system read what will be wanted, where it takes such advice."""
        # What is wrong with the file is met, and told, when it is read.
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError), self._open() as file:
                for start, length, _ in _spans(self.whole, wanted):
                    os.posix_fadvise(file, start, length, os.POSIX_FADV_WILLNEED)

    def get(self, block: int) -> memoryview | None:
        """The bytes of a block, until this thread reads the next; None where it was never written."""
        start, length = self.whole.span(block)
        if not length:
            return None
        scratch = thread_scratch("coded", length)
        with self._open() as file:
            got = os.preadv(file, [scratch], start)
        if got != length:
            raise ValueError(f"{got} of {length} bytes came")
        return scratch

    @contextmanager
    def _open(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDONLY)
        try:
            yield file
        finally:
            os.close(file)


def _spans(whole: Blocks, wanted: Sequence[BlockPart]) -> Iterator[tuple[int, int, int]]:
    """(first byte, bytes, block) of those that were written."""
    spans = ((*whole.span(piece.block), piece.block) for piece in wanted)
    return (span for span in spans if span[1])


def get_blocks(
    store: ObjectStore, path: str, whole: Blocks, wanted: Sequence[BlockPart]
) -> dict[int, memoryview] | OnDisk:
    """The blocks' bytes, each fetched once; block -> bytes, none where it was never written."""
    if isinstance(store, LocalStore):
        there = OnDisk(f"/{path}", whole)
        there.announce(wanted)
        return there
    found = {}
    for start, end, parts in requests(_spans(whole, wanted), GAP):
        got = memoryview(obstore.get_range(store, path, start=start, end=end))
        if len(got) != end - start:
            raise ValueError(f"{len(got)} of {end - start} bytes came")
        found.update({block: got[part] for block, part in parts.items()})
    return found
