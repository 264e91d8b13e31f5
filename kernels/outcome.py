"""From one pixel's series to its row of layers: what the changes found mean, in dates and bits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kernels._jit import jit
from kernels.layers import LAYERS, Quality, Status
from kernels.phases import (
    LATEST,
    MIN_OBSERVATIONS,
    MIN_SPAN_DAYS,
    SETTLED,
    Change,
    Settings,
    Tables,
    confirmed,
    find_changes,
    gather,
)
from kernels.series import Floats, columns, compact, drop_spikes, mean_of, standardise

GAP_DAYS = 45.0
"""Clear observations farther apart than this around a date set its gap bit."""

EDGE_DAYS = 120.0
"""A date this near to either end of the record sets record_edge."""

WEAK_DAYS = 330.0
WEAK_OBSERVATIONS = 10
"""A baseline below either sets weak_baseline: it has not seen all seasons."""

CONFIDENCE = (-8.61, 0.59, -1.11, 7.88)
"""Intercept, and slopes of log evidence, log(1 + interval / 30 d) and persistence."""

# Compiled code sees plain integers: positions in a row, status codes and quality bits.
_ORDER = {name: at for at, name in enumerate(LAYERS)}
STATUS = _ORDER["status"]
ONSET = _ORDER["onset"]
ONSET_EARLIEST = _ORDER["onset_earliest"]
ONSET_LATEST = _ORDER["onset_latest"]
HALT = _ORDER["halt"]
HALT_EARLIEST = _ORDER["halt_earliest"]
HALT_LATEST = _ORDER["halt_latest"]
LAST = _ORDER["last_observation"]
CONFIDENCE_AT = _ORDER["confidence"]
MAGNITUDE = _ORDER["magnitude"]
N_VALID = _ORDER["n_valid"]
N_EVIDENCE = _ORDER["n_evidence"]
N_CHANGES = _ORDER["n_changes"]
QUALITY = _ORDER["quality"]
STABLE, PROVISIONAL, ACTIVE = int(Status.STABLE), int(Status.PROVISIONAL), int(Status.ACTIVE)
HALTED, RESUMED = int(Status.HALTED), int(Status.RESUMED)
TOO_FEW = int(Status.TOO_FEW_OBSERVATIONS)
GAP_AT_ONSET, GAP_AT_HALT = int(Quality.GAP_AT_ONSET), int(Quality.GAP_AT_HALT)
SNOW_SEASON, RECORD_EDGE = int(Quality.SNOW_SEASON), int(Quality.RECORD_EDGE)
WEAK_BASELINE = int(Quality.WEAK_BASELINE)


@jit
def confidence(strength: float, width: float, share: float) -> int:
    """Percent of such pixels that truly changed with onset within 30 d.

    A logistic curve fitted to simulated ground, nine stable pixels to one that is built on
    (docs/method.md); it rises with evidence and persistence and falls with the width of the
    onset's interval.

    Parameters
    ----------
    strength : float, log evidence; width : float, days; share : float, 0-1
    """
    a, b, c, d = CONFIDENCE
    x = a + b * math.log(strength) + c * math.log(1.0 + width / 30.0) + d * share
    return round(100.0 / (1.0 + math.exp(-x)))


@jit
def describe(
    level: Floats,
    unit: float,
    own: Tables,
    settings: Settings,
    first: Change,
    latest: Change,
    offset: int,
    count: int,
    row: NDArray[np.int32],
) -> None:
    """Write the layers of a changed pixel.

    Parameters
    ----------
    level : (time,) float64, the first index in noise units; unit : float, its noise
    first, latest, offset, count : see :func:`find_changes`
    """
    day = own.day
    n = day.size
    quality = 0
    row[ONSET] = day[first.i]
    row[ONSET_EARLIEST] = day[first.i_low - 1] + 1
    row[ONSET_LATEST] = day[first.i_high]
    if day[first.i] - day[first.i - 1] > GAP_DAYS:
        quality |= GAP_AT_ONSET
    if min(day[first.i] - day[0], day[n - 1] - day[first.i]) < EDGE_DAYS:
        quality |= RECORD_EDGE
    # what is surely normal ends where the onset's interval begins
    if first.i_low < WEAK_OBSERVATIONS or day[first.i_low] - day[0] < WEAK_DAYS:
        quality |= WEAK_BASELINE
    if latest.kind == SETTLED:
        h = offset + max(latest.j - 1, latest.i)
        row[STATUS] = HALTED
        row[HALT] = day[h]
        row[HALT_EARLIEST] = min(day[h], day[offset + max(latest.j_low - 1, 0)])
        row[HALT_LATEST] = max(day[h + 1], day[offset + latest.j_high])
        if day[h + 1] - day[h] > GAP_DAYS:
            quality |= GAP_AT_HALT
        if day[n - 1] - day[h] < EDGE_DAYS:
            quality |= RECORD_EDGE
    elif count > 1:
        row[STATUS] = RESUMED
    else:
        row[STATUS] = ACTIVE if confirmed(latest, own, settings) else PROVISIONAL
    end = offset + latest.j if latest.kind == SETTLED else max(first.i, n - LATEST)
    shift = (mean_of(level, end, n) - mean_of(level, 0, first.i)) * unit * 1e4
    row[MAGNITUDE] = round(min(max(shift, -32767.0), 32767.0))
    width = float(row[ONSET_LATEST] - row[ONSET_EARLIEST])
    row[CONFIDENCE_AT] = confidence(first.strength, width, first.share)
    row[N_EVIDENCE] = min(first.marked, 65535)
    row[N_CHANGES] = min(count, 255)
    row[QUALITY] = quality


@jit
def mark_snow(snow: NDArray[np.bool_], day: Floats, row: NDArray[np.int32]) -> None:
    """Set snow_season where snow hid the ground within the interval of a date."""
    for q in range(day.size):
        at_onset = row[ONSET_EARLIEST] <= day[q] <= row[ONSET_LATEST]
        at_halt = row[STATUS] == HALTED and row[HALT_EARLIEST] <= day[q] <= row[HALT_LATEST]
        if snow[q] and (at_onset or at_halt):
            row[QUALITY] |= SNOW_SEASON


@jit
def solve_pixel(
    series: NDArray[np.float32],
    snow: NDArray[np.bool_],
    tables: Tables,
    settings: Settings,
    row: NDArray[np.int32],
) -> None:
    """Detect on one pixel.

    Parameters
    ----------
    series : (time, index) float32; snow : (time,) bool, or (0,) when unknown
    row : (layer,) int32, holds the fills; what is known is written in the order of ``LAYERS``
    """
    n_time, n_index = series.shape
    taken = np.empty(n_time, np.int64)
    packed = np.empty((n_index, n_time))
    n = compact(series, taken, packed)
    row[N_VALID] = min(n, 65535)
    row[STATUS] = TOO_FEW
    if n == 0:
        return
    row[LAST] = tables.day[taken[n - 1]]
    if n < MIN_OBSERVATIONS:
        return
    scale = np.empty(n_index)
    standardise(packed, n, settings.noise_floor, np.empty(n_time), scale)
    n = drop_spikes(packed, taken, tables.day, n, settings.spike)
    row[LAST] = tables.day[taken[n - 1]]
    if n < MIN_OBSERVATIONS or row[LAST] - tables.day[taken[0]] < MIN_SPAN_DAYS:
        return
    z = columns(packed, 0, n)
    floor = np.empty(n_index)
    for k in range(n_index):
        floor[k] = settings.noise_floor / scale[k]
    first, latest, offset, count = find_changes(z, floor, tables, taken, settings)
    row[STATUS] = STABLE
    if count > 0:
        own = gather(tables, taken, 0, n, tables.first_onset)
        describe(z[0], scale[0], own, settings, first, latest, offset, count, row)
        if snow.size > 0:
            mark_snow(snow, tables.day, row)
