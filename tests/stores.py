"""Stores of tests: comparing outputs byte by byte, and cubes written by Zarr itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import zarr
from zarr.abc.store import Store

from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Grid, Region, Slab
from groundbreak.pipeline.stores.layout import band_path
from groundbreak.pipeline.stores.store import slices
from groundbreak.pipeline.stores.tiles import Tiles


def zarr_bytes(out: Path) -> dict[str, str]:
    """Return key -> sha256 of every object of every Zarr store below a folder."""
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file() and ".zarr" in str(p.relative_to(out))
    }


def write_slab(store: Store, grid: Grid, region: Region, slab: Slab, band: str, values: np.ndarray) -> None:
    """Write (time, y, x) of one band of a region's window into a cube with Zarr's own writer."""
    resolution = grid.bands[band]
    factor = round(resolution / grid.frame.resolution)
    rows, cols = (slice(s.start // factor, -(-s.stop // factor)) for s in slices(grid, region.window))
    array = zarr.open_array(store, path=band_path(grid, band), mode="r+")
    array[slice(slab.start, slab.stop), rows, cols] = values


def tiled(values: np.ndarray, chunks: tuple[int, ...], fill: int) -> Tiles:
    """Cut (time, y, x) pixels, no deeper than a chunk, into tiles."""
    count, height, width = values.shape
    tiles = Tiles(np.full(Tiles.shape(chunks, height, width), fill, values.dtype), count, height, width, fill)
    for t in range(count):
        tiles.write(t, values[t])
    return tiles


def output_bytes(output: Output) -> dict[str, str]:
    """Return key -> sha256 of every object of an output, wherever it lies."""
    return {key: hashlib.sha256(output.get(key) or b"").hexdigest() for key in sorted(output.list(""))}
