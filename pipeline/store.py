"""The Zarr stores: cubes, one a grid, and layers, one a grid and one a zone.

The metadata is what xarray, rioxarray, GDAL and titiler all read right: `grid_mapping` gives GDAL its CRS, the x and y
coordinates its transform, and both fill values (Zarr's and CF's) its nodata. Cubes are sharded, a shard holding one
slab of one region; layers are not, since GDAL before 3.13 cannot read shards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import zarr
from zarr import AsyncGroup
from zarr.abc.store import Store
from zarr.api.asynchronous import create_group
from zarr.codecs import ZstdCodec

from kernels import LAYERS, Layers, Quality, Status
from pipeline.loop import wait
from pipeline.shards import Encoder, shard_of
from pipeline.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, BadInput, Frame, Grid, Mask, Observation, Region, Slab

SCHEMA = 1
"""Version of the layout of every store; a reader refuses a newer one."""

LAYER_CHUNK = 512


def group_name(resolution: float) -> str:
    """The cube's group of one resolution: "10m", "20m"."""
    return f"{resolution:g}m"


# ---------------------------------------------------------------------------------------------------------------- cubes


def create_cube(store: Store, grid: Grid, mask: Mask, depth: int, attrs: Mapping[str, Any]) -> None:
    """An empty cube: groups by resolution, no observation yet.

    Parameters
    ----------
    depth : int
        Observations of a slab, whole time chunks.
    attrs : Mapping
        Kept on the root under "groundbreak" (cube digest, source...).
    """
    wait(_create_cube(store, grid, mask, depth, attrs))


async def _create_cube(store: Store, grid: Grid, mask: Mask, depth: int, attrs: Mapping[str, Any]) -> None:
    root = await create_group(store=store, overwrite=True, attributes={"groundbreak": {"schema": SCHEMA}})
    sizes = sorted(set(grid.bands.values()))
    frames = [grid.frame.at(resolution) for resolution in sizes]
    groups = [
        await root.create_group(group_name(resolution), attributes=_spatial_attrs(frame))
        for resolution, frame in zip(sizes, frames, strict=True)
    ]
    await asyncio.gather(
        *(_create_coordinates(group, frame) for group, frame in zip(groups, frames, strict=True)),
        *(_create_time(group) for group in groups),
        *(
            _create_band(groups[sizes.index(resolution)], grid, mask, depth, band)
            for band, resolution in grid.bands.items()
        ),
    )
    # Last, so that a store without them is known to be unfinished.
    await root.update_attributes({"groundbreak": {"schema": SCHEMA, **attrs}})


async def _create_time(group: AsyncGroup) -> None:
    await group.create_array(
        "time",
        shape=(0,),
        chunks=(4096,),
        dtype="int64",
        dimension_names=("time",),
        fill_value=0,
        attributes={
            "standard_name": "time",
            "axis": "T",
            "calendar": "proleptic_gregorian",
            "units": "milliseconds since 1970-01-01",
        },
    )


async def _create_band(group: AsyncGroup, grid: Grid, mask: Mask, depth: int, band: str) -> None:
    frame, shard = grid.frame.at(grid.bands[band]), shard_of(grid, mask, depth, band)
    means: dict[str, Any] = {"long_name": "class or bit mask, as the source gives it"}
    if band != mask.band:
        means = {
            "long_name": f"surface reflectance, {band}",
            "scale_factor": REFLECTANCE_SCALE,
            "add_offset": 0.0,
            "_FillValue": REFLECTANCE_FILL,
        }
    await group.create_array(
        band,
        shape=(0, frame.height, frame.width),
        chunks=shard.chunks,
        shards=shard.shape,
        dtype=shard.dtype,
        fill_value=shard.fill,
        compressors=shard.codec,
        dimension_names=("time", "y", "x"),
        attributes={"grid_mapping": "spatial_ref", "coordinates": "spatial_ref", **means},
    )


def set_observations(store: Store, grid: Grid, observations: Sequence[Observation], attrs: Mapping[str, Any]) -> None:
    """Make the cube as long as the list: coordinates, array shapes and the root's record of it.

    Only metadata moves; pixels of finished slabs are not touched.
    """
    times = np.array([o.time for o in observations], "datetime64[ms]").astype("int64")
    root = zarr.open_group(store, mode="r+")
    for name in {group_name(r) for r in grid.bands.values()}:
        group = root[name]
        assert isinstance(group, zarr.Group)
        for band in (b for b, r in grid.bands.items() if group_name(r) == name):
            array = group[band]
            assert isinstance(array, zarr.Array)
            if array.shape[0] != len(times):
                array.resize((len(times), *array.shape[1:]))
        time = group["time"]
        assert isinstance(time, zarr.Array)
        if time.shape != times.shape or not np.array_equal(time[:], times):
            time.resize(times.shape)
            time[:] = times
    root.attrs["groundbreak"] = {**read_meta(store), **attrs}


def read_meta(store: Store) -> dict[str, Any]:
    """The root's "groundbreak" attribute; empty where there is no store."""
    try:
        found = zarr.open_group(store, mode="r").attrs.get("groundbreak")
    except FileNotFoundError:
        return {}
    if not isinstance(found, Mapping):
        raise BadInput(f"Zarr store {store}", "was not written by groundbreak", "Choose another output")
    if found["schema"] != SCHEMA:
        rule = f"has schema {found['schema']}, and this version reads {SCHEMA}"
        raise BadInput(f"Zarr store {store}", rule, "Use the groundbreak that wrote it, or another output")
    return dict(found)


