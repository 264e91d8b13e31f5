"""The objects of a cube: a shard holds one slab of one region, and is encoded at once.

The layout is Zarr's (its codec sharding_indexed), so every reader of Zarr v3 can read it. Zarr's own code takes
coroutines, threads and a copy or two for each chunk, which cost two and a half times as much as the encoding itself,
and twice as much as the decoding. A task writes whole shards and reads whole rows of chunks, and needs none of them.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import product

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype

from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.ranges import Request, requests
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Grid, Mask
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

TIME_CHUNK = 12
"""Observations of an inner chunk."""
SPACE_CHUNK = 128
"""Side of an inner chunk, pixels."""
CODEC_SLACK = 4096
"""Bytes by which a chunk that does not compress grows at most."""

ABSENT = 2**64 - 1
"""Offset and length that the index of a shard gives a chunk that holds nothing but fill."""

Slices = tuple[slice, slice, slice]
"""A window of an array: slices along (time, y, x)."""

Place = tuple[int, ...]
"""Position of a shard among those of an array, or of a chunk among those of a shard: along (time, y, x)."""


@dataclass(frozen=True, slots=True)
class Shard:
    """How the shards of an array are laid out and encoded."""

    shape: tuple[int, ...]
    """(time, y, x) of a shard."""
    chunks: tuple[int, ...]
    """(time, y, x) of an inner chunk; a shard holds whole chunks."""
    dtype: str
    """NumPy's type of the pixels: int16, or uint8 or uint16 of a mask."""
    fill: int
    """The value of a pixel that is missing."""

    @property
    def codec(self) -> BloscCodec | ZstdCodec:
        """The codec of the inner chunks, as the array's metadata name it."""
        if self.dtype == "uint8":
            return ZstdCodec(level=1)
        return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2)

    def encode(self, chunk: Pixels, scratch: NDArray[np.uint8]) -> Sized:
        """Encode a chunk as `codec` would, into the start of ``scratch``; return the bytes that it takes there."""
        out = memoryview(scratch)
        if self.dtype == "uint8":
            return imagecodecs.zstd_encode(chunk, level=1, out=out)
        return imagecodecs.blosc_encode(
            chunk, level=5, compressor="lz4", shuffle="bitshuffle", typesize=2, blocksize=0, numthreads=1, out=out
        )

    def decode(self, data: memoryview, scratch: Pixels) -> None:
        """Decode the bytes of a chunk into ``scratch``, which they must fill.

        Raises
        ------
        RuntimeError
            The bytes are no such chunk.
        """
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
        """Bytes of the index at the end of a shard: offset and length of every chunk, and a checksum."""
        return math.prod(self.counts) * 16 + 4


def shard_of(grid: Grid, mask: Mask, depth: int, band: str) -> Shard:
    """Return how a cube lays out the shards of a band: each is ``depth`` observations deep, and a region wide."""
    side = round(grid.region * grid.frame.resolution / grid.bands[band])
    chunk = largest_divisor(side, SPACE_CHUNK)
    is_mask = band == mask.band
    return Shard(
        (depth, side, side),
        (largest_divisor(depth, TIME_CHUNK), chunk, chunk),
        mask.dtype if is_mask else "int16",
        mask.nodata if is_mask else REFLECTANCE_FILL,
    )


