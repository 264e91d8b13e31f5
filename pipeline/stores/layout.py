"""How the Zarr stores are laid out: a cube for each grid, and layers for each grid and each zone.

xarray, rioxarray, GDAL and titiler all read this metadata right: GDAL takes its CRS from `grid_mapping`, its transform
from the x and y coordinates, and its nodata from both fill values (Zarr's and CF's). Cubes are sharded, and a shard
holds one slab of one region. Layers are not sharded, since GDAL before 3.13 cannot read shards.

All metadata follows from the grid and the list of observations. So a store is laid out, or extended, by writing the
documents of the Zarr v3 specification all at once. The root's document says that the store is whole, and comes last.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype

from groundbreak.kernels import LAYERS, LayerSpec
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, BadInput, Grid, Mask, Observation
from groundbreak.pipeline.stores.documents import (
    BYTES,
    ON_LATTICE,
    Objects,
    array_document,
    bytes_codec,
    group_document,
    space_coordinates,
    spatial_attrs,
    time_coordinate,
)
from groundbreak.pipeline.stores.shards import shard_of

LOG = logging.getLogger(__name__)

ROOT = "zarr.json"
"""Key of a store's root document, below the store."""

STORE_SCHEMA = 1
"""Version of the layout of every store; a store of another version is refused."""

LAYER_CHUNK = 512
"""Side of a chunk of a layer, pixels."""

LAYER_LEVEL = 3
"""Level of zstd with which chunks of layers are encoded."""


def group_name(resolution: float) -> str:
    """Return the name of the cube's group of one resolution, in metres: "10m", "20m"."""
    return f"{resolution:g}m"


def band_path(grid: Grid, band: str) -> str:
    """Return the path of a band's array in the cube of a grid."""
    return f"{group_name(grid.bands[band])}/{band}"


