"""The onset against the pixel's own climatology: where its observations begin to vote for changed ground.

A likelihood of harmonics often begins an activity at the last harvest. A vote is a log likelihood ratio of an
observation as changed ground to the same as normal for its season, and capped.
"""

from __future__ import annotations

import math

import numpy as np

from groundbreak.kernels.lanes.jit import helper, jit, lane
from groundbreak.kernels.lanes.logarithm import log
from groundbreak.kernels.phases.climate import climatology, count_before, running
from groundbreak.kernels.phases.evidence import posterior_bounds
from groundbreak.kernels.phases.model import MIN_BASELINE, Candidates, Records, Tables
from groundbreak.kernels.types import Floats, Ints

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

REACH = 60
"""Observations before the onset by evidence to which its interval may reach. The bounds are of the votes alone: a cost
chooses between onsets, but says nothing about how far the ground may have changed unseen."""

ONSET_HEAT = 9.0
"""Temperature of the onset's posterior: votes count observations as independent, weather makes them alike."""

ABNORMAL = 2.5
"""Standard deviations from the climatology, in any index, that no season explains."""


@helper
def changed(sums: Floats, base: int, low: int, n: int, level: Floats, variance: Floats) -> None:
    """Find the level and the variance of the next AHEAD observations, as changed ground, for each of [low, n).

    Parameters
    ----------
    sums : of `kernels.phases.climate.running`
    base : where the changed ground is looked for at the earliest
    level, variance : (index, time) float64, out, noise units
    """
    n_index = level.shape[0]
    for q in range(low, n):
        start = max(q, base)
        stop = min(start + AHEAD, n)
        share = 1.0 / (stop - start)
        for k in range(n_index):
            mean = (sums[stop, k] - sums[start, k]) * share
            level[k, q] = mean
            rest = (sums[stop, n_index + k] - sums[start, n_index + k]) * share - mean * mean
            variance[k, q] = max(rest, 0.0) + CHANGED_VARIANCE


@lane
def _compare(
    z: Floats, mean: Floats, variance: Floats, level: Floats, rough: Floats, odds: Floats, shares: Floats, far: Floats
) -> None:
    """Add one index to twice the log likelihood ratio of changed to normal, and to the distance from normal."""
    for q in range(z.size):
        off = (z[q] - mean[q]) * (z[q] - mean[q]) / variance[q]
        odds[q] += off - (z[q] - level[q]) * (z[q] - level[q]) / rough[q]
        shares[q] *= variance[q] / rough[q]
        far[q] = max(far[q], off)


@helper
def cast_votes(
    z: Floats, n: int, date: Ints, before: Ints, windows: Ints, sums: Floats, base: int, begin: int, low: int,
    work: Floats, ratio: Floats, far: Floats,
) -> None:  # fmt: skip
    """Let every observation of [low, n) vote: its log likelihood ratio of changed to normal ground, and how far it is.

    Parameters
    ----------
    z : (index, >= n) float64, contiguous, for the sake of the lanes
    n : observations in use
    date : (time,) int64, their positions among all dates
    before : of `count_before`
    windows : of `season_windows`
    sums : of `running`
    base : observations of the baseline; also where the changed ground is looked for at the earliest
    begin : onset by evidence
    work : (4 index + 2, time) float64, scratch
    ratio : (time,) float64, out: the vote, capped at VOTE
    far : (time,) float64, out: distance from the climatology in standard deviations, largest of the indices
    """
    n_index = z.shape[0]
    mean, variance = work[:n_index], work[n_index : 2 * n_index]
    level, rough = work[2 * n_index : 3 * n_index], work[3 * n_index : 4 * n_index]
    count, shares = work[4 * n_index], work[4 * n_index + 1]
    climatology(sums, date, before, windows, base, low, n, count, mean, variance)
    changed(sums, base, low, n, level, rough)
    ratio[low:n], shares[low:n], far[low:n] = 0.0, 1.0, 0.0
    for k in range(n_index):
        _compare(
            z[k, low:n], mean[k, low:n], variance[k, low:n], level[k, low:n], rough[k, low:n],
            ratio[low:n], shares[low:n], far[low:n],
        )  # fmt: skip
    for q in range(low, n):
        if count[q] < SEASON_MIN:
            ratio[q], far[q] = VOTE_COST * n_index + (HINT if q >= begin else -HINT), 0.0
        else:
            ratio[q] = min(max(0.5 * (ratio[q] + log(shares[q])), -VOTE), VOTE)
            far[q] = math.sqrt(far[q])


@helper
def change_point(ratio: Floats, low: int, high: int, cost: float) -> int:
    """Return the q in [low, high) from which on the ratios less their ``cost`` sum up to most, earliest of equals."""
    total, best, at = 0.0, -np.inf, low
    for q in range(high - 1, low - 1, -1):
        total += ratio[q] - cost
        if total >= best:
            best, at = total, q
    return at


@jit
def date_onset(records: Records, tables: Tables, first_onset: float, found: Candidates) -> None:
    """Move every candidate's onset to where the ground left its climatology: the third step of the detector.

    Parameters
    ----------
    found : (pixel,) CANDIDATE; out: onset and its bounds, evidence
    """
    n_index, n_time = records.z.shape[1:]
    ratio, far, score = np.empty(n_time), np.empty(n_time), np.empty(n_time + 1)
    sums, work = np.empty((n_time + 1, 2 * n_index)), np.empty((4 * n_index + 2, n_time))
    before = np.empty(n_time + 1, np.int64)
    for p in range(found.size):
        if found[p].onset < 0:
            continue
        n = records.size[p]
        z, day, date = records.z[p], records.day[p], records.date[p]
        running(z, n, sums)
        count_before(date, n, before)
        begin = found[p].begin
        low, reach = max(begin - BACK, MIN_BASELINE), max(begin - REACH, MIN_BASELINE)
        while reach < begin and day[reach] < first_onset:
            reach += 1
        low = max(low, reach)
        high = min(begin + SPAN, n - 3)
        high = max(high, low + 1)
        cost = VOTE_COST * n_index
        at, base = begin, -1
        for _ in range(2):  # once more against the baseline that the first dating gives, if it moved
            if at == base:
                break
            base = at
            # from the reach on for the bounds, and to the end for the evidence
            cast_votes(z, n, date, before, tables.seasons, sums, base, begin, reach, work, ratio, far)
            at = change_point(ratio, low, high, cost)
        score[high] = 0.0
        for q in range(high - 1, reach - 1, -1):
            score[q] = score[q + 1] + ratio[q]
        early, late = posterior_bounds(score, reach, high, ONSET_HEAT)
        # two ways to date it: their disagreement is part of the interval
        found[p].onset, found[p].onset_low, found[p].onset_high = at, min(early, at, begin), max(late, at, begin)
        count = 0
        for q in range(at, n):
            count += far[q] > ABNORMAL
        found[p].evidence = count
