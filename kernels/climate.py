"""A pixel's own climatology: what its baseline did at that time of the year, in other years.

No harmonic holds harvests that shift. The mean and the variance of the baseline's observations within some weeks of
the day of the year do: they are wide where the field is sometimes ripe and sometimes bare, and narrow where the ground
never changes.
"""

from __future__ import annotations

import math

from kernels._jit import helper, lane
from kernels.series import Floats, Ints

SEASON_DAYS = 20.0
"""Half-width of the season window, days of the year."""


@helper
def running(z: Floats, sums: Floats) -> None:
    """Row i holds the sums over [0, i) of each index and then of its square; (> time, 2 index) float64, out."""
    n_index, n = z.shape
    sums[0] = 0.0
    for i in range(n):
        for k in range(n_index):
            sums[i + 1, k] = sums[i, k] + z[k, i]
            sums[i + 1, n_index + k] = sums[i, n_index + k] + z[k, i] * z[k, i]


@helper
def count_days(day: Floats, before: Ints) -> None:
    """How many observations lie before every day from the first one's on, up to the day after the last; (days,) out."""
    days = int(day[day.size - 1] - day[0]) + 2
    before[:days] = 0
    for q in range(day.size):
        before[int(day[q] - day[0]) + 1] = 1
    for d in range(1, days):
        before[d] += before[d - 1]


@lane
def _other_year(
    day: Floats, before: Ints, base: int, low: int, high: int, years: int, starts: Ints, stops: Ints
) -> None:
    """Which of the baseline [0, base) lie within the season window of [low, high), ``years`` years before it.

    Parameters
    ----------
    before : (days,) of :func:`count_days`
    starts, stops : (time,) int64, out
    """
    end = int(day[day.size - 1] - day[0]) + 1
    for q in range(low, high):
        centre = day[q] - 365.25 * years - day[0]
        first = min(max(math.ceil(centre - SEASON_DAYS), 0), end)
        beyond = min(max(math.floor(centre + SEASON_DAYS) + 1, 0), end)
        starts[q] = min(before[first], base)
        stops[q] = min(before[beyond], base)


@lane
def _add_window(sums: Floats, starts: Ints, stops: Ints, low: int, high: int, out: Floats) -> None:
    """Add those observations' sums to every position's. Row by row: gathered lanes measured six times slower."""
    for q in range(low, high):
        i, j = starts[q], stops[q]
        for a in range(sums.shape[1]):
            out[q, a] += sums[j, a] - sums[i, a]


@helper
def climatology(
    sums: Floats, day: Floats, before: Ints, base: int, low: int, high: int,
    starts: Ints, stops: Ints, total: Floats, count: Floats, mean: Floats, variance: Floats,
) -> None:  # fmt: skip
    """Of what the baseline [0, base) did at the time of [low, high) in other years: how many observations, their mean,
    and their predictive variance.

    Parameters
    ----------
    sums : of :func:`running`; before : of :func:`count_days`
    starts, stops : (time,) int64, scratch; total : (time, 2 index) float64, scratch
    count : (time,) float64 out; mean, variance : (index, time) float64 out
    """
    n_index = mean.shape[0]
    count[low:high] = 0.0
    total[low:high] = 0.0
    years = math.ceil((day[low] - SEASON_DAYS - day[base - 1]) / 365.25)
    while day[high - 1] - 365.25 * years + SEASON_DAYS >= day[0]:
        if years != 0:
            _other_year(day, before, base, low, high, years, starts, stops)
            for q in range(low, high):
                count[q] += stops[q] - starts[q]
            _add_window(sums, starts, stops, low, high, total)
        years += 1
    for q in range(low, high):
        n = max(count[q], 1.0)
        for k in range(n_index):
            m = total[q, k] / n
            rest = max(total[q, n_index + k] - n * m * m, 0.0)
            mean[k, q] = m
            # two pseudo-observations of the noise, and the uncertainty of the mean
            variance[k, q] = (rest + 2.0) / n
