"""The detectors cusum and mosum: their twin, their limits, their levels, and what they promise about a pixel."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundbreak.kernels import DETECTORS, NO_DATE, Layers, Quality, Status, detect
from groundbreak.kernels.lanes.processes import find_near, outside, window_sum
from groundbreak.kernels.monitoring.alarms import make_rule, scan_lanes
from groundbreak.kernels.monitoring.critical import calibrated_limits
from groundbreak.kernels.twins.monitoring import process_and_bound, regressors

Array = NDArray[Any]
NAMES = ("cusum", "mosum")
OUTSIDE, FIND_NEAR, WINDOW_SUM = (cast(Any, word).py_func for word in (outside, find_near, window_sum))
PUBLISHED = {"cusum": 2.7955, "mosum": 1.3418}
"""At 5 %: of the OLS-CUSUM, and of the OLS-MOSUM with h = 0.25 over ten times the history (Zeileis et al. 2005)."""


def same(name: str, values: Array, dates: Array, history_end: int | None = None, **params: float) -> Layers:
    """Check the kernel against its twin."""
    end = None if history_end is None else np.datetime64(history_end, "D")
    snow = np.isnan(values[0])
    fast = detect(values, dates, name, snow=snow, history_end=end, **params)
    days = dates.astype("datetime64[D]").astype(np.int64)
    slow = DETECTORS[name].twin(values, days, snow, history_end, {**DETECTORS[name].defaults, **params})
    pairs: list[tuple[str, Array, Array]] = list(zip(fast._fields, fast, slow, strict=True))
    for layer, a, b in pairs:
        if layer == "magnitude":  # rounded: the last digit may differ
            assert (np.abs(a.astype(int) - b) <= 1).all()
        else:
            np.testing.assert_array_equal(a, b, err_msg=layer)
    return fast


def noise(
    n_pixel: int, years: float = 5, missing: float = 0.4, n_index: int = 1, seed: int = 0, every: int = 5
) -> tuple[Array, Array]:
    """White noise on a season and a trend: (index, time, pixel) and its dates."""
    rng = np.random.default_rng(seed)
    dates = np.datetime64("2017-01-01") + np.arange(0, int(365 * years), every)
    days = dates.astype(np.int64)[:, None]
    season = 0.3 + 0.1 * np.cos(2 * np.pi * days / 365.25) + 1e-5 * (days - days[0])
    values = season + 0.02 * rng.standard_normal((n_index, dates.size, n_pixel))
    values[:, rng.random((dates.size, n_pixel)) < missing] = np.nan
    return values.astype(np.float32), dates


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_index", [1, 3])
def test_twin_on_noise_and_steps(name: str, n_index: int) -> None:
    values, dates = noise(60, n_index=n_index, every=9)
    values[-1, 120:, 30:] += np.linspace(-0.2, 0.2, 30, dtype=np.float32)
    for params in ({}, {"critical_value": PUBLISHED[name]}, {"harmonics": 1.0, "trend": 0.0, "level": 0.2}):
        found = same(name, values, dates, None, **params)
        assert (found.status[30:] == Status.ACTIVE).sum() > 10
    same(name, values, dates, history_end=int(dates[70].astype(int)))


@st.composite
def records(draw: st.DrawFn) -> tuple[Array, Array]:
    """Any short record: steps, noise, extremes, and any pattern of missing values."""
    n = draw(st.integers(2, 80))
    n_index = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dates = np.datetime64("2019-01-01") + np.cumsum(rng.integers(1, draw(st.integers(2, 40)), n))
    # never quite constant: which way the rounding of nothing turns is no date (constant ground has its own test)
    values = draw(st.sampled_from([1e-3, 0.01, 0.3])) * rng.normal(size=(n_index, n, 3))
    values += draw(st.sampled_from([0.0, 0.3]))
    values[:, draw(st.integers(0, n - 1)) :] += draw(st.sampled_from([0.0, 0.5, 1e4]))
    extreme = draw(st.sampled_from([0.0, np.nan, np.inf, -np.inf, 3e38, -3e38]))
    values[:, rng.random(n) < draw(st.sampled_from([0.0, 0.05])), :] = extreme
    values[:, rng.random(n) < draw(st.sampled_from([0.0, 0.3, 1.0])), :] = np.nan
    return values.astype(np.float32), dates


@settings(max_examples=150, deadline=None)
@given(records(), st.sampled_from(NAMES), st.sampled_from([0.0, 2.0]), st.sampled_from([1.0, 3.0, 8.0]))
def test_twin_on_any_record(record: tuple[Array, Array], name: str, harmonics: float, critical: float) -> None:
    values, dates = record
    if values.shape[0] == dates.size:
        return  # both readings fit: refused, see test_detect
    found = same(name, values, dates, critical_value=critical, harmonics=harmonics)
    quiet = np.isin(found.status, (Status.STABLE, Status.TOO_FEW_OBSERVATIONS))
    assert (found.onset[quiet] == NO_DATE).all()
    assert (found.halt == NO_DATE).all()
    assert (found.confidence == 255).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_pixel_depends_on_itself_alone(name: str) -> None:
    values, dates = noise(700, missing=0.6, n_index=2, every=9)
    values[:, 100:, ::3] += np.float32(0.05)
    whole = detect(values, dates, name)
    order = np.random.default_rng(1).permutation(700)
    for part in (order, slice(690, 700), slice(3, 4)):
        again = detect(values[..., part], dates, name)
        pairs: list[tuple[Array, Array]] = list(zip(whole, again, strict=True))
        for a, b in pairs:
            np.testing.assert_array_equal(a[part], b)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("years", "missing", "n_index"), [(1, 0.7, 1), (2, 0.5, 2), (3, 0.3, 1)])
@pytest.mark.parametrize("level", [0.01, 0.05])
def test_false_alarms_at_the_nominal_level(name: str, years: int, missing: float, n_index: int, level: float) -> None:
    values, dates = noise(20000, missing=missing, n_index=n_index, seed=years)
    found = detect(values, dates, name, history_end=dates[0] + np.timedelta64(365 * years, "D"), level=level)
    alarms = (found.onset != NO_DATE).mean()  # of all: one that would see no step alarms as often
    assert 0.75 * level <= alarms <= 1.25 * level


def test_the_published_bounds() -> None:
    n, e = 100, np.zeros(1000)
    c = PUBLISHED["cusum"]
    density = math.exp(-c * c / 2) / math.sqrt(2 * math.pi)
    assert math.erfc(c / math.sqrt(2)) + 2 * c * density == pytest.approx(0.05, abs=1e-4)  # 2 (1 - Phi(c) + c phi(c))
    process, bound = process_and_bound(e, n, 1.0, c**2, 0.0)
    assert process.size == 900
    assert process[-1] == 0
    np.testing.assert_allclose(bound[99], np.sqrt(2 * (c**2 + np.log(2))))
    _, bound = process_and_bound(e, n, 1.0, 1.3418**2, 0.25)
    np.testing.assert_allclose(bound[[0, 170]], 1.3418 * np.sqrt(2))  # up to t = e n
    np.testing.assert_allclose(bound[-1], 1.3418 * np.sqrt(2 * np.log(10)))


@pytest.mark.parametrize("name", NAMES)
def test_the_alarm_is_where_the_process_first_leaves_the_published_bound(name: str) -> None:
    values, dates = noise(50, missing=0.3)
    critical = PUBLISHED[name]
    found = detect(values, dates, name, critical_value=critical)
    days = dates.astype(np.int64)
    rule = make_rule(days, None, 1, {**DETECTORS[name].defaults, "critical_value": critical})
    terms = regressors(days, 2, True, rule.n_history)
    for p in range(50):
        at = np.flatnonzero(np.isfinite(values[0, :, p]))
        n = int((at < rule.n_history).sum())
        y = values[0, at, p].astype(float)
        e = y - terms[at] @ np.linalg.lstsq(terms[at[:n]], y[:n])[0]
        process, bound = process_and_bound(e, n, np.sqrt((e[:n] ** 2).sum() / (n - 6)), critical**2, rule.window)
        out = np.flatnonzero(np.abs(process) > bound)
        assert found.onset[p] == (days[at[n + out[0]]] if out.size else NO_DATE)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_dated_inside_its_interval(name: str) -> None:
    values, dates = noise(2000, every=8)
    values[:, 150:] += np.float32(0.15)
    found = detect(values, dates, name)
    changed = found.status == Status.ACTIVE
    assert changed.mean() > 0.95
    true = dates[150].astype(int)
    late = found.onset[changed] - true
    held = (found.onset_earliest[changed] <= true) & (found.onset_latest[changed] >= true)
    assert 0 <= np.median(late) <= 150
    assert held.mean() > 0.9
    assert abs(np.median(found.magnitude[changed]) - 1500) < 300
    assert (found.n_changes[changed] == 1).all()
    assert (found.n_evidence[changed] > 6).all()


def test_too_few_weak_and_provisional() -> None:
    values, dates = noise(3, missing=0.0, every=8)
    values[:, :75, 0] = np.nan  # 16 dates of the history are left
    values[:, 82:, :] += 1
    values[:, :, 1] = np.nan
    end = dates[90]
    found = detect(values, dates, "cusum", history_end=dates[81])
    assert found.status.tolist() == [Status.TOO_FEW_OBSERVATIONS, Status.TOO_FEW_OBSERVATIONS, Status.ACTIVE]
    assert found.n_valid.tolist() == [dates.size - 75, 0, dates.size]
    assert found.last_observation[1] == NO_DATE
    values[:, :75, 0] = values[:, :75, 2] * np.where(np.arange(75) % 6 == 0, 1, np.nan).astype(np.float32)[:, None].T
    short = detect(values[:, dates < end], dates[dates < end], "cusum", history_end=dates[81], level=0.2)
    assert short.status[2] == Status.PROVISIONAL
    assert short.quality[2] & Quality.RECORD_EDGE


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("cusum", {"level": 0.0}, "'level': 0.0 is not between 0 and 1"),
        ("cusum", {"level": 1.0}, "'level'"),
        ("mosum", {"h": 0.0}, r"'h': 0.0 is not in \(0, 1\]"),
        ("mosum", {"h": 1.5}, "'h'"),
        ("cusum", {"h": 0.25}, "unknown"),
        ("cusum", {"harmonics": 1.5}, "'harmonics': 1.5"),
        ("mosum", {"trend": 2.0}, "'trend': 2.0"),
    ],
)
def test_parameters_outside_their_rule_are_refused(name: str, params: dict[str, float], words: str) -> None:
    values, dates = noise(1, every=20)
    with pytest.raises(ValueError, match=words):
        detect(values, dates, name, snow=None, history_end=None, **params)


def test_limits_are_the_same_every_time_and_need_a_history() -> None:
    days = np.arange(0, 1000, 10)
    first = calibrated_limits(days, 50, 2, True, 0.0, 0.05)
    assert first.shape == (51, 51)
    assert np.isfinite(first[12:, 1:]).all()
    assert np.isinf(first[:12]).all()
    np.testing.assert_array_equal(first, calibrated_limits(days.copy() + 0, 50, 2, True, 0.0, 0.05))
    assert np.isinf(calibrated_limits(days, 5, 2, True, 0.0, 0.05)).all()
    assert (calibrated_limits(days, 50, 2, True, 0.0, 0.01)[12:, 1:] > first[12:, 1:]).all()


def test_no_dates_or_no_pixels() -> None:
    values, dates = noise(2, every=20)
    for name in NAMES:
        assert detect(values[:, :, :0], dates, name).status.shape == (0,)
        assert (detect(values[:, :0], dates[:0], name).status == Status.TOO_FEW_OBSERVATIONS).all()
        assert (detect(values, dates, name, history_end="2000-01-01").status == Status.TOO_FEW_OBSERVATIONS).all()
        assert (detect(values, dates, name, history_end="2050-01-01").status == Status.TOO_FEW_OBSERVATIONS).all()


def test_the_scan_says_what_it_saw() -> None:
    values, dates = noise(5, missing=0.5, every=10)
    days = dates.astype(np.int64)
    params = DETECTORS["cusum"].defaults
    found = scan_lanes(values, days, make_rule(days, None, 1, dict(params)), dict(params))
    clear = np.isfinite(values[0])
    np.testing.assert_array_equal(found.history + found.after, clear.sum(axis=0))
    np.testing.assert_array_equal(found.first, clear.argmax(axis=0))
    np.testing.assert_array_equal(found.last, dates.size - 1 - clear[::-1].argmax(axis=0))


@pytest.mark.parametrize("window", [0.0, 0.25])
@pytest.mark.parametrize("c2", [0.1, 2.0, 50.0])
def test_nothing_outside_its_bound_is_passed_over(window: float, c2: float) -> None:
    n = 40.0
    seen = np.arange(41, 400, dtype=np.uint64)
    bound = process_and_bound(np.zeros(399), 40, 1.0, c2, window)[1] * np.sqrt(n)
    near, every = np.zeros(seen.size), np.ones(seen.size)
    level = every * (2 * n * c2 if window else 0.0)
    rise = np.stack([every, every * c2 / n]) * (0.0 if window else 1.0)
    for share, expected in ((1 + 1e-9, True), (1 - 1e-9, False)):
        far = [OUTSIDE(b * share, 1.0, t, n, c2, window) for b, t in zip(bound, seen.astype(float), strict=True)]
        assert np.array_equal(far, np.full(seen.size, expected))
    assert FIND_NEAR(bound * (1 + 1e-9), every, every, seen, every * n, level, rise, near) == seen.size
    assert FIND_NEAR(bound * 2, every, every * 0, seen, every * n, level, rise, near) == near.sum() == 0


def test_a_window_sums_the_last_observations_of_each_lane() -> None:
    past = np.cumsum(np.arange(20.0).reshape(10, 2), axis=0)
    out, count, width = np.zeros(2), np.array([9, 5], np.uint64), np.array([3, 5], np.uint64)
    WINDOW_SUM(past[[9, 5], [0, 1]], count, width, past, out)
    np.testing.assert_array_equal(out, [14 + 16 + 18, 3 + 5 + 7 + 9 + 11])
