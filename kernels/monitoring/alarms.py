"""The detectors ``cusum`` and ``mosum``: from a history and alarms to layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import make_design
from groundbreak.kernels.lanes.words import LANES, whole_blocks
from groundbreak.kernels.layers import EDGE_DAYS, GAP_DAYS, NO_DATE, WEAK_DAYS, Layers, Quality, Status, empty_layers
from groundbreak.kernels.monitoring.critical import calibrated_limits
from groundbreak.kernels.monitoring.model import Rule, Watched, nothing_watched
from groundbreak.kernels.monitoring.monitor import monitor_scan
from groundbreak.kernels.types import Ints

CHUNK = 15 * LANES
"""Pixels that are monitored at a time: some MB, and rows that do not all fall on the same lines of the cache."""

HISTORY_DAYS = 730
"""Default history: the first two years, or the first half of a record shorter than four."""

CONFIRM_OBSERVATIONS = 6
CONFIRM_DAYS = 90
"""An alarm that fewer observations or days than these follow stays provisional."""

WEAK_PER_TERM = 3
"""A history with fewer observations a term sets weak_baseline too."""

MOST_HARMONICS = 6


def history_size(days: Ints, history_end: int | None) -> int:
    """Count the dates of the history: up to ``history_end``, else the first two years or half of a shorter record.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    history_end : the last day of the history, or None
    """
    if days.size == 0:
        return 0
    if history_end is None:
        history_end = int(days[0] + min(HISTORY_DAYS, (days[-1] - days[0] + 1) // 2) - 1)
    return int(np.searchsorted(days, history_end, side="right"))


def check_params(params: Mapping[str, float]) -> None:
    """Check the values of every parameter of ``cusum`` or ``mosum``.

    Raises
    ------
    ValueError
        A parameter is outside what it may be.
    """
    level, window = params["level"], params.get("h", 0.0)
    if not 0 < level < 1:
        raise ValueError(f"parameter 'level': {level!r} is not between 0 and 1; use 0.05 for 5 % of false alarms")
    if "h" in params and not 0 < window <= 1:
        raise ValueError(f"parameter 'h': {window!r} is not in (0, 1]; use the window's share of the history, as 0.25")
    if params["harmonics"] not in range(MOST_HARMONICS + 1):
        raise ValueError(f"parameter 'harmonics': {params['harmonics']!r} is not one of 0-{MOST_HARMONICS}; use 2")
    if params["trend"] not in (0, 1):
        raise ValueError(f"parameter 'trend': {params['trend']!r} is neither 0 nor 1; use 1 to fit a trend")


def make_rule(days: Ints, history_end: int | None, n_index: int, params: dict[str, float]) -> Rule:
    """Make the rule by which a record is monitored.

    With several indices each is monitored at 1 - (1 - level)^(1 / indices), so that all together alarm at ``level``
    where their noise is independent, and less often where it is not.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    history_end : the last day of the history, or None for the first two years
    n_index : number of indices
    params : every parameter of ``cusum`` or ``mosum`` (`kernels.registry.DETECTORS`), checked
    """
    level, critical, window = params["level"], params["critical_value"], params.get("h", 0.0)
    n_history = history_size(days, history_end)
    if critical > 0:
        limits = np.full((n_history + 1, days.size - n_history + 1), float(critical) ** 2)
        return Rule(n_history, float(window), limits, False)
    each = 1 - (1 - level) ** (1 / n_index)
    design = int(params["harmonics"]), bool(params["trend"])
    return Rule(n_history, float(window), calibrated_limits(days, n_history, *design, float(window), each), True)


Scan = Callable[[NDArray[np.float32], Ints, Rule, dict[str, float]], Watched]
"""Monitors (index, time, pixel) float32 values on (time,) int64 days by a rule and parameters."""


def scan_lanes(values: NDArray[np.float32], days: Ints, rule: Rule, params: dict[str, float]) -> Watched:
    """Monitor with the kernel `kernels.monitoring.monitor.monitor_scan`.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01
    rule : of `make_rule`
    params : harmonics and trend of the detector
    """
    design = make_design(days, int(params["harmonics"]), bool(params["trend"]), np.float64, rule.n_history)
    found = nothing_watched(values.shape[2])
    for part, block in whole_blocks(np.ascontiguousarray(values)):
        piece = nothing_watched(block.shape[2])
        monitor_scan(block, design, rule, piece)
        for whole, layer in zip(found, piece, strict=True):
            whole[part] = layer[: part.stop - part.start]
    return found


def run_monitor(
    values: NDArray[np.float32],
    days: Ints,
    snow: NDArray[np.bool_] | None,
    history_end: int | None,
    params: dict[str, float],
    scan: Scan = scan_lanes,
) -> Layers:
    """Run the detector ``cusum``, or ``mosum`` where there is a parameter ``h``.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01, increasing
    snow : (time, pixel) bool, where an observation was masked as snow; or None
    history_end : the last day of the history, or None for the first two years
    params : every parameter of the detector
    scan : monitors a part of the pixels; the kernel, or its twin in tests

    Returns
    -------
    Layers of shape (pixel,).
    """
    n_index, _, n_pixel = values.shape
    rule = make_rule(days, history_end, n_index, params)
    layers = empty_layers((n_pixel,))
    for start in range(0, n_pixel, CHUNK):
        part = slice(start, min(start + CHUNK, n_pixel))
        found = scan(values[:, :, part], days, rule, params)
        pieces: list[Any] = [layer[part] for layer in layers]
        n_terms = 1 + 2 * int(params["harmonics"]) + int(params["trend"])
        write_layers(found, days, rule.n_history, n_terms, None if snow is None else snow[:, part], Layers(*pieces))
    return layers


def write_layers(
    found: Watched, days: Ints, n_history: int, n_terms: int, snow: NDArray[np.bool_] | None, out: Layers
) -> None:
    """Write what monitoring found to layers of fills, (pixel,) each.

    The onset is the alarm, as these detectors define it: late by as much as the process needs to leave its bound. The
    interval ends there and begins after the observation that the process proves to be before the change. There is no
    halt, and no confidence: nothing is claimed beyond ``level``. A pixel that would not have seen a step is not called
    stable. Snow counts between the alarm and the clear observation before it.

    Parameters
    ----------
    found : (pixel,) each
    days : (time,) int64, days since 1970-01-01
    n_history, n_terms : dates of the history, and terms that were fitted to them
    snow : (time, pixel) bool, or None when unknown
    out : (pixel,) each, out
    """
    n_valid = found.history + found.after
    out.n_valid[:] = np.minimum(n_valid, 65535)
    out.status[:] = np.where(found.tested & found.sees, Status.STABLE, Status.TOO_FEW_OBSERVATIONS)
    seen = n_valid > 0
    out.last_observation[seen] = days[found.last[seen]]
    pixel = np.flatnonzero(found.alarm >= 0)
    if pixel.size == 0:
        return
    alarm = days[found.alarm[pixel]]
    before, first, kept, last = (days[place[pixel]] for place in (found.before, found.first, found.kept, found.last))
    earliest = np.maximum(days[found.origin[pixel]], days[n_history - 1]) + 1
    confirmed = (found.evidence[pixel] > CONFIRM_OBSERVATIONS) & (last - alarm >= CONFIRM_DAYS)
    out.status[pixel] = np.where(confirmed, Status.ACTIVE, Status.PROVISIONAL)
    out.onset[pixel], out.onset_earliest[pixel], out.onset_latest[pixel] = alarm, earliest, alarm
    shift = np.nan_to_num(found.mean[pixel] * 1e4)
    out.magnitude[pixel] = np.round(np.clip(shift, NO_DATE + 1, -NO_DATE - 1))
    out.n_evidence[pixel] = np.minimum(found.evidence[pixel], 65535)
    out.n_changes[pixel] = 1
    weak = (kept - first < WEAK_DAYS) | (found.history[pixel] < WEAK_PER_TERM * n_terms)
    quality = np.where(alarm - before > GAP_DAYS, Quality.GAP_AT_ONSET, 0)
    quality |= np.where(weak, Quality.WEAK_BASELINE, 0)
    quality |= np.where(np.minimum(alarm - first, last - alarm) < EDGE_DAYS, Quality.RECORD_EDGE, 0)
    if snow is not None:
        inside = (days[:, None] > before) & (days[:, None] < alarm)
        quality |= np.where((snow[:, pixel] & inside).any(axis=0), Quality.SNOW_SEASON, 0)
    out.quality[pixel] = quality