def chunk_step(grid: Grid) -> int:
    """Return the least side of a square, in the finest pixels, that holds whole inner chunks of every band."""
    factors = {round(resolution / grid.frame.resolution) for resolution in grid.bands.values()}
    return math.lcm(*(factor * largest_divisor(grid.region // factor, SPACE_CHUNK) for factor in factors))


class Encoder:
    """Encodes slabs one after the other, into memory that it keeps.

    The system has to clear new memory first, which costs as much as encoding does.
    """

    def __init__(self) -> None:
        self._scratch = np.empty(0, np.uint8)

    def encode(self, shard: Shard, parts: Iterable[Tiles], corner: tuple[int, int] = (0, 0)) -> memoryview | None:
        """Encode a slab as one shard.

        Parameters
        ----------
        shard : Shard
        parts : iterable of Tiles
            The pixels, one chunk deep each, from the slab's first observation on. The rest of the shard is fill.
        corner : tuple of int
            (y, x) of the pixels' first row and column in the shard, at the corner of an inner chunk.

        Returns
        -------
        memoryview of the object, which is valid until the next slab is encoded; None where there is nothing but fill,
        and so no object.
        """
        index = np.full((*shard.counts, 2), ABSENT, "<u8")
        top, left = corner[0] // shard.chunks[1], corner[1] // shard.chunks[2]
        chunk_bytes = math.prod(shard.chunks) * np.dtype(shard.dtype).itemsize
        most = math.prod(shard.counts) * (chunk_bytes + CODEC_SLACK) + shard.index_bytes
        if self._scratch.size < most:
            self._scratch = np.empty(most, np.uint8)
        scratch, end = self._scratch, 0
        for number, part in enumerate(parts):
            assert part.values.shape[2:] == shard.chunks
            for i, j in np.ndindex(part.values.shape[:2]):
                chunk = part.values[i, j]
                if chunk.flat[0] == shard.fill and (chunk == shard.fill).all():
                    continue
                length = len(shard.encode(chunk, scratch[end:]))
                index[number, top + i, left + j] = end, length
                end += length
        if not end:
            return None
        entry = index.tobytes()
        entry += google_crc32c.value(entry).to_bytes(4, "little")
        scratch[end : end + len(entry)] = np.frombuffer(entry, np.uint8)
        return memoryview(scratch[: end + len(entry)])


def read(store: Store, path: str, shard: Shard, window: Slices, unwritten: Collection[str] | None = None) -> Pixels:
    """Read a window of a sharded array.

    Parameters
    ----------
    store : zarr Store
    path : str
        Path of the array in its store.
    shard : Shard
        How the array's shards are laid out.
    window : tuple of slice
        Slices along (time, y, x), within the array.
    unwritten : collection of str, optional
        Keys of the shards that may be absent, since there is nothing but fill in them; left out, all may be.

    Returns
    -------
    (time, y, x) int16, or a mask's uint8 or uint16; fill where a shard or a chunk is absent.

    Raises
    ------
    ValueError
        An object is not what was written, or is gone.
    """
    out = np.empty(tuple(part.stop - part.start for part in window), shard.dtype)
    scratch = np.empty(shard.chunks, shard.dtype)
    wanted: dict[Place, list[Place]] = defaultdict(list)
    for number in product(*(range(w.start // m, -(-w.stop // m)) for w, m in zip(window, shard.chunks, strict=True))):
        place, chunk = zip(*map(divmod, number, shard.counts), strict=True)
        wanted[place].append(chunk)

    async def fetch_all() -> list[dict[Place, memoryview]]:
        fetches = (_fetch(store, shard_key(path, place), shard, chunks, unwritten) for place, chunks in wanted.items())
        return await asyncio.gather(*fetches)

    for place, found in zip(wanted, run_coroutine(fetch_all()), strict=True):
        for chunk in wanted[place]:
            corner = (p * n + c * m for p, n, c, m in zip(place, shard.shape, chunk, shard.chunks, strict=True))
            into, taken = _overlap(window, corner, shard.chunks)
            if chunk not in found:
                out[into] = shard.fill
                continue
            try:
                shard.decode(found[chunk], scratch)
            except RuntimeError as error:
                raise ValueError(f"{shard_key(path, place)} is damaged: a chunk cannot be decoded ({error})") from None
            out[into] = scratch[taken]
    return out


async def _fetch(
    store: Store, key: str, shard: Shard, chunks: Sequence[Place], unwritten: Collection[str] | None
) -> dict[Place, memoryview]:
    """Fetch chunks of a shard, still encoded; chunks that lie one behind the other come in one request."""
    entry = await _get(store, key, SuffixByteRequest(shard.index_bytes))
    if entry is None:
        if unwritten is not None and key not in unwritten:
            raise ValueError(f"{key} is gone: `groundbreak verify` finds such objects, and `run` builds them again")
        return {}
    crc = int.from_bytes(entry[-4:], "little")
    if len(entry) != shard.index_bytes or google_crc32c.value(bytes(entry[:-4])) != crc:
        raise ValueError(f"{key} is damaged: its index does not match its checksum")
    index = np.frombuffer(entry[:-4], "<u8").reshape(*shard.counts, 2)

    async def fetch(request: Request[Place]) -> dict[Place, memoryview]:
        got = await _get(store, key, RangeByteRequest(request.start, request.end))
        if got is None or len(got) != request.end - request.start:
            raise ValueError(f"{key} is damaged: it is shorter than its index says")
        return request.split(got)

    spans = ((*index[chunk].tolist(), chunk) for chunk in chunks)
    fetched = await asyncio.gather(*map(fetch, requests(span for span in spans if span[0] != ABSENT)))
    return {chunk: data for some in fetched for chunk, data in some.items()}


async def _get(store: Store, key: str, part: ByteRequest) -> memoryview | None:
    """Return some bytes of an object, or None where there is no object."""
    found = await store.get(key, default_buffer_prototype(), part)
    return None if found is None else memoryview(found.as_numpy_array())


def shard_key(path: str, place: Place) -> str:
    """Return the key of a shard: ``path`` is that of the array, ``place`` the shard's position along (time, y, x)."""
    return f"{path}/c/{'/'.join(map(str, place))}"


def _overlap(
    window: Slices, corner: Iterable[int], sizes: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return what a window shares with a chunk at ``corner``: slices of the window, and slices of the chunk."""
    into, taken = [], []
    for part, first, size in zip(window, corner, sizes, strict=True):
        start, stop = max(part.start, first), min(part.stop, first + size)
        into.append(slice(start - part.start, stop - part.start))
        taken.append(slice(start - first, stop - first))
    return tuple(into), tuple(taken)


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest whole number up to ``limit`` that divides ``number``."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
