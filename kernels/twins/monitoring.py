"""Slow, obvious NumPy twin of the monitoring detectors: the oracle of the tests.

It takes the same rule as the kernel, limits included, and shares nothing else: least squares on the rows of a pixel,
cumulative sums of its clear observations, and plain loops.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.processes import PRECISION
from groundbreak.kernels.layers import Layers
from groundbreak.kernels.monitoring.alarms import run_monitor
from groundbreak.kernels.monitoring.model import HISTORY_PIVOT, STEP_SEEN, TIE, Rule, Watched, nothing_watched
from groundbreak.kernels.types import Floats, Ints


def monitor_twin(
    values: NDArray[np.float32],
    days: Ints,
    snow: NDArray[np.bool_] | None,
    history_end: int | None,
    params: dict[str, float],
) -> Layers:
    """Run the slow twin of ``cusum`` and ``mosum``.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01, increasing
    snow : (time, pixel) bool, where an observation was masked as snow; or None
    history_end : the last day of the history, or None for the first two years
    params : every parameter of the detector

    Returns
    -------
    Layers of shape (pixel,).
    """
    return run_monitor(values, days, snow, history_end, params, scan_slowly)


def scan_slowly(values: NDArray[np.float32], days: Ints, rule: Rule, params: dict[str, float]) -> Watched:
    """Monitor (index, time, pixel) float32 values on (time,) int64 days, pixel by pixel."""
    out = nothing_watched(values.shape[2])
    terms = regressors(days, int(params["harmonics"]), bool(params["trend"]), rule.n_history)
    for pixel in range(values.shape[2]):
        watch(values[:, :, pixel].astype(np.float64), terms, rule, pixel, out)
    return out


def regressors(days: Ints, harmonics: int, trend: bool, n_history: int) -> Floats:
    """Return (time, term) float64: level, seasons, and time that runs from -1 to 1 over the history."""
    columns = [np.ones(days.size)]
    for j in range(1, harmonics + 1):
        columns += [np.cos(2 * np.pi * j * days / 365.25), np.sin(2 * np.pi * j * days / 365.25)]
    if trend:
        fitted = days[:n_history] if n_history else np.zeros(1)
        columns.append((days - (fitted[0] + fitted[-1]) / 2) / max((fitted[-1] - fitted[0]) / 2, 1))
    return np.stack(columns, axis=1)


def process_and_bound(rest: Floats, n: int, sigma: float, c2: float, window: float) -> tuple[Floats, Floats]:
    """Compute a process and its bound at the observations n + 1, n + 2, ... (Zeileis et al. 2005).

    Parameters
    ----------
    rest : (observation,) float64, residuals
    n : how many of them are of the history
    sigma : standard deviation of the noise
    c2 : c^2
    window : h of the MOSUM, 0 for the CUSUM
    """
    t = np.arange(n + 1, rest.size + 1)
    x = t / n
    if window == 0:
        process = np.cumsum(rest)[n:] / (sigma * np.sqrt(n))
        return process, np.sqrt(np.maximum(x * (x - 1) * (c2 + np.log(x / (x - 1))), 0))
    width = max(1, int(np.floor(window * n)))
    sums = [rest[i - width : i].sum() for i in t]
    return np.array(sums) / (sigma * np.sqrt(n)), np.sqrt(2 * c2 * np.where(x > math.e, np.log(x), 1))


def watch(series: Floats, terms: Floats, rule: Rule, pixel: int, out: Watched) -> None:
    """Monitor one pixel.

    Parameters
    ----------
    series : (index, time) float64, NaN = not clear
    terms : (time, term) float64
    out : (pixel,) each, out, at ``pixel``
    """
    at = np.flatnonzero(np.isfinite(series).all(axis=0))
    n = int((at < rule.n_history).sum())
    m = at.size - n
    k = terms.shape[1]
    out.history[pixel], out.after[pixel] = n, m
    if at.size:
        out.first[pixel], out.last[pixel] = at[0], at[-1]
    if n:
        out.kept[pixel] = at[n - 1]
    if n < 2 * k or m == 0:
        return
    x, y = terms[at], series[:, at]
    pivots = np.diag(np.linalg.qr(x[:n], mode="r")) ** 2
    if (pivots <= HISTORY_PIVOT).any():
        return
    out.tested[pixel] = True
    c2, width = rule.limits[n, m], max(1, int(np.floor(rule.window * n)))
    if rule.own:
        mean = x[n:].mean(axis=0)
        far = mean @ np.linalg.inv(x[:n].T @ x[:n]) @ mean
        c2 *= width * (1 + width * far) / (2 * n) if rule.window > 0 else n * (1 + m * far) / (n + m)
    out.sees[pixel] = would_see(n, m, c2, rule.window)
    residuals = np.stack([v - x @ np.linalg.lstsq(x[:n], v[:n])[0] for v in y])
    alarms: list[tuple[int, int, float]] = []
    for index, e in enumerate(residuals):
        variance = max((e[:n] ** 2).sum() / (n - k), PRECISION**2 * (y[index, :n] ** 2).mean())
        if variance == 0:
            crossed = np.flatnonzero(process_and_bound(e, n, 1.0, c2, rule.window)[0] != 0)
        else:
            process, bound = process_and_bound(e, n, np.sqrt(variance), c2, rule.window)
            crossed = np.flatnonzero(np.abs(process) > bound)
        if crossed.size:
            alarms.append((n + int(crossed[0]), index, TIE * float(np.sqrt(variance * n))))
    if alarms:
        trace_alarm(at, residuals, n, *min(alarms), width if rule.window > 0 else 0, pixel, out)


def would_see(n: int, m: int, c2: float, window: float) -> bool:
    """Return whether a step of STEP_SEEN in the middle of ``m`` observations after ``n`` of a history leaves its bound.

    Parameters
    ----------
    c2 : c^2
    window : h of the MOSUM, 0 for the CUSUM
    """
    bound = process_and_bound(np.zeros(n + m), n, 1.0, c2, window)[1]
    changed = m / 2 if window == 0 else min(m / 2, max(1, int(np.floor(window * n))))
    return bool(STEP_SEEN * changed / np.sqrt(n) > bound[-1])


def trace_alarm(
    at: Ints, residuals: Floats, n: int, alarm: int, index: int, tie: float, width: int, pixel: int, out: Watched
) -> None:
    """Write what is known of an alarm at observation ``alarm`` (from 0) of ``index`` to ``out``, at ``pixel``.

    Parameters
    ----------
    at : (observation,) int64, positions among all dates
    residuals : (index, observation) float64
    n : observations of the history
    width : those of the window of the MOSUM, 0 for the CUSUM
    tie : sums this close count as equal
    """
    out.alarm[pixel], out.before[pixel] = at[alarm], at[alarm - 1]
    path = np.concatenate([[0.0], np.cumsum(residuals[index][n : alarm + 1])])
    path *= np.sign(path[-1])
    turn = n - 1 + int(np.flatnonzero(path[:-1] <= path[:-1].min() + tie)[-1])
    out.origin[pixel] = at[max(alarm - width, n - 1)] if width else at[turn]
    out.mean[pixel] = residuals[0][alarm:].mean()
    out.evidence[pixel] = at.size - alarm
