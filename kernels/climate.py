"""The onset against the pixel's own climatology: what its baseline did at that time of the year, in other years.

No harmonic holds harvests that shift, and a likelihood of harmonics often begins an activity at the last harvest. The
mean and the variance of the baseline's observations within some weeks of the day of the year do hold them: they are
wide where the field is sometimes ripe and sometimes bare, and narrow where the ground never changes.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import helper, jit
from kernels.harmonic import N_TERMS, evidence_path
from kernels.model import MIN_BASELINE, Candidates, Records, Tables
from kernels.series import ZERO, Floats

SEASON_DAYS = 20.0
"""Half-width of the season window, days of the year."""

SEASON_MIN = 3
"""Baseline observations a window needs; with fewer, the fitted harmonics stand in, at twice the noise."""

OWN_DAYS = 30.0
"""Baseline observations this near in time are left out: the same weather, or the same fog, is no witness."""

AHEAD = 8
"""Observations that show the level of the changed ground."""

CHANGED_VARIANCE = 4.0
"""Variance added to theirs: works are rougher than the few observations that show them."""

VOTE = 3.0
"""Largest log likelihood ratio that one observation may add: no cloud decides alone."""

VOTE_COST = 0.3
"""Log likelihood ratio, an index, that observations after the onset must show on average: an odd season does not."""

BACK = 20
SPAN = 80
"""Observations before the onset by evidence, and from there on, among which the onset is sought."""

ONSET_HEAT = 10.0
"""Temperature of the onset's posterior, as HALT_HEAT."""

TAIL = 0.05
"""Posterior left out on either side of a 90 % interval."""

ABNORMAL = 2.5
"""Standard deviations from the climatology, in any index, that no season explains."""


@helper
def climatology(z: Floats, season: Floats, day: Floats, base: int, q: int, mean: Floats, variance: Floats) -> int:
    """Mean and predictive variance of the baseline [0, base) at the time of the year of q; how many were averaged."""
    n_index = z.shape[1]
    count = 0
    for k in range(n_index):
        mean[k] = variance[k] = 0.0
    for b in range(base):
        apart = abs(season[b] - season[q])
        if min(apart, 365.25 - apart) <= SEASON_DAYS and abs(day[b] - day[q]) > OWN_DAYS:
            count += 1
            for k in range(n_index):
                mean[k] += z[b, k]
                variance[k] += z[b, k] * z[b, k]
    for k in range(n_index):
        if count > 0:
            mean[k] /= count
            squares = max(variance[k] - count * mean[k] * mean[k], 0.0)
            # two pseudo-observations of the noise, and the uncertainty of the mean
            variance[k] = (squares + 2.0) / (count + 1.0) * (1.0 + 1.0 / count)
    return count


@helper
def weigh(
    z: Floats,
    season: Floats,
    day: Floats,
    design: Floats,
    coef: Floats,
    base: int,
    low: int,
    ratio: Floats,
    far: Floats,
) -> None:
    """For every observation from ``low`` on: log likelihood ratio of changed to normal, and distance from normal.

    Parameters
    ----------
    coef : (index, N_TERMS), the baseline's
    base : observations of the baseline; also where the changed ground is looked for at the earliest
    ratio, far : (time,) out; far in standard deviations, largest of the indices
    """
    n, n_index = z.shape
    mean, variance = np.empty(n_index), np.empty(n_index)
    for q in range(low, n):
        count = climatology(z, season, day, base, q, mean, variance)
        start = max(q, base)
        stop = min(start + AHEAD, n)
        total, largest = 0.0, 0.0
        for k in range(n_index):
            level, squares = 0.0, 0.0
            for r in range(start, stop):
                level += z[r, k]
                squares += z[r, k] * z[r, k]
            level /= stop - start
            changed = max(squares / (stop - start) - level * level, 0.0) + CHANGED_VARIANCE
            if count < SEASON_MIN:
                variance[k] = 4.0
                mean[k] = 0.0
                for a in range(N_TERMS):
                    mean[k] += coef[k, a] * design[q, a]
            off = (z[q, k] - mean[k]) ** 2 / variance[k]
            total += 0.5 * (off - (z[q, k] - level) ** 2 / changed + math.log(variance[k] / changed))
            largest = max(largest, off)
        ratio[q] = min(max(total, -VOTE), VOTE)
        far[q] = math.sqrt(largest)


@helper
def change_point(ratio: Floats, low: int, high: int, cost: float, score: Floats) -> tuple[int, int, int]:
    """The onset q in [low, high) that maximises the sum from q on of the ratios less their cost (the earliest of
    equals), and the bounds of 90 % of its tempered posterior.

    Parameters
    ----------
    cost : of an observation; score : (time,) scratch
    """
    total, best, at = 0.0, -np.inf, low
    for q in range(high - 1, low - 1, -1):
        total += ratio[q] - cost
        score[q] = total
        if total >= best:
            best, at = total, q
    mass = 0.0
    for q in range(low, high):
        score[q] = math.exp((score[q] - best) / ONSET_HEAT)
        mass += score[q]
    first, last, sofar = -1, high - 1, 0.0
    for q in range(low, high):
        sofar += score[q]
        if first < 0 and sofar >= TAIL * mass:
            first = q
        if sofar >= (1.0 - TAIL) * mass:
            last = q
            break
    return at, min(first, at), max(last, at)


@jit
def date_onset(records: Records, tables: Tables, first_onset: float, found: Candidates) -> None:
    """Third stage: move every candidate's onset to where the ground left its climatology.

    Parameters
    ----------
    found : (pixel,) FOUND; out: onset and its bounds, evidence
    """
    n_time, n_index = records.z.shape[1:]
    ratio, far, score = np.empty((3, n_time + 1))
    coef = np.empty((n_index, N_TERMS))
    for p in range(found.size):
        if found[p].onset < 0:
            continue
        n = records.size[p]
        z, day, season, design = records.z[p][:n], records.day[p][:n], records.season[p][:n], records.design[p][:n]
        begin = found[p].begin
        low = max(begin - BACK, MIN_BASELINE)
        while low < begin and day[low] < first_onset:
            low += 1
        high = min(begin + SPAN, n - 3)
        high = max(high, low + 1)
        at, early, late = begin, begin, begin
        for _ in range(2):  # the second time against the longer or shorter baseline that the first one found
            evidence_path(design, z, ZERO, at - 1, tables.baseline, score, coef)
            weigh(z, season, day, design, coef, at, low, ratio, far)
            at, early, late = change_point(ratio, low, high, VOTE_COST * n_index, score)
        # two ways to date it: their disagreement is part of the interval
        found[p].onset, found[p].onset_low, found[p].onset_high = at, min(early, begin), max(late, begin)
        count = 0
        for q in range(at, n):
            count += far[q] > ABNORMAL
        found[p].evidence = count
