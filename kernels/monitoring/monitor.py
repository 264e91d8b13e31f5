"""Monitoring in lanes: a season fitted to a history, and what it leaves of later dates, summed until it leaves a bound.

OLS-based CUSUM and MOSUM (Chu, Stinchcombe & White 1996; Leisch, Hornik & Kuan 2000; Zeileis et al. 2005, as in R's
strucchange and bfast). With residuals e_i of the clear observations i = 1..n of the history and n + 1.. after it, and
s^2 = RSS / (n - terms):

    CUSUM  S_t = sum of e_1..e_t / (s sqrt(n)),            bound sqrt(x (x - 1) (c^2 + ln(x / (x - 1)))),  x = t / n
    MOSUM  M_t = sum of e_(t-K+1)..e_t / (s sqrt(n)),      bound c sqrt(2 log+(t / n)),  K = floor(h n)

log+ is 1 up to e, then ln. An alarm is the first t > n whose process lies outside its bound. Arithmetic is float64
throughout, so that results agree with published ones; c is given, or calibrated (`kernels.monitoring.critical`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import TOGETHER, Design
from groundbreak.kernels.lanes.jit import helper, jit
from groundbreak.kernels.lanes.processes import (
    add,
    add_products,
    add_squares,
    count,
    find_near,
    floor_variance,
    keep,
    outside,
    own_variance,
    window_sum,
)
from groundbreak.kernels.lanes.words import (
    LANES,
    clear,
    drop,
    factor,
    fill,
    find_clear,
    gram,
    load,
    load_dates,
    normal,
    residual,
    solve,
)
from groundbreak.kernels.types import Floats, Ints

LEAST_PIVOT = 1e-6
"""Smallest squared pivot of a fit: a history below it cannot tell its terms apart, and is not monitored."""


SLACK = 1e-6
"""Processes this close, where it matters which is lower, are equal: rounding must not decide."""


class Rule(NamedTuple):
    """What is monitored: ``n_history`` dates are fitted; ``window`` is h of the MOSUM, 0 for the CUSUM; ``limits``
    (n + 1, m + 1) float64: c^2 of pixels with n clear observations in the history and m after it; ``own``: whether
    that is in units of the pixel's own prediction variance (`kernels.lanes.processes.own_variance`)."""

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
    return Watched(
        history=counts[0],
        after=counts[1],
        first=places[0],
        kept=places[1],
        last=places[2],
        tested=np.zeros(n_pixel, np.bool_),
        alarm=places[3],
        before=places[4],
        origin=places[5],
        mean=np.full(n_pixel, np.nan),
        evidence=counts[2],
    )


@helper
def trace(
    values: NDArray[np.float32],
    pixel: int,
    terms: Floats,
    coefficients: Floats,
    rule: Rule,
    width: int,
    slack: float,
    code: int,
    places: Ints,
    out: Watched,
) -> None:
    """Walk a pixel that alarmed once more, alone: where its change may have begun, and how large it is.

    The CUSUM drifts from the change on, so its last turn before the alarm is where the change surely had not begun;
    for the MOSUM that is the observation before the window.

    Parameters
    ----------
    coefficients : (index, term) float64; slack : sums this close count as equal
    code : position * indices + index of the alarm
    places : (time,) int64, scratch
    """
    n_index, n_time, _ = values.shape
    alarm, k = code // n_index, code % n_index
    number, total, low, high = 0, 0.0, 0.0, 0.0
    low_at = high_at = out.kept[pixel]
    shift = 0.0
    for t in range(n_time):
        if not clear(values, t, pixel):
            continue
        places[number] = t
        number += 1
        if rule.n_history <= t <= alarm:
            e = np.float64(values[k, t, pixel])
            for a in range(terms.shape[1]):
                e -= terms[t, a] * coefficients[k, a]
            total += e
            if t < alarm and total <= low + slack:
                low, low_at = min(low, total), t
            if t < alarm and total >= high - slack:
                high, high_at = max(high, total), t
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
    """Monitor whole blocks; pixels beyond the last are left; ``out`` as of `nothing_watched`."""
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
    for start in range(0, n_pixel - LANES + 1, LANES):
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
                    add_squares(x[k, q], size[k])
                gram(design.terms[t : t + TOGETHER], x[k], right[k])
        normal(design, sums, matrix)
        factor(matrix, n_terms, LEAST_PIVOT)
        for a in range(n_terms):
            add(ahead[a], right[n_index, a])
        for k in range(n_index + 1):
            solve(matrix, right[k])
        for a in range(n_terms):
            add_products(ahead[a], right[n_index, a], far)
        for p in range(LANES):
            m = ahead[0, p]
            tested = n[p] >= 2 * n_terms and m > 0
            for j in range(n_terms):  # the factor's diagonal holds reciprocals
                tested &= matrix[j * (j + 3) // 2, p] ** 2 * LEAST_PIVOT < 1 - 1e-9
            out.history[start + p], out.after[start + p], out.tested[start + p] = int(n[p]), int(m), tested
            first = find_clear(values, start + p, 0, 1)
            out.first[start + p] = first if first < n_time else -1
            out.kept[start + p] = find_clear(values, start + p, rule.n_history - 1, -1)
            out.last[start + p] = find_clear(values, start + p, n_time - 1, -1)
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
            q = t % TOGETHER
            if q == 0:
                load_dates(values, t, start, weight, x)
                for k in range(n_index):
                    residual(design.terms[t : t + TOGETHER], right[k], weight, x[k])
            count(weight[q], seen)
            for k in range(n_index):
                add(x[k, q], total[k])
                if rule.window > 0:
                    keep(total[k], seen, past[k])
                if t < rule.n_history:
                    add_squares(x[k, q], spread[k])
                    continue
                if t == rule.n_history:
                    floor_variance(n, n_terms, size[k], spread[k])
                moved = total[k]
                if rule.window > 0:
                    window_sum(total[k], seen, width, past[k], process)
                    moved = process
                if find_near(moved, spread[k], weight[q], seen, n, level, rise, near) > 0:
                    for p in range(LANES):
                        if near[p] > 0 and outside(moved[p], spread[k, p], float(seen[p]), n[p], limit[p], rule.window):
                            alarm[p], level[p] = t * n_index + k, np.inf
        for p in range(LANES):
            if alarm[p] == never:
                continue
            code = int(alarm[p])
            slack = SLACK * np.sqrt(spread[code % n_index, p] * n[p])
            coefficients = right[:, :, p]
            trace(values, start + p, design.terms, coefficients, rule, int(width[p]), slack, code, places, out)
