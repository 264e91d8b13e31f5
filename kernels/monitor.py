"""Monitoring in lanes: a season fitted to a history, and what it leaves of later dates, summed until it leaves a bound.

OLS-based CUSUM and MOSUM (Chu, Stinchcombe & White 1996; Leisch, Hornik & Kuan 2000; Zeileis et al. 2005, as in R's
strucchange and bfast). With residuals e_i of the clear observations i = 1..n of the history and n + 1.. after it, and
s^2 = RSS / (n - terms):

    CUSUM  S_t = sum of e_1..e_t / (s sqrt(n)),            bound sqrt(x (x - 1) (c^2 + ln(x / (x - 1)))),  x = t / n
    MOSUM  M_t = sum of e_(t-K+1)..e_t / (s sqrt(n)),      bound c sqrt(2 log+(t / n)),  K = floor(h n)

log+ is 1 up to e, then ln. An alarm is the first t > n whose process lies outside its bound. Arithmetic is float64
throughout, so that results agree with published ones; c is given, or calibrated (:mod:`kernels.critical`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels._jit import helper, jit, lane
from kernels.lanes import LANES, TOGETHER, Design, Rows, drop, factor, fill, gram, load, normal, residual, solve
from kernels.series import Floats, Ints

Counts = NDArray[np.uint64]
"""(LANES,) numbers of observations that index a table; unsigned, or numba would look for negative ones."""

LEAST_PIVOT = 1e-6
"""Smallest squared pivot of a fit: a history below it cannot tell its terms apart, and is not monitored."""

PRECISION = float(np.finfo(np.float32).eps)
"""Noise below this share of the values' root mean square is the rounding of float32, and is not believed."""


class Rule(NamedTuple):
    """What is monitored: ``n_history`` dates are fitted; ``window`` is h of the MOSUM, 0 for the CUSUM; ``limits``
    (n + 1, m + 1) float64: c^2 of pixels with n clear observations in the history and m after it; ``own``: whether
    that is in units of the pixel's own prediction variance (see :func:`own_variance`)."""

    n_history: int
    window: float
    limits: Floats
    own: bool


class Watched(NamedTuple):
    """What monitoring found, (pixel,) each. ``history``, ``after``: clear observations; ``first``, ``kept``, ``last``:
    positions of the first, of the last of the history, of the last of all (-1: none); ``tested``: whether the history
    was fit for it. Of an alarm: its position (-1: none), ``before`` that of the observation before it, ``origin`` that
    of the last observation surely before the change, ``mean`` residual of the first index from the alarm on, and
    ``evidence``, the number of observations from the alarm on."""

    history: Ints
    after: Ints
    first: Ints
    kept: Ints
    last: Ints
    tested: NDArray[np.bool_]
    alarm: Ints
    before: Ints
    origin: Ints
    mean: Floats
    evidence: Ints


def nothing_watched(n_pixel: int) -> Watched:
    """Room for ``n_pixel`` results."""
    counts, places = np.zeros((3, n_pixel), np.int64), np.full((6, n_pixel), -1)
    tested, mean = np.zeros(n_pixel, np.bool_), np.full(n_pixel, np.nan)
    return Watched(*counts[:2], *places[:3], tested, *places[3:], mean, counts[2])


@lane
def _squares(x: Rows, out: Rows) -> None:
    for p in range(out.size):
        out[p] += x[p] * x[p]


@lane
def _sum(x: Rows, out: Rows) -> None:
    for p in range(out.size):
        out[p] += x[p]


@lane
def _believe(n: Rows, n_terms: int, size: Rows, spread: Rows) -> None:
    """From sums of squared residuals to the noise's variance, never below the rounding of the values."""
    terms, least = spread.dtype.type(n_terms), spread.dtype.type(PRECISION * PRECISION)
    for p in range(spread.size):
        spread[p] = max(spread[p] / (n[p] - terms), least * size[p] / n[p])


@lane
def _products(x: Rows, y: Rows, out: Rows) -> None:
    for p in range(out.size):
        out[p] += x[p] * y[p]


@lane
def _count(weight: Rows, out: Counts) -> None:
    for p in range(out.size):
        out[p] += np.uint64(weight[p])


@lane
def _keep(total: Rows, count: Counts, past: Rows) -> None:
    """Write the sums so far to ``past`` (observation, LANES), at the number of observations of each lane."""
    for p in range(total.size):
        past[count[p], p] = total[p]


@lane
def _window(total: Rows, count: Counts, width: Counts, past: Rows, out: Rows) -> None:
    """Sum over the last ``width`` observations of each lane."""
    for p in range(out.size):
        out[p] = total[p] - past[count[p] - width[p], p]


