"""The objects that a cube is made of: a shard holds one slab of one region, encoded at once.

The layout is Zarr's (codec sharding_indexed), so every reader of Zarr v3 reads it. Its writer takes a coroutine and a
copy or two a chunk, which cost two and a half times what encoding does; a task, which always writes whole shards, needs
neither.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, ZstdCodec

from pipeline.types import REFLECTANCE_FILL, Grid, Mask

TIME_CHUNK = 12
SPACE_CHUNK = 128
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


def encode(shard: Shard, values: np.ndarray, corner: tuple[int, int] = (0, 0)) -> bytearray | None:
    """The object that holds a slab.

    Parameters
    ----------
    values : (time, y, x)
        From the slab's first observation; what the shard holds beside them is fill.
    corner : (y, x) of the values in the shard, at the corner of an inner chunk

    Returns
    -------
    bytearray, or None where there is nothing but the fill, and so no object
    """
    coder = Zstd(level=1) if shard.dtype == "uint8" else Blosc("lz4", 5, Blosc.BITSHUFFLE, typesize=2)
    counts = tuple(whole // part for whole, part in zip(shard.shape, shard.chunks, strict=True))
    index = np.full((*counts, 2), ABSENT, "<u8")
    out = bytearray()
    first = 0, corner[0] // shard.chunks[1], corner[1] // shard.chunks[2]
    for at in np.ndindex(*(-(-n // part) for n, part in zip(values.shape, shard.chunks, strict=True))):
        part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(at, shard.chunks, strict=True))]
        if part.shape != shard.chunks:
            short = [(0, n - m) for n, m in zip(shard.chunks, part.shape, strict=True)]
            part = np.pad(part, short, constant_values=shard.fill)
        part = np.ascontiguousarray(part)
        if part.flat[0] == shard.fill and (part == shard.fill).all():
            continue
        data = coder.encode(part)
        index[tuple(map(operator.add, at, first))] = len(out), len(data)
        out += data
    if not out:
        return None
    entry = index.tobytes()
    out += entry + google_crc32c.value(entry).to_bytes(4, "little")
    return out


def largest_divisor(number: int, limit: int) -> int:
    """The largest whole number up to ``limit`` that divides ``number``."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
