"""The call: from a user's cube to a Dataset of layers, on the cube's own coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from groundbreak import kernels
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.own_cube.times import dates_of
from groundbreak.pipeline.own_cube.values import FLAGS, PACKING, mappings_of, stack_of
from groundbreak.pipeline.stores.layout import layer_attrs

OF_NUMBERS = {"units", "long_name", "standard_name", "valid_range", "valid_min", "valid_max", "actual_range"}
OF_NUMBERS |= {"cell_methods", "grid_mapping", "coordinates", "_Unsigned", *PACKING, *FLAGS}
"""Attributes that tell about a cube's numbers, and so not about layers."""

TIME = "datetime64[ns]"
"""What dates are decoded to, as xarray opens the published stores."""


def detect(
    cube: xr.DataArray | xr.Dataset,
    detector: str = "phases",
    *,
    history_end: np.datetime64 | str | None = None,
    **params: Any,
) -> xr.Dataset:
    """Detect on a cube of your own.

    Parameters
    ----------
    cube : DataArray (time, y, x) or (index, time, y, x), or Dataset of (time, y, x) indices
        Numbers in any unit of an index; NaN, infinity, and what attributes or encoding name as fill are not clear.
        Whole numbers need such a fill; ``scale_factor`` and ``add_offset`` are applied where xarray has not done so.
        A Dataset may hold its grid mapping, and no other variable than indices. ``time`` is datetime64, undecoded CF
        ("days since ..."), or dates of Python or cftime, and must be strictly increasing days. Dask-backed cubes stay
        lazy; each block then holds the whole series.
    detector : str
        An entry of ``kernels.DETECTORS``.
    history_end : date, optional
        An onset is sought only after it.
    **params
        The detector's parameters, where they are not to be its defaults.

    Returns
    -------
    Dataset
        The layers, (y, x) each, as ``kernels.LAYERS`` describes them; lazy where the cube is. Dates are datetime64[ns],
        NaT where there is none; all else is as it is stored, with the CF attributes that tell how it is read
        (``xarray.decode_cf``). Coordinates that do not depend on time, the CRS and the cube's attributes are kept.

    Raises
    ------
    BadInput
        The cube is none of those, or the detector or a parameter is unknown: at the call, also where it is lazy.
    """
    _check_type(cube)
    if "time" not in cube.dims:
        rule = "must be (time, y, x) or (index, time, y, x)"
        raise BadInput(f"cube with dimensions {tuple(cube.dims)}", rule, "Rename its dimension of observations to time")
    dates = dates_of(cube)
    stack = stack_of(cube).transpose("y", "x", "index", "time")
    try:
        kernels.check(dates, detector, n_index=stack.sizes["index"], history_end=history_end, **params)
    except ValueError as error:
        raise refusal(error) from None
    if stack.chunks:
        stack = stack.chunk({"index": -1, "time": -1})

    def block(values: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        series = np.moveaxis(values, (2, 3), (0, 1))
        n_index, n_time = series.shape[:2]
        if n_index == n_time:  # (index, time) would be taken for (time, pixel): pixels in one axis, and one more date
            more = np.append(dates, dates[-1:] + np.timedelta64(1, "D"))
            series = np.concatenate([series, np.full_like(series[:, :1], np.nan)], axis=1)
            found = kernels.detect(series, more, detector, history_end=history_end, **params)
        else:
            found = kernels.detect(series, dates, detector, history_end=history_end, **params)
        return tuple(_decoded(getattr(found, name), spec) for name, spec in kernels.LAYERS.items())

    layers = xr.apply_ufunc(
        block,
        stack,
        input_core_dims=[["index", "time"]],
        output_core_dims=[[] for _ in kernels.LAYERS],
        dask="parallelized",
        output_dtypes=[np.dtype(spec.dtype if spec.units is None else TIME) for spec in kernels.LAYERS.values()],
    )
    return _described(dict(zip(kernels.LAYERS, layers, strict=True)), cube)


def _check_type(cube: Any) -> None:
    if not isinstance(cube, (xr.DataArray, xr.Dataset)):
        remedy = "Wrap it: xarray.DataArray(values, dims=('time', 'y', 'x'), coords={'time': dates}), or kernels.detect"
        raise BadInput(f"cube of type {type(cube).__name__}", "must be a DataArray or a Dataset of xarray", remedy)


def _decoded(layer: NDArray[Any], spec: kernels.LayerSpec) -> NDArray[Any]:
    """Turn days into dates; other layers stay as they are."""
    if spec.units is None:
        return layer
    dates = layer.astype("datetime64[D]").astype(TIME)
    dates[layer == spec.fill] = np.datetime64("NaT", "ns")
    return dates


def _described(layers: dict[str, xr.DataArray], cube: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Put layers on the cube's coordinates, with CF metadata as in the published stores."""
    mappings = mappings_of(cube)
    coords = {name: c for name, c in cube.coords.items() if not {"time", "index"} & set(c.dims)}
    if isinstance(cube, xr.Dataset):
        coords |= {name: cube[name].reset_coords(drop=True) for name in mappings if name in cube.data_vars}
    attrs = {key: value for key, value in cube.attrs.items() if key not in OF_NUMBERS}
    out = xr.Dataset({name: layer.variable for name, layer in layers.items()}, coords, attrs)
    for name, spec in kernels.LAYERS.items():
        means = layer_attrs(spec)
        if spec.units is not None:  # decoded: how it is written stands in the encoding
            out[name].encoding = {**means, "dtype": spec.dtype}
            means = {}
        out[name].attrs = {"long_name": spec.meaning, **means}
        if mappings:
            out[name].attrs["grid_mapping"] = mappings[0]
    return out


def refusal(error: ValueError) -> BadInput:
    """Turn a refusal of the kernels, which reads "what: rule; remedy", into one of the pipeline."""
    what, _, rest = str(error).partition(": ")
    rule, _, remedy = rest.rpartition("; ")
    return BadInput(what, rule or rest, (remedy[:1].upper() + remedy[1:]) if rule else "Change it")
