"""Words of the lane layout that monitoring needs (`kernels.monitoring.monitor`), and what bounds a process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import Rows
from groundbreak.kernels.lanes.jit import helper, lane

Counts = NDArray[np.uint64]
"""(LANES,) numbers of observations that index a table; unsigned, or numba would look for negative ones."""

PRECISION = float(np.finfo(np.float32).eps)
"""Noise below this share of the values' root mean square is the rounding of float32, and is not believed."""


@lane
def add_squares(x: Rows, out: Rows) -> None:
    """Add the squares of a row to sums."""
    for p in range(out.size):
        out[p] += x[p] * x[p]


@lane
def add(x: Rows, out: Rows) -> None:
    """Add a row to sums."""
    for p in range(out.size):
        out[p] += x[p]


@lane
def floor_variance(n: Rows, n_terms: int, size: Rows, spread: Rows) -> None:
    """Turn sums of squared residuals into the noise's variance, never below the rounding of the values.

    Parameters
    ----------
    n : (LANES,) clear observations of the history
    n_terms : terms that were fitted to them
    size : (LANES,) sums of the squared values
    spread : (LANES,) in: sums of the squared residuals, out: variance
    """
    terms, least = spread.dtype.type(n_terms), spread.dtype.type(PRECISION * PRECISION)
    for p in range(spread.size):
        spread[p] = max(spread[p] / (n[p] - terms), least * size[p] / n[p])


@lane
def add_products(x: Rows, y: Rows, out: Rows) -> None:
    """Add the products of two rows to sums."""
    for p in range(out.size):
        out[p] += x[p] * y[p]


@lane
def count_clear(weight: Rows, out: Counts) -> None:
    """Add a date's weights to the numbers of clear observations."""
    for p in range(out.size):
        out[p] += np.uint64(weight[p])


@lane
def store_sums(total: Rows, count: Counts, past: Rows) -> None:
    """Write the sums so far to ``past`` (observation, LANES), at the number of observations of each lane."""
    for p in range(total.size):
        past[count[p], p] = total[p]


@lane
def window_sum(total: Rows, count: Counts, width: Counts, past: Rows, out: Rows) -> None:
    """Sum the residuals of the last ``width`` observations of each lane, out of the sums that `store_sums` has kept."""
    for p in range(out.size):
        out[p] = total[p] - past[count[p] - width[p], p]


@lane
def find_near(
    process: Rows, spread: Rows, weight: Rows, seen: Counts, n: Rows, level: Rows, rise: Rows, near: Rows
) -> int:
    """Mark clear lanes whose squared process exceeds level + (t - n) (rise[0] + rise[1] t), and count them.

    That is never above the real bound and needs no logarithm, which would cost more than all the rest:
    ln(x / (x - 1)) >= 1 / x gives 0, 1, c^2 / n for the CUSUM, log+ >= 1 gives 2 n c^2, 0, 0 for the MOSUM.
    """
    count, zero, one = 0, near.dtype.type(0), near.dtype.type(1)
    for p in range(near.size):
        t = near.dtype.type(seen[p])
        bound = level[p] + (t - n[p]) * (rise[0, p] + rise[1, p] * t)
        hit = (process[p] * process[p] > spread[p] * bound) & (weight[p] > zero)
        near[p] = one if hit else zero
        count += 1 if hit else 0
    return count


@helper
def outside(process: float, spread: float, t: float, n: float, limit: float, window: float) -> bool:
    """Return whether a process is outside its bound, by the published formulas (see `kernels.monitoring.monitor`).

    Parameters
    ----------
    process : the process times s sqrt(n)
    spread : s^2
    t, n : clear observations so far, and in the history
    limit : c^2
    window : h of the MOSUM, 0 for the CUSUM
    """
    if window > 0:  # noqa: SIM108 - two formulas, two lines
        bound = 2.0 * n * limit * max(np.log(t / n), 1.0)
    else:
        bound = t * (t - n) / n * (limit + np.log(t / (t - n)))
    return bool(process * process > spread * bound)


@helper
def own_variance(n: float, m: float, far: float, width: float) -> float:
    """Return the variance of a process over its squared bound for c = 1, at its end, under white noise.

    A fitted trend is extrapolated, so that later residuals share an error far larger than their noise. ``far`` is the
    variance of the mean prediction of the m later observations, in units of the noise: that of their sum is
    m + m^2 far, that of a window of ``width`` (0: CUSUM) about width + width^2 far.
    """
    if width > 0:
        return width * (1.0 + width * far) / (2.0 * n)
    return n * (1.0 + m * far) / (n + m)
