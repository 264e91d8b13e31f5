"""What is asked of a candidate change: weather that lasts, the seasons known, and quiet ground.

A likelihood of independent noise cannot answer it. Weather and crops make residuals that last for
weeks, harvests shift between years, and a stage of works can look like a plateau.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import helper
from kernels.harmonic import N_TERMS
from kernels.series import ROUGHNESS_OF_NOISE, ZERO, Floats, roughness

BATCH = 8
"""Observations to a batch: longer than the weather lasts, short enough for several a phase."""

SEASON_DAYS = 20.0
"""Half-width of the season window: baseline observations that far apart in the year compare."""

SEASON_MARGIN = 2.0
"""Noise units beyond the baseline's range before an observation is evidence of change."""

SEASON_MIN = 3
"""Baseline observations a window needs; with fewer, the whole baseline's range is used."""

UNSEEN = 0.5
"""Mark of an observation in a season that the baseline never saw."""

ONSET_SHARE = 0.5
"""Share of marked observations that parts before from after the onset."""

ONSET_SHARE_STRICT = 0.7
"""The same for the latest onset that the marks allow."""

WORKS_QUIETER = 0.8
"""A settled phase is rougher than this share of its own works: the works are not over."""


@helper
def batch_ratio(design: Floats, z: Floats, coef: Floats, start: int, stop: int) -> float:
    """Variance inflation of residuals by autocorrelation, from batch means; 0 without a batch.

    sum over batches of (sum e)^2 / sum of e^2: near 1 for white noise, near the integrated
    autocorrelation time for noise that lasts (batch means: Alexopoulos & Seila 1998).

    Parameters
    ----------
    design : (time, N_TERMS); z : (time, index); coef : (index, N_TERMS), fitted on [start, stop)
    """
    batches = (stop - start) // BATCH
    squared_sums = 0.0
    squares = 0.0
    for k in range(z.shape[1]):
        for b in range(batches):
            total = 0.0
            for i in range(start + b * BATCH, start + (b + 1) * BATCH):
                e = z[i, k]
                for a in range(N_TERMS):
                    e -= coef[k, a] * design[i, a]
                total += e
                squares += e * e
            squared_sums += total * total
    return squared_sums / squares if squares > 0 else 0.0


@helper
def mark_evidence(z: Floats, season: Floats, start: int, low: int, high: int, marks: Floats) -> None:
    """Mark the observations that the baseline never showed at that time of the year.

    No harmonic holds harvests that shift; the range of what the baseline [0, start) did within
    ``SEASON_DAYS`` of the day of the year does. One index outside its range is enough.

    Parameters
    ----------
    z : (time, index) float64, noise units; season : (time,) float64, day of the year
    marks : (time,) float64, out: in [low, high) 1 where the observation is evidence, 0
        where it is normal, 0.5 where the baseline never saw that season and it may be either
    """
    n_index = z.shape[1]
    whole = np.empty((2, n_index))
    near = np.empty((2, n_index))
    for k in range(n_index):
        whole[0, k], whole[1, k] = np.inf, -np.inf
        for i in range(start):
            whole[0, k] = min(whole[0, k], z[i, k])
            whole[1, k] = max(whole[1, k], z[i, k])
    for q in range(low, high):
        for k in range(n_index):
            near[0, k], near[1, k] = np.inf, -np.inf
        count = 0
        for i in range(start):
            apart = abs(season[i] - season[q])
            if min(apart, 365.25 - apart) <= SEASON_DAYS:
                count += 1
                for k in range(n_index):
                    near[0, k] = min(near[0, k], z[i, k])
                    near[1, k] = max(near[1, k], z[i, k])
        seen = near if count >= SEASON_MIN else whole
        marks[q] = 0.0 if count >= SEASON_MIN else UNSEEN
        for k in range(n_index):
            if z[q, k] < seen[0, k] - SEASON_MARGIN or z[q, k] > seen[1, k] + SEASON_MARGIN:
                marks[q] = 1.0


@helper
def count_evidence(marks: Floats, start: int, n: int) -> int:
    """Observations in [start, n) that are evidence."""
    count = 0
    for q in range(start, n):
        if marks[q] == 1.0:
            count += 1
    return count


@helper
def onset_from(marks: Floats, i: int, stop: int, n: int, share: float) -> int:
    """Onset that parts the marked observations from the rest: q in [i, stop] that maximises
    sum over r >= q of (marked - share), the earliest on ties.

    On seasonal ground the likelihood often starts an activity at the last harvest, or in winter,
    when the ground was still normal; the marks say when it left what it had ever been. This is the
    likelihood's change point of a coin whose odds cross ``share``.

    Parameters
    ----------
    marks : (time,) float64, see :func:`mark_evidence`; i : int, onset by likelihood
    n : int, observations
    """
    total = 0.0
    best = -np.inf
    at = i
    for q in range(n - 1, i - 1, -1):
        total += marks[q] - share
        if q <= stop and total >= best:
            best, at = total, q
    return at


@helper
def phase_roughness(z: Floats, floor: Floats, start: int, stop: int, work: Floats) -> float:
    """Roughness of a phase, mean over the indices, each at least that of its noise floor.

    Parameters
    ----------
    floor : (index,) float64, the noise floor in noise units; work : (time,) float64
    """
    total = 0.0
    for k in range(z.shape[1]):
        total += max(roughness(z, k, start, stop, work), ROUGHNESS_OF_NOISE * floor[k])
    return float(total / z.shape[1])


@helper
def is_quiet(z: Floats, floor: Floats, i: int, j: int, n: int, settled_noise: float, work: Floats) -> bool:
    """Tell a settled phase [j, n) from a plateau between two stages of works, which is rougher.

    It must be no rougher than ``settled_noise`` times the baseline [0, i), and, where the activity
    [i, j) is long enough to measure, than ``WORKS_QUIETER`` of the activity.
    """
    settled = phase_roughness(z, floor, j, n, work)
    if settled > settled_noise * phase_roughness(z, floor, ZERO, i, work):
        return False
    works = phase_roughness(z, floor, i, j, work)
    return j - i < BATCH or settled <= WORKS_QUIETER * works
