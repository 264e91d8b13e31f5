"""The numbers of a user's cube as clear index series: fills, scales and masks as CF has them, or one clear refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from groundbreak.pipeline.core.types import BadInput

FILLS = ("_FillValue", "missing_value", "fill_value", "nodata")
"""Attributes that tell which number is none: those of CF, then those of rasterio's and odc's kin."""

PACKING = (*FILLS, "scale_factor", "add_offset")

FLAGS = ("flag_values", "flag_masks", "flag_meanings")
"""Attributes of numbers that are codes."""

CLASSES = ("scl", "fmask", "qa_pixel", "qa60", "qa", "cloud_mask", "cloudmask", "mask")
"""Names by which classes and masks go, whatever they are stored as."""

MAPPINGS = ("spatial_ref", "crs")
"""Names by which a grid mapping goes that no variable names."""

AXES = {"latitude": "y", "lat": "y", "northing": "y", "longitude": "x", "lon": "x", "easting": "x"}
"""Other names of our dimensions."""


def mappings_of(cube: xr.DataArray | xr.Dataset) -> list[str]:
    """Return the names of a cube's grid mappings, coordinates or variables without dimensions; most have one."""
    data = [cube] if isinstance(cube, xr.DataArray) else list(cube.data_vars.values())
    named = {str(v.attrs.get("grid_mapping") or v.encoding.get("grid_mapping") or "") for v in data}
    found = dict(cube.coords) if isinstance(cube, xr.DataArray) else {**cube.coords, **cube.data_vars}
    scalars = {str(name): v for name, v in found.items() if v.ndim == 0}
    tells = ("crs_wkt", "spatial_ref", "grid_mapping_name")
    return [n for n, v in scalars.items() if n in named or n in MAPPINGS or any(key in v.attrs for key in tells)]