def lay_out_cube(
    store: Store, grid: Grid, mask: Mask, depth: int, observations: Sequence[Observation], attrs: Mapping[str, Any]
) -> None:
    """Lay out a cube for a list of observations: make an empty one, or extend or shorten the one that is there.

    No pixel of a slab that stays is touched. A cube that was never laid out whole is made anew.

    Parameters
    ----------
    store : zarr Store
        The root of the cube.
    grid : Grid
    mask : Mask
    depth : int
        Observations of a full slab: whole time chunks.
    observations : sequence of Observation
        All observations of the cube, in the order of time.
    attrs : mapping
        What the root keeps under "groundbreak": "cube" (its digest), "observations" (the list), ...

    Raises
    ------
    BadInput
        There is a store that groundbreak did not write, or wrote with another schema.
    """
    meta, wanted = check_ours(store), {"schema": STORE_SCHEMA, **attrs}
    if meta == wanted:
        mend_cube(store, grid, mask, depth, observations)
        return
    before, after = (-(-len(listed) // depth) for listed in (meta.get("observations", ()), observations))
    gone = [f"{band_path(grid, band)}/c/{slab}" for band in grid.bands for slab in range(after, before)]
    times = np.array([o.time for o in observations], "datetime64[ms]").astype("<i8")
    documents, root = dict(_cube(grid, mask, depth, times)), group_document({"groundbreak": wanted})
    run_coroutine(_write(store, documents, root, anew=meta.get("cube") != attrs["cube"], gone=gone))


def lay_out_layers(store: Store, frame: Frame, chunk: int, attrs: Mapping[str, Any], *, anew: bool = True) -> None:
    """Lay out empty layers on a frame, in place of layers that are there.

    Parameters
    ----------
    store : zarr Store
        The root of the layers.
    frame : Frame
    chunk : int
        Side of a chunk, pixels.
    attrs : mapping
        What the root keeps under "groundbreak".
    anew : bool
        False leaves the pixels that are there: the frame has only grown, to the right or down.

    Raises
    ------
    BadInput
        There is something that groundbreak did not write, or wrote with another schema.
    """
    check_ours(store)
    root = group_document({"groundbreak": {"schema": STORE_SCHEMA, **attrs}, **spatial_attrs(frame)})
    run_coroutine(_write(store, dict(_layers(frame, chunk)), root, anew=anew))


def mend_cube(store: Store, grid: Grid, mask: Mask, depth: int, observations: Sequence[Observation]) -> None:
    """Write the documents of a laid-out cube again where they are damaged or gone; no pixel is touched."""
    times = np.array([o.time for o in observations], "datetime64[ms]").astype("<i8")
    run_coroutine(_mend(store, dict(_cube(grid, mask, depth, times))))


def mend_layers(store: Store, frame: Frame, chunk: int) -> None:
    """Write the documents of laid-out layers again where they are damaged or gone; no pixel is touched."""
    run_coroutine(_mend(store, dict(_layers(frame, chunk))))


async def _mend(store: Store, objects: Mapping[str, bytes]) -> None:
    """Write those objects again that are not as they were laid out."""
    buffer = default_buffer_prototype()
    found = await asyncio.gather(*(store.get(key, buffer) for key in objects))
    for (key, data), held in zip(objects.items(), found, strict=True):
        if held is None or held.to_bytes() != data:
            LOG.warning("%s of the Zarr store %s is not as it was laid out, and is written again", key, store)
            await store.set(key, buffer.buffer.from_bytes(data))


async def _write(
    store: Store, objects: Mapping[str, bytes], root: bytes, *, anew: bool, gone: Sequence[str] = ()
) -> None:
    """Write objects, then the document of the root, and then delete the folders of slabs that are gone.

    ``anew`` empties the store first; its root says from the first moment on that the store is groundbreak's. A process
    that dies before the last step leaves folders that no reader looks into; they are replaced when the list of
    observations grows again.
    """
    buffer = default_buffer_prototype().buffer
    if anew:
        await store.set(ROOT, buffer.from_bytes(group_document({"groundbreak": {"schema": STORE_SCHEMA}})))
        old = [key async for key in store.list() if key != ROOT]
        await asyncio.gather(*map(store.delete, old))
    await asyncio.gather(*(store.set(key, buffer.from_bytes(data)) for key, data in objects.items()))
    await store.set(ROOT, buffer.from_bytes(root))
    await asyncio.gather(*map(store.delete_dir, gone))


def check_ours(store: Store) -> dict[str, Any]:
    """Read what `read_meta` does, after making sure that nobody else's data lies there.

    Raises
    ------
    BadInput
        What lies there was not written by groundbreak, or with another schema.
    """
    meta = read_meta(store)
    if not meta and run_coroutine(_first_key(store)) is not None:
        rule = "holds data that groundbreak did not write, or no longer knows"
        raise BadInput(f"Zarr store {store}", rule, "Choose another output, or take that folder away")
    return meta


async def _first_key(store: Store) -> str | None:
    """Return the key of some object of a store, or None where there is none."""
    return await anext(aiter(store.list()), None)


def read_meta(store: Store) -> dict[str, Any]:
    """Read what the root of a store keeps under "groundbreak"; it is empty where there is no store.

    Raises
    ------
    BadInput
        The store was not written by groundbreak, or with another schema; or its root's document is damaged.
    """
    attrs = _root_attrs(store)
    if attrs is None:
        return {}
    meta = attrs.get("groundbreak")
    if not isinstance(meta, Mapping):
        raise BadInput(f"Zarr store {store}", "was not written by groundbreak", "Choose another output")
    if meta.get("schema") != STORE_SCHEMA:
        rule = f"has schema {meta.get('schema')}, and this version reads {STORE_SCHEMA}"
        raise BadInput(f"Zarr store {store}", rule, "Use the groundbreak that wrote it, or another output")
    return dict(meta)


def _root_attrs(store: Store) -> dict[str, Any] | None:
    """Read the attributes of the root, or return None where there is no store."""
    found = run_coroutine(store.get(ROOT, default_buffer_prototype()))
    if found is None:
        return None
    try:
        attrs = json.loads(found.to_bytes()).get("attributes", {})
    except (ValueError, AttributeError, RecursionError) as error:
        rule = f"holds a damaged {ROOT} ({type(error).__name__}: {error})"
        remedy = f"Put a copy of {ROOT} back; or delete the whole store, and the next run builds it again"
        raise BadInput(f"Zarr store {store}", rule, remedy) from None
    return attrs if isinstance(attrs, dict) else {}


def _cube(grid: Grid, mask: Mask, depth: int, times: NDArray[np.int64]) -> Objects:
    """Yield a cube's groups, coordinates and documents; ``times`` are milliseconds since 1970-01-01."""
    for resolution in sorted(set(grid.bands.values())):
        name, frame = group_name(resolution), grid.frame.at(resolution)
        yield f"{name}/zarr.json", group_document(spatial_attrs(frame))
        yield from space_coordinates(f"{name}/", frame)
        yield from time_coordinate(f"{name}/", times)
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
            "codecs": [bytes_codec(shard.dtype), shard.codec.to_dict()],
            "index_codecs": [BYTES, {"name": "crc32c"}],
            "index_location": "end",
        }
        yield (
            f"{band_path(grid, band)}/zarr.json",
            array_document(
                (len(times), frame.height, frame.width),
                shard.shape,
                shard.dtype,
                shard.fill,
                [{"name": "sharding_indexed", "configuration": shards}],
                ("time", "y", "x"),
                {**ON_LATTICE, **means},
            ),
        )


def _layers(frame: Frame, chunk: int) -> Objects:
    """Yield the coordinates and documents of layers."""
    yield from space_coordinates("", frame)
    for layer in LAYERS.values():
        codecs = [bytes_codec(layer.dtype), ZstdCodec(level=LAYER_LEVEL).to_dict()]
        attrs = {**ON_LATTICE, "long_name": layer.meaning, **layer_attrs(layer)}
        shape = frame.height, frame.width
        yield (
            f"{layer.name}/zarr.json",
            array_document(shape, (chunk, chunk), layer.dtype, layer.fill, codecs, ("y", "x"), attrs),
        )


def layer_attrs(layer: LayerSpec) -> dict[str, Any]:
    """Return the CF attributes that tell how a layer's numbers are read."""
    if layer.flags is not None:
        # No _FillValue: with one, xarray would open the codes as float32.
        kind = "flag_masks" if issubclass(layer.flags, IntFlag) else "flag_values"
        return {
            kind: [int(flag) for flag in layer.flags],
            "flag_meanings": " ".join(str(flag.name).lower() for flag in layer.flags),
        }
    attrs: dict[str, Any] = {}
    if layer.fill:  # where it is 0 that is a count, and not a number that is missing
        attrs["_FillValue"] = layer.fill
    if layer.scale is not None:
        attrs |= {"scale_factor": layer.scale, "add_offset": 0.0}
    if layer.units is not None:
        attrs |= {"units": layer.units, "calendar": "proleptic_gregorian"}
    return attrs


def layers_frame(store: Store) -> Frame:
    """Read the frame of a store of layers from its root; the store must be there."""
    attrs = _root_attrs(store) or {}
    size, _, x0, _, _, y0 = attrs["spatial:transform"]
    height, width = attrs["spatial:shape"]
    return Frame(int(attrs["proj:code"].removeprefix("EPSG:")), x0, y0, size, height, width)
