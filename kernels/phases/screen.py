"""The screen: which pixels may have changed at all, over every pixel, in lanes.

The OLS-based CUSUM test of a whole record (Ploberger & Kraemer 1992): fit level and season once to everything, and
follow the cumulative sum of what they leave. Stable ground leaves noise around zero; ground that changed once leaves
one sign before and the other after, whenever that was, so no history has to be set aside. The trend is left out on
purpose: it would take half of a step with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.cholesky import factor, normal, solve
from groundbreak.kernels.lanes.design import DATES_TOGETHER, Design, Rows, make_design
from groundbreak.kernels.lanes.jit import jit, lane
from groundbreak.kernels.lanes.words import LANES, find_clear, gram, load_dates, residual, update, whole_blocks
from groundbreak.kernels.types import Ints

SCREEN_HARMONICS = 2

SCREEN_PIVOT = 1e-3
"""Smallest squared pivot that is divided by: a term that the dates cannot tell apart counts for nothing."""


class ScreenedPixels(NamedTuple):
    """What the screen saw of every pixel."""

    statistic: NDArray[np.float32]
    """(index, pixel) float32: largest |CUSUM| / (s sqrt(n)); not finite where values are too large to be squared."""
    n_clear: Ints
    """(pixel,) int64: number of observations that are clear in every index."""
    first: Ints
    """(pixel,) int64: position of the first of them among the dates; the number of dates where there is none."""
    last: Ints
    """(pixel,) int64: position of the last of them; -1 where there is none."""


def screen(values: NDArray[np.float32], days: Ints, noise_floor: float) -> ScreenedPixels:
    """Run the screen.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64 days since 1970-01-01, increasing
    noise_floor : smallest s that is believed, unit of the values

    Returns
    -------
    What the screen saw of every pixel.
    """
    n_index, _, n_pixel = values.shape
    zeros = np.zeros(n_pixel, np.int64)
    out = ScreenedPixels(np.empty((n_index, n_pixel), np.float32), zeros, zeros.copy(), zeros.copy())
    design = _design(days.tobytes())
    for part, block in whole_blocks(np.ascontiguousarray(values)):
        found = ScreenedPixels(
            np.empty((n_index, block.shape[2]), np.float32), *np.zeros((3, block.shape[2]), np.int64)
        )
        cusum_scan(block, design, np.float32(noise_floor), found)
        size = part.stop - part.start
        out.statistic[:, part] = found.statistic[:, :size]
        for whole, piece in ((out.n_clear, found.n_clear), (out.first, found.first), (out.last, found.last)):
            whole[part] = piece[:size]
    return out


@lru_cache(maxsize=4)
def _design(days: bytes) -> Design:
    """Make the design of the dates whose int64 days are ``days``; a region is screened in many blocks of the same."""
    return make_design(np.frombuffer(days, np.int64), SCREEN_HARMONICS, trend=False, dtype=np.float32)


@lane
def _conclude(
    n_terms: int, noise_floor: np.float32, n: Rows, squares: Rows, low: Rows, high: Rows, out: NDArray[np.float32]
) -> None:
    """Turn the extremes of a cumulative sum, and a sum of squares, into the statistic of the test."""
    one, fitted = out.dtype.type(1), out.dtype.type(n_terms)
    least = noise_floor * noise_floor
    for p in range(out.size):
        variance = max(squares[p] / max(n[p] - fitted, one), least)
        out[p] = max(high[p], -low[p]) / np.sqrt(variance * max(n[p], one))


@jit
def cusum_scan(values: NDArray[np.float32], design: Design, noise_floor: np.float32, out: ScreenedPixels) -> None:
    """Screen the whole blocks of ``values``; pixels beyond the last whole block are left.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    design : float32, of the dates
    noise_floor : smallest s that is believed, unit of the values
    out : (index, pixel) and (pixel,) arrays, out
    """
    n_index, n_time, n_pixel = values.shape
    n_terms = design.terms.shape[1]
    weight = np.empty((DATES_TOGETHER, LANES), np.float32)
    x = np.empty((n_index, DATES_TOGETHER, LANES), np.float32)
    sums = np.empty((design.products.shape[1], LANES), np.float32)
    matrix = np.empty((design.first.size, LANES), np.float32)
    right = np.empty((n_index, n_terms, LANES), np.float32)
    # one array each: numba gives the rows of an unpacked array an unknown layout, and vectorises nothing
    total, squares = np.empty((n_index, LANES), np.float32), np.empty((n_index, LANES), np.float32)
    low, high = np.empty((n_index, LANES), np.float32), np.empty((n_index, LANES), np.float32)
    for start in range(0, n_pixel - LANES + 1, LANES):
        stop = start + LANES
        sums[:] = 0
        right[:] = 0
        for t in range(0, n_time, DATES_TOGETHER):
            load_dates(values, t, start, weight, x)
            for k in range(n_index):
                gram(design.terms[t : t + DATES_TOGETHER], x[k], right[k])
            gram(design.products[t : t + DATES_TOGETHER], weight, sums)
        normal(design, sums, matrix)
        factor(matrix, n_terms, SCREEN_PIVOT)
        for k in range(n_index):
            solve(matrix, right[k])
        total[:] = 0
        squares[:] = 0
        low[:] = 0
        high[:] = 0
        for t in range(0, n_time, DATES_TOGETHER):
            load_dates(values, t, start, weight, x)
            for k in range(n_index):
                residual(design.terms[t : t + DATES_TOGETHER], right[k], weight, x[k])
                update(x[k, 0], x[k, 1], x[k, 2], x[k, 3], total[k], squares[k], low[k], high[k])
        for p in range(LANES):
            out.n_clear[start + p] = int(sums[0, p])
            out.first[start + p] = find_clear(values, start + p, 0, 1)
            out.last[start + p] = find_clear(values, start + p, n_time - 1, -1)
        for k in range(n_index):
            _conclude(n_terms, noise_floor, sums[0], squares[k], low[k], high[k], out.statistic[k, start:stop])
