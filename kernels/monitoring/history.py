"""The history of a block of pixels: a season is fitted to it, and it decides what is monitored and by which limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.cholesky import factor, normal, solve
from groundbreak.kernels.lanes.design import DATES_TOGETHER, Design
from groundbreak.kernels.lanes.jit import helper
from groundbreak.kernels.lanes.processes import add, add_products, add_squares, outside, own_variance
from groundbreak.kernels.lanes.words import LANES, drop, fill, find_clear, gram, load
from groundbreak.kernels.monitoring.model import HISTORY_PIVOT, STEP_SEEN, HistoryFit, Limits, Rule, Watched
from groundbreak.kernels.types import Floats


@helper
def fit(
    values: NDArray[np.float32], start: int, design: Design, n_history: int, weight: Floats, x: Floats, out: HistoryFit
) -> None:
    """Fit the design to the history of a block, and sum up where the clear dates after it lie.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    start : first pixel of the block
    n_history : number of dates in the history
    weight, x : (DATES_TOGETHER, LANES) and (index, DATES_TOGETHER, LANES) float64, scratch
    """
    n_index, n_time, _ = values.shape
    sums, matrix, coefficients, ahead, size = out.sums, out.matrix, out.coefficients, out.ahead, out.size
    sums[:], coefficients[:], ahead[:], size[:] = 0, 0, 0, 0
    old_groups, both = -(-n_history // DATES_TOGETHER), n_history // DATES_TOGETHER
    for group in range(old_groups - both + -(-n_time // DATES_TOGETHER)):
        new = group >= old_groups
        t = (group - old_groups + both if new else group) * DATES_TOGETHER
        begin, end = (n_history, n_time) if new else (0, n_history)
        for q in range(DATES_TOGETHER):
            fill(1 if begin <= t + q < end else 0, weight[q])
            for k in range(n_index):
                load(values[k, min(t + q, n_time - 1), start : start + LANES], None, weight[q], x[k, q])
        if new:
            gram(design.terms[t : t + DATES_TOGETHER], weight, ahead)
            continue
        gram(design.products[t : t + DATES_TOGETHER], weight, sums)
        for k in range(n_index):
            for q in range(DATES_TOGETHER):
                drop(weight[q], x[k, q])
                add_squares(x[k, q], size[k])
            gram(design.terms[t : t + DATES_TOGETHER], x[k], coefficients[k])
    normal(design, sums, matrix)
    factor(matrix, ahead.shape[0], HISTORY_PIVOT)
    for a in range(ahead.shape[0]):
        add(ahead[a], coefficients[n_index, a])
    for k in range(n_index + 1):
        solve(matrix, coefficients[k])


@helper
def judge(
    values: NDArray[np.float32], start: int, rule: Rule, fitted: HistoryFit, limits: Limits, out: Watched
) -> None:
    """Decide which pixels of a block can be monitored, and give each its limit.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    start : first pixel of the block
    limits : out
    out : (pixel,) each, out: history, after, first, kept, last, tested and sees
    """
    n_time, n_terms = values.shape[1], fitted.ahead.shape[0]
    n, matrix = fitted.sums[0], fitted.matrix  # the first product is that of the level with itself
    far, limit, level, rise, width = limits.far, limits.limit, limits.level, limits.rise, limits.width
    far[:], limit[:], level[:], rise[:], width[:] = 0, 0, 0, 0, 0
    for a in range(n_terms):
        add_products(fitted.ahead[a], fitted.coefficients[values.shape[0], a], far)
    for p in range(LANES):
        m = fitted.ahead[0, p]
        tested = n[p] >= 2 * n_terms and m > 0
        for j in range(n_terms):  # the factor's diagonal holds reciprocals
            tested &= matrix[j * (j + 3) // 2, p] ** 2 * HISTORY_PIVOT < 1 - 1e-9
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
        changed = min(0.5 * m, float(width[p])) if rule.window > 0 else 0.5 * m
        out.sees[start + p] = outside(STEP_SEEN * changed, 1.0, n[p] + m, n[p], limit[p], rule.window)
        if rule.window > 0:
            level[p] = 2.0 * n[p] * limit[p]
        else:
            rise[0, p], rise[1, p] = 1.0, limit[p] / n[p]
