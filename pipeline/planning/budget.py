"""Estimates of what a plan will need: the memory of its tasks, and the bytes of its stores."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from groundbreak.kernels import LAYERS, bands_of
from groundbreak.pipeline.compute.build import PREFETCHED
from groundbreak.pipeline.compute.index_series import PIXELS_TOGETHER
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Mask, Region
from groundbreak.pipeline.readers.assets import FETCHED, ON_DISK, READERS
from groundbreak.pipeline.stores.shards import TIME_CHUNK, chunk_step

DETECT_BUDGET = 512 * 2**20
"""Bytes of digital numbers that one detection task may hold; rows are read in strips that fit it."""

STRIP_BYTES = 128 * 2**20
"""Bytes of digital numbers that a strip of more than one row of chunks may hold.

A larger strip would take longer: clearing new memory costs more than reading another strip.
"""

TASK_OVERHEAD = 24 * 2**20
"""Bytes that a task needs beside its buffers: scratch of the codecs, and requests in flight."""

LOCAL_OVERHEAD = 8 * 2**20
"""Bytes that a task needs beside its buffers where it makes no requests: scratch of the codecs."""

GDAL_PIXEL_BYTES = 32
"""Bytes for each pixel that a GDAL reader reads, with those that harmonise its numbers: 28 were measured."""

TASKS_PER_THREAD = 3
"""Tasks in flight for each thread of the cluster."""

COMPRESSION = 1.6
"""Bytes of pixels for each byte on disk: blosc lz4 bitshuffle on Sentinel-2 reflectance was measured as 1.62 : 1."""


def mask_size(mask: Mask) -> int:
    """Return the bytes of a pixel of a mask in a cube."""
    return np.dtype(mask.dtype).itemsize


def cube_bytes(grid: Grid, regions: Sequence[Region], count: int, mask_size: int = 1) -> int:
    """Estimate the bytes of the uncompressed pixels of a cube.

    Parameters
    ----------
    grid : Grid
    regions : sequence of Region
        The regions that the cube holds.
    count : int
        Observations of each region.
    mask_size : int
        Bytes of a pixel of the mask.
    """
    pixels = sum(r.window.height * r.window.width for r in regions)
    return int(_itemsize(grid, tuple(grid.bands), mask_size) * pixels * count)


def layer_bytes(frames: Sequence[Frame]) -> int:
    """Estimate the bytes of the uncompressed layers of some frames: those of regions, or of their windows."""
    pixel = sum(np.dtype(layer.dtype).itemsize for layer in LAYERS.values())
    return pixel * sum(frame.height * frame.width for frame in frames)


def largest(regions: Sequence[Region]) -> Frame:
    """Return the largest window of some regions, which is the most that a task holds."""
    return max((r.window for r in regions), key=lambda frame: (frame.height * frame.width, frame.width))


def build_memory(
    grid: Grid, window: Frame, depth: int, ways: Collection[str], mask_size: int = 1, ahead: int = PREFETCHED
) -> int:
    """Estimate the most memory that a building task takes, bytes.

    It holds the largest band of a slab, encoded; a part of each kind of band, decoded; the blocks of one asset before
    and after they are inflated; and the blocks that are fetched ahead. Where GDAL reads, it also holds the parts that
    are being filled, and the windows of GDAL's readers. Coded bytes are taken to be as many as decoded ones.

    Parameters
    ----------
    grid : Grid
    window : Frame
        The largest window of the grid's regions.
    depth : int
        Observations of a slab.
    ways : collection of str
        How the grid's assets are read, as `pipeline.planning.ways.way_to_read` tells it.
    mask_size : int
        Bytes of a pixel of the mask.
    ahead : int
        Observations that are fetched before they are decoded.
    """
    kinds = {(resolution, band == _mask(grid)) for band, resolution in grid.bands.items()}
    frames = [(window.at(resolution), mask_size if mask else 2) for resolution, mask in kinds]
    parts = sum(TIME_CHUNK * frame.height * frame.width * size for frame, size in frames)
    held = _slab(grid, window, depth) + parts + 2 * 2 * grid.region**2
    if set(ways) == {ON_DISK}:
        return held + LOCAL_OVERHEAD
    if not set(ways) <= {ON_DISK, FETCHED}:
        # Observations that GDAL reads ahead are filled at once. The first of them may lie in the middle of a part.
        filled = -(-min(depth, ahead + TIME_CHUNK) // TIME_CHUNK) * TIME_CHUNK
        held += _slab(grid, window, filled) + READERS * GDAL_PIXEL_BYTES * window.height * window.width
    return held + _slab(grid, window, min(depth, ahead)) + TASK_OVERHEAD


def region_memory(
    grid: Grid,
    window: Frame,
    depth: int,
    count: int,
    indices: Sequence[str],
    ways: Collection[str],
    mask_size: int = 1,
) -> int:
    """Estimate the most memory that a task takes which builds a whole region and detects on it in memory, bytes.

    Parameters
    ----------
    grid : Grid
    window : Frame
        The largest window of the grid's regions.
    depth : int
        Observations of a full slab.
    count : int
        Observations of the grid.
    indices : sequence of str
        The indices that are detected on.
    ways : collection of str
        How the grid's assets are read, as `pipeline.planning.ways.way_to_read` tells it.
    mask_size : int
        Bytes of a pixel of the mask.
    """
    depth = min(depth, count)
    return _series(grid, window, count, indices, mask_size) + max(
        build_memory(grid, window, depth, ways, mask_size),
        _block(count, indices) + layer_bytes([window]) + TASK_OVERHEAD,
    )


def fits(grid: Grid, window: Frame, count: int, indices: Sequence[str], mask_size: int = 1) -> bool:
    """Tell whether the whole series of a region, as detection reads them, fit into `DETECT_BUDGET`.

    Parameters
    ----------
    grid : Grid
    window : Frame
        The region's window.
    count : int
        Observations of the grid.
    indices : sequence of str
        The indices that are detected on.
    mask_size : int
        Bytes of a pixel of the mask.
    """
    return _series(grid, window, count, indices, mask_size) <= DETECT_BUDGET


def strip_rows(grid: Grid, window: Frame, count: int, indices: Sequence[str], mask_size: int = 1) -> int:
    """Choose how many rows a detection task reads at a time.

    A strip holds whole rows of inner chunks where `DETECT_BUDGET` allows that, otherwise a half, a quarter... of one. A
    chunk that is read in parts is decoded once for each part, which is better than to run out of memory.

    Parameters
    ----------
    grid : Grid
    window : Frame
        The region's window.
    count : int
        Observations of the grid.
    indices : sequence of str
        The indices that are detected on.
    mask_size : int
        Bytes of a pixel of the mask.

    Returns
    -------
    int, rows of the finest pixels.
    """
    coarse = round(max(grid.bands.values()) / grid.frame.resolution)
    row = int(window.width * max(count, 1) * _itemsize(grid, bands_of(indices), mask_size)) + 1
    step = chunk_step(grid)
    while step * row > DETECT_BUDGET and step % (2 * coarse) == 0:
        step //= 2
    return max(step, STRIP_BYTES // row // step * step)


def detect_memory(
    grid: Grid, window: Frame, count: int, indices: Sequence[str], mask_size: int = 1, rows: int | None = None
) -> int:
    """Estimate the most memory that a detection task takes, bytes.

    It holds a strip of digital numbers, one band of the strip still coded, the series of a block, and the layers.

    Parameters
    ----------
    grid : Grid
    window : Frame
        The largest window of the grid's regions.
    count : int
        Observations of the grid.
    indices : sequence of str
        The indices that are detected on.
    mask_size : int
        Bytes of a pixel of the mask.
    rows : int, optional
        Rows that it reads at a time; left out, those that `strip_rows` chooses.
    """
    rows = min(rows or strip_rows(grid, window, count, indices, mask_size), window.height)
    pixels = rows * window.width * count
    strip = int(pixels * (_itemsize(grid, bands_of(indices), mask_size) + 2))
    return strip + _block(count, indices) + layer_bytes([window]) + TASK_OVERHEAD


def _slab(grid: Grid, window: Frame, depth: int) -> int:
    """Return the bytes of the largest band of a slab."""
    frame = window.at(min(grid.bands.values()))
    return frame.height * frame.width * depth * 2


def _series(grid: Grid, window: Frame, count: int, indices: Sequence[str], mask_size: int) -> int:
    """Return the bytes of the digital numbers that detection reads of a window."""
    return int(window.height * window.width * count * _itemsize(grid, bands_of(indices), mask_size))


def _block(count: int, indices: Sequence[str]) -> int:
    """Return the bytes of a block's series: bands, indices, scales and a temporary in float32, and the kernel's own."""
    return PIXELS_TOGETHER * count * 4 * (len(bands_of(indices)) + 2 * len(indices) + 2)


def _itemsize(grid: Grid, bands: Sequence[str], mask_size: int) -> float:
    """Return the bytes of one finest pixel of one observation, in some reflectance bands and the mask."""
    mask = _mask(grid)
    sizes = {name: (mask_size if name == mask else 2) for name in (*bands, mask)}
    return sum(size * (grid.frame.resolution / grid.bands[name]) ** 2 for name, size in sizes.items())


def _mask(grid: Grid) -> str:
    """Return the mask's band: the last one of a grid."""
    *_, mask = grid.bands
    return mask
