"""Cubes as users have them: read as their numbers and times say, or refused with a rule and a remedy; never guessed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

import groundbreak
from groundbreak import BadInput, kernels
from groundbreak.kernels import LAYERS, NO_DATE

DATES = np.datetime64("2018-01-01") + (np.arange(220) * 10).astype("m8[D]")
DAYS = DATES.astype(np.int64)


def index_series() -> NDArray[np.float32]:
    """(time, y, x) of six pixels: half of them step at once and stay; two in five observations are not clear."""
    rng = np.random.default_rng(3)
    values = 0.5 + 0.1 * np.cos(2 * np.pi * DAYS / 365.25)[:, None, None] + 0.02 * rng.normal(size=(DAYS.size, 2, 3))
    values[120:, :, :2] -= 0.3
    values[rng.random(values.shape) < 0.4] = np.nan
    return np.asarray(np.round(values, 4), np.float32)


VALUES = index_series()
TRUTH = kernels.detect(VALUES, DATES)


def cube(values: Any = VALUES, time: Any = DATES, **attrs: Any) -> xr.DataArray:
    coords = {"time": ("time", time), "y": [50.0, 40.0], "x": [10.0, 20.0, 30.0]}
    return xr.DataArray(values, dims=("time", "y", "x"), coords=coords, attrs=attrs)


def check_truth(found: xr.Dataset, *, near: bool = False) -> None:
    """Compare with the kernel on the plain array; ``near``: numbers that were rounded to a ten-thousandth."""
    for name, layer in TRUTH._asdict().items():
        given = found[name].values
        if LAYERS[name].units is not None:
            assert given.dtype == "datetime64[ns]"
            assert (np.isnat(given) == (layer == NO_DATE)).all()
            given = np.where(np.isnat(given), NO_DATE, given.astype("M8[D]").astype(np.int64))
        if not near or name in ("status", "onset", "n_valid"):
            np.testing.assert_array_equal(given, layer, err_msg=name)


def test_the_truth_itself() -> None:
    changed = TRUTH.onset != NO_DATE
    assert changed.tolist() == [[True, True, False]] * 2
    assert (np.abs(TRUTH.onset[changed] - DAYS[120]) <= 40).all()


def packed(fill: int, dtype: str = "int16") -> NDArray[Any]:
    return np.where(np.isnan(VALUES), fill, np.round(np.nan_to_num(VALUES) * 1e4)).astype(dtype)


def encoded(array: xr.DataArray, **encoding: Any) -> xr.DataArray:
    array.encoding = encoding
    return array


RIGHT: dict[str, Callable[[], xr.DataArray | xr.Dataset]] = {
    "float32": cube,
    "float64": lambda: cube(VALUES.astype(np.float64)),
    "big-endian": lambda: cube(VALUES.astype(">f4")),
    "infinite": lambda: cube(np.where(np.isnan(VALUES), np.inf, VALUES)),
    "masked": lambda: cube(np.ma.masked_invalid(VALUES)),
    "fill in attrs of int16": lambda: cube(packed(-9999), _FillValue=-9999, scale_factor=1e-4),
    "fill 0 of uint16": lambda: cube(packed(0, "uint16"), _FillValue=0, scale_factor=1e-4, add_offset=0.0),
    "missing_value": lambda: cube(packed(-3000, "int32"), missing_value=np.array([-3000, -3001]), scale_factor=1e-4),
    "fill in encoding": lambda: encoded(cube(packed(-1)), _FillValue=-1, scale_factor=1e-4),
    "nodata of odc": lambda: cube(packed(-999), nodata=-999, scale_factor=1e-4),
    "fill in floats": lambda: cube(np.where(np.isnan(VALUES), np.float32(-9999), VALUES), _FillValue=-9999.0),
    "least float": lambda: cube(
        np.where(np.isnan(VALUES), np.finfo("f4").min, VALUES), _FillValue=float(np.finfo("f4").min)
    ),
    "decoded": lambda: encoded(cube(), _FillValue=0, scale_factor=1e-4, add_offset=-0.1, dtype="uint16"),
    "(x, time, y)": lambda: cube().transpose("x", "time", "y"),
    "lazy": lambda: cube().chunk({"y": 1, "time": 50}),
    "lazy and masked": lambda: cube().copy(data=da.ma.masked_invalid(da.from_array(VALUES, chunks=(50, 1, 3)))),
    "lazy and packed": lambda: cube(packed(-9999), _FillValue=-9999, scale_factor=1e-4).chunk({"x": 1}),
    "one index": lambda: cube().expand_dims(index=["ndvi"]),
    "Dataset": lambda: cube().to_dataset(name="ndvi"),
    "Dataset with spatial_ref": lambda: cube().to_dataset(name="ndvi").assign(spatial_ref=((), np.int32(32638))),
    "Dataset with another mapping first": lambda: xr.Dataset(
        {"utm": ((), 0, {"crs_wkt": "..."}), "ndvi": cube(grid_mapping="utm")}
    ),
    "nanoseconds": lambda: cube(time=DATES.astype("M8[ns]")),
    "days since": lambda: cube().assign_coords(time=("time", DAYS - DAYS[0], {"units": "days since 2018-01-01"})),
    "hours since, float": lambda: cube().assign_coords(
        time=("time", (DAYS - DAYS[0]) * 24.0 + 36, {"units": "hours since 2017-12-31", "calendar": "gregorian"})
    ),
    "datetime.date": lambda: cube(time=np.array(DATES.astype(object), object)),
    "tz-aware": lambda: cube(time=pd.DatetimeIndex(DATES + np.timedelta64(3, "h"), tz="UTC").tz_convert("Asia/Baku")),
}  # fmt: skip


@pytest.mark.parametrize("kind", RIGHT)
def test_cubes_are_read_right(kind: str) -> None:
    given = RIGHT[kind]()
    found = groundbreak.detect(given)
    assert all((layer.chunks is not None) == kind.startswith("lazy") for layer in found.data_vars.values())
    check_truth(found.compute(), near="scale_factor" in getattr(given, "attrs", {}) or kind == "fill in encoding")


def test_half_precision_is_near() -> None:
    check = groundbreak.detect(cube(VALUES.astype(np.float16)))
    np.testing.assert_array_equal(check.status, TRUTH.status)


def dates_of_cftime(calendar: str) -> NDArray[Any]:
    """Stand-ins of cftime's dates, which have these attributes."""
    made = [
        SimpleNamespace(year=d.year, month=d.month, day=min(d.day, 28), hour=12, calendar=calendar)
        for d in DATES.astype(object)
    ]
    return np.array(made, object)


