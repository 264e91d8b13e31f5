"""A pixel's own climatology: what its baseline did at that time of the year, in other years.

No harmonic holds harvests that shift. The mean and the variance of the baseline's observations within some weeks of
the day of the year do: they are wide where the field is sometimes ripe and sometimes bare, and narrow where the ground
never changes.
"""

from __future__ import annotations

import math

import numpy as np

from groundbreak.kernels.lanes.jit import helper
from groundbreak.kernels.types import Floats, Ints

SEASON_DAYS = 20.0
"""Half-width of the season window, days of the year."""


def season_windows(days: Ints, half: float, own_year: bool) -> Ints:
    """Find the dates within ``half`` days of every date's day of the year, in each year.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01, increasing
    own_year : whether the window around the date itself is one of them

    Returns
    -------
    (time, window, 2) int64, first date and the one after the last, earliest window first; rows with fewer windows end
    in empty ones, which begin at the number of dates.
    """
    n_time = days.size
    n_years = math.ceil((days[-1] - days[0] + half) / 365.25) if n_time else 0
    years = np.arange(-n_years, n_years + 1)
    centre = days[:, None] + 365.25 * years
    first, beyond = np.searchsorted(days, centre - half), np.searchsorted(days, centre + half, side="right")
    empty = (first == beyond) | ((years == 0) & (not own_year))
    windows = np.where(empty[:, :, None], n_time, np.stack([first, beyond], axis=2))
    order = np.argsort(empty, axis=1, kind="stable")[:, : max(int((~empty).sum(axis=1).max(initial=0)), 1)]
    return np.take_along_axis(windows, order[:, :, None], axis=1)


@helper
def running(z: Floats, n: int, sums: Floats) -> None:
    """Sum up a pixel's observations and their squares.

    Parameters
    ----------
    z : (index, >= n) float64, noise units
    n : observations in use
    sums : (> n, 2 index) float64, out: row i holds the sums over [0, i) of each index, then of its square
    """
    n_index = z.shape[0]
    sums[0] = 0.0
    for i in range(n):
        for k in range(n_index):
            sums[i + 1, k] = sums[i, k] + z[k, i]
            sums[i + 1, n_index + k] = sums[i, n_index + k] + z[k, i] * z[k, i]


@helper
def count_before(date: Ints, n: int, before: Ints) -> None:
    """Count the observations before each of all dates.

    Parameters
    ----------
    date : (>= n,) int64, positions of the observations among all dates
    n : observations in use
    before : (time + 1,) int64, out; the last counts those before the end
    """
    before[:] = 0
    for q in range(n):
        before[date[q] + 1] = 1
    for t in range(1, before.size):
        before[t] += before[t - 1]


@helper
def climatology(
    sums: Floats, date: Ints, before: Ints, windows: Ints, base: int, low: int, high: int,
    count: Floats, mean: Floats, variance: Floats,
) -> None:  # fmt: skip
    """Find what the baseline [0, base) did in other years at the time of the year of observations [low, high).

    Parameters
    ----------
    sums : of `running`
    before : of `count_before`
    windows : of `season_windows`
    date : (time,) int64, positions of the observations among all dates
    base : observations in the baseline
    count : (time,) float64, out: how many of its observations lie near in the year
    mean, variance : (index, time) float64, out: their mean and predictive variance, noise units
    """
    n_index = mean.shape[0]
    for q in range(low, high):
        around = windows[date[q]]
        for k in range(n_index):
            n, total, squares = 0, 0.0, 0.0
            for w in range(around.shape[0]):
                i = before[around[w, 0]]
                if i >= base:
                    break
                j = min(before[around[w, 1]], base)
                n += j - i
                total += sums[j, k] - sums[i, k]
                squares += sums[j, n_index + k] - sums[i, n_index + k]
            least = max(float(n), 1.0)
            m = total / least
            count[q], mean[k, q] = n, m
            # two pseudo-observations of the noise, and the uncertainty of the mean
            variance[k, q] = (max(squares - least * m * m, 0.0) + 2.0) / least
