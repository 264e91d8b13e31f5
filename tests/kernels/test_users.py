"""Arrays as users have them: masks that numpy carries, numbers of any size, records too short to say anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundbreak.kernels import DETECTORS, NO_DATE, Quality, Status, check, detect
from groundbreak.kernels.phases import model
from groundbreak.kernels.twins.series import step_left
from tests.kernels.phases.hard_series import same

Array = NDArray[Any]


def days(years: float, every: int = 5) -> Array:
    """Dates from 2020 on, every few days."""
    return np.asarray(np.datetime64("2020-01-01") + np.arange(0, int(years * 365.25) + 1, every).astype("m8[D]"))


def series(dates: Array, n: int, *, step: float = 0.0, missing: float = 0.5, seed: int = 0) -> Array:
    """(time, pixel) float32: a season and noise of 0.03; a step of so many noise units in the middle."""
    rng = np.random.default_rng(seed)
    t = dates.astype(np.int64)[:, None]
    values = 0.4 + rng.uniform(0, 0.2, n) * np.cos(2 * np.pi * t / 365.25) + 0.03 * rng.normal(size=(dates.size, n))
    values += 0.03 * step * (t >= t[0] + (t[-1] - t[0]) * rng.uniform(0.4, 0.6, n))
    values[rng.random(values.shape) < missing] = np.nan
    return values.astype(np.float32)


DATES = days(5)
VALUES = series(DATES, 20, step=8)
PLAIN = detect(VALUES, DATES)


@pytest.mark.parametrize("beneath", [-9999, 0, np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
def test_what_is_masked_is_not_clear(beneath: float, dtype: str) -> None:
    filled = np.where(np.isnan(VALUES), beneath, VALUES).astype(dtype)
    same(PLAIN, detect(np.ma.array(filled, mask=np.isnan(VALUES)), DATES))
    same(PLAIN, detect(np.ma.array(filled, mask=np.isnan(VALUES))[None], DATES))
    rows: Any = [np.ma.array(row, mask=np.isnan(clear)) for row, clear in zip(filled, VALUES, strict=True)]
    same(PLAIN, detect(rows, DATES))


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8"])
def test_whole_numbers_are_taken_where_a_mask_tells_what_is_clear(dtype: str) -> None:
    whole = np.where(np.isnan(VALUES), -9999, np.round(np.nan_to_num(VALUES) * 1e4)).astype(dtype)
    clear = np.where(np.isnan(VALUES), np.nan, whole).astype(np.float32)
    same(detect(clear, DATES, noise_floor=50), detect(np.ma.masked_equal(whole, -9999), DATES, noise_floor=50))


def test_arrays_that_cannot_be_read_are_refused() -> None:
    stacked = np.stack(list(np.ma.masked_invalid(VALUES)))  # numpy drops the masks
    wrong: list[tuple[Any, str]] = [
        (stacked, "np.ma.stack"),
        (np.ma.array(VALUES > 0.4, mask=np.isnan(VALUES)), "masked bool"),
        (VALUES > 0.4, "floating point, got|floating point with NaN"),
        (VALUES.astype(complex), "complex"),
        (VALUES.astype(str), "floating point"),
        (SimpleNamespace(attrs={"_FillValue": -1}), r"_FillValue.*groundbreak\.detect"),
    ]
    for values, words in wrong:
        with pytest.raises(ValueError, match=words):
            detect(values, DATES)
    with pytest.raises(ValueError, match="masked date"):
        detect(VALUES, np.ma.array(DATES, mask=np.arange(DATES.size) == 3))
    with pytest.raises(ValueError, match="must be bool"):
        detect(VALUES, DATES, snow=np.full(VALUES.shape, np.nan))
    for end in ("soon", 5, np.datetime64("NaT", "D"), True):
        with pytest.raises(ValueError, match="history_end"):
            detect(VALUES, DATES, history_end=end)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 16"):
        check(DATES, n_index=17)
    check(DATES, "cusum", n_index=17)


GROUND = {
    "zero": (0.0, 0.0),
    "0.3": (0.3, 0.0),
    "10000": (10000.0, 0.0),
    "65535": (65535.0, 0.0),
    "a million": (1e6 / 3, 0.0),
    "-1e9": (-1e9, 0.0),
    "10000, rounded": (10000.0, 1e-3),
    "30000 +- 5": (30000.0, 5.0),
    "1e6 +- 0.3": (1e6, 0.3),
}


@pytest.mark.parametrize("ground", GROUND)
@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("n_index", [1, 2])
def test_constant_and_large_numbers_hold_no_change(ground: str, name: str, n_index: int) -> None:
    level, noise = GROUND[ground]
    rng = np.random.default_rng(1)
    values = level + noise * rng.normal(size=(n_index, DATES.size, 200))
    values[:, rng.random(values.shape[1:]) < 0.4] = np.nan
    found = detect(values.astype(np.float32), DATES, name, level=0.001) if name != "phases" else detect(values, DATES)
    assert (found.n_changes > 0).mean() <= 0.01
    assert (found.status == Status.STABLE).mean() >= 0.99


@pytest.mark.parametrize("lift", [0.0, 16.0, 4096.0])
@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_a_reference_is_taken_off(lift: float, scale: float) -> None:
    """The same ground in another unit, or on another level: powers of two, so that the numbers themselves are exact."""
    values = np.round(VALUES * 1024) / 1024
    plain = detect(values, DATES)
    found = detect(values * scale + lift, DATES, noise_floor=0.005 * scale)
    for layer in ("status", "onset", "halt", "n_valid", "n_changes"):
        np.testing.assert_array_equal(getattr(found, layer), getattr(plain, layer))


def test_a_season_of_large_numbers_is_no_change() -> None:
    t = DATES.astype(np.int64)[:, None] + np.zeros((1, 50))
    values = 30000 + 10000 * np.cos(2 * np.pi * t / 365.25)
    assert (detect(values.astype(np.float32), DATES).status == Status.STABLE).all()


def test_a_fill_of_the_largest_float_is_no_ground() -> None:
    assert (detect(np.full((DATES.size, 3), np.finfo("f4").min), DATES).status == Status.FAILED).all()


@pytest.mark.parametrize("years", [0.5, 0.75, 0.9, 1.0, 1.1])
@pytest.mark.parametrize("every", [1, 3, 5, 10, 16])
@pytest.mark.parametrize("step", [0, 5, 8])
def test_a_record_of_a_year_is_not_called_stable(years: float, every: int, step: float) -> None:
    dates = days(years, every)
    found = detect(series(dates, 100, step=step), dates)
    assert (found.status != Status.STABLE).all()
    if step == 0:
        assert (found.status == Status.TOO_FEW_OBSERVATIONS).all()


@pytest.mark.parametrize(("years", "every"), [(1.3, 3), (1.5, 5), (2, 10), (2.5, 16), (6, 30)])
def test_of_what_is_judged_a_step_is_found(years: float, every: int) -> None:
    dates = days(years, every)
    still, stepped = (detect(series(dates, 400, step=step, missing=0.3), dates) for step in (0, 5))
    assert (still.status == Status.STABLE).mean() >= 0.9
    assert (stepped.status == Status.STABLE).mean() <= 0.05
    assert (still.n_changes > 0).mean() <= 0.01


def test_what_a_season_leaves_of_a_step_decides_and_not_the_years() -> None:
    dates = days(6)
    values = series(dates, 4, missing=0.0)
    day = dates.astype("M8[D]").astype(np.int64)
    month = (dates.astype("M8[M]").astype(int) % 12) + 1
    half = day < (day[0] + day[-1]) / 2
    values[(day > day[0]) & (day < day[-1] - 330), 0] = np.nan  # one look years ago, then eleven months
    values[~np.where(half, month == 6, month == 12), 1] = np.nan  # June before, December after
    values[~np.isin(month, (6, 7)), 2] = np.nan  # the same two months each year
    found = detect(values, dates)
    few = Status.TOO_FEW_OBSERVATIONS
    assert found.status.tolist() == [few, few, Status.STABLE, Status.STABLE]
    for p in range(4):
        clear = np.flatnonzero(np.isfinite(values[:, p]))
        seen = step_left(day, clear) >= max(model.STEP_LEFT, model.STEP_SHARE * clear.size)
        assert seen == (found.status[p] == Status.STABLE)


@pytest.mark.parametrize("name", ["cusum", "mosum"])
@pytest.mark.parametrize(("years", "every", "stable"), [(1.0, 5, 0.0), (1.5, 5, 0.0), (3.0, 5, 0.9), (4.0, 5, 0.9)])
def test_monitoring_calls_stable_what_would_have_alarmed(name: str, years: float, every: int, stable: float) -> None:
    dates = days(years, every)
    still = detect(series(dates, 200), dates, name)
    share = (still.status == Status.STABLE).mean()
    assert share >= stable
    if not stable:
        assert share == 0
    stepped = series(dates, 200)
    stepped[int(0.78 * dates.size) :] += 0.15  # in the middle of what is monitored
    found = detect(stepped, dates, name)
    missed = found.status == Status.STABLE
    assert missed.mean() <= 0.25


def between_days(dates: Array, low: Array, high: Array) -> Array:
    """(time, pixel) bool: strictly between two days of each pixel."""
    day = dates.astype(np.int64)[:, None]
    return np.asarray((day > low) & (day < high))


def test_snow_counts_between_a_date_and_its_proof_alone() -> None:
    dates = days(6)
    rng = np.random.default_rng(4)
    values = series(dates, 60, missing=0.6, seed=2)
    day = dates.astype(np.int64)
    values[(day > 18900) & (day < 19300)] += 0.4 + 0.1 * rng.normal(
        size=(int(((day > 18900) & (day < 19300)).sum()), 60)
    ).astype("f4")
    values[day >= 19300] -= 0.3
    plain = detect(values, dates, spike=0)
    dated, halted = plain.onset != NO_DATE, plain.halt != NO_DATE
    assert halted.sum() >= 20
    clear = np.isfinite(values)
    before = np.array([day[clear[:, p] & (day < plain.onset[p])].max(initial=0) for p in range(60)])
    quiet = np.array([day[clear[:, p] & (day > plain.halt[p])].min(initial=30000) for p in range(60)])
    between = between_days(dates, before, plain.onset)
    between |= between_days(dates, plain.halt, quiet) & halted
    for snow, expected in ((between, between.any(axis=0) & dated), (~between, np.zeros(60, bool))):
        found = detect(values, dates, spike=0, snow=snow)
        np.testing.assert_array_equal((found.quality & Quality.SNOW_SEASON) > 0, expected)
        np.testing.assert_array_equal(found.quality & ~np.uint8(Quality.SNOW_SEASON), plain.quality)
