"""The objects that a cube is made of: a shard holds one slab of one region, encoded at once.

The layout is Zarr's (codec sharding_indexed), so every reader of Zarr v3 reads it. Zarr's own way takes coroutines,
threads and a copy or two a chunk, which cost two and a half times what encoding does, and twice what decoding does; a
task, which writes whole shards and reads whole rows of chunks, needs none of them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import product

import google_crc32c
import imagecodecs
import numpy as np
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype

from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.ranges import requests
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Grid, Mask
from groundbreak.pipeline.stores.tiles import Tiles

TIME_CHUNK = 12
SPACE_CHUNK = 128
SLACK = 4096
"""Bytes by which a chunk that does not compress grows, at most."""

ABSENT = 2**64 - 1
"""Offset and length of a chunk that holds nothing but the fill."""


@dataclass(frozen=True, slots=True)
class Shard:
    """How a band's slab of a region is stored."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """(time, y, x) of the inner chunks; whole ones fill a shard."""
    dtype: str
    fill: int

    @property
    def codec(self) -> BloscCodec | ZstdCodec:
        """As the array's metadata name it."""
        if self.dtype == "uint8":
            return ZstdCodec(level=1)
        return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2)

    def encoded(self, chunk: np.ndarray, scratch: np.ndarray) -> Sized:
        """A chunk as that codec has it, written to the start of ``scratch``."""
        out = memoryview(scratch)
        if self.dtype == "uint8":
            return imagecodecs.zstd_encode(chunk, level=1, out=out)
        return imagecodecs.blosc_encode(
            chunk, level=5, compressor="lz4", shuffle="bitshuffle", typesize=2, blocksize=0, numthreads=1, out=out
        )

    def decoded(self, data: memoryview, scratch: np.ndarray) -> None:
        """Undo `encoded`, into the whole of ``scratch``."""
        out = memoryview(scratch).cast("B")
        if self.dtype == "uint8":
            got: Sized = imagecodecs.zstd_decode(data, out=out)
        else:
            got = imagecodecs.blosc_decode(data, numthreads=1, out=out)
        if len(got) != scratch.nbytes:
            raise RuntimeError(f"{len(got)} bytes instead of {scratch.nbytes}")

    @property
    def counts(self) -> tuple[int, ...]:
        """Inner chunks along (time, y, x)."""
        return tuple(whole // part for whole, part in zip(self.shape, self.chunks, strict=True))

    @property
    def index_bytes(self) -> int:
        """Of the index at its end: offset and length of every chunk, and a checksum."""
        return math.prod(self.counts) * 16 + 4


def shard_of(grid: Grid, mask: Mask, depth: int, band: str) -> Shard:
    """The shards of a band: ``depth`` observations, a region wide."""
    side = round(grid.region * grid.frame.resolution / grid.bands[band])
    chunk = largest_divisor(side, SPACE_CHUNK)
    is_mask = band == mask.band
    return Shard(
        (depth, side, side),
        (largest_divisor(depth, TIME_CHUNK), chunk, chunk),
        "uint8" if is_mask else "int16",
        mask.nodata if is_mask else REFLECTANCE_FILL,
    )


def chunk_step(grid: Grid) -> int:
    """The least side of ground, in the finest pixels, that is whole inner chunks of every band."""
    factors = {round(resolution / grid.frame.resolution) for resolution in grid.bands.values()}
    return math.lcm(*(factor * largest_divisor(grid.region // factor, SPACE_CHUNK) for factor in factors))


class Encoder:
    """Encodes slabs one after the other, into memory that it keeps: what is new has to be cleared by the system first,
    which costs as much as encoding does.
    """

    def __init__(self) -> None:
        self._scratch = np.empty(0, np.uint8)

    def encode(self, shard: Shard, parts: Iterable[Tiles], corner: tuple[int, int] = (0, 0)) -> memoryview | None:
        """The object that holds a slab.

        Parameters
        ----------
        parts : one chunk deep each, from the slab's first observation on; what the shard holds beside them is fill
        corner : (y, x) of the values in the shard, at the corner of an inner chunk

        Returns
        -------
        memoryview, until the next is encoded, or None where there is nothing but the fill, and so no object
        """
        index = np.full((*shard.counts, 2), ABSENT, "<u8")
        top, left = corner[0] // shard.chunks[1], corner[1] // shard.chunks[2]
        chunk_bytes = math.prod(shard.chunks) * np.dtype(shard.dtype).itemsize
        most = math.prod(shard.counts) * (chunk_bytes + SLACK) + shard.index_bytes
        if self._scratch.size < most:
            self._scratch = np.empty(most, np.uint8)
        scratch, end = self._scratch, 0
        for number, part in enumerate(parts):
            assert part.values.shape[2:] == shard.chunks
            for i, j in np.ndindex(part.values.shape[:2]):
                chunk = part.values[i, j]
                if chunk.flat[0] == shard.fill and (chunk == shard.fill).all():
                    continue
                length = len(shard.encoded(chunk, scratch[end:]))
                index[number, top + i, left + j] = end, length
                end += length
        if not end:
            return None
        entry = index.tobytes()
        entry += google_crc32c.value(entry).to_bytes(4, "little")
        scratch[end : end + len(entry)] = np.frombuffer(entry, np.uint8)
        return memoryview(scratch[: end + len(entry)])


Window = tuple[slice, slice, slice]
"""Of an array, (time, y, x)."""

Place = tuple[int, ...]
"""Of a shard in an array, or of a chunk in a shard, (time, y, x)."""


def read(store: Store, path: str, shard: Shard, window: Window) -> np.ndarray:
    """A window of an array of such shards, which lies within it.

    Parameters
    ----------
    path : of the array in its store

    Returns
    -------
    (time, y, x); fill where an object or a chunk is absent

    Raises
    ------
    ValueError
        An object is not what was written.
    """
    out = np.empty(tuple(part.stop - part.start for part in window), shard.dtype)
    scratch = np.empty(shard.chunks, shard.dtype)
    places = list(product(*_steps(window, shard.shape)))

    async def every() -> list[dict[Place, memoryview]]:
        return await asyncio.gather(
            *(_fetch(store, shard_key(path, place), shard, _within(window, shard.shape, place)) for place in places)
        )

    for place, found in zip(places, run_coroutine(every()), strict=True):
        inside = _within(window, shard.shape, place)
        for chunk in product(*_steps(inside, shard.chunks)):
            taken = _within(inside, shard.chunks, chunk)
            corner = [
                p * n + c * m + t.start - w.start
                for p, n, c, m, t, w in zip(place, shard.shape, chunk, shard.chunks, taken, window, strict=True)
            ]
            into = out[tuple(slice(c, c + t.stop - t.start) for c, t in zip(corner, taken, strict=True))]
            if chunk not in found:
                into[:] = shard.fill
                continue
            try:
                shard.decoded(found[chunk], scratch)
            except RuntimeError as error:
                raise ValueError(f"{shard_key(path, place)} is damaged: a chunk cannot be decoded ({error})") from None
            into[:] = scratch[taken]
    return out


async def _fetch(store: Store, key: str, shard: Shard, inside: Window) -> dict[Place, memoryview]:
    """The coded chunks that a window of a shard needs; chunks that lie one behind the other come in one request."""
    entry = await _get(store, key, SuffixByteRequest(shard.index_bytes))
    if entry is None:
        return {}
    if len(entry) != shard.index_bytes or google_crc32c.value(bytes(entry[:-4])) != int.from_bytes(
        entry[-4:], "little"
    ):
        raise ValueError(f"{key} is damaged: its index does not match its checksum")
    index = np.frombuffer(entry[:-4], "<u8").reshape(*shard.counts, 2)
    chunks = product(*_steps(inside, shard.chunks))
    wanted = ((int(index[chunk][0]), int(index[chunk][1]), chunk) for chunk in chunks)

    async def fetched(start: int, end: int, parts: dict[Place, slice]) -> dict[Place, memoryview]:
        got = await _get(store, key, RangeByteRequest(start, end))
        if got is None or len(got) != end - start:
            raise ValueError(f"{key} is damaged: it is shorter than its index says")
        return {chunk: got[part] for chunk, part in parts.items()}

    due = requests(part for part in wanted if part[0] != ABSENT)
    found = await asyncio.gather(*(fetched(*request) for request in due))
    return {chunk: data for part in found for chunk, data in part.items()}


async def _get(store: Store, key: str, part: ByteRequest) -> memoryview | None:
    found = await store.get(key, default_buffer_prototype(), part)
    return None if found is None else memoryview(found.as_numpy_array())


def shard_key(path: str, place: Place) -> str:
    """Where an array at ``path`` keeps a shard."""
    return f"{path}/c/{'/'.join(map(str, place))}"


def _steps(window: Window, sizes: Sequence[int]) -> list[range]:
    """Which tiles of some size a window meets, along every axis."""
    return [range(part.start // size, -(-part.stop // size)) for part, size in zip(window, sizes, strict=True)]


def _within(window: Window, sizes: Sequence[int], place: Place) -> Window:
    """The part of a tile that a window takes, counted from the tile's corner."""
    t, y, x = (
        slice(max(part.start - n * size, 0), min(part.stop - n * size, size))
        for part, size, n in zip(window, sizes, place, strict=True)
    )
    return t, y, x


def largest_divisor(number: int, limit: int) -> int:
    """The largest whole number up to ``limit`` that divides ``number``."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
