"""The joint search: baseline [0, i) | stages of works | settled [j, n), by dynamic programming over both dates.

Works are a sequence of stages, each a level and a trend. The best sequence that reaches an observation is the best of
those that reach an earlier one plus one stage (Bellman 1961), so one pass over pairs of nodes finds the onset, every
stage and the start of the settled phase together, and the scores of all other halts with it.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import helper, jit
from kernels.harmonic import N_TERMS, evidence_path, stage_spread
from kernels.model import (
    MIN_BASELINE,
    MIN_SETTLED,
    PAUSE_DAYS,
    PAUSE_SPREAD,
    STAGE_COST,
    Candidates,
    Records,
    Settings,
    Tables,
)
from kernels.series import ZERO, Floats, Ints, running_moments

NODE = 2
"""Observations between two nodes of the search; the halt is then moved to the best observation around its node."""

HALT_HEAT = 10.0
"""Temperature of the halt's posterior: evidence counts observations as independent, weather makes them alike."""

TAIL = 0.05
"""Posterior left out on either side of a 90 % interval."""


@helper
def reach_nodes(
    before: Floats, moments: Floats, n_index: int, first: int, n: int, tables: Tables, reach: Floats, origin: Ints
) -> None:
    """Best evidence of a baseline and stages up to every node, and the node where the last stage begins.

    Parameters
    ----------
    before : (> n,) evidence of [0, i) as baseline
    reach : (> n,) out, at first, first + NODE, ... and n; -inf where no stage fits
    origin : (> n,) int64 out
    """
    for b in range(n + 1):
        reach[b] = -np.inf
        origin[b] = -1
    for a in range(first, n - 1, NODE):
        base = max(before[a], reach[a]) - STAGE_COST
        b = a + NODE
        while b < n + NODE:
            end = min(b, n)
            evidence, _ = stage_spread(moments, n_index, a, end, tables.stage)
            if base + evidence > reach[end]:
                reach[end] = base + evidence
                origin[end] = a
            b += NODE


@helper
def onset_of(before: Floats, reach: Floats, origin: Ints, end: int, n: int) -> int:
    """The onset of the best sequence that ends at a node, or with works at the end of the record."""
    at = origin[end] if end == n else end
    while reach[at] > before[at]:
        at = origin[at]
    return at


@helper
def count_pauses(
    before: Floats,
    reach: Floats,
    origin: Ints,
    moments: Floats,
    n_index: int,
    day: Floats,
    end: int,
    n: int,
    tables: Tables,
) -> int:
    """Stages before the last that are long and quiet: pauses between two activities."""
    pauses = 0
    at = origin[end] if end == n or reach[end] > before[end] else end
    while reach[at] > before[at]:
        start = origin[at]
        _, variance = stage_spread(moments, n_index, start, at, tables.stage)
        if day[at - 1] - day[start] >= PAUSE_DAYS and variance <= PAUSE_SPREAD:
            pauses += 1
        at = start
    return pauses


@helper
def halt_interval(score: Floats, first: int, last: int, best: float) -> tuple[int, int]:
    """Nodes between which the settled phase starts with 90 % of the tempered posterior."""
    total = 0.0
    for j in range(first, last + 1, NODE):
        score[j] = math.exp((score[j] - best) / HALT_HEAT)
        total += score[j]
    low, high = -1, -1
    mass = 0.0
    for j in range(first, last + 1, NODE):
        mass += score[j] / total
        if low < 0 and mass >= TAIL:
            low = j
        if high < 0 and mass >= 1.0 - TAIL:
            high = j
    return low, high if high >= 0 else last


@jit
def segment(records: Records, tables: Tables, settings: Settings, first_onset: float, found: Candidates) -> None:
    """Second stage: the best sequence of phases of every pixel.

    Parameters
    ----------
    first_onset : earliest day of an onset
    found : (pixel,) FOUND, out: onset and begin (-1: no room for a change), settled and its bounds, last, pauses,
        over_open
    """
    n_time, n_index = records.z.shape[1:]
    before, after, reach, score = np.empty((4, n_time + 1))
    origin = np.empty(n_time + 1, np.int64)
    coef = np.empty((n_index, N_TERMS))
    moments = np.zeros((n_time + 1, 2 + 3 * n_index))
    for p in range(records.size.size):
        n = records.size[p]
        found[p].onset = found[p].begin = -1
        if n == 0:
            continue
        z, day, design = records.z[p][:n], records.day[p][:n], records.design[p][:n]
        first = MIN_BASELINE
        while first < n and day[first] < first_onset:
            first += 1
        last = n - MIN_SETTLED
        while last >= first and day[n - 1] - day[last] < settings.settled_days:
            last -= 1
        before[0] = after[n] = 0.0
        evidence_path(design, z, ZERO, n - 1, tables.baseline, before, coef)
        evidence_path(design, z, n - 1, ZERO, tables.settled, after, coef)
        running_moments(z, design, moments)
        reach_nodes(before, moments, n_index, first, n, tables, reach, origin)
        closed, j = -np.inf, n
        for b in range(first, last + 1, NODE):
            score[b] = max(before[b], reach[b]) + after[b]
            if score[b] > closed:
                closed, j = score[b], b
        if max(closed, reach[n]) == -np.inf:
            continue
        if closed < reach[n]:
            j = n
        found[p].settled = found[p].settled_low = found[p].settled_high = j
        found[p].over_open = closed - reach[n]
        onset = onset_of(before, reach, origin, j, n)
        found[p].onset = found[p].begin = onset
        found[p].last = origin[j] if j == n or reach[j] > before[j] else j
        found[p].pauses = count_pauses(before, reach, origin, moments, n_index, day, j, n, tables)
        if j < n:
            low, high = halt_interval(score, first, last, closed)
            if found[p].last < j:
                start, most = found[p].last, -np.inf
                for q in range(max(j - NODE + 1, start + 1), min(j + NODE, last + 1)):
                    evidence, _ = stage_spread(moments, n_index, start, q, tables.stage)
                    if evidence + after[q] > most:
                        most, found[p].settled = evidence + after[q], q
            found[p].settled_low = min(low, found[p].settled)
            found[p].settled_high = max(high, found[p].settled)
