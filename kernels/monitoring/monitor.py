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

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import DATES_TOGETHER, Design
from groundbreak.kernels.lanes.jit import helper, jit
from groundbreak.kernels.lanes.processes import (
    add,
    add_squares,
    count_clear,
    find_near,
    floor_variance,
    outside,
    store_sums,
    window_sum,
)
from groundbreak.kernels.lanes.words import LANES, fill, is_clear, load_dates, residual
from groundbreak.kernels.monitoring.history import fit, judge
from groundbreak.kernels.monitoring.model import TIE, HistoryFit, Limits, Processes, Rule, Watched
from groundbreak.kernels.types import Floats, Ints


@helper
def note_alarms(
    code: int, moved: Floats, spread: Floats, n: Floats, window: float, limits: Limits, out: Processes
) -> None:
    """Write ``code`` to the pixels whose process is outside its bound, and stop watching them.

    Parameters
    ----------
    code : date * indices + index
    moved, spread, n : (LANES,) float64, the process, its variance, and clear observations of the history
    window : h of the MOSUM, 0 for the CUSUM
    """
    near, seen, alarm, limit, level = out.near, out.seen, out.alarm, limits.limit, limits.level
    for p in range(LANES):
        if near[p] > 0 and outside(moved[p], spread[p], float(seen[p]), n[p], limit[p], window):
            alarm[p], level[p] = code, np.inf


@helper
def watch(
    values: NDArray[np.float32],
    start: int,
    design: Design,
    rule: Rule,
    fitted: HistoryFit,
    limits: Limits,
    weight: Floats,
    x: Floats,
    out: Processes,
) -> None:
    """Run the processes of a block over all dates, and note the first alarm of every pixel.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    start : first pixel of the block
    limits : in, and out: the level of a pixel that has alarmed is infinite
    weight, x : (DATES_TOGETHER, LANES) and (index, DATES_TOGETHER, LANES) float64, scratch
    """
    n_index, n_time, _ = values.shape
    n, size, coefficients = fitted.sums[0], fitted.size, fitted.coefficients
    total, spread, past, seen, near, window = out.total, out.spread, out.past, out.seen, out.near, out.window
    level, rise, width = limits.level, limits.rise, limits.width  # once: reading an array out of a tuple counts it
    total[:], spread[:], seen[:] = 0, 0, 0
    fill(n_time * n_index, out.alarm)
    for t in range(n_time):
        q = t % DATES_TOGETHER
        if q == 0:
            load_dates(values, t, start, None, weight, x)
            for k in range(n_index):
                residual(design.terms[t : t + DATES_TOGETHER], coefficients[k], weight, x[k])
        count_clear(weight[q], seen)
        for k in range(n_index):
            add(x[k, q], total[k])
            if rule.window > 0:
                store_sums(total[k], seen, past[k])
            if t < rule.n_history:
                add_squares(x[k, q], spread[k])
                continue
            if t == rule.n_history:
                floor_variance(n, design.terms.shape[1], size[k], spread[k])
            moved = total[k]
            if rule.window > 0:
                window_sum(total[k], seen, width, past[k], window)
                moved = window
            if find_near(moved, spread[k], weight[q], seen, n, level, rise, near) > 0:
                note_alarms(t * n_index + k, moved, spread[k], n, rule.window, limits, out)


@helper
def residual_at(values: NDArray[np.float32], k: int, t: int, pixel: int, terms: Floats, coefficients: Floats) -> float:
    """Return what ``coefficients`` (index, term) float64 leave of index k of a pixel at date t."""
    e = np.float64(values[k, t, pixel])
    for a in range(terms.shape[1]):
        e -= terms[t, a] * coefficients[k, a]
    return e


