"""When the observations of a user's cube were made: dates, or one clear refusal."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from groundbreak.pipeline.core.types import BadInput

CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
"""Calendars whose days are those of the civil calendar since 1582; of the others no day has a true date."""

UNITS = ("day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond", "d", "h", "min", "s", "ms")
"""Units of time of one length; a CF month or year is a mean one, and no date."""

WHAT = "cube's time coordinate"


def dates_of(cube: xr.DataArray | xr.Dataset) -> NDArray[np.datetime64]:
    """Return the dates of a cube's observations, (time,) datetime64[D] in UTC.

    Undecoded CF times, with units such as "days since 2018-01-01", are decoded; so are dates of Python and of cftime.

    Raises
    ------
    BadInput
        There are no times; they are missing, or of a kind that does not say which day it was.
    """
    if "time" not in cube.coords:
        remedy = "Add its dates: cube.assign_coords(time=dates)"
        raise BadInput("cube without a time coordinate", "must say when each observation was made", remedy)
    time = cube.coords["time"]
    if time.dims != ("time",):
        raise BadInput(f"{WHAT} with dimensions {time.dims}", "must have one, time", "Give each observation its date")
    stamps = _stamps(time)
    if np.isnat(stamps).any():
        rule = f"has no date (NaT) for {int(np.isnat(stamps).sum())} of {stamps.size} observations"
        raise BadInput(WHAT, rule, "Drop them: cube.sel(time=cube.time.notnull())")
    days = stamps.astype("datetime64[D]")
    steps = np.diff(days).astype(np.int64)
    if (steps < 0).any():
        at = int(np.argmax(steps < 0))
        raise BadInput(WHAT, f"must increase, and {days[at + 1]} follows {days[at]}", 'Sort it: cube.sortby("time")')
    if (steps == 0).any():
        day = days[int(np.argmax(steps == 0))]
        remedy = 'Average them: cube.groupby(cube.time.dt.floor("D").rename("day")).mean().rename(day="time")'
        raise BadInput(WHAT, f"must hold a day once, and {day} is there twice", remedy)
    return days


def _stamps(time: xr.DataArray) -> NDArray[np.datetime64]:
    """Return the times as datetime64 in UTC, whatever they are kept as."""
    kind = getattr(time.dtype, "kind", "O")
    if isinstance(time.dtype, np.dtype) and kind == "M":
        return np.asarray(time.values)
    if kind in "iuf":
        return _decoded(time)
    if kind == "O" or not isinstance(time.dtype, np.dtype):
        return np.array([_stamp(value) for value in time.to_index()], "datetime64[us]")
    rule = f"must be dates, and is {'text' if kind in 'US' else time.dtype}"
    raise BadInput(WHAT, rule, "Convert it: cube.assign_coords(time=pandas.to_datetime(cube.time.values))")


def _decoded(time: xr.DataArray) -> NDArray[np.datetime64]:
    """Decode numbers that count from a date, as CF writes times."""
    units = str({**time.encoding, **time.attrs}.get("units", ""))
    unit, since, _ = units.partition(" since ")
    if not since:
        rule = f"must be dates, and is numbers ({time.dtype}) whose attributes do not say what they count"
        remedy = 'Convert them to datetime64, or set cube.time.attrs["units"], such as "days since 2018-01-01"'
        raise BadInput(WHAT, rule, remedy)
    if unit.strip().lower().removesuffix("s") not in {name.removesuffix("s") for name in UNITS}:
        rule = f"counts in {unit!r}, which have no one length"
        raise BadInput(WHAT, rule, "Convert it to datetime64")
    calendar = str({**time.encoding, **time.attrs}.get("calendar", "standard")).lower()
    _check_calendar(calendar)
    try:
        bare = xr.Variable(("time",), time.values, {"units": units, "calendar": calendar})
        decoded = xr.decode_cf(xr.Dataset({"when": bare}))["when"]
    except (ValueError, OverflowError) as error:
        raise BadInput(WHAT, f"with units {units!r} cannot be decoded ({error})", "Convert it to datetime64") from None
    if decoded.dtype.kind != "M":
        raise BadInput(WHAT, f"with units {units!r} is out of range", "Convert it to datetime64")
    return np.asarray(decoded.values)


def _stamp(value: Any) -> np.datetime64:
    """Return a date object of pandas, Python or cftime as datetime64 in UTC."""
    if value is pd.NaT or value is None:
        return np.datetime64("NaT", "us")
    calendar = getattr(value, "calendar", None)
    if isinstance(calendar, str):
        _check_calendar(calendar)
        seconds = 3600 * getattr(value, "hour", 0) + 60 * getattr(value, "minute", 0) + getattr(value, "second", 0)
        day = datetime.datetime(value.year, value.month, value.day)
        return np.datetime64(day + datetime.timedelta(seconds=seconds), "us")
    if isinstance(value, datetime.datetime):  # pandas' Timestamp is one, too
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return np.datetime64(pd.Timestamp(value).to_datetime64().astype("datetime64[us]"))
    if isinstance(value, (datetime.date, np.datetime64)):
        return np.datetime64(value, "us")
    rule = f"must be dates, and holds {type(value).__name__}, such as {value!r}"
    raise BadInput(WHAT, rule, "Convert it: cube.assign_coords(time=pandas.to_datetime(cube.time.values))")


def _check_calendar(calendar: str) -> None:
    if calendar not in CALENDARS:
        rule = f"is in the calendar {calendar!r}, whose days are no dates"
        raise BadInput(WHAT, rule, 'Convert it: cube.convert_calendar("standard")')
