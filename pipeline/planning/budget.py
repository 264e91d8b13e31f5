"""What a plan will need: memory of its tasks, bytes of its stores."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from groundbreak.kernels import LAYERS, bands_of
from groundbreak.pipeline.compute.build import PREFETCHED
from groundbreak.pipeline.compute.index_series import PIXELS_TOGETHER
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Region
from groundbreak.pipeline.readers.assets import FETCHED, ON_DISK, READERS
from groundbreak.pipeline.stores.shards import TIME_CHUNK, chunk_step

DETECT_BUDGET = 512 * 2**20
"""Bytes of digital numbers that one detection task may hold; rows are read in strips that fit it."""

STRIP = 128 * 2**20
"""Bytes of them up to which a strip has more rows than one of chunks: above, new memory costs more than another strip
does."""

OVERHEAD = 24 * 2**20
"""What a task needs beyond its buffers: the codecs' scratch, requests in flight."""

SCRATCH = 8 * 2**20
"""The same without requests."""

READER = 32
"""Bytes a pixel that one of GDAL's readers holds, and what harmonises its numbers: 28 were measured."""

TASKS_PER_THREAD = 3
"""Tasks in flight for each thread of the cluster."""

COMPRESSION = 1.6
"""Measured on Sentinel-2 reflectance with blosc lz4 bitshuffle: 1.62 : 1."""


def cube_bytes(grid: Grid, regions: Sequence[Region], count: int) -> int:
    """Bytes of a cube's pixels, uncompressed: every region of ``count`` observations."""
    pixels = sum(r.window.height * r.window.width for r in regions)
    return int(_itemsize(grid, tuple(grid.bands)) * pixels * count)


def layer_bytes(frames: Sequence[Frame]) -> int:
    """Bytes of the layers of some regions' frames or windows, uncompressed."""
    pixel = sum(np.dtype(layer.dtype).itemsize for layer in LAYERS.values())
    return pixel * sum(frame.height * frame.width for frame in frames)


def largest(regions: Sequence[Region]) -> Frame:
    """The largest window of a grid's regions: what a task holds."""
    return max((r.window for r in regions), key=lambda frame: (frame.height * frame.width, frame.width))


def build_memory(grid: Grid, window: Frame, depth: int, ways: Collection[str]) -> int:
    """Projected peak of a building task, bytes: a band's slab encoded, a part of each kind of band decoded, a region's
    blocks before and after they are inflated, and those that are fetched ahead, nothing coded being longer than what it
    codes; or the parts that are being filled, where GDAL reads them.
    """
    kinds = {(resolution, band == _mask(grid)) for band, resolution in grid.bands.items()}
    frames = [(window.at(resolution), 1 if mask else 2) for resolution, mask in kinds]
    parts = sum(TIME_CHUNK * frame.height * frame.width * size for frame, size in frames)
    held = _slab(grid, window, depth) + parts + 2 * 2 * grid.region**2
    if set(ways) == {ON_DISK}:
        return held + SCRATCH
    if not set(ways) <= {ON_DISK, FETCHED}:
        # Those ahead are filled at once, and may begin within a part.
        filled = -(-min(depth, PREFETCHED + TIME_CHUNK) // TIME_CHUNK) * TIME_CHUNK
        held += _slab(grid, window, filled) + READERS * READER * window.height * window.width
    return held + _slab(grid, window, min(depth, PREFETCHED)) + OVERHEAD


def region_memory(
    grid: Grid, window: Frame, depth: int, count: int, indices: Sequence[str], ways: Collection[str]
) -> int:
    """Projected peak, bytes, of a task that builds a whole region and detects on it in memory."""
    depth = min(depth, count)
    return _series(grid, window, count, indices) + max(
        build_memory(grid, window, depth, ways), _block(count, indices) + layer_bytes([window]) + OVERHEAD
    )


def fits(grid: Grid, window: Frame, count: int, indices: Sequence[str]) -> bool:
    """Whether the whole series of a region, as detection reads it, lies within the budget."""
    return _series(grid, window, count, indices) <= DETECT_BUDGET


def strip_rows(grid: Grid, window: Frame, count: int, indices: Sequence[str]) -> int:
    """Rows of a detection strip: whole inner chunks where the budget allows, else a half, a quarter... of one.

    Reading part of a chunk decodes it again for the next strip, which costs less than memory that is not there.
    """
    coarse = round(max(grid.bands.values()) / grid.frame.resolution)
    row = int(window.width * max(count, 1) * _itemsize(grid, bands_of(indices))) + 1
    step = chunk_step(grid)
    while step * row > DETECT_BUDGET and step % (2 * coarse) == 0:
        step //= 2
    return max(step, STRIP // row // step * step)


def detect_memory(grid: Grid, window: Frame, count: int, indices: Sequence[str]) -> int:
    """Projected peak of a detection task, bytes: a strip of numbers, one band of it still coded, a block's series, and
    the layers.
    """
    rows = min(strip_rows(grid, window, count, indices), window.height)
    pixels = rows * window.width * count
    strip = int(pixels * (_itemsize(grid, bands_of(indices)) + 2))
    return strip + _block(count, indices) + layer_bytes([window]) + OVERHEAD


def _slab(grid: Grid, window: Frame, depth: int) -> int:
    """Bytes of the largest band of a slab."""
    frame = window.at(min(grid.bands.values()))
    return frame.height * frame.width * depth * 2


def _series(grid: Grid, window: Frame, count: int, indices: Sequence[str]) -> int:
    return int(window.height * window.width * count * _itemsize(grid, bands_of(indices)))


def _block(count: int, indices: Sequence[str]) -> int:
    """Bytes of a block: bands and indices as float32, the scales of its pixels, a temporary, what the kernel makes."""
    return PIXELS_TOGETHER * count * 4 * (len(bands_of(indices)) + 2 * len(indices) + 2)


def _itemsize(grid: Grid, bands: Sequence[str]) -> float:
    """Bytes a finest pixel and observation: of reflectance bands, and of the mask beside them."""
    mask = _mask(grid)
    sizes = {name: (1 if name == mask else 2) for name in (*bands, mask)}
    return sum(size * (grid.frame.resolution / grid.bands[name]) ** 2 for name, size in sizes.items())


def _mask(grid: Grid) -> str:
    """The mask's band: the last that the plan names, and the only one of a byte."""
    *_, mask = grid.bands
    return mask