def slices(grid: Grid, part: Frame) -> tuple[slice, slice]:
    """(rows, columns) of a part of a grid's frame, a region or its window, in the grid's finest pixels."""
    size = grid.frame.resolution
    top, left = round((grid.frame.y0 - part.y0) / size), round((part.x0 - grid.frame.x0) / size)
    return slice(top, top + part.height), slice(left, left + part.width)


def slab_key(grid: Grid, region: Region, slab: Slab, band: str) -> str:
    """Where a cube keeps a band's slab of a region: one object."""
    return f"{group_name(grid.bands[band])}/{band}/c/{slab.index}/{region.row}/{region.col}"


def encode_slab(
    grid: Grid, mask: Mask, region: Region, slab: Slab, band: str, parts: Iterable[np.ndarray], encoder: Encoder
) -> tuple[str, memoryview | None]:
    """(key, object) of one band of a region's window, in parts as :meth:`Encoder.encode` takes them; nothing else is
    touched or read back."""
    resolution = grid.bands[band]
    whole, part = region.frame.at(resolution), region.window.at(resolution)
    corner = round((whole.y0 - part.y0) / resolution), round((part.x0 - whole.x0) / resolution)
    return slab_key(grid, region, slab, band), encoder.encode(shard_of(grid, mask, slab.depth, band), parts, corner)


def read_band(store: Store, grid: Grid, band: str, rows: slice, cols: slice) -> np.ndarray:
    """(time, y, x) of one band, as stored, in that band's own pixels."""
    array = zarr.open_array(store, path=f"{group_name(grid.bands[band])}/{band}", mode="r")
    return np.asarray(array[:, rows, cols])


# --------------------------------------------------------------------------------------------------------------- layers


def create_layers(store: Store, frame: Frame, chunk: int, attrs: Mapping[str, Any]) -> None:
    """An empty store of the layers on a frame; whatever stood there is replaced."""
    wait(_create_layers(store, frame, chunk, attrs))


async def _create_layers(store: Store, frame: Frame, chunk: int, attrs: Mapping[str, Any]) -> None:
    marks = {"groundbreak": {"schema": SCHEMA}, **_spatial_attrs(frame)}
    root = await create_group(store=store, overwrite=True, attributes=marks)
    arrays = (
        root.create_array(
            layer.name,
            shape=(frame.height, frame.width),
            chunks=(chunk, chunk),
            dtype=layer.dtype,
            fill_value=layer.fill,
            compressors=ZstdCodec(level=3),
            dimension_names=("y", "x"),
            attributes={
                "grid_mapping": "spatial_ref",
                "coordinates": "spatial_ref",
                "long_name": layer.meaning,
                **_layer_attrs(layer.name),
            },
        )
        for layer in LAYERS.values()
    )
    await asyncio.gather(_create_coordinates(root, frame), *arrays)
    await root.update_attributes({"groundbreak": {"schema": SCHEMA, **attrs}})


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


def layers_frame(store: Store) -> Frame:
    """The frame that a store of layers lies on."""
    attrs: Mapping[str, Any] = zarr.open_group(store, mode="r").attrs.asdict()
    size, _, x0, _, _, y0 = attrs["spatial:transform"]
    height, width = attrs["spatial:shape"]
    return Frame(int(attrs["proj:code"].removeprefix("EPSG:")), x0, y0, size, height, width)


def _layer_attrs(name: str) -> dict[str, Any]:
    layer = LAYERS[name]
    if name == "status":
        # No _FillValue: with one, xarray would open the codes as float32.
        return {"flag_values": [int(s) for s in Status], "flag_meanings": " ".join(s.name.lower() for s in Status)}
    if name == "quality":
        return {
            "flag_masks": [int(q) for q in Quality],
            "flag_meanings": " ".join(str(q.name).lower() for q in Quality),
        }
    attrs: dict[str, Any] = {}
    if layer.dtype == "int16" or name == "confidence":
        attrs["_FillValue"] = layer.fill
    if name == "magnitude":
        attrs |= {"scale_factor": 1e-4, "add_offset": 0.0}
    elif layer.dtype == "int16":
        attrs |= {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    return attrs


# -------------------------------------------------------------------------------------------------------------- lattice


def _spatial_attrs(frame: Frame) -> dict[str, Any]:
    return {
        "proj:code": f"EPSG:{frame.epsg}",
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(frame.transform),
        "spatial:shape": [frame.height, frame.width],
        "spatial:bbox": list(frame.bounds),
        "spatial:registration": "pixel",
    }


async def _create_coordinates(group: AsyncGroup, frame: Frame) -> None:
    crs = pyproj.CRS.from_epsg(frame.epsg)
    unit = crs.axis_info[0].unit_name
    a, b, c, d, e, f = frame.transform
    for axis, values in zip("xy", frame.centres(), strict=True):
        array = await group.create_array(
            axis,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            fill_value=np.nan,
            dimension_names=(axis,),
            attributes={"standard_name": f"projection_{axis}_coordinate", "units": unit, "axis": axis.upper()},
        )
        await array.setitem(slice(None), values)
    spatial = await group.create_array(
        "spatial_ref",
        shape=(),
        dtype="int32",
        fill_value=0,
        attributes={**crs.to_cf(), "spatial_ref": crs.to_wkt(), "GeoTransform": f"{c} {a} {b} {f} {d} {e}"},
    )
    await spatial.setitem(..., np.int32(frame.epsg))
