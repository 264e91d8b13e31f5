"""The vocabulary of the lane layout: pixels side by side in SIMD lanes, dates one after the other.

A block of pixels is read row by row as it lies in memory, (time, pixel), without a transpose. Every word below is a
loop over the lanes of a few rows, so that LLVM turns it into vector instructions; nothing is allocated and nothing
depends on a lane's neighbours. Blocks are always full (the last is padded with NaN), so a pixel's result cannot
depend on where in a block it stood.

    load       rows of a block to numbers and weights (1 clear, 0 not); `load_first` begins a date,
               `load_dates` takes four
    gram       add dates to weighted sums of the design
    normal     those sums as the normal equations (`kernels.lanes.cholesky`)
    solve      Cholesky factor of the normal equations, and the coefficients
    residual   what the coefficients leave of four dates
    update     a running process: cumulative sum, and its extremes

The search (`kernels.phases.evidence`, `kernels.phases.climate`) uses the same words on one pixel: there the lanes are
positions in its record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import DATES_TOGETHER, Rows
from groundbreak.kernels.lanes.jit import helper, lane

LANES = 512
"""Pixels to a block. Rows of 2 kB leave 20 of them in the first-level cache, and a block of 400 dates in the second."""


def whole_blocks(values: NDArray[Any]) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the pixels and the values of all whole blocks, then of the rest, padded with NaN to one more block.

    Parameters
    ----------
    values : (..., pixel) float
    """
    n_pixel = values.shape[-1]
    full = n_pixel // LANES * LANES
    if full:
        yield slice(0, full), values  # kernels stop at the last whole block: cutting here would copy it all
    if full < n_pixel:
        block = np.full((*values.shape[:-1], LANES), np.nan, values.dtype)
        block[..., : n_pixel - full] = values[..., full:]
        yield slice(full, n_pixel), block


@helper
def is_clear(values: NDArray[Any], t: int, pixel: int) -> bool:
    """Return whether date t of a pixel of (index, time, pixel) float values is finite in every index."""
    every = True
    for k in range(values.shape[0]):  # without a branch: half of them would be guessed wrong
        every = every & (abs(values[k, t, pixel]) < np.inf)
    return every


@helper
def find_clear(values: NDArray[Any], pixel: int, t: int, step: int) -> int:
    """Return the first clear date of a pixel from ``t`` on; the number of dates, or -1, where there is none.

    It looks at one pixel, and ends after a few looks.

    Parameters
    ----------
    values : (index, time, pixel) float; NaN or infinite = not clear
    step : 1 to look forwards, -1 to look backwards
    """
    while 0 <= t < values.shape[1] and not is_clear(values, t, pixel):
        t += step
    return t


@lane
def fill(value: float, out: Rows) -> None:
    """Set every lane of a row."""
    same = out.dtype.type(value)
    for p in range(out.size):
        out[p] = same


@lane
def copy(row: Rows, out: Rows) -> None:
    """Copy a row."""
    for p in range(out.size):
        out[p] = row[p]


@lane
def load_first(row: Rows, reference: Rows | None, weight: Rows, out: Rows) -> None:
    """Take the first row of a date less a reference, if any; it sets the weights: 1 where it is finite."""
    zero, one, limit = out.dtype.type(0), out.dtype.type(1), row.dtype.type(np.inf)
    for p in range(weight.size):
        clear = abs(row[p]) < limit
        weight[p] = one if clear else zero
        if reference is None:  # decided when it is compiled
            out[p] = row[p] if clear else zero
        else:
            out[p] = row[p] - reference[p] if clear else zero


@lane
def load(row: Rows, reference: Rows | None, weight: Rows, out: Rows) -> None:
    """Take a row less a reference, if any; a lane that is not finite loses its weight (kept for indices to come)."""
    zero, limit = out.dtype.type(0), row.dtype.type(np.inf)  # literals would widen float32 to float64
    for p in range(weight.size):
        clear = abs(row[p]) < limit
        weight[p] = weight[p] if clear else zero
        if reference is None:
            out[p] = row[p] if clear else zero
        else:
            out[p] = row[p] - reference[p] if clear else zero


@lane
def drop(weight: Rows, out: Rows) -> None:
    """Set the values without weight to 0."""
    for p in range(weight.size):
        out[p] *= weight[p]


