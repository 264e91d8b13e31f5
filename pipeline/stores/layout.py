"""What the Zarr stores say of themselves: cubes, one a grid, and layers, one a grid and one a zone.

The metadata is what xarray, rioxarray, GDAL and titiler all read right: `grid_mapping` gives GDAL its CRS, the x and y
coordinates its transform, and both fill values (Zarr's and CF's) its nodata. Cubes are sharded, a shard holding one
slab of one region; layers are not, since GDAL before 3.13 cannot read shards.

All of it follows from the grid and the list of observations, so a store is laid out, or extended, by writing its
documents, as the Zarr v3 specification has them, all at once; the root's, which says that it is whole, comes last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from zarr.abc.store import Store
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype

from groundbreak.kernels import LAYERS, LayerSpec, Quality, Status
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, BadInput, Grid, Mask, Observation
from groundbreak.pipeline.stores.shards import shard_of

STORE_SCHEMA = 1
"""Version of the layout of every store; a reader refuses a newer one."""

LAYER_CHUNK = 512
TIMES = 4096
"""Of a chunk of the time coordinate."""

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}

Objects = Iterator[tuple[str, bytes]]
"""(key, content)."""


def group_name(resolution: float) -> str:
    """The cube's group of one resolution: "10m", "20m"."""
    return f"{resolution:g}m"


def band_path(grid: Grid, band: str) -> str:
    """Where a cube keeps a band."""
    return f"{group_name(grid.bands[band])}/{band}"


