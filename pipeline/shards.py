"""The objects that a cube is made of: a shard holds one slab of one region, encoded at once.

The layout is Zarr's (codec sharding_indexed), so every reader of Zarr v3 reads it. Its writer takes a coroutine and a
copy or two a chunk, which cost two and a half times what encoding does; a task, which always writes whole shards, needs
neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass

import google_crc32c
import imagecodecs
import numpy as np
from zarr.codecs import BloscCodec, ZstdCodec

from pipeline.types import REFLECTANCE_FILL, Grid, Mask

TIME_CHUNK = 12
SPACE_CHUNK = 128
SLACK = 4096
"""Bytes by which a chunk that does not compress grows, at most."""

ABSENT = np.uint64(2**64 - 1)
"""Offset and length of a chunk that holds nothing but the fill."""


@dataclass(frozen=True, slots=True)
class Shard:
    """How a band's slab of a region is stored."""

    shape: tuple[int, int, int]
    chunks: tuple[int, int, int]
    """(time, y, x) of the inner chunks; whole ones fill a shard."""
    dtype: str
    fill: int

    @property
    def codec(self) -> BloscCodec | ZstdCodec:
        """As the array's metadata name it."""
        if self.dtype == "uint8":
            return ZstdCodec(level=1)
        return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2)

    def encoded(self, chunk: np.ndarray, room: np.ndarray) -> Sized:
        """A chunk as that codec has it, written to the start of ``room``."""
        out = memoryview(room)
        if self.dtype == "uint8":
            return imagecodecs.zstd_encode(chunk, level=1, out=out)
        return imagecodecs.blosc_encode(
            chunk, level=5, compressor="lz4", shuffle="bitshuffle", typesize=2, blocksize=0, numthreads=1, out=out
        )


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
    which costs as much as encoding does."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)

    def encode(self, shard: Shard, parts: Iterable[np.ndarray], corner: tuple[int, int] = (0, 0)) -> memoryview | None:
        """The object that holds a slab.

        Parameters
        ----------
        parts : (time, y, x) each
            From the slab's first observation on, whole chunks deep but the last; what the shard holds beside them is
            fill.
        corner : (y, x) of the values in the shard, at the corner of an inner chunk

        Returns
        -------
        memoryview, until the next is encoded, or None where there is nothing but the fill, and so no object
        """
        counts = tuple(whole // part for whole, part in zip(shard.shape, shard.chunks, strict=True))
        index = np.full((*counts, 2), ABSENT, "<u8")
        at = np.array([0, corner[0] // shard.chunks[1], corner[1] // shard.chunks[2]])
        whole = np.empty(shard.chunks, shard.dtype)
        most = math.prod(counts) * (whole.nbytes + SLACK) + index.nbytes + 4
        if self._room.size < most:
            self._room = np.empty(most, np.uint8)
        room, end = self._room, 0
        for values in parts:
            taken = tuple(-(-n // part) for n, part in zip(values.shape, shard.chunks, strict=True))
            for here in np.ndindex(taken):
                part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(here, shard.chunks, strict=True))]
                if part.shape != whole.shape:
                    whole[:] = shard.fill
                whole[tuple(slice(n) for n in part.shape)] = part
                if whole.flat[0] == shard.fill and (whole == shard.fill).all():
                    continue
                length = len(shard.encoded(whole, room[end:]))
                index[tuple(at + here)] = end, length
                end += length
            at[0] += taken[0]
        if not end:
            return None
        entry = index.tobytes()
        entry += google_crc32c.value(entry).to_bytes(4, "little")
        room[end : end + len(entry)] = np.frombuffer(entry, np.uint8)
        return memoryview(room[: end + len(entry)])


def largest_divisor(number: int, limit: int) -> int:
    """The largest whole number up to ``limit`` that divides ``number``."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