@helper
def load_dates(values: NDArray[Any], t: int, start: int, reference: Rows | None, weight: Rows, x: NDArray[Any]) -> None:
    """Load a group of dates of a block, t and those after it; dates beyond the last have no weight.

    Parameters
    ----------
    values : (index, time, pixel) float32 or float64; NaN or infinite = not clear
    t, start : first date of the group, first pixel of the block
    reference : (index, LANES), what is taken off the values; or None
    weight : (DATES_TOGETHER, LANES), out: 1 where clear in every index, else 0
    x : (index, DATES_TOGETHER, LANES), out: the values, 0 where not clear
    """
    n_index, n_time, _ = values.shape
    stop = start + LANES
    for q in range(DATES_TOGETHER):
        if t + q >= n_time:
            fill(0, weight[q])
            x[:, q] = 0
            continue
        if reference is None:
            load_first(values[0, t + q, start:stop], None, weight[q], x[0, q])
            for k in range(1, n_index):
                load(values[k, t + q, start:stop], None, weight[q], x[k, q])
        else:
            load_first(values[0, t + q, start:stop], reference[0], weight[q], x[0, q])
            for k in range(1, n_index):
                load(values[k, t + q, start:stop], reference[k], weight[q], x[k, q])
        if n_index > 1:
            for k in range(n_index):
                drop(weight[q], x[k, q])


@lane
def _add(factors: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows, sum0: Rows, sum1: Rows, sum2: Rows) -> None:
    """Add four dates to three sums; ``factors`` (4, 3)."""
    a0, a1, a2, a3 = factors[0, 0], factors[1, 0], factors[2, 0], factors[3, 0]
    b0, b1, b2, b3 = factors[0, 1], factors[1, 1], factors[2, 1], factors[3, 1]
    c0, c1, c2, c3 = factors[0, 2], factors[1, 2], factors[2, 2], factors[3, 2]
    for p in range(x0.size):
        sum0[p] += a0 * x0[p] + a1 * x1[p] + a2 * x2[p] + a3 * x3[p]
        sum1[p] += b0 * x0[p] + b1 * x1[p] + b2 * x2[p] + b3 * x3[p]
        sum2[p] += c0 * x0[p] + c1 * x1[p] + c2 * x2[p] + c3 * x3[p]


@lane
def _add_two(factors: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows, sum0: Rows, sum1: Rows) -> None:
    """Add four dates to two sums; ``factors`` (4, 2)."""
    a0, a1, a2, a3 = factors[0, 0], factors[1, 0], factors[2, 0], factors[3, 0]
    b0, b1, b2, b3 = factors[0, 1], factors[1, 1], factors[2, 1], factors[3, 1]
    for p in range(x0.size):
        sum0[p] += a0 * x0[p] + a1 * x1[p] + a2 * x2[p] + a3 * x3[p]
        sum1[p] += b0 * x0[p] + b1 * x1[p] + b2 * x2[p] + b3 * x3[p]


@lane
def _add_one(factors: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows, total: Rows) -> None:
    """Add four dates to one sum; ``factors`` (4,)."""
    a0, a1, a2, a3 = factors[0], factors[1], factors[2], factors[3]
    for p in range(x0.size):
        total[p] += a0 * x0[p] + a1 * x1[p] + a2 * x2[p] + a3 * x3[p]


@lane
def gram(factors: Rows, x: Rows, sums: Rows) -> None:
    """Add four dates q to sums: ``sums[a] += factors[q, a] * x[q]``.

    Parameters
    ----------
    factors : (DATES_TOGETHER, a), rows of ``Design.products`` (x: weights) or ``Design.terms`` (x: values)
    x : (DATES_TOGETHER, LANES)
    sums : (a, LANES), in, out
    """
    n = factors.shape[1]
    for a in range(0, n - 2, 3):
        _add(factors[:, a : a + 3], x[0], x[1], x[2], x[3], sums[a], sums[a + 1], sums[a + 2])
    a = n - n % 3
    if n % 3 == 2:
        _add_two(factors[:, a : a + 2], x[0], x[1], x[2], x[3], sums[a], sums[a + 1])
    if n % 3 == 1:
        _add_one(factors[:, a], x[0], x[1], x[2], x[3], sums[a])


@lane
def _less(factors: Rows, c0: Rows, c1: Rows, c2: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows) -> None:
    """Take three terms from four dates; ``factors`` (4, 3)."""
    a0, a1, a2, a3 = factors[0, 0], factors[1, 0], factors[2, 0], factors[3, 0]
    b0, b1, b2, b3 = factors[0, 1], factors[1, 1], factors[2, 1], factors[3, 1]
    d0, d1, d2, d3 = factors[0, 2], factors[1, 2], factors[2, 2], factors[3, 2]
    for p in range(c0.size):
        x0[p] -= a0 * c0[p] + b0 * c1[p] + d0 * c2[p]
        x1[p] -= a1 * c0[p] + b1 * c1[p] + d1 * c2[p]
        x2[p] -= a2 * c0[p] + b2 * c1[p] + d2 * c2[p]
        x3[p] -= a3 * c0[p] + b3 * c1[p] + d3 * c2[p]


