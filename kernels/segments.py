"""The joint search: baseline [0, i) | stages of works | settled [j, n), by dynamic programming over both dates.

Works are a sequence of stages, each a level and a trend. The best sequence that reaches an observation is the best of
those that reach an earlier one plus one stage (Bellman 1961), so one pass over pairs of nodes finds the onset, every
stage and the start of the settled phase together, and the scores of all other halts with it.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import helper, jit
from kernels.evidence import evidence_at, n_sums, posterior_bounds, running_sums, stage_evidence
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
from kernels.series import Floats, Ints

NODE = 4
"""Observations between two nodes of the search; both dates are then moved to the best observation around theirs."""

HALT_HEAT = 10.0
"""Temperature of the halt's posterior: evidence counts observations as independent, weather makes them alike."""


@helper
def reach_nodes(
    node: Ints, count: int, before: Floats, sums: Floats, n_index: int, tables: Tables, reach: Floats, origin: Ints
) -> None:
    """Best evidence of a baseline and stages up to every node, and the node where the last stage begins.

    Parameters
    ----------
    node : (> count,) observations of the nodes, and node[count] the end of the record
    before : (count,) evidence of what lies before each node as baseline
    reach : (> count,) out; -inf where no stage fits; the end of the record is reached by stages alone
    origin : (> count,) int64 out, positions in ``node``
    """
    for b in range(count + 1):
        reach[b] = -np.inf
        origin[b] = -1
    for a in range(count):
        if node[count] - node[a] < 2:
            continue
        base = max(before[a], reach[a]) - STAGE_COST * n_index
        for b in range(a + 1, count + 1):
            evidence, _ = stage_evidence(sums, n_index, node[a], node[b], tables.stage)
            if base + evidence > reach[b]:
                reach[b] = base + evidence
                origin[b] = a


@helper
def is_staged(before: Floats, reach: Floats, at: int, count: int) -> bool:
    """Whether a stage, and not the baseline, ends at a node."""
    return at == count or reach[at] > before[at]


@helper
def onset_and_pauses(
    node: Ints,
    before: Floats,
    reach: Floats,
    origin: Ints,
    sums: Floats,
    n_index: int,
    day: Floats,
    end: int,
    count: int,
    tables: Tables,
) -> tuple[int, int, int]:
    """Of the best sequence that ends at a node: the node where it begins, the end of its first stage, and how many of
    its stages but the last are long and quiet, pauses between two activities."""
    pauses = 0
    at = after = end
    while is_staged(before, reach, at, count):
        start = origin[at]
        if at != end:
            _, variance = stage_evidence(sums, n_index, node[start], node[at], tables.stage)
            if day[node[at] - 1] - day[node[start]] >= PAUSE_DAYS and variance <= PAUSE_SPREAD:
                pauses += 1
        after, at = at, start
    return at, after, pauses


@jit
def segment(records: Records, tables: Tables, settings: Settings, first_onset: float, found: Candidates) -> None:
    """Second stage: the best sequence of phases of every pixel.

    Parameters
    ----------
    first_onset : earliest day of an onset
    found : (pixel,) FOUND, out: onset and begin (-1: no room for a change), settled and its bounds, pauses, over_open,
        spread (0 where works go on)
    """
    n_time, n_index = records.z.shape[1:]
    width = n_time // NODE + 2 * NODE + 2
    sums = np.empty((n_time + 1, n_sums(n_index)))
    lanes = np.zeros((sums.shape[1], width))
    before, after, reach, score, spread = (
        np.empty(width),
        np.empty(width),
        np.empty(width),
        np.empty(width),
        np.empty(width),
    )
    node, origin = np.empty(width, np.int64), np.empty(width, np.int64)
    ends, near = np.empty(width, np.int64), np.empty(width, np.int64)
    ignored = np.empty(width)
    zeros = np.zeros(width, np.int64)
    for p in range(records.size.size):
        n = records.size[p]
        found[p].onset = found[p].begin = -1
        if n == 0:
            continue
        z, day = records.z[p][:n], records.day[p][:n]
        first = MIN_BASELINE
        while first < n and day[first] < first_onset:
            first += 1
        count, closable = 0, 0
        for i in range(first, n, NODE):
            node[count] = i
            count += 1
            if n - i >= MIN_SETTLED and day[n - 1] - day[i] >= settings.settled_days:
                closable = count
        node[count] = n
        running_sums(z, records.design[p][:n], sums)
        evidence_at(sums, n_index, zeros, node, count, tables.baseline, lanes, before, spread)
        ends[:] = n
        evidence_at(sums, n_index, node, ends, closable, tables.settled, lanes, after, spread)
        reach_nodes(node, count, before, sums, n_index, tables, reach, origin)
        closed, end = -np.inf, count
        for b in range(closable):
            score[b] = max(before[b], reach[b]) + after[b]
            if score[b] > closed:
                closed, end = score[b], b
        if max(closed, reach[count]) == -np.inf:
            continue
        if closed < reach[count]:
            end = count
        found[p].over_open = closed - reach[count]
        begin, stop, found[p].pauses = onset_and_pauses(
            node, before, reach, origin, sums, n_index, day, end, count, tables
        )
        found[p].settled = found[p].settled_low = found[p].settled_high = node[end]
        found[p].spread = 0.0
        if end < count:
            low, high = posterior_bounds(score, 0, closable, HALT_HEAT)
            at = node[end]
            start = node[origin[end]] if is_staged(before, reach, end, count) else first - 1
            around = 0  # the observations around the node, as far as a settled phase may start there
            for q in range(max(at - NODE, start) + 1, at + NODE):
                if n - q >= MIN_SETTLED and day[n - 1] - day[q] >= settings.settled_days:
                    near[around] = q
                    around += 1
            evidence_at(sums, n_index, near, ends, around, tables.settled, lanes, after, spread)
            evidence_at(sums, n_index, zeros, near, around, tables.baseline, lanes, score, ignored)
            most = -np.inf
            for a in range(around):
                works = score[a]
                if start >= first:
                    works, _ = stage_evidence(sums, n_index, start, near[a], tables.stage)
                if works + after[a] > most:
                    most = works + after[a]
                    found[p].settled, found[p].spread = near[a], spread[a]
            found[p].settled_low = min(node[low], found[p].settled)
            found[p].settled_high = max(node[high], found[p].settled)
        found[p].onset = found[p].begin = found[p].settled  # a step
        if begin != end:
            stop_at = node[stop] if stop != end else found[p].settled
            around = 0
            for q in range(max(node[begin] - NODE + 1, first), min(node[begin] + NODE, stop_at - 1)):
                near[around] = q
                around += 1
            evidence_at(sums, n_index, zeros, near, around, tables.baseline, lanes, before, ignored)
            most = -np.inf
            for a in range(around):
                works, _ = stage_evidence(sums, n_index, near[a], stop_at, tables.stage)
                if before[a] + works > most:
                    most = before[a] + works
                    found[p].onset = found[p].begin = near[a]