def test_times_of_cftime() -> None:
    from groundbreak.pipeline.own_cube.times import _stamp

    stamps = [_stamp(value) for value in dates_of_cftime("proleptic_gregorian")]
    assert stamps[0] == np.datetime64("2018-01-01T12:00")
    for calendar in ("noleap", "360_day", "julian", ""):
        with pytest.raises(BadInput, match="calendar"):
            _stamp(dates_of_cftime(calendar)[0])


def timed(time: Any, **attrs: Any) -> Callable[[], xr.DataArray]:
    return lambda: cube().assign_coords(time=("time", time, attrs))


SCL = xr.DataArray(np.where(np.isnan(VALUES), 9, 4).astype(np.uint8), dims=("time", "y", "x"))
SHUFFLED = np.random.default_rng(0).permutation(DATES)
TWICE = DATES.copy()
TWICE[5] = TWICE[4]
NOT_A_TIME = DATES.copy()
NOT_A_TIME[7] = np.datetime64("NaT", "D")

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "array": (lambda: VALUES, "DataArray"),
    "int without a fill": (lambda: cube(packed(-9999)), "without a fill"),
    "lazy int without a fill": (lambda: cube(packed(-9999)).chunk(), "without a fill"),
    "fill NaN of int": (lambda: cube(packed(-9999), _FillValue=np.nan), "without a fill"),
    "fill that cannot be": (lambda: cube(packed(0, "uint16"), _FillValue=-9999), "cannot occur"),
    "fill that is text": (lambda: cube(packed(0), _FillValue="none"), "no number"),
    "scale 0": (lambda: cube(packed(0), _FillValue=0, scale_factor=0.0), "scale_factor"),
    "scale NaN": (lambda: cube(packed(0), _FillValue=0, scale_factor=np.nan), "finite"),
    "unsigned": (lambda: cube(packed(0), _FillValue=0, _Unsigned="true"), "_Unsigned"),
    "bool": (lambda: cube(VALUES > 0.4), "bool"),
    "complex": (lambda: cube(VALUES.astype(complex)), "complex"),
    "text": (lambda: cube(VALUES.astype(str)), "numbers"),
    "SCL alone": (lambda: SCL.assign_coords(time=DATES).rename("SCL"), "classes"),
    "SCL beside": (lambda: cube().to_dataset(name="ndvi").assign(scl=SCL), r"classes.*\['ndvi'\]"),
    "SCL as float": (lambda: cube().to_dataset(name="ndvi").assign(SCL=SCL.astype("f4")), "classes"),
    "flags": (lambda: cube(flag_values=[0, 1]), "flags"),
    "SCL along index": (lambda: xr.concat([cube(), cube()], pd.Index(["ndvi", "scl"], name="index")), "classes"),
    "uint8 beside": (lambda: cube().to_dataset(name="ndvi").assign(what=SCL), r"what.*without a fill"),
    "DEM": (lambda: cube().to_dataset(name="ndvi").assign(dem=cube()[0].drop_vars("time")), r"'dem'.*\['ndvi'\]"),
    "series": (lambda: cube().to_dataset(name="a").assign(rain=cube()[:, 0, 0].drop_vars(["x", "y"])), "'rain'"),
    "only a mapping": (lambda: xr.Dataset({"crs": ((), 0)}, {"time": DATES}), "must hold an index"),
    "latitude": (lambda: cube().rename(y="latitude", x="longitude"), r"rename\(latitude='y', longitude='x'\)"),
    "band": (lambda: cube().expand_dims(band=["ndvi"]), r"rename\(band='index'\)"),
    "no time axis": (lambda: cube().rename(time="date"), "time"),
    "17 indices": (lambda: xr.concat([cube()] * 17, pd.Index(range(17), name="index")).chunk(), "at most 16"),
    "no coordinate": (lambda: cube().drop_vars("time"), "time coordinate"),
    "int": (timed(np.arange(DAYS.size)), "do not say what they count"),
    "yyyymmdd": (timed(np.array([int(str(d).replace("-", "")) for d in DATES])), "do not say"),
    "decimal years": (timed(1970 + DAYS / 365.25), "do not say"),
    "months since": (timed(np.arange(DAYS.size), units="months since 2000-01-01"), "no one length"),
    "no calendar of ours": (timed(DAYS, units="days since 1970-01-01", calendar="noleap"), "noleap"),
    "units of nothing": (timed(DAYS, units="days since then"), "cannot be decoded"),
    "too large": (timed(DAYS * 1e9, units="days since 1970-01-01"), "range|decoded"),
    "strings": (timed(DATES.astype(str)), "text"),
    "timedelta": (timed(DATES - DATES[0]), "must be dates"),
    "objects": (timed(np.array([SimpleNamespace()] * DAYS.size, object)), "must be dates"),
    "unsorted": (timed(SHUFFLED), "sortby"),
    "a day twice": (timed(TWICE), "twice"),
    "NaT": (timed(NOT_A_TIME), "NaT"),
    "year 2100": (timed(DATES + np.timedelta64(30000, "D")), "2059"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused(kind: str) -> None:
    make, words = REFUSED[kind]
    with pytest.raises(BadInput, match=words) as refused:
        groundbreak.detect(make())
    assert all((refused.value.what, refused.value.rule, refused.value.remedy))


@pytest.mark.parametrize("lazy", [False, True])
def test_detector_and_parameters_are_refused_at_the_call(lazy: bool) -> None:
    given = cube().chunk() if lazy else cube()
    with pytest.raises(BadInput, match="cusun"):
        groundbreak.detect(given, "cusun")
    with pytest.raises(BadInput, match="beleif"):
        groundbreak.detect(given, beleif=0.5)
    with pytest.raises(BadInput, match="history_end"):
        groundbreak.detect(given, history_end="soon")
    late = groundbreak.detect(given, history_end="2022-01-01")
    assert (
        np.isnat(late.onset.values).all()
        or (late.onset.values[~np.isnat(late.onset.values)] > np.datetime64("2022-01-01")).all()
    )


def placed(lazy: bool = False) -> xr.DataArray:
    """Return a cube with a CRS, coordinates beside the axes, and attributes."""
    rioxarray = pytest.importorskip("rioxarray")
    assert rioxarray
    given: xr.DataArray
    given = cube(units="1", long_name="NDVI", title="mine", _FillValue=-9999.0).rio.write_crs(32638)
    given = given.assign_coords(lat=(("y", "x"), np.full((2, 3), 40.0)), band=1, cloud=("time", np.zeros(DAYS.size)))
    given.y.attrs["units"] = "metre"
    return given.chunk({"y": 1}) if lazy else given


@pytest.mark.parametrize("lazy", [False, True])
def test_coordinates_crs_and_attributes_are_kept(lazy: bool) -> None:
    given = placed(lazy)
    found = groundbreak.detect(given)
    assert set(found.coords) == {"y", "x", "spatial_ref", "lat", "band"}
    assert found.y.values.tolist() == [50.0, 40.0]
    assert found.y.attrs["units"] == "metre"
    assert found.attrs == {"title": "mine"}
    assert found.rio.crs.to_epsg() == found.onset.rio.crs.to_epsg() == 32638
    assert found.status.attrs["flag_meanings"].split()[:2] == ["stable", "provisional"]
    assert found.quality.attrs["flag_masks"] == [1, 2, 4, 8, 16, 32]
    assert found.magnitude.attrs["scale_factor"] == 1e-4
    assert found.onset.attrs["long_name"] == LAYERS["onset"].meaning


@pytest.mark.parametrize("way", ["zarr", "netcdf"])
@pytest.mark.parametrize("lazy", [False, True])
def test_the_result_is_written_and_opened_again(way: str, lazy: bool, tmp_path: Path) -> None:
    found, path = groundbreak.detect(placed(lazy)), tmp_path / "layers"
    if way == "zarr":
        found.to_zarr(path, consolidated=False)
        again = xr.open_zarr(path, consolidated=False)
    else:
        found.to_netcdf(path, engine="h5netcdf")
        again = xr.open_dataset(path, engine="h5netcdf", chunks={})
    again = again.load()
    assert again.rio.crs.to_epsg() == 32638
    whole = xr.decode_cf(found).load()
    for name in LAYERS:
        xr.testing.assert_equal(again[name].variable, whole[name].variable)
        assert again[name].attrs["long_name"] == LAYERS[name].meaning
    assert again.onset.encoding["dtype"] == np.int16
    again.close()


def test_as_many_indices_as_dates() -> None:
    few = xr.concat([cube()[:3]] * 3, pd.Index(["a", "b", "c"], name="index"))
    assert (groundbreak.detect(few).status == kernels.Status.TOO_FEW_OBSERVATIONS).all()


def test_dates_of_python_are_those_of_numpy() -> None:
    from groundbreak.pipeline.own_cube.times import _stamp

    east = datetime.timezone(datetime.timedelta(hours=4))
    assert _stamp(datetime.datetime(2020, 1, 1, 2, tzinfo=east)) == np.datetime64("2019-12-31T22:00")
    assert _stamp(datetime.date(2020, 1, 1)) == np.datetime64("2020-01-01")
