"""The directories of a TIFF, read without believing what they say.

A header may have been written by anybody. So every count is held against a limit before anything of its size is fetched
or allocated, no directory is read twice, and only the tags that are asked for are read at all. Libraries that read
headers take a count at its word: two thousand million tile offsets ended the process (docs/decisions/0022).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.access.range_files import Store

HEADER_BYTES = 16_384
"""Bytes that one request fetches: the header of a tile of 10 980 pixels in blocks of 1024, its overviews included."""

MOST_HEADER_BYTES = 128 * 2**20
"""Bytes that are fetched of one header: a longer one is not believed."""

MOST_DIRECTORIES = 64
"""Directories of a file: its raster, its mask and the overviews of both are some sixteen."""

MOST_TAGS = 4096
"""Tags of a directory; GDAL writes some twenty."""

MOST_VALUES = 8192
"""Values of a tag that lists no blocks: GeoTIFF's keys are some tens of numbers, nodata is one."""

MOST_BLOCKS = 4_000_000
"""Blocks of a raster: 200,000 x 200,000 pixels in blocks of 100 x 100."""

_TYPES = {
    1: "u1",
    2: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    8: "i2",
    9: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    18: "u8",
}
"""Number of one of TIFF's types -> NumPy's, without a byte order; those of two parts (rationals) are not needed."""

_DTYPES = {(order, kind): np.dtype(order + code) for order in "<>" for kind, code in _TYPES.items()}
"""(byte order, number of a type) -> NumPy's type."""

_ENTRIES = {
    (order, big): np.dtype(
        [("tag", order + "u2"), ("kind", order + "u2"), ("count", order + size), ("value", "V" + size[1])]
    )
    for order in "<>"
    for big, size in ((False, "u4"), (True, "u8"))
}
"""(byte order, whether a file is a BigTIFF) -> an entry of a directory, which ends with its values, or their place."""

Values = NDArray[np.generic]
"""(value,) the values of a tag, in the type and byte order of the file."""


class Tag(IntEnum):
    """The tags that are asked for, by their numbers."""

    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    BIT_ORDER = 266
    STRIP_OFFSETS = 273
    SAMPLES = 277
    STRIP_ROWS = 278
    STRIP_LENGTHS = 279
    PLANES = 284
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_LENGTHS = 325
    SAMPLE_FORMAT = 339
    PIXEL_SCALE = 33550
    TIE_POINTS = 33922
    GEO_KEYS = 34735
    GEO_DOUBLES = 34736
    NODATA = 42113


class BrokenHeader(ValueError):
    """A header says what cannot be so."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a directory says of a tag."""

    dtype: np.dtype[np.generic]
    count: int
    """Number of values, as the directory tells; nothing has been allocated for them."""
    at: int
    """Byte of the file at which the values begin."""


