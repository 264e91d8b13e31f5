"""The entry point: checks the input, flattens the pixels, runs a detector, restores the shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.layers import Layers
from groundbreak.kernels.registry import DETECTORS, Detector, resolve
from groundbreak.kernels.types import Ints

LAST_DAY = 32767
"""Latest day since 1970-01-01 that an int16 layer holds (2059-09-18)."""


def detect(
    values: NDArray[np.floating[Any]],
    dates: NDArray[np.datetime64],
    detector: str = "phases",
    *,
    snow: NDArray[np.bool_] | None = None,
    history_end: np.datetime64 | str | None = None,
    **params: float,
) -> Layers:
    """Find when the ground of each pixel began to change, and when it stopped.

    Parameters
    ----------
    values : (time, ...pixels) or (index, time, ...pixels) float, any unit of an index
        Cast to float32. NaN, infinite or masked = not clear; an observation counts where every index is
        clear. Whole numbers are taken from masked arrays only. The first axis is time if its length is that of
        ``dates``, else the second must be; with as many indices as dates, add a leading axis to a single index to be
        read as meant.
    dates : (time,) datetime64, strictly increasing days
    detector : str, an entry of ``DETECTORS``
    snow : (time, ...pixels) bool, optional
        Where an observation was masked as snow: feeds the snow_season bit, nothing else.
    history_end : date, optional
        An onset is sought only after it.
    **params : float, overrides of the detector's defaults

    Returns
    -------
    Layers of shape (...pixels).

    Raises
    ------
    ValueError
        Values that are not floating point or masked, whose attributes name a fill, or whose axes fit no reading; dates
        that are not datetime64, not strictly increasing, or outside 1880-2059; an unknown detector or parameter.
    """
    days = _days(dates)
    stack, pixels = _stack(_numbers(values), days.size)
    chosen, settings = _chosen(detector, params, stack.shape[0])
    flat_snow = None
    if snow is not None:
        if np.shape(snow) != (days.size, *pixels):
            raise ValueError(
                f"snow: shape {np.shape(snow)} must be (time, ...pixels) = {(days.size, *pixels)}; reshape it"
            )
        if np.asanyarray(snow).dtype.kind != "b":
            raise ValueError(f"snow: {np.asanyarray(snow).dtype} must be bool; compare it with the class of snow")
        flat_snow = np.ma.filled(snow, False).reshape(days.size, math.prod(pixels))
    flat = chosen.run(stack, days, flat_snow, _end(history_end), settings)
    shaped: list[Any] = [layer.reshape(pixels) for layer in flat]
    return Layers(*shaped)


def check(
    dates: NDArray[np.datetime64],
    detector: str = "phases",
    *,
    n_index: int = 1,
    history_end: np.datetime64 | str | None = None,
    **params: float,
) -> None:
    """Check what `detect` is asked for, before there are values.

    Parameters
    ----------
    dates, detector, history_end, **params : as for `detect`
    n_index : number of indices

    Raises
    ------
    ValueError
        As `detect` does.
    """
    _days(dates)
    _chosen(detector, params, n_index)
    _end(history_end)


def warm_up(*detectors: str) -> None:
    """Compile the kernels of ``detectors`` (all, if none is named) on tiny input, so that a first task need not."""
    dates = np.datetime64("2020-01-01") + 10 * np.arange(80)
    values = np.where(np.arange(80) < 40, 0.2, 0.8) + 0.01 * np.sin(7.0 * np.arange(80))
    stack = np.broadcast_to(values.astype(np.float32)[None, :, None], (1, 80, 1))
    for name in detectors or DETECTORS:
        detect(stack, dates, name, snow=np.zeros((80, 1), np.bool_))


def _chosen(name: str, params: Mapping[str, float], n_index: int) -> tuple[Detector, dict[str, float]]:
    """Look a detector up, complete its parameters, and check that it reads so many indices."""
    chosen, settings = resolve(name, params)
    if n_index == 0:
        raise ValueError("values: no index on the first axis; pass at least one")
    if n_index > chosen.most_indices:
        raise ValueError(
            f"values: {n_index} indices, at most {chosen.most_indices} are read jointly by {name!r}; choose fewer"
        )
    return chosen, settings


def _end(history_end: Any) -> int | None:
    """Count a date from 1970-01-01."""
    if history_end is None:
        return None
    day: Any = None
    if not isinstance(history_end, (bool, int, float)):  # a bare number would be taken for days since 1970
        with suppress(TypeError, ValueError):
            day = np.datetime64(history_end, "D")
    if day is None or np.isnat(day):
        raise ValueError(f"history_end: {history_end!r} is no date; use one as '2021-12-31'")
    return int(day.astype(np.int64))


def _numbers(values: Any) -> NDArray[np.floating[Any]]:
    """Return values as floating point, with NaN where they are masked."""
    told = [key for key in ("_FillValue", "missing_value", "scale_factor", "add_offset") if key in _attrs(values)]
    if told:
        raise ValueError(
            f"values: attributes name {', '.join(told)}, which are not read here; "
            "decode them first (xarray.decode_cf), or use groundbreak.detect"
        )
    if isinstance(values, (list, tuple)) and any(isinstance(part, np.ma.MaskedArray) for part in values):
        values = np.ma.stack(values)
    array = np.asanyarray(values)  # a subclass keeps its mask
    if not isinstance(array, np.ma.MaskedArray):
        return np.asarray(array)
    if array.mask is np.ma.nomask:
        raise ValueError(
            "values: a masked array without a mask, which np.stack and np.concatenate drop; "
            "use np.ma.stack, or pass values.data if all of it is clear"
        )
    if array.dtype.kind not in "iuf":
        raise ValueError(f"values: must be numbers, got masked {array.dtype}; cast them")
    wide = np.float32 if array.dtype.itemsize <= 2 else np.float64
    kind = array.dtype if array.dtype.kind == "f" else wide
    return np.asarray(np.ma.filled(array.astype(kind), np.nan))


def _attrs(values: Any) -> Mapping[str, Any]:
    """Return the attributes of an xarray object, without knowing xarray."""
    attrs = getattr(values, "attrs", None)
    return attrs if isinstance(attrs, Mapping) else {}


def _days(dates: NDArray[np.datetime64]) -> Ints:
    """Check ``dates`` and count them from 1970-01-01."""
    if np.ma.is_masked(dates):
        raise ValueError("dates: a masked date is none; drop those observations")
    stamps = np.asarray(dates)
    if stamps.ndim != 1 or stamps.dtype.kind != "M":
        raise ValueError(
            f"dates: must be one axis of datetime64, got {stamps.ndim} of {stamps.dtype}; "
            "convert them with astype('datetime64[D]')"
        )
    if np.isnat(stamps).any():
        raise ValueError("dates: NaT is no date; drop those observations")
    days = stamps.astype("datetime64[D]").astype(np.int64)
    if (np.diff(days) <= 0).any():
        at = int(np.argmax(np.diff(days) <= 0))
        raise ValueError(
            f"dates: must strictly increase by day, {stamps[at + 1]} follows {stamps[at]}; "
            "sort them and merge observations of one day"
        )
    if days.size and (days[0] < -LAST_DAY or days[-1] > LAST_DAY):
        raise ValueError(f"dates: {stamps[0]} to {stamps[-1]} leaves 1880-2059, what int16 days hold; cut them")
    return days


def _stack(values: NDArray[np.floating[Any]], n_time: int) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Bring ``values`` to (index, time, pixel) float32, and return the shape of the pixels too."""
    if values.dtype.kind != "f":
        raise ValueError(
            f"values: must be floating point with NaN where not clear, got {values.dtype}; mask and cast them"
        )
    if values.ndim >= 2 and values.shape[1] == n_time and values.shape[0] != n_time:
        pixels = values.shape[2:]
    elif values.ndim >= 2 and values.shape[:2] == (n_time, n_time):
        raise ValueError(
            f"values: shape {values.shape} with {n_time} dates reads both as (time, pixels) and "
            "as (index, time); pass (index, time, ...pixels) with another number of indices"
        )
    elif values.ndim >= 1 and values.shape[0] == n_time:
        pixels = values.shape[1:]
        values = values[None]
    else:
        raise ValueError(
            f"values: shape {values.shape} must be (time, ...) or (index, time, ...) with "
            f"{n_time} dates; transpose or cut it"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and not clear
        stack = values.astype(np.float32, copy=False).reshape(values.shape[0], n_time, math.prod(pixels))
    # numba compiles once more, for seconds, for an array that may not be written, as dask makes of what it receives
    return stack if stack.flags.writeable else stack.copy(), pixels
