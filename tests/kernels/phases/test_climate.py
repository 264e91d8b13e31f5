"""The dates near a day of the year, against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels.phases.climate import season_windows


@pytest.mark.parametrize("own_year", [False, True])
@pytest.mark.parametrize("half", [20.0, 45.0])
@pytest.mark.parametrize("seed", range(5))
def test_windows_hold_what_is_near_in_the_year(seed: int, half: float, own_year: bool) -> None:
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.integers(1, 60, 150)) + 17_000
    windows = season_windows(days, half, own_year)
    assert (np.diff(windows[:, :, 0], axis=1) >= 0).all()  # a search may stop at the first that comes too late
    for t, day in enumerate(days):
        apart = np.abs(days - day) % 365.25
        near = np.minimum(apart, 365.25 - apart) <= half
        if not own_year:
            near &= np.abs(days - day) > half
        found = np.concatenate([np.arange(first, beyond) for first, beyond in windows[t]])
        np.testing.assert_array_equal(found, np.flatnonzero(near))


def test_one_date_has_no_other_year() -> None:
    np.testing.assert_array_equal(season_windows(np.array([17_000]), 20.0, False), [[[1, 1]]])
    np.testing.assert_array_equal(season_windows(np.array([17_000]), 20.0, True), [[[0, 1]]])