@dataclass(slots=True)
class Header:
    """The start of a TIFF, and what else of its header is asked for; each part is fetched once."""

    store: Store
    path: str
    start: bytes
    """The file's first `HEADER_BYTES`, or all of it."""
    order: str = field(init=False)
    """Byte order of its numbers, as NumPy writes it: < or >."""
    first: int = field(init=False)
    """Byte at which the first directory begins."""
    _big: bool = field(init=False)
    _pieces: list[tuple[int, memoryview]] = field(init=False)
    """(first byte, bytes) of what has been fetched."""

    def __post_init__(self) -> None:
        """Read the first bytes; raise `BrokenHeader` where they are not those of a TIFF."""
        self.order = {b"II": "<", b"MM": ">"}.get(self.start[:2], "")
        mark = self.start[2:4] if self.order == "<" else self.start[3:1:-1]
        if not self.order or mark not in (b"*\0", b"+\0") or len(self.start) < (8 if mark == b"*\0" else 16):
            raise BrokenHeader("it is not a TIFF")
        self._big = mark == b"+\0"
        self._pieces = [(0, memoryview(self.start))]
        self.first = self._pointer(self._pieces[0][1], 8 if self._big else 4)

    async def directories(self) -> list[Directory]:
        """Read which tags each directory has; their values are not read yet.

        Raises
        ------
        BrokenHeader
            The directories lead in a circle, have no end, or lie beyond the file's end.
        """
        found, at, seen = list[Directory](), self.first, set[int]()
        while at:
            if at in seen:
                raise BrokenHeader("its directories lead in a circle")
            if len(seen) == MOST_DIRECTORIES:
                raise BrokenHeader(f"it has more than {MOST_DIRECTORIES} directories")
            seen.add(at)
            directory, at = await self._directory(at)
            found.append(directory)
        if not found:
            raise BrokenHeader("it has no directory")
        return found

    async def bytes(self, at: int, length: int) -> memoryview:
        """Return a part of the file, which is fetched unless it is there already.

        Raises
        ------
        BrokenHeader
            The file ends before, or too much of it would be fetched.
        Exception
            An error of obstore or requests: the file cannot be reached, or does not reach so far.
        """
        for begin, piece in self._pieces:
            if begin <= at and at + length <= begin + len(piece):
                return piece[at - begin : at - begin + length]
        # What follows is fetched along: it is what will be asked for next.
        wanted = max(length, HEADER_BYTES)
        if sum(len(piece) for _, piece in self._pieces) + wanted > MOST_HEADER_BYTES or at > 2**62:
            raise BrokenHeader(f"its header claims {length} bytes at byte {at}")
        whole = len(self.start) < HEADER_BYTES  # of a short file all has come
        got = memoryview(b"" if whole else await self.store.get_range_async(self.path, start=at, end=at + wanted))
        if len(got) < length:
            raise BrokenHeader(f"its header claims {length} bytes at byte {at}, where the file has {len(got)}")
        self._pieces.append((at, got))
        return got[:length]

    async def _directory(self, at: int) -> tuple[Directory, int]:
        """Return the directory at a byte, and the byte of the next one, which is 0 after the last."""
        layout, head, room = _ENTRIES[self.order, self._big], *((8, 8) if self._big else (2, 4))
        count = int.from_bytes(await self.bytes(at, head), "little" if self.order == "<" else "big")
        if count > MOST_TAGS:
            raise BrokenHeader(f"a directory claims {count} tags")
        at += head
        data = await self.bytes(at, count * layout.itemsize + room)
        entries = dict[int, _Entry]()
        told = np.frombuffer(data, layout, count).tolist()
        for number, (tag, kind, values, _) in enumerate(told):
            if (dtype := _DTYPES.get((self.order, kind))) is None:
                continue  # of a type that no tag has that is asked for
            here = (number + 1) * layout.itemsize - room
            far = values * dtype.itemsize > room
            entries.setdefault(tag, _Entry(dtype, values, self._pointer(data, here) if far else at + here))
        return Directory(self, entries), self._pointer(data, count * layout.itemsize)

    def _pointer(self, data: memoryview, at: int) -> int:
        (found,) = struct.unpack_from(self.order + ("Q" if self._big else "I"), data, at)
        return int(found)


@dataclass(frozen=True, slots=True)
class Directory:
    """One raster of a file: its tags, whose values are read when they are asked for."""

    header: Header
    entries: dict[int, _Entry]

    def __contains__(self, tag: int) -> bool:
        """Tell whether the directory has a tag."""
        return tag in self.entries

    async def values(self, tag: int, count: int | None = None) -> Values | None:
        """Return the values of a tag, or None where the directory has no such tag.

        Parameters
        ----------
        tag : int
        count : int, optional
            How many values it must have; without it they are at most `MOST_VALUES`.

        Raises
        ------
        BrokenHeader
            It claims another number of values, or values where the file has none.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return None
        if entry.count != count if count is not None else entry.count > MOST_VALUES:
            wanted = f"; there must be {count}" if count is not None else ""
            raise BrokenHeader(f"tag {tag} of its header claims {entry.count} values{wanted}")
        data = await self.header.bytes(entry.at, entry.count * entry.dtype.itemsize)
        return np.frombuffer(data, entry.dtype)

    async def number(self, tag: int, usual: int = 0) -> int:
        """Return the first value of a tag as a whole number; ``usual`` where the directory has no such tag."""
        values = await self.values(tag)
        return usual if values is None or not len(values) else int(values[0])