def lay_out_cube(
    store: Store, grid: Grid, mask: Mask, depth: int, observations: Sequence[Observation], attrs: Mapping[str, Any]
) -> None:
    """Make a cube as long as a list of observations: an empty one where there is none, or none that is whole.

    No pixel of a slab that stays is touched.

    Parameters
    ----------
    depth : int
        Observations of a slab, whole time chunks.
    attrs : Mapping
        Kept on the root under "groundbreak": "cube" (its digest), "observations" (the list), ...
    """
    meta, wanted = read_meta(store), {"schema": STORE_SCHEMA, **attrs}
    if meta == wanted:
        return
    before, after = (-(-len(listed) // depth) for listed in (meta.get("observations", ()), observations))
    gone = [f"{band_path(grid, band)}/c/{slab}" for band in grid.bands for slab in range(after, before)]
    times = np.array([o.time for o in observations], "datetime64[ms]").astype("<i8")
    documents, root = dict(_cube(grid, mask, depth, times)), _group({"groundbreak": wanted})
    run_coroutine(_write(store, documents, root, anew="cube" not in meta, gone=gone))


def lay_out_layers(store: Store, frame: Frame, chunk: int, attrs: Mapping[str, Any]) -> None:
    """An empty store of the layers on a frame; whatever stood there is replaced."""
    root = _group({"groundbreak": {"schema": STORE_SCHEMA, **attrs}, **_spatial_attrs(frame)})
    run_coroutine(_write(store, dict(_layers(frame, chunk)), root, anew=True))


async def _write(
    store: Store, objects: Mapping[str, bytes], root: bytes, *, anew: bool, gone: Sequence[str] = ()
) -> None:
    """Objects, then the root's document, then without the folders that it no longer speaks of; ``anew``: on empty
    ground. Who dies before the last step leaves folders that no reader looks into; a longer list replaces them.
    """
    scratch = default_buffer_prototype().buffer
    if anew:
        await store.delete_dir("")
    await asyncio.gather(*(store.set(key, scratch.from_bytes(data)) for key, data in objects.items()))
    await store.set("zarr.json", scratch.from_bytes(root))
    await asyncio.gather(*map(store.delete_dir, gone))


def read_meta(store: Store) -> dict[str, Any]:
    """The root's "groundbreak" attribute; empty where there is no store."""
    attrs = _root_attrs(store)
    if attrs is None:
        return {}
    meta = attrs.get("groundbreak")
    if not isinstance(meta, Mapping):
        raise BadInput(f"Zarr store {store}", "was not written by groundbreak", "Choose another output")
    if meta["schema"] != STORE_SCHEMA:
        rule = f"has schema {meta['schema']}, and this version reads {STORE_SCHEMA}"
        raise BadInput(f"Zarr store {store}", rule, "Use the groundbreak that wrote it, or another output")
    return dict(meta)


def _root_attrs(store: Store) -> dict[str, Any] | None:
    found = run_coroutine(store.get("zarr.json", default_buffer_prototype()))
    return None if found is None else json.loads(found.to_bytes()).get("attributes", {})


def _cube(grid: Grid, mask: Mask, depth: int, times: np.ndarray) -> Objects:
    for resolution in sorted(set(grid.bands.values())):
        name, frame = group_name(resolution), grid.frame.at(resolution)
        yield f"{name}/zarr.json", _group(_spatial_attrs(frame))
        yield from _coordinates(f"{name}/", frame)
        yield from _time(f"{name}/", times)
    for band, resolution in grid.bands.items():
        frame, shard = grid.frame.at(resolution), shard_of(grid, mask, depth, band)
        means: dict[str, Any] = {"long_name": "class or bit mask, as the source gives it"}
        if band != mask.band:
            means = {
                "long_name": f"surface reflectance, {band}",
                "scale_factor": REFLECTANCE_SCALE,
                "add_offset": 0.0,
                "_FillValue": REFLECTANCE_FILL,
            }
        shards = {
            "chunk_shape": shard.chunks,
            "codecs": [_bytes(shard.dtype), shard.codec.to_dict()],
            "index_codecs": [_BYTES, {"name": "crc32c"}],
            "index_location": "end",
        }
        yield (
            f"{band_path(grid, band)}/zarr.json",
            _array(
                (len(times), frame.height, frame.width),
                shard.shape,
                shard.dtype,
                shard.fill,
                [{"name": "sharding_indexed", "configuration": shards}],
                ("time", "y", "x"),
                {**_ON_LATTICE, **means},
            ),
        )


def _layers(frame: Frame, chunk: int) -> Objects:
    yield from _coordinates("", frame)
    for layer in LAYERS.values():
        codecs = [_bytes(layer.dtype), ZstdCodec(level=3).to_dict()]
        attrs = {**_ON_LATTICE, "long_name": layer.meaning, **_layer_attrs(layer)}
        shape = frame.height, frame.width
        yield (
            f"{layer.name}/zarr.json",
            _array(shape, (chunk, chunk), layer.dtype, layer.fill, codecs, ("y", "x"), attrs),
        )


def _layer_attrs(layer: LayerSpec) -> dict[str, Any]:
    if layer.name == "status":
        # No _FillValue: with one, xarray would open the codes as float32.
        return {"flag_values": [int(s) for s in Status], "flag_meanings": " ".join(s.name.lower() for s in Status)}
    if layer.name == "quality":
        return {
            "flag_masks": [int(q) for q in Quality],
            "flag_meanings": " ".join(str(q.name).lower() for q in Quality),
        }
    attrs: dict[str, Any] = {}
    if layer.dtype == "int16" or layer.name == "confidence":
        attrs["_FillValue"] = layer.fill
    if layer.name == "magnitude":
        attrs |= {"scale_factor": 1e-4, "add_offset": 0.0}
    elif layer.dtype == "int16":
        attrs |= {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    return attrs


# -------------------------------------------------------------------------------------------------------------- lattice

_ON_LATTICE = {"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}


def _spatial_attrs(frame: Frame) -> dict[str, Any]:
    return {
        "proj:code": f"EPSG:{frame.epsg}",
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(frame.transform),
        "spatial:shape": [frame.height, frame.width],
        "spatial:bbox": list(frame.bounds),
        "spatial:registration": "pixel",
    }


def layers_frame(store: Store) -> Frame:
    """The frame that a store of layers lies on."""
    attrs = _root_attrs(store) or {}
    size, _, x0, _, _, y0 = attrs["spatial:transform"]
    height, width = attrs["spatial:shape"]
    return Frame(int(attrs["proj:code"].removeprefix("EPSG:")), x0, y0, size, height, width)


@lru_cache(maxsize=64)
def _crs(epsg: int) -> tuple[str, dict[str, Any]]:
    """(unit, CF's attributes) of a CRS."""
    crs = pyproj.CRS.from_epsg(epsg)
    return crs.axis_info[0].unit_name, {**crs.to_cf(), "spatial_ref": crs.to_wkt()}


def _coordinates(prefix: str, frame: Frame) -> Objects:
    unit, crs = _crs(frame.epsg)
    for axis, values in zip("xy", frame.centres(), strict=True):
        attrs = {"standard_name": f"projection_{axis}_coordinate", "units": unit, "axis": axis.upper()}
        shape = values.shape
        yield f"{prefix}{axis}/zarr.json", _array(shape, shape, "float64", "NaN", [_BYTES], (axis,), attrs)
        yield f"{prefix}{axis}/c/0", values.astype("<f8").tobytes()
    a, b, c, d, e, f = frame.transform
    attrs = {**crs, "GeoTransform": f"{c} {a} {b} {f} {d} {e}"}
    yield f"{prefix}spatial_ref/zarr.json", _array((), (), "int32", 0, [_BYTES], (), attrs)
    yield f"{prefix}spatial_ref/c", np.array(frame.epsg, "<i4").tobytes()


def _time(prefix: str, times: np.ndarray) -> Objects:
    attrs = {
        "standard_name": "time",
        "axis": "T",
        "calendar": "proleptic_gregorian",
        "units": "milliseconds since 1970-01-01",
    }
    yield f"{prefix}time/zarr.json", _array(times.shape, (TIMES,), "int64", 0, [_BYTES], ("time",), attrs)
    for number, start in enumerate(range(0, len(times), TIMES)):
        chunk = times[start : start + TIMES]
        yield f"{prefix}time/c/{number}", np.pad(chunk, (0, TIMES - len(chunk))).tobytes()


# ------------------------------------------------------------------------------------------------------------ documents


def _group(attrs: Mapping[str, Any]) -> bytes:
    return _json({"zarr_format": 3, "node_type": "group", "attributes": attrs})


def _array(
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: str,
    fill: float | str,
    codecs: Sequence[Mapping[str, Any]],
    dimensions: Sequence[str],
    attrs: Mapping[str, Any],
) -> bytes:
    return _json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": codecs,
            "attributes": attrs,
            "storage_transformers": [],
            **({"dimension_names": dimensions} if dimensions else {}),
        }
    )


def _bytes(dtype: str) -> dict[str, Any]:
    """The codec that lays numbers out; those of one byte have no order."""
    return _BYTES if np.dtype(dtype).itemsize > 1 else {"name": "bytes"}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