@lane
def _near(process: Rows, spread: Rows, weight: Rows, seen: Counts, n: Rows, level: Rows, rise: Rows, near: Rows) -> int:
    """Mark clear lanes whose squared process exceeds level + (t - n) (rise[0] + rise[1] t), and count them.

    With the values of :func:`_start_bound` that is never above the real bound and needs no logarithm, which would cost
    more than all the rest: ln(x / (x - 1)) >= 1 / x, and log+ >= 1.
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
def _outside(process: float, spread: float, t: float, n: float, limit: float, window: float) -> bool:
    """Whether the process is outside its bound, both times s sqrt(n); ``limit`` is c^2."""
    if window > 0:
        return process * process > spread * 2.0 * n * limit * max(np.log(t / n), 1.0)
    return process * process > spread * t * (t - n) / n * (limit + np.log(t / (t - n)))


@helper
def own_variance(n: float, m: float, far: float, width: float) -> float:
    """Variance of the squared process over its squared bound for c = 1, at its end, under white noise.

    A fitted trend is extrapolated, so that later residuals share an error far larger than their noise. ``far`` is the
    variance of the mean prediction of the m later observations, in units of the noise: that of their sum is
    m + m^2 far, that of a window of ``width`` (0: CUSUM) about width + width^2 far.
    """
    if width > 0:
        return width * (1.0 + width * far) / (2.0 * n)
    return n * (1.0 + m * far) / (n + m)


@helper
def _clear(values: NDArray[np.float32], t: int, pixel: int) -> bool:
    for k in range(values.shape[0]):
        if not np.isfinite(values[k, t, pixel]):
            return False
    return True


@helper
def _bracket(values: NDArray[np.float32], pixel: int, n_history: int, out: Watched) -> None:
    """Positions of the first clear observation, of the last of the history, and of the last."""
    n_time = values.shape[1]
    first, kept, last = 0, n_history - 1, n_time - 1
    while first < n_time and not _clear(values, first, pixel):
        first += 1
    while kept >= 0 and not _clear(values, kept, pixel):
        kept -= 1
    while last >= 0 and not _clear(values, last, pixel):
        last -= 1
    out.first[pixel], out.kept[pixel], out.last[pixel] = first if first < n_time else -1, kept, last


@helper
def _trace(
    values: NDArray[np.float32],
    pixel: int,
    terms: Floats,
    coefficients: Floats,
    rule: Rule,
    width: int,
    code: int,
    places: Ints,
    out: Watched,
) -> None:
    """Walk a pixel that alarmed once more, alone: where its change may have begun, and how large it is.

    The CUSUM drifts from the change on, so its last turn before the alarm is where the change surely had not begun;
    for the MOSUM that is the observation before the window.

    Parameters
    ----------
    coefficients : (index, term) float64; code : position * indices + index of the alarm; places : (time,) int64, scratch
    """
    n_index, n_time, _ = values.shape
    alarm, k = code // n_index, code % n_index
    number, total, low, high = 0, 0.0, 0.0, 0.0
    low_at = high_at = out.kept[pixel]
    shift = 0.0
    for t in range(n_time):
        if not _clear(values, t, pixel):
            continue
        places[number] = t
        number += 1
        if rule.n_history <= t <= alarm:
            e = np.float64(values[k, t, pixel])
            for a in range(terms.shape[1]):
                e -= terms[t, a] * coefficients[k, a]
            total += e
            if t < alarm and total <= low:
                low, low_at = total, t
            if t < alarm and total >= high:
                high, high_at = total, t
        if t == alarm:
            out.before[pixel] = places[number - 2]
            out.origin[pixel] = low_at if total > 0 else high_at
            if width > 0:
                out.origin[pixel] = max(places[number - 1 - width], out.kept[pixel])
            out.evidence[pixel] = -(number - 1)
        if t >= alarm:
            e = np.float64(values[0, t, pixel])
            for a in range(terms.shape[1]):
                e -= terms[t, a] * coefficients[0, a]
            shift += e
    out.alarm[pixel] = alarm
    out.evidence[pixel] += number
    out.mean[pixel] = shift / out.evidence[pixel]


@jit
def monitor_scan(values: NDArray[np.float32], design: Design, rule: Rule, out: Watched) -> None:
    """Monitor whole blocks: pixels a multiple of ``LANES``; ``out`` as of :func:`nothing_watched`."""
    n_index, n_time, n_pixel = values.shape
    n_terms = design.terms.shape[1]
    never = n_time * n_index
    weight = np.empty((TOGETHER, LANES))
    x = np.empty((n_index, TOGETHER, LANES))
    sums = np.empty((design.products.shape[1], LANES))
    matrix = np.empty((design.first.size, LANES))
    right = np.empty((n_index + 1, n_terms, LANES))
    ahead = np.empty((n_terms, LANES))
    size, spread, total = np.empty((n_index, LANES)), np.empty((n_index, LANES)), np.empty((n_index, LANES))
    past = np.zeros((n_index, n_time + 1 if rule.window > 0 else 0, LANES))
    rows, rise = np.empty((6, LANES)), np.empty((2, LANES))  # not unpacked: numba would lose that they are contiguous
    far, limit, level, process, near, alarm = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    counts = np.empty((2, LANES), np.uint64)
    seen, width = counts[0], counts[1]
    places = np.empty(n_time, np.int64)
    n = sums[0]  # the first product is that of the level with itself
    old_groups, both = -(-rule.n_history // TOGETHER), rule.n_history // TOGETHER
    for start in range(0, n_pixel, LANES):
        stop = start + LANES
        for table in (sums, ahead, size, spread, total, rows):
            table[:] = 0
        right[:] = 0
        rise[:], counts[:] = 0, 0
        # the normal equations of the history; then how many dates follow, and where they lie
        for group in range(old_groups - both + -(-n_time // TOGETHER)):
            new = group >= old_groups
            t = (group - old_groups + both if new else group) * TOGETHER
            begin, end = (rule.n_history, n_time) if new else (0, rule.n_history)
            for q in range(TOGETHER):
                fill(1 if begin <= t + q < end else 0, weight[q])
                for k in range(n_index):
                    load(values[k, min(t + q, n_time - 1), start:stop], weight[q], x[k, q])
            if new:
                gram(design.terms[t : t + TOGETHER], weight, ahead)
                continue
            gram(design.products[t : t + TOGETHER], weight, sums)
            for k in range(n_index):
                for q in range(TOGETHER):
                    drop(weight[q], x[k, q])
                    _squares(x[k, q], size[k])
                gram(design.terms[t : t + TOGETHER], x[k], right[k])
        normal(design, sums, matrix)
        factor(matrix, n_terms, LEAST_PIVOT)
        for a in range(n_terms):
            _sum(ahead[a], right[n_index, a])
        for k in range(n_index + 1):
            solve(matrix, right[k])
        for a in range(n_terms):
            _products(ahead[a], right[n_index, a], far)
        for p in range(LANES):
            m = ahead[0, p]
            tested = n[p] >= 2 * n_terms and m > 0
            for j in range(n_terms):  # the factor's diagonal holds reciprocals
                tested &= matrix[j * (j + 3) // 2, p] ** 2 * LEAST_PIVOT < 1 - 1e-9
            out.history[start + p], out.after[start + p], out.tested[start + p] = int(n[p]), int(m), tested
            _bracket(values, start + p, rule.n_history, out)
            if not tested:
                level[p] = np.inf
                continue
            if rule.window > 0:
                width[p] = np.uint64(max(1.0, np.floor(rule.window * n[p])))
            limit[p] = rule.limits[int(n[p]), int(m)]
            if rule.own:
                limit[p] *= own_variance(n[p], m, far[p] / (m * m), float(width[p]))
            if rule.window > 0:
                level[p] = 2.0 * n[p] * limit[p]
            else:
                rise[0, p], rise[1, p] = 1.0, limit[p] / n[p]
        fill(never, alarm)
        for t in range(n_time):
            fill(1, weight[0])
            for k in range(n_index):
                load(values[k, t, start:stop], weight[0], x[k, 0])
            _count(weight[0], seen)
            for k in range(n_index):
                residual(design.terms[t], right[k], weight[0], x[k, 0])
                _sum(x[k, 0], total[k])
                if rule.window > 0:
                    _keep(total[k], seen, past[k])
                if t < rule.n_history:
                    _squares(x[k, 0], spread[k])
                    continue
                if t == rule.n_history:
                    _believe(n, n_terms, size[k], spread[k])
                moved = total[k]
                if rule.window > 0:
                    _window(total[k], seen, width, past[k], process)
                    moved = process
                if _near(moved, spread[k], weight[0], seen, n, level, rise, near) > 0:
                    for p in range(LANES):
                        if near[p] > 0 and _outside(
                            moved[p], spread[k, p], float(seen[p]), n[p], limit[p], rule.window
                        ):
                            alarm[p], level[p] = t * n_index + k, np.inf
        for p in range(LANES):
            if alarm[p] < never:
                _trace(values, start + p, design.terms, right[:, :, p], rule, int(width[p]), int(alarm[p]), places, out)
