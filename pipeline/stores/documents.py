"""The documents of a Zarr v3 store: groups, arrays, and the coordinates that place arrays in space and time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from groundbreak.pipeline.core.frame import Frame

TIMES_PER_CHUNK = 4096
"""Observations in a chunk of the time coordinate."""

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
"""The codec that turns numbers of more than one byte into bytes."""

Objects = Iterator[tuple[str, bytes]]
"""(key, content) of each object to be written."""

ON_LATTICE = {"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}
"""Attributes of every array that lies on the lattice of its group."""


def spatial_attrs(frame: Frame) -> dict[str, Any]:
    """Return the attributes that place a group on a frame, by the conventions "proj" and "spatial"."""
    return {
        "proj:code": f"EPSG:{frame.epsg}",
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(frame.transform),
        "spatial:shape": [frame.height, frame.width],
        "spatial:bbox": list(frame.bounds),
        "spatial:registration": "pixel",
    }


@lru_cache(maxsize=64)
def _crs(epsg: int) -> tuple[str, dict[str, Any]]:
    """Return the unit and the CF attributes of a CRS."""
    crs = pyproj.CRS.from_epsg(epsg)
    return crs.axis_info[0].unit_name, {**crs.to_cf(), "spatial_ref": crs.to_wkt()}


def space_coordinates(prefix: str, frame: Frame) -> Objects:
    """Yield the objects of the arrays x, y and spatial_ref of a group.

    Parameters
    ----------
    prefix : str
        Path of the group, with a slash behind it; "" for the root.
    frame : Frame
    """
    unit, crs = _crs(frame.epsg)
    for axis, values in zip("xy", frame.centres(), strict=True):
        attrs = {"standard_name": f"projection_{axis}_coordinate", "units": unit, "axis": axis.upper()}
        shape = values.shape
        yield f"{prefix}{axis}/zarr.json", array_document(shape, shape, "float64", "NaN", [BYTES], (axis,), attrs)
        yield f"{prefix}{axis}/c/0", values.astype("<f8").tobytes()
    a, b, c, d, e, f = frame.transform
    attrs = {**crs, "GeoTransform": f"{c} {a} {b} {f} {d} {e}"}
    yield f"{prefix}spatial_ref/zarr.json", array_document((), (), "int32", 0, [BYTES], (), attrs)
    yield f"{prefix}spatial_ref/c", np.array(frame.epsg, "<i4").tobytes()


def time_coordinate(prefix: str, times: NDArray[np.int64]) -> Objects:
    """Yield the objects of the array time of a group.

    Parameters
    ----------
    prefix : str
        Path of the group, with a slash behind it.
    times : (time,) int64
        Milliseconds since 1970-01-01, little-endian.
    """
    attrs = {
        "standard_name": "time",
        "axis": "T",
        "calendar": "proleptic_gregorian",
        "units": "milliseconds since 1970-01-01",
    }
    yield (
        f"{prefix}time/zarr.json",
        array_document(times.shape, (TIMES_PER_CHUNK,), "int64", 0, [BYTES], ("time",), attrs),
    )
    for number, start in enumerate(range(0, len(times), TIMES_PER_CHUNK)):
        chunk = times[start : start + TIMES_PER_CHUNK]
        yield f"{prefix}time/c/{number}", np.pad(chunk, (0, TIMES_PER_CHUNK - len(chunk))).tobytes()


def group_document(attrs: Mapping[str, Any]) -> bytes:
    """Return the document of a group with some attributes."""
    return _json({"zarr_format": 3, "node_type": "group", "attributes": attrs})


def array_document(
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: str,
    fill: float | str,
    codecs: Sequence[Mapping[str, Any]],
    dimensions: Sequence[str],
    attrs: Mapping[str, Any],
) -> bytes:
    """Return the document of an array.

    Parameters
    ----------
    shape : sequence of int
    chunks : sequence of int
        Shape of a chunk, or of a shard where the first codec is sharding.
    dtype : str
        Zarr's name of the type ("int16").
    fill : float or str
        The fill value, as JSON has it.
    codecs : sequence of mapping
        The codecs as JSON has them, in the order of encoding.
    dimensions : sequence of str
        Names of the dimensions.
    attrs : mapping
        The array's attributes.
    """
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


def bytes_codec(dtype: str) -> dict[str, Any]:
    """Return the codec that turns numbers into bytes; numbers of one byte have no byte order."""
    return BYTES if np.dtype(dtype).itemsize > 1 else {"name": "bytes"}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