def stack_of(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return a cube's clear index series, (index, time, y, x) float32 with NaN where not clear; lazy where it is.

    Raises
    ------
    BadInput
        A dimension or a variable is none of an index series; numbers that are codes, or do not say which is none.
    """
    if isinstance(cube, xr.DataArray):
        return _joint(cube)
    skipped = mappings_of(cube)
    indices = {str(name): v for name, v in cube.data_vars.items() if name not in skipped}
    if not indices:
        raise BadInput("cube without variables", "must hold an index (time, y, x)", "Add one")
    rest = [n for n, v in indices.items() if set(v.dims) != {"time", "y", "x"} and {"time", "y", "x"} <= set(cube.dims)]
    good = [name for name, v in indices.items() if name not in rest and not _is_class(name, v)]
    if rest:
        rule = f"has dimensions {indices[rest[0]].dims}, and every variable of the cube must be an index (time, y, x)"
        raise BadInput(f"cube's variable {rest[0]!r}", rule, f"Pass the indices alone: cube[{good}]")
    clear = {name: _clear(name, v, f"Pass the indices alone: cube[{good}]") for name, v in indices.items()}
    for name, v in clear.items():
        _check_dims(v, f"cube's variable {name!r}", ("time", "y", "x"))
    return xr.Dataset(clear).to_dataarray("index")


def _joint(cube: xr.DataArray) -> xr.DataArray:
    """Return the series of a DataArray of one index, or of several along ``index``."""
    wanted = ("index", "time", "y", "x") if "index" in cube.dims else ("time", "y", "x")
    _check_dims(cube, "cube", wanted)
    if "index" in cube.dims:
        names = cube.coords["index"].values.tolist() if "index" in cube.coords else []
        for name in names:
            if _is_class(str(name), xr.Variable((), 0)):
                good = [n for n in names if not _is_class(str(n), xr.Variable((), 0))]
                raise BadInput(f"cube's index {name!r}", "is classes, not an index", f"Select: cube.sel(index={good})")
    name = "" if cube.name is None else str(cube.name)
    clear = _clear(name, cube, "Pass an index; mask it by the classes first: index.where(classes == 4)")
    return clear if "index" in cube.dims else clear.expand_dims("index")


def _check_dims(v: xr.DataArray, what: str, wanted: tuple[str, ...]) -> None:
    """Refuse other dimensions than those wanted, and say how they are renamed."""
    dims = tuple(map(str, v.dims))
    if set(dims) == set(wanted):
        return
    rename = {dim: AXES[dim.lower()] for dim in dims if dim.lower() in AXES}
    other = [dim for dim in dims if dim not in (*wanted, *rename)]
    if len(dims) == 4 and len(other) == 1:
        rename[other[0]] = "index"
    remedy = "Rename them, or select"
    if rename:
        remedy = f"Rename them: cube.rename({', '.join(f'{old}={new!r}' for old, new in rename.items())})"
    raise BadInput(f"{what} with dimensions {dims}", "must be (time, y, x) or (index, time, y, x)", remedy)


def _is_class(name: str, v: xr.DataArray | xr.Variable) -> bool:
    return name.lower() in CLASSES or any(flag in v.attrs for flag in FLAGS)


def _clear(name: str, v: xr.DataArray, remedy: str) -> xr.DataArray:
    """Return the numbers of a variable as float32, scaled, with NaN where it has none."""
    what = f"cube's variable {name!r}" if name else "cube"
    kind = getattr(v.dtype, "kind", "O")
    if _is_class(name, v):
        raise BadInput(what, "is classes or flags, not an index", remedy)
    if kind not in "iuf":
        raise BadInput(what, f"must be numbers, and is {v.dtype}", remedy)
    if str(v.attrs.get("_Unsigned", v.encoding.get("_Unsigned", "false"))).lower() == "true" and kind in "iu":
        raise BadInput(what, "is packed with _Unsigned", "Decode it: xarray.decode_cf(cube)")
    masked = v.chunks is not None and isinstance(getattr(v.data, "_meta", None), np.ma.MaskedArray)
    if masked:
        v = v.copy(data=da.ma.filled(v.data.astype(_wide(v.dtype)), np.nan))
    packing = _packing(v, kind)
    fills = _fills(packing, np.dtype(v.dtype), what)
    if kind in "iu" and not fills and not masked:
        rule = f"is whole numbers ({v.dtype}) without a fill, so nobody can tell what is not clear"
        remedy = 'Mask it: cube.where(clear); or set attrs["_FillValue"]'
        raise BadInput(what, rule, remedy)
    scale, offset = (_number(packing, key, d, what) for key, d in (("scale_factor", 1.0), ("add_offset", 0.0)))
    if scale == 0:
        raise BadInput(f"{what}: scale_factor = 0", "makes every number the same", "Mend it")
    clear = v.astype(_wide(v.dtype))
    for fill in fills:
        clear = clear.where(v != fill)
    if (scale, offset) != (1.0, 0.0):
        clear = clear.astype(np.float64) * scale + offset
    return clear.astype(np.float32)


def _wide(dtype: Any) -> type[np.floating[Any]]:
    """Return the type that holds all numbers of a type, as far as float32 can in the end."""
    return np.float32 if np.dtype(dtype).itemsize <= 2 or dtype == np.float32 else np.float64


def _packing(v: xr.DataArray, kind: str) -> Mapping[str, Any]:
    """Return what tells how numbers are read; where xarray has decoded them, it has moved that to ``encoding``."""
    known = {key: v.attrs[key] for key in PACKING if key in v.attrs}
    encoded = {key: v.encoding[key] for key in PACKING if v.encoding.get(key) is not None}
    if kind in "iu" or not {"scale_factor", "add_offset"} & encoded.keys():
        return {**encoded, **known}  # of floats that were not scaled, a fill is none, decoded or not
    return known


def _fills(packing: Mapping[str, Any], dtype: np.dtype[Any], what: str) -> list[Any]:
    """Return the numbers that stand for none, in the type of the data."""
    fills: list[Any] = []
    for key in FILLS:
        if packing.get(key) is None:
            continue
        try:
            numbers = np.atleast_1d(np.asarray(packing[key], np.float64)).tolist()
        except (TypeError, ValueError):
            raise BadInput(f"{what}: {key} = {packing[key]!r}", "is no number", "Mend it") from None
        for number in numbers:
            if np.isnan(number):
                continue
            if dtype.kind in "iu" and not (
                float(number).is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
            ):
                rule = f"cannot occur in {dtype}, so nothing would be masked"
                raise BadInput(f"{what}: {key} = {number:g}", rule, "Mend it: tell the number that stands for none")
            with np.errstate(over="ignore"):
                fills.append(dtype.type(int(number) if dtype.kind in "iu" else number))
    return fills


def _number(packing: Mapping[str, Any], key: str, default: float, what: str) -> float:
    """Return a scale or an offset."""
    given = packing.get(key, default)
    try:
        number = float(np.asarray(given, np.float64).item())
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise BadInput(f"{what}: {key} = {given!r}", "is no finite number", "Mend it")
    return number
