"""The onset against the pixel's own climatology: what its baseline did at that time of the year, in other years.

No harmonic holds harvests that shift, and a likelihood of harmonics often begins an activity at the last harvest. The
mean and the variance of the baseline's observations within some weeks of the day of the year do hold them: they are
wide where the field is sometimes ripe and sometimes bare, and narrow where the ground never changes.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import helper, jit
from kernels.evidence import posterior_bounds
from kernels.model import MIN_BASELINE, Candidates, Records
from kernels.series import Floats

SEASON_DAYS = 20.0
"""Half-width of the season window, days of the year."""

SEASON_MIN = 3
"""Baseline observations a window needs; with fewer, nothing is known of that season."""

HINT = 0.5
"""Log likelihood ratio of such an observation, for the side of the onset by evidence that it lies on."""

AHEAD = 8
"""Observations that show the level of the changed ground."""

CHANGED_VARIANCE = 4.0
"""Variance added to theirs: works are rougher than the few observations that show them."""

VOTE = 3.0
"""Largest log likelihood ratio that one observation may add: no cloud decides alone."""

VOTE_COST = 0.45
"""Log likelihood ratio, an index, that observations after the onset must show on average: an odd season does not."""

BACK = 20
SPAN = 80
"""Observations before the onset by evidence, and from there on, among which the onset is sought."""

ONSET_HEAT = 10.0
"""Temperature of the onset's posterior, as HALT_HEAT."""

ABNORMAL = 2.5
"""Standard deviations from the climatology, in any index, that no season explains."""


@helper
def first_from(day: Floats, stop: int, target: float) -> int:
    """First of day[:stop] that is not before ``target``, by bisection."""
    low, high = 0, stop
    while low < high:
        middle = (low + high) // 2
        if day[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low


@helper
def climatology(z: Floats, day: Floats, base: int, q: int, mean: Floats, variance: Floats) -> int:
    """Mean and predictive variance of the baseline [0, base) at q's time of other years; how many were averaged."""
    n_index = z.shape[1]
    count = 0
    for k in range(n_index):
        mean[k] = variance[k] = 0.0
    years = math.ceil((day[q] - SEASON_DAYS - day[base - 1]) / 365.25)
    while day[q] - 365.25 * years + SEASON_DAYS >= day[0]:
        if years != 0:
            centre = day[q] - 365.25 * years
            b = first_from(day, base, centre - SEASON_DAYS)
            while b < base and day[b] <= centre + SEASON_DAYS:
                count += 1
                for k in range(n_index):
                    mean[k] += z[b, k]
                    variance[k] += z[b, k] * z[b, k]
                b += 1
        years += 1
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
    day: Floats,
    base: int,
    begin: int,
    low: int,
    high: int,
    ratio: Floats,
    far: Floats,
) -> None:
    """For every observation of [low, high): log likelihood ratio of changed to normal, and distance from normal.

    Parameters
    ----------
    begin : onset by evidence
    base : observations of the baseline; also where the changed ground is looked for at the earliest
    ratio, far : (time,) out; far in standard deviations, largest of the indices
    """
    n, n_index = z.shape
    mean, variance = np.empty(n_index), np.empty(n_index)
    for q in range(low, high):
        ratio[q], far[q] = VOTE_COST * n_index + (HINT if q >= begin else -HINT), 0.0
        if climatology(z, day, base, q, mean, variance) < SEASON_MIN:
            continue
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
    first, last = posterior_bounds(score, low, high, ONSET_HEAT)
    return at, min(first, at), max(last, at)


@jit
def date_onset(records: Records, first_onset: float, found: Candidates) -> None:
    """Third stage: move every candidate's onset to where the ground left its climatology.

    Parameters
    ----------
    found : (pixel,) FOUND; out: onset and its bounds, evidence
    """
    n_time, n_index = records.z.shape[1:]
    ratio, far, score = np.empty(n_time), np.empty(n_time), np.empty(n_time)
    for p in range(found.size):
        if found[p].onset < 0:
            continue
        n = records.size[p]
        z, day = records.z[p][:n], records.day[p][:n]
        begin = found[p].begin
        low = max(begin - BACK, MIN_BASELINE)
        while low < begin and day[low] < first_onset:
            low += 1
        high = min(begin + SPAN, n - 3)
        high = max(high, low + 1)
        at, early, late = begin, begin, begin
        # the second time against the baseline that the first one found, and to the end, for what supports the change
        for stop in (high, n):
            weigh(z, day, at, begin, low, stop, ratio, far)
            at, early, late = change_point(ratio, low, high, VOTE_COST * n_index, score)
        # two ways to date it: their disagreement is part of the interval
        found[p].onset, found[p].onset_low, found[p].onset_high = at, min(early, begin), max(late, begin)
        count = 0
        for q in range(at, n):
            count += far[q] > ABNORMAL
        found[p].evidence = count
