"""What lies in the Zarr stores: slabs of cubes, and layers. How stores are laid out is in `pipeline.stores.layout`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import zarr
from zarr.abc.store import Store

from groundbreak.kernels import LAYERS, Layers
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Mask, Region, Slab
from groundbreak.pipeline.stores import shards
from groundbreak.pipeline.stores.layout import band_path
from groundbreak.pipeline.stores.shards import Encoder, Shard, shard_of
from groundbreak.pipeline.stores.tiles import Tiles


def slices(grid: Grid, part: Frame) -> tuple[slice, slice]:
    """(rows, columns) of a part of a grid's frame, a region or its window, in the grid's finest pixels."""
    size = grid.frame.resolution
    top, left = round((grid.frame.y0 - part.y0) / size), round((part.x0 - grid.frame.x0) / size)
    return slice(top, top + part.height), slice(left, left + part.width)


def slab_key(grid: Grid, region: Region, slab: Slab, band: str) -> str:
    """Where a cube keeps a band's slab of a region: one object."""
    return shards.shard_key(band_path(grid, band), (slab.index, region.row, region.col))


def encode_slab(
    grid: Grid, mask: Mask, region: Region, slab: Slab, band: str, parts: Iterable[Tiles], encoder: Encoder
) -> tuple[str, memoryview | None]:
    """(key, object) of one band of a region's window, in parts as `Encoder.encode` takes them; nothing else is
    touched or read back.
    """
    resolution = grid.bands[band]
    whole, part = region.frame.at(resolution), region.window.at(resolution)
    corner = round((whole.y0 - part.y0) / resolution), round((part.x0 - whole.x0) / resolution)
    return slab_key(grid, region, slab, band), encoder.encode(shard_of(grid, mask, slab.depth, band), parts, corner)


def read_band(store: Store, grid: Grid, band: str, rows: slice, cols: slice) -> np.ndarray:
    """(time, y, x) of one band, as stored, in that band's own pixels."""
    path = band_path(grid, band)
    array = zarr.open_array(store, path=path, mode="r")
    shard = Shard(array.shards or (), array.chunks, array.dtype.name, int(array.fill_value))
    return shards.read(store, path, shard, (slice(0, array.shape[0]), rows, cols))


def write_layers(store: Store, grid: Grid, region: Region, layers: Layers) -> None:
    """Write a region's layers, (height, width) of its window each; the rest of it is outside."""
    root = zarr.open_group(store, mode="r+")
    (whole_rows, whole_cols), (rows, cols) = slices(grid, region.frame), slices(grid, region.window)
    inside = (
        slice(rows.start - whole_rows.start, rows.stop - whole_rows.start),
        slice(cols.start - whole_cols.start, cols.stop - whole_cols.start),
    )
    for name, values in layers._asdict().items():
        whole = np.full((region.frame.height, region.frame.width), LAYERS[name].fill, values.dtype)
        whole[inside] = values
        array = root[name]
        assert isinstance(array, zarr.Array)
        array[whole_rows, whole_cols] = whole


def read_layers(store: Store, rows: slice, cols: slice, names: Sequence[str] = tuple(LAYERS)) -> dict[str, np.ndarray]:
    """Chosen layers of a window, (y, x) each, as stored."""
    root = zarr.open_group(store, mode="r")
    return {name: np.asarray(root[name][rows, cols]) for name in names}  # type: ignore[index]