@lane
def _leave(
    factors: Rows, c0: Rows, c1: Rows, c2: Rows, weight: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows
) -> None:  # fmt: skip
    """Take the last three terms from four dates, and drop what has no weight."""
    a0, a1, a2, a3 = factors[0, 0], factors[1, 0], factors[2, 0], factors[3, 0]
    b0, b1, b2, b3 = factors[0, 1], factors[1, 1], factors[2, 1], factors[3, 1]
    d0, d1, d2, d3 = factors[0, 2], factors[1, 2], factors[2, 2], factors[3, 2]
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for p in range(c0.size):
        x0[p] = w0[p] * (x0[p] - (a0 * c0[p] + b0 * c1[p] + d0 * c2[p]))
        x1[p] = w1[p] * (x1[p] - (a1 * c0[p] + b1 * c1[p] + d1 * c2[p]))
        x2[p] = w2[p] * (x2[p] - (a2 * c0[p] + b2 * c1[p] + d2 * c2[p]))
        x3[p] = w3[p] * (x3[p] - (a3 * c0[p] + b3 * c1[p] + d3 * c2[p]))


@lane
def _leave_two(factors: Rows, c0: Rows, c1: Rows, weight: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows) -> None:
    """Take the last two terms from four dates, and drop what has no weight."""
    a0, a1, a2, a3 = factors[0, 0], factors[1, 0], factors[2, 0], factors[3, 0]
    b0, b1, b2, b3 = factors[0, 1], factors[1, 1], factors[2, 1], factors[3, 1]
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for p in range(c0.size):
        x0[p] = w0[p] * (x0[p] - (a0 * c0[p] + b0 * c1[p]))
        x1[p] = w1[p] * (x1[p] - (a1 * c0[p] + b1 * c1[p]))
        x2[p] = w2[p] * (x2[p] - (a2 * c0[p] + b2 * c1[p]))
        x3[p] = w3[p] * (x3[p] - (a3 * c0[p] + b3 * c1[p]))


@lane
def _leave_one(factors: Rows, c: Rows, weight: Rows, x0: Rows, x1: Rows, x2: Rows, x3: Rows) -> None:
    """Take the last term from four dates, and drop what has no weight."""
    a0, a1, a2, a3 = factors[0], factors[1], factors[2], factors[3]
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for p in range(c.size):
        x0[p] = w0[p] * (x0[p] - a0 * c[p])
        x1[p] = w1[p] * (x1[p] - a1 * c[p])
        x2[p] = w2[p] * (x2[p] - a2 * c[p])
        x3[p] = w3[p] * (x3[p] - a3 * c[p])


@lane
def residual(factors: Rows, coefficients: Rows, weight: Rows, x: Rows) -> None:
    """Subtract a fit from four dates q: ``x[q] = weight[q] * (x[q] - factors[q] . coefficients)``.

    Parameters
    ----------
    factors : (DATES_TOGETHER, term), rows of ``Design.terms``
    coefficients : (term, LANES)
    weight, x : (DATES_TOGETHER, LANES); x in, out
    """
    n = factors.shape[1]
    a = (n - 1) // 3 * 3
    for b in range(0, a, 3):
        c0, c1, c2 = coefficients[b], coefficients[b + 1], coefficients[b + 2]
        _less(factors[:, b : b + 3], c0, c1, c2, x[0], x[1], x[2], x[3])
    if n - a == 3:
        c0, c1, c2 = coefficients[a], coefficients[a + 1], coefficients[a + 2]
        _leave(factors[:, a:n], c0, c1, c2, weight, x[0], x[1], x[2], x[3])
    if n - a == 2:
        _leave_two(factors[:, a:n], coefficients[a], coefficients[a + 1], weight, x[0], x[1], x[2], x[3])
    if n - a == 1:
        _leave_one(factors[:, a], coefficients[a], weight, x[0], x[1], x[2], x[3])


@lane
def update(x0: Rows, x1: Rows, x2: Rows, x3: Rows, total: Rows, squares: Rows, low: Rows, high: Rows) -> None:
    """Take the residuals of four dates into the cumulative sum, its extremes so far, and the sum of squares."""
    for p in range(total.size):
        s0 = total[p] + x0[p]
        s1 = s0 + x1[p]
        s2 = s1 + x2[p]
        s3 = s2 + x3[p]
        total[p] = s3
        squares[p] += x0[p] * x0[p] + x1[p] * x1[p] + x2[p] * x2[p] + x3[p] * x3[p]
        low[p] = min(min(low[p], s0), min(min(s1, s2), s3))
        high[p] = max(max(high[p], s0), max(max(s1, s2), s3))
