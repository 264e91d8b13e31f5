"""The contents of the Zarr stores: slabs of cubes, and layers. `pipeline.stores.layout` makes the stores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from groundbreak.kernels import LAYERS, Layers
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import Grid, Mask, Region, Slab
from groundbreak.pipeline.stores import shards
from groundbreak.pipeline.stores.layout import band_path, group_name
from groundbreak.pipeline.stores.shards import Encoder, Shard, shard_of
from groundbreak.pipeline.stores.tiles import LayerPixels, Pixels, Tiles


def slices(grid: Grid, part: Frame) -> tuple[slice, slice]:
    """Return where a part of a grid lies in the grid's frame.

    Parameters
    ----------
    grid : Grid
    part : Frame
        The frame of a region, or a region's window, in the finest pixels.

    Returns
    -------
    (rows, columns), slices of the grid's finest pixels.
    """
    size = grid.frame.resolution
    top, left = round((grid.frame.y0 - part.y0) / size), round((part.x0 - grid.frame.x0) / size)
    return slice(top, top + part.height), slice(left, left + part.width)


def slab_key(grid: Grid, region: Region, slab: Slab, band: str) -> str:
    """Return the key of the object in which a cube keeps one band of a slab of a region."""
    return shards.shard_key(band_path(grid, band), (slab.index, region.row, region.col))


def encode_slab(
    grid: Grid, mask: Mask, region: Region, slab: Slab, band: str, parts: Iterable[Tiles], encoder: Encoder
) -> tuple[str, memoryview | None]:
    """Encode one band of a slab of a region as the object that the cube keeps.

    Parameters
    ----------
    grid : Grid
    mask : Mask
    region : Region
    slab : Slab
    band : str
    parts : iterable of Tiles
        The pixels of the region's window, one time chunk deep each.
    encoder : Encoder

    Returns
    -------
    key : str
    data : memoryview, valid until the encoder encodes again, or None where there is nothing but fill, and so no object
    """
    resolution = grid.bands[band]
    whole, part = region.frame.at(resolution), region.window.at(resolution)
    corner = round((whole.y0 - part.y0) / resolution), round((part.x0 - whole.x0) / resolution)
    return slab_key(grid, region, slab, band), encoder.encode(shard_of(grid, mask, slab.depth, band), parts, corner)


def unwritten(grid: Grid, region: Region, bands: Sequence[str], builds: Sequence[Record]) -> frozenset[str]:
    """Return the keys of a region's shards that its builds have not written, since these would hold no pixel.

    Parameters
    ----------
    grid : Grid
    region : Region
    bands : sequence of str
    builds : sequence of Record
        The records of the region's builds, slab by slab.
    """
    cube = places.cube(grid.name)
    found = set()
    for slab, record in enumerate(builds):
        keys = (shards.shard_key(band_path(grid, band), (slab, region.row, region.col)) for band in bands)
        found |= {key for key in keys if f"{cube}/{key}" not in record.checksums}
    return frozenset(found)


def read_band(
    store: Store, grid: Grid, band: str, rows: slice, cols: slice, unwritten: Collection[str] | None = None
) -> Pixels:
    """Read a window of a band from a cube.

    Parameters
    ----------
    store : zarr Store
        The cube.
    grid : Grid
    band : str
    rows, cols : slice
        The window, in the band's own pixels.
    unwritten : collection of str, optional
        Keys of the objects that may be absent; left out, all may be.

    Returns
    -------
    (time, y, x) int16 reflectance x 10000, or the mask's uint8 or uint16, as stored.

    Raises
    ------
    ValueError
        An object of the cube is damaged, or gone.
    """
    path = band_path(grid, band)
    array = zarr.open_array(store, path=path, mode="r")
    shard = Shard(array.shards or (), array.chunks, array.dtype.name, int(array.fill_value))
    return shards.read(store, path, shard, (slice(0, array.shape[0]), rows, cols), unwritten)


def read_times(store: Store, grid: Grid) -> NDArray[np.datetime64]:
    """Read the times of a cube's observations, (time,) datetime64[ms].

    Parameters
    ----------
    store : zarr Store
        The cube.
    grid : Grid
    """
    path = f"{group_name(min(grid.bands.values()))}/time"
    return np.asarray(zarr.open_array(store, path=path, mode="r")[:]).astype("datetime64[ms]")


def write_layers(store: Store, grid: Grid, region: Region, layers: Layers) -> None:
    """Write the layers of a region; the part of the region beside its window becomes outside.

    Parameters
    ----------
    store : zarr Store
        The grid's layers.
    grid : Grid
    region : Region
    layers : Layers
        (height, width) of the region's window each.
    """
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


def read_layers(store: Store, rows: slice, cols: slice, names: Sequence[str] = tuple(LAYERS)) -> dict[str, LayerPixels]:
    """Read layers of a window.

    Parameters
    ----------
    store : zarr Store
        The layers of a grid or a zone.
    rows, cols : slice
        The window, pixels.
    names : sequence of str
        The layers that are read; all of them, if left out.

    Returns
    -------
    dict: name of a layer -> (y, x) in the layer's type, as stored.
    """
    root = zarr.open_group(store, mode="r")
    return {name: np.asarray(root[name][rows, cols]) for name in names}  # type: ignore[index]
