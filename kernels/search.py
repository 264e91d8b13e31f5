"""The search over both dates: baseline [0, i) | activity [i, j) | settled [j, n).

The score of a pair is the sum of the three log evidences, O(1) each once the paths of
:mod:`kernels.harmonic` and the running sums are there. Steps (i = j) and open activities (j = n)
are searched in full by the screen; other pairs, of the tasks that pass it, on a coarse grid, then
along each date in full, in turn, until neither moves.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from kernels._jit import helper
from kernels.harmonic import level_trend_scan
from kernels.model import ACTIVITY_B0, ACTIVITY_PRECISION
from kernels.series import NOWHERE, ONE, Floats

COARSE = cast(int, np.int64(6))
"""Step of the coarse grid, observations: shorter than an activity that noise could not mimic."""

PROFILE = 4
"""Observations on either side of one date's optimum over which the other's interval is profiled."""

INTERVAL_DROP = 1.3528
"""Half the 90 % point of chi-squared with one degree of freedom: the profile interval."""


class Paths(NamedTuple):
    """What the score of any pair is made of, for one series of n observations.

    ``before[i]`` evidence of [0, i) as baseline; ``after[j]`` of [j, n) as settled, both (> n,);
    ``moments`` of :func:`kernels.series.running_moments`; ``n_index``; ``table`` of the activity
    prior; ``work`` (> n,) scratch; ``n`` observations.
    """

    before: Floats
    after: Floats
    moments: Floats
    n_index: int
    table: Floats
    work: Floats
    n: int


@helper
def scan(paths: Paths, anchor: int, start: int, stop: int, step: int) -> None:
    """Write to ``work[q]`` the evidence of the activity between ``anchor`` and each q."""
    level_trend_scan(
        paths.moments,
        paths.n_index,
        anchor,
        start,
        stop,
        step,
        ACTIVITY_PRECISION,
        ACTIVITY_B0,
        paths.table,
        paths.work,
    )


@helper
def best_onset(paths: Paths, end: int, start: int, stop: int, best: float, at: int) -> tuple[float, int]:
    """Best onset i in [start, stop) of an activity that ends at ``end``, if it beats ``best``."""
    before, work = paths.before, paths.work
    scan(paths, end, start, stop, ONE)
    for i in range(start, stop):
        score = before[i] + work[i] + paths.after[end]
        if score > best:
            best, at = score, i
    return best, at


@helper
def best_end(paths: Paths, at: int, start: int, stop: int, step: int, best: float, end: int) -> tuple[float, int]:
    """Best settled start j in range(start, stop, step) of an activity from ``at`` on, if it beats ``best``."""
    after, work = paths.after, paths.work
    scan(paths, at, start, stop, step)
    for j in range(start, stop, step):
        score = paths.before[at] + work[j] + after[j]
        if score > best:
            best, end = score, j
    return best, end


@helper
def best_step(paths: Paths, first: int, last: int) -> tuple[float, int]:
    """Best step (i = j) in [first, last]; (-inf, -1) if there is no room."""
    before, after = paths.before, paths.after
    best, at = -np.inf, -1
    for i in range(first, last + 1):
        score = before[i] + after[i]
        if score > best:
            best, at = score, i
    return best, at


@helper
def best_settled(paths: Paths, first: int, last: int) -> tuple[float, int, int]:
    """Best activity that ends: its score, onset and first settled observation.

    Parameters
    ----------
    first : int, earliest onset; last : int, latest start of the settled phase

    Returns
    -------
    (score, i, j); i = j is a step between two observations; (-inf, -1, -1) if there is no room.
    """
    best, at = best_step(paths, first, last)
    end = at
    for i in range(first, last + 1, COARSE):
        best, j = best_end(paths, i, i + COARSE, last + 1, COARSE, best, NOWHERE)
        if j >= 0:
            at, end = i, j
    improved = at >= 0
    while improved:
        old = best
        best, at = best_onset(paths, end, first, end + 1, best, at)
        best, end = best_end(paths, at, at, last + 1, ONE, best, end)
        improved = best > old
    return best, at, end


@helper
def onset_interval(paths: Paths, first: int, ends: tuple[int, int], at: int, limit: float) -> tuple[int, int]:
    """Positions of the earliest and latest onset whose profile evidence reaches ``limit``.

    Every onset from ``first`` on is tried, the other date profiled over [ends[0], ends[1]].
    """
    before, work = paths.before, paths.work
    low, high = at, at
    for j in range(ends[0], ends[1] + 1):
        stop = min(j + 1, paths.n - 2)
        scan(paths, j, first, stop, ONE)
        for i in range(first, stop):
            if before[i] + work[i] + paths.after[j] >= limit:
                low, high = min(low, i), max(high, i)
    return low, high


@helper
def end_interval(paths: Paths, last: int, onsets: tuple[int, int], end: int, limit: float) -> tuple[int, int]:
    """Positions of the earliest and latest settled start whose profile evidence reaches ``limit``.

    Every start up to ``last`` is tried, the onset profiled over [onsets[0], onsets[1]].
    """
    after, work = paths.after, paths.work
    low, high = end, end
    for i in range(onsets[0], onsets[1] + 1):
        scan(paths, i, i, last + 1, ONE)
        for j in range(i, last + 1):
            if paths.before[i] + work[j] + after[j] >= limit:
                low, high = min(low, j), max(high, j)
    return low, high
