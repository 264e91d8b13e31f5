"""The Zarr stores: cubes, one a grid, and layers, one a grid and one a zone.

The metadata is what xarray, rioxarray, GDAL and titiler all read right: `grid_mapping` gives GDAL its CRS, the x and y
coordinates its transform, and both fill values (Zarr's and CF's) its nodata. Cubes are sharded, a shard holding one
slab of one region; layers are not, since GDAL before 3.13 cannot read shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import zarr
from zarr.abc.store import Store
from zarr.codecs import ZstdCodec

from kernels import LAYERS, Layers, Quality, Status
from pipeline.shards import encode, shard_of
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
    root = zarr.create_group(store, overwrite=True, attributes={"groundbreak": {"schema": SCHEMA}})
    for resolution in sorted(set(grid.bands.values())):
        name = group_name(resolution)
        frame = grid.frame.at(resolution)
        group = zarr.create_group(store, path=name, attributes=_spatial_attrs(frame))
        _write_coordinates(group, frame)
        group.create_array(
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
        for band in sorted(b for b, r in grid.bands.items() if r == resolution):
            shard = shard_of(grid, mask, depth, band)
            group.create_array(
                band,
                shape=(0, frame.height, frame.width),
                chunks=shard.chunks,
                shards=shard.shape,
                dtype=shard.dtype,
                fill_value=shard.fill,
                compressors=shard.codec,
                dimension_names=("time", "y", "x"),
                attributes={"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}
                | (
                    {"long_name": "class or bit mask, as the source gives it"}
                    if band == mask.band
                    else {
                        "long_name": f"surface reflectance, {band}",
                        "scale_factor": REFLECTANCE_SCALE,
                        "add_offset": 0.0,
                        "_FillValue": REFLECTANCE_FILL,
                    }
                ),
            )
    # Last, so that a store without them is known to be unfinished.
    root.attrs["groundbreak"] = {"schema": SCHEMA, **attrs}


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
    grid: Grid, mask: Mask, region: Region, slab: Slab, band: str, values: np.ndarray
) -> tuple[str, memoryview | None]:
    """(key, object) of (time, y, x) of one band of a region's window; nothing else is touched or read back."""
    resolution = grid.bands[band]
    whole, part = region.frame.at(resolution), region.window.at(resolution)
    corner = round((whole.y0 - part.y0) / resolution), round((part.x0 - whole.x0) / resolution)
    return slab_key(grid, region, slab, band), encode(shard_of(grid, mask, slab.depth, band), values, corner)


def read_band(store: Store, grid: Grid, band: str, rows: slice, cols: slice) -> np.ndarray:
    """(time, y, x) of one band, as stored, in that band's own pixels."""
    array = zarr.open_array(store, path=f"{group_name(grid.bands[band])}/{band}", mode="r")
    return np.asarray(array[:, rows, cols])


# --------------------------------------------------------------------------------------------------------------- layers


def create_layers(store: Store, frame: Frame, chunk: int, attrs: Mapping[str, Any]) -> None:
    """An empty store of the layers on a frame; whatever stood there is replaced."""
    root = zarr.create_group(
        store, overwrite=True, attributes={"groundbreak": {"schema": SCHEMA}, **_spatial_attrs(frame)}
    )
    _write_coordinates(root, frame)
    for layer in LAYERS.values():
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
    root.attrs["groundbreak"] = {"schema": SCHEMA, **attrs}


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


def _write_coordinates(group: zarr.Group, frame: Frame) -> None:
    crs = pyproj.CRS.from_epsg(frame.epsg)
    unit = crs.axis_info[0].unit_name
    a, b, c, d, e, f = frame.transform
    for axis, values in zip("xy", frame.centres(), strict=True):
        array = group.create_array(
            axis,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            fill_value=np.nan,
            dimension_names=(axis,),
            attributes={"standard_name": f"projection_{axis}_coordinate", "units": unit, "axis": axis.upper()},
        )
        array[:] = values
    spatial = group.create_array(
        "spatial_ref",
        shape=(),
        dtype="int32",
        fill_value=0,
        attributes={**crs.to_cf(), "spatial_ref": crs.to_wkt(), "GeoTransform": f"{c} {a} {b} {f} {d} {e}"},
    )
    spatial[...] = frame.epsg