@helper
def trace_alarm(
    values: NDArray[np.float32],
    pixel: int,
    terms: Floats,
    coefficients: Floats,
    rule: Rule,
    width: int,
    tie: float,
    code: int,
    places: Ints,
    out: Watched,
) -> None:
    """Walk a pixel that alarmed once more, alone: where its change may have begun, and how large it is.

    The CUSUM drifts from the change on, so its last turn before the alarm is where the change surely had not begun;
    for the MOSUM that is the observation before the window.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    terms : (time, term) float64
    coefficients : (index, term) float64
    width : observations in the window of the MOSUM, 0 for the CUSUM
    tie : sums this close count as equal, in the unit of the index
    code : date * indices + index of the alarm
    places : (time,) int64, scratch
    out : (pixel,) each, out: alarm, before, origin, mean and evidence
    """
    n_index, n_time, _ = values.shape
    alarm, k = code // n_index, code % n_index
    number, total, low, high = 0, 0.0, 0.0, 0.0
    low_at = high_at = out.kept[pixel]
    shift = 0.0
    for t in range(n_time):
        if not is_clear(values, t, pixel):
            continue
        places[number] = t
        number += 1
        if rule.n_history <= t <= alarm:
            total += residual_at(values, k, t, pixel, terms, coefficients)
            if t < alarm and total <= low + tie:
                low, low_at = min(low, total), t
            if t < alarm and total >= high - tie:
                high, high_at = max(high, total), t
        if t == alarm:
            out.before[pixel] = places[number - 2]
            out.origin[pixel] = low_at if total > 0 else high_at
            if width > 0:
                out.origin[pixel] = max(places[number - 1 - width], out.kept[pixel])
            out.evidence[pixel] = -(number - 1)
        if t >= alarm:
            shift += residual_at(values, 0, t, pixel, terms, coefficients)
    out.alarm[pixel] = alarm
    out.evidence[pixel] += number
    out.mean[pixel] = shift / out.evidence[pixel]


@jit
def monitor_scan(values: NDArray[np.float32], design: Design, rule: Rule, out: Watched) -> None:
    """Monitor the whole blocks of ``values``; pixels beyond the last whole block are left.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    design : float64, its trend scaled to the first ``rule.n_history`` dates
    out : (pixel,) each, out; made by `kernels.monitoring.model.nothing_watched`
    """
    n_index, n_time, n_pixel = values.shape
    n_terms = design.terms.shape[1]
    weight, x = np.empty((DATES_TOGETHER, LANES)), np.empty((n_index, DATES_TOGETHER, LANES))
    fitted = HistoryFit(
        np.empty((design.products.shape[1], LANES)),
        np.empty((design.first.size, LANES)),
        np.empty((n_index + 1, n_terms, LANES)),
        np.empty((n_terms, LANES)),
        np.empty((n_index, LANES)),
    )
    spread, total = np.empty((n_index, LANES)), np.empty((n_index, LANES))
    past = np.zeros((n_index, n_time + 1 if rule.window > 0 else 0, LANES))
    rows, rise = np.empty((6, LANES)), np.empty((2, LANES))  # by number: unpacked rows lose their layout
    counts = np.empty((2, LANES), np.uint64)
    limits = Limits(rows[0], rows[1], rows[2], rise, counts[1])
    processes = Processes(total, spread, past, rows[3], rows[4], rows[5], counts[0])
    places = np.empty(n_time, np.int64)
    for start in range(0, n_pixel - LANES + 1, LANES):
        fit(values, start, design, rule.n_history, weight, x, fitted)
        judge(values, start, rule, fitted, limits, out)
        watch(values, start, design, rule, fitted, limits, weight, x, processes)
        for p in range(LANES):
            code = int(processes.alarm[p])
            if code == n_time * n_index:
                continue
            tie = TIE * np.sqrt(spread[code % n_index, p] * fitted.sums[0, p])
            coefficients, width = fitted.coefficients[:, :, p], int(limits.width[p])
            trace_alarm(values, start + p, design.terms, coefficients, rule, width, tie, code, places, out)
