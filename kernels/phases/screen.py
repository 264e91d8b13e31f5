"""The screen: which pixels may have changed at all, over every pixel, in lanes.

The OLS-based CUSUM test of a whole record (Ploberger & Kraemer 1992): fit level and season once to everything, and
follow the cumulative sum of what they leave. Stable ground leaves noise around zero; ground that changed once leaves
one sign before and the other after, whenever that was, so no history has to be set aside. The trend is left out on
purpose: it would take half of a step with it.

The first clear value of each index is taken off first, so that the rounding of large numbers makes no statistic. The
season takes a part of a step with it, too, and in a record of a year all of it: the screen says how much it leaves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.cholesky import factor, forward, normal, solve, subtract
from groundbreak.kernels.lanes.design import DATES_TOGETHER, Design, Rows, make_design
from groundbreak.kernels.lanes.jit import helper, jit, lane
from groundbreak.kernels.lanes.words import (
    LANES,
    copy,
    fill,
    find_clear,
    gram,
    load_dates,
    residual,
    update,
    whole_blocks,
)
from groundbreak.kernels.types import Ints

SCREEN_HARMONICS = 2

SCREEN_PIVOT = 1e-3
"""Smallest squared pivot that is divided by: a term that the dates cannot tell apart counts for nothing."""

ROUNDING = 5e-5
"""Noise below this share of what was fitted, the sum of the coefficients' magnitudes, is not believed: it is where
float32 rounds. Indices, whose noise is a thousand times larger, never meet it."""

TOO_LARGE = 1e18
"""float32 cannot hold the square of more."""

STEP_DAYS = 120
"""Days between two dates at which a step is tried, about: one of them is near the middle of any longer record."""


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
    left: NDArray[np.float32]
    """(pixel,) float32: what the season leaves of a step of 1 near the middle of the clear observations: the sum of
    its squares, which is the number of observations that speak for it."""


def empty_screened(n_index: int, n_pixel: int) -> ScreenedPixels:
    """Make room for what the screen sees of ``n_pixel`` pixels."""
    counts = np.zeros((3, n_pixel), np.int64)
    statistic, left = np.empty((n_index, n_pixel), np.float32), np.empty(n_pixel, np.float32)
    return ScreenedPixels(statistic, counts[0], counts[1], counts[2], left)


def step_places(days: Ints) -> Ints:
    """Return where steps are tried: positions of dates, multiples of DATES_TOGETHER, or of the end; increasing.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01, increasing
    """
    places = [0]
    for place in range(DATES_TOGETHER, days.size, DATES_TOGETHER):
        if days[place] - days[places[-1]] >= STEP_DAYS:
            places.append(place)
    return np.array(places[1:] or [days.size], np.int64)


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
    out = empty_screened(n_index, n_pixel)
    design, places = _tables(days.tobytes())
    for part, block in whole_blocks(np.ascontiguousarray(values)):
        found = empty_screened(n_index, block.shape[2])
        cusum_scan(block, design, places, np.float32(noise_floor), found)
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = list(zip(out, found, strict=True))
        for whole, piece in pairs:
            whole[..., part] = piece[..., : part.stop - part.start]
    return out


@lru_cache(maxsize=4)
def _tables(days: bytes) -> tuple[Design, Ints]:
    """Make the design of the dates whose int64 days are ``days``, and where steps are tried.

    A region is screened in many blocks of the same dates.
    """
    dates = np.frombuffer(days, np.int64)
    return make_design(dates, SCREEN_HARMONICS, trend=False, dtype=np.float32), step_places(dates)


@lane
def _add_size(row: Rows, out: Rows) -> None:
    """Add the magnitudes of a row to sums."""
    for p in range(out.size):
        out[p] += abs(row[p])


@helper
def _add_sizes(rows: Rows, out: Rows) -> None:
    """Add the magnitudes of rows to sums."""
    for a in range(rows.shape[0]):
        _add_size(rows[a], out)


@lane
def _refuse_large(reference: Rows, statistic: Rows) -> None:
    """Make the statistic of numbers that cannot be squared infinite, also where all of them are the same."""
    limit, infinite = statistic.dtype.type(TOO_LARGE), statistic.dtype.type(np.inf)
    for p in range(statistic.size):
        statistic[p] = infinite if abs(reference[p]) > limit else statistic[p]


@helper
def take_references(values: NDArray[np.float32], start: int, first: Ints, out: Rows) -> None:
    """Take the first clear value of every pixel of a block, and of every index; 0 where there is none.

    Parameters
    ----------
    values : (index, time, pixel) float32
    start : first pixel of the block
    first : (pixel,) int64, out: position of the first clear date
    out : (index, LANES), out
    """
    for p in range(LANES):
        at = find_clear(values, start + p, 0, 1)
        first[start + p] = at
        for k in range(values.shape[0]):
            out[k, p] = values[k, at, start + p] if at < values.shape[1] else 0


@lane
def _conclude(
    n_terms: int, noise_floor: np.float32, size: Rows, n: Rows, squares: Rows, low: Rows, high: Rows, out: Rows
) -> None:
    """Turn the extremes of a cumulative sum, and a sum of squares, into the statistic of the test.

    Parameters
    ----------
    size : (LANES,) sums of the coefficients' magnitudes
    """
    one, fitted, share = out.dtype.type(1), out.dtype.type(n_terms), out.dtype.type(ROUNDING)
    for p in range(out.size):
        least = max(noise_floor, share * size[p])
        variance = max(squares[p] / max(n[p] - fitted, one), least * least)
        out[p] = max(high[p], -low[p]) / np.sqrt(variance * max(n[p], one))


@lane
def _choose(count: Rows, n: Rows, place: int, off: Rows, chosen: Rows) -> None:
    """Choose a place where the observations before it are nearer to half of all than at the places before."""
    this = chosen.dtype.type(place)
    for p in range(off.size):
        miss = abs(count[p] + count[p] - n[p])
        nearer = miss < off[p]
        off[p] = miss if nearer else off[p]
        chosen[p] = this if nearer else chosen[p]


@helper
def _keep(sums: Rows, out: Rows) -> None:
    """Copy the first rows. Where a slice of rows is assigned, numba compiles for seconds, for the text of an error."""
    for row in range(out.shape[0]):
        copy(sums[row], out[row])


@lane
def _take(row: Rows, chosen: Rows, place: int, out: Rows) -> None:
    """Take the lanes of a row whose place is chosen."""
    this = chosen.dtype.type(place)
    for p in range(out.size):
        out[p] = row[p] if chosen[p] == this else out[p]


@helper
def step_left(before: Rows, matrix: Rows, n: Rows, work: Rows, left: Rows) -> None:
    """Find what the fit leaves of a step near the middle of the clear observations of every lane.

    A step is the sum of the terms before its place: less what the factor of the normal equations takes of it, its
    square is what is left. So places cost nothing but a copy of sums that are there.

    Parameters
    ----------
    before : (place, term, LANES), sums of the terms before each place, the first the number of observations
    matrix : of `kernels.lanes.cholesky.factor`
    n : (LANES,) clear observations
    work : (2 + term, LANES) scratch
    left : (LANES,) out, observations
    """
    off, chosen, right = work[0], work[1], work[2:]
    fill(np.inf, off)
    for place in range(before.shape[0]):
        _choose(before[place, 0], n, place, off, chosen)
    for place in range(int(chosen.min()), int(chosen.max()) + 1):  # few: neighbours have the same dates, about
        for a in range(before.shape[1]):
            _take(before[place, a], chosen, place, right[a])
    copy(right[0], left)
    forward(matrix, right)
    for a in range(before.shape[1]):
        subtract(right[a], right[a], left)


@jit
def cusum_scan(
    values: NDArray[np.float32], design: Design, places: Ints, noise_floor: np.float32, out: ScreenedPixels
) -> None:
    """Screen the whole blocks of ``values``; pixels beyond the last whole block are left.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    design : float32, of the dates
    places : (place,) int64, where steps are tried, of `step_places`
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
    reference, size = np.empty((n_index, LANES), np.float32), np.empty((n_index, LANES), np.float32)
    before = np.zeros((places.size, n_terms, LANES), np.float32)  # the first products are the terms
    work = np.empty((2 + n_terms, LANES), np.float32)
    for start in range(0, n_pixel - LANES + 1, LANES):
        stop = start + LANES
        take_references(values, start, out.first, reference)
        sums[:] = 0
        right[:] = 0
        size[:] = 0
        place = 0
        for t in range(0, n_time, DATES_TOGETHER):
            if place < places.size and t == places[place]:
                _keep(sums, before[place])
                place += 1
            load_dates(values, t, start, reference, weight, x)
            for k in range(n_index):
                gram(design.terms[t : t + DATES_TOGETHER], x[k], right[k])
            gram(design.products[t : t + DATES_TOGETHER], weight, sums)
        normal(design, sums, matrix)
        factor(matrix, n_terms, SCREEN_PIVOT)
        step_left(before, matrix, sums[0], work, out.left[start:stop])
        for k in range(n_index):
            solve(matrix, right[k])
            _add_sizes(right[k], size[k])
        total[:] = 0
        squares[:] = 0
        low[:] = 0
        high[:] = 0
        for t in range(0, n_time, DATES_TOGETHER):
            load_dates(values, t, start, reference, weight, x)
            for k in range(n_index):
                residual(design.terms[t : t + DATES_TOGETHER], right[k], weight, x[k])
                update(x[k, 0], x[k, 1], x[k, 2], x[k, 3], total[k], squares[k], low[k], high[k])
        for p in range(LANES):
            out.n_clear[start + p] = int(sums[0, p])
            out.last[start + p] = find_clear(values, start + p, n_time - 1, -1)
        for k in range(n_index):
            _conclude(n_terms, noise_floor, size[k], sums[0], squares[k], low[k], high[k], out.statistic[k, start:stop])
            _refuse_large(reference[k], out.statistic[k, start:stop])
