"""The joint search: baseline [0, i) | stages of works | settled [j, n), by dynamic programming over both dates.

Works are a sequence of stages, each a level and a trend. The best sequence that reaches an observation is the best of
those that reach an earlier one plus one stage (Bellman 1961), so one pass over pairs of nodes finds the onset, every
stage and the start of the settled phase together, and the scores of all other halts with it.
"""

from __future__ import annotations

import numpy as np

from groundbreak.kernels.lanes.jit import helper, jit, step
from groundbreak.kernels.phases.evidence import VECTOR, evidence_at, n_sums, posterior_bounds, running_sums
from groundbreak.kernels.phases.model import (
    MIN_BASELINE,
    MIN_SETTLED,
    PAUSE_DAYS,
    PAUSE_SPREAD,
    STAGE_COST,
    Candidates,
    Prior,
    Records,
    Settings,
    Tables,
)
from groundbreak.kernels.phases.stage import StageLanes, one_stage, stage_evidence, stage_lanes, stage_sums, take_ends
from groundbreak.kernels.types import Floats, Ints

NODE = 6
"""Observations between two nodes of the search; both dates are then moved to the best observation around theirs."""

NODES_TOGETHER = 4
"""Nodes to which stages are fitted in one call."""

HALT_HEAT = 5.0
"""Temperature of the halt's posterior, an index, of two at least: evidence counts observations and indices as
independent, weather and the ground make them alike. Intervals of one index measured too short at 5, and hold at 10."""


@step
def first_observation(day: Floats, first_onset: float) -> int:
    """Return the first observation at which a change may begin; the number of observations where there is none.

    Parameters
    ----------
    day : (observation,) float64, days since 1970-01-01
    first_onset : float64, earliest such day of an onset
    """
    first = MIN_BASELINE
    while first < day.size and day[first] < first_onset:
        first += 1
    return first


@step
def last_settled(day: Floats, settled_days: float) -> int:
    """Return the last observation at which a settled phase of ``settled_days`` days may begin; -1 for none.

    Parameters
    ----------
    day : (observation,) float64, days since 1970-01-01
    """
    at = day.size - MIN_SETTLED
    while at >= 0 and day[day.size - 1] - day[at] < settled_days:
        at -= 1
    return max(at, -1)


@step
def take_range(low: int, high: int, every: int, out: Ints) -> int:
    """Write every ``every``-th observation of [low, high) to ``out``, (> their number,) int64; return their number."""
    count = 0
    for i in range(low, high, every):
        out[count] = i
        count += 1
    return count


@helper
def reach_nodes(
    ends: Floats,
    starts: int,
    count: int,
    before: Floats,
    prior: Prior,
    lanes: StageLanes,
    base: Floats,
    reach: Floats,
    origin: Ints,
) -> None:
    """Find the best evidence of a baseline and stages up to every node, and the node where the last stage begins.

    Parameters
    ----------
    ends : (1 + index, 3, > count) of `stage_sums` at the nodes; node ``count`` is the end of the record
    starts : nodes at which a stage may begin
    before : (count,) evidence of what lies before each node as baseline
    lanes : of NODES_TOGETHER ends
    base : (> count,) float64, scratch
    reach : (> count,) out; -inf where no stage fits; the end of the record is reached by stages alone
    origin : (> count,) int64 out, positions among the nodes
    """
    fixed = np.empty((NODES_TOGETHER, *ends.shape[:2]))
    evidence = lanes.evidence
    reach[0], origin[0] = -np.inf, -1
    for b in range(1, count + 1):
        e = (b - 1) % NODES_TOGETHER
        if e == 0:  # a few nodes at a time: a call costs as much as twenty lanes
            take_ends(ends, b, fixed)
            stage_evidence(fixed, 1.0, ends, min(b + NODES_TOGETHER - 1, starts), prior, lanes)
        best, at = -np.inf, -1
        base[b - 1] = max(before[b - 1], reach[b - 1]) - STAGE_COST * (ends.shape[0] - 1)
        for a in range(min(b, starts)):
            if base[a] + evidence[e, a] > best:
                best, at = base[a] + evidence[e, a], a
        reach[b], origin[b] = best, at


@helper
def is_staged(before: Floats, reach: Floats, at: int, count: int) -> bool:
    """Return whether a stage, and not the baseline, ends at node ``at`` of ``count``.

    Parameters
    ----------
    before, reach : (> count,) float64, log evidence of the baseline, and of the best stages, up to each node
    """
    return at == count or reach[at] > before[at]


@helper
def onset_and_pauses(
    node: Ints,
    before: Floats,
    reach: Floats,
    origin: Ints,
    sums: Floats,
    day: Floats,
    end: int,
    count: int,
    prior: Prior,
    ends: Floats,
    lanes: StageLanes,
) -> tuple[int, int, int]:
    """Follow the best sequence of stages that ends at a node back to where the works begin.

    Parameters
    ----------
    node : (> count,) int64, observations
    day : (observation,) float64, days since 1970-01-01
    before, reach, origin : (> count,) each, of `reach_nodes`
    sums : of `kernels.phases.evidence.running_sums`
    end, count : the node, and how many nodes there are
    prior : of a stage
    ends, lanes : (1 + index, 3, lane) float64 and lanes of one end, scratch

    Returns
    -------
    The node where the works begin, the node where their first stage ends, and how many stages but the last are long and
    quiet: pauses between two activities.
    """
    pauses = 0
    at = after = end
    while is_staged(before, reach, at, count):
        start = origin[at]
        if at != end and day[node[at] - 1] - day[node[start]] >= PAUSE_DAYS:
            _, variance = one_stage(sums, node[start], node[at], prior, ends, lanes)
            pauses += variance <= PAUSE_SPREAD
        after, at = at, start
    return at, after, pauses


@step
def score_halts(before: Floats, reach: Floats, after: Floats, closable: int, score: Floats) -> tuple[float, int]:
    """Score every node as the start of a settled phase, after the best of all that may come before.

    Parameters
    ----------
    before, reach, after : (node,) float64, log evidence of what lies before as baseline, of the best stages up to the
        node, and of what follows as a settled phase
    closable : number of nodes that may begin a settled phase
    score : (node,) float64, out: log evidence

    Returns
    -------
    The best score and its node; -inf and -1 where no node may begin a settled phase.
    """
    best, end = -np.inf, -1
    for b in range(closable):
        score[b] = max(before[b], reach[b]) + after[b]
        if score[b] > best:
            best, end = score[b], b
    return best, end


@step
def stages_near(
    sums: Floats, end: int, sign: float, near: Ints, around: int, prior: Prior, ends: Floats, fixed: Floats,
    lanes: StageLanes,
) -> None:  # fmt: skip
    """Compute the evidence of the stages between one observation and each of those around a node.

    Parameters
    ----------
    sums : of `kernels.phases.evidence.running_sums`
    end, sign : the one observation; 1 if the stages stop there, -1 if they start there
    near : (> around,) int64, the ``around`` observations around a node; the next place is overwritten
    ends, fixed : (1 + index, 3, lane) and (1, 1 + index, 3) float64, scratch
    lanes : of one end, out
    """
    near[around] = end
    stage_sums(sums, near, around + 1, ends)
    take_ends(ends, around, fixed)
    stage_evidence(fixed, sign, ends, around, prior, lanes)


@step
def best_sum(a: Floats, b: Floats, count: int) -> int:
    """Return where a + b is largest among the first ``count``, the first of equals; -1 where all are -inf."""
    most, at = -np.inf, -1
    for q in range(count):
        if a[q] + b[q] > most:
            most, at = a[q] + b[q], q
    return at


@jit
def segment(records: Records, tables: Tables, settings: Settings, first_onset: float, found: Candidates) -> None:
    """Find the best sequence of phases of every pixel: the second step of the detector.

    Parameters
    ----------
    records : of `kernels.phases.prepare.prepare`; pixels without observations are passed over
    first_onset : earliest day of an onset, days since 1970-01-01
    found : (pixel,) CANDIDATE, out: onset and begin (-1: no room for a change), settled and its bounds, pauses,
        over_open, spread (0 where works go on)
    """
    n_index, n_time = records.z.shape[1:]
    width = (int(records.size.max()) // NODE // VECTOR + 3) * VECTOR  # nodes, and room for the end and for whole calls
    columns = n_sums(n_index)
    sums = np.empty((n_time + 1, columns))
    few = np.empty((columns + 1, -(-2 * NODE // VECTOR) * VECTOR))
    ends, fixed = np.zeros((1 + n_index, 3, width)), np.empty((1, 1 + n_index, 3))
    many, lanes = stage_lanes(NODES_TOGETHER, width), stage_lanes(1, width)
    works = lanes.evidence[0]
    before, after, reach, base = np.empty(width), np.empty(width), np.empty(width), np.empty(width)
    score, spread, ignored = np.empty(width), np.empty(width), np.empty(width)
    node, origin, near = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
    zeros, lasts = np.zeros(width, np.int64), np.empty(width, np.int64)
    for p in range(records.size.size):
        n = records.size[p]
        found[p].onset = found[p].begin = -1
        if n == 0:
            continue
        day = records.day[p][:n]
        first = first_observation(day, first_onset)
        latest = last_settled(day, settings.settled_days)
        count, closable = take_range(first, n, NODE, node), max((latest - first) // NODE + 1, 0)
        node[count] = n
        wide = np.empty((columns + 1, -(-count // VECTOR) * VECTOR))
        running_sums(records.z[p], records.date[p], 0, n, tables.design, tables.pairs, sums)
        evidence_at(sums, n_index, zeros, node, count, tables.baseline, wide, before, ignored)
        lasts[:] = n
        evidence_at(sums, n_index, node, lasts, closable, tables.settled, wide, after, spread)
        stage_sums(sums, node, count + 1, ends)
        starts = max((n - 2 - first) // NODE + 1, 0)  # a stage has two observations or more
        reach_nodes(ends, starts, count, before, tables.stage, many, base, reach, origin)
        closed, end = score_halts(before, reach, after, closable, score)
        if max(closed, reach[count]) == -np.inf:
            continue
        if end < 0 or closed < reach[count]:
            end = count
        found[p].over_open = (closed - reach[count]) / n_index
        onset, stop, found[p].pauses = onset_and_pauses(
            node, before, reach, origin, sums, day, end, count, tables.stage, ends, lanes
        )
        found[p].settled = found[p].settled_low = found[p].settled_high = node[end]
        found[p].spread = 0.0
        if end < count:
            low, high = posterior_bounds(score, 0, closable, HALT_HEAT * max(n_index, 2))
            start = node[origin[end]] if is_staged(before, reach, end, count) else first - 1
            around = take_range(max(node[end] - NODE, start) + 1, min(node[end] + NODE, latest + 1), 1, near)
            evidence_at(sums, n_index, near, lasts, around, tables.settled, few, after, spread)
            if start >= first:
                stages_near(sums, start, -1.0, near, around, tables.stage, ends, fixed, lanes)
            else:
                evidence_at(sums, n_index, zeros, near, around, tables.baseline, few, works, ignored)
            best = best_sum(works, after, around)
            if best >= 0:
                found[p].settled, found[p].spread = near[best], spread[best]
            found[p].settled_low = min(node[low], found[p].settled)
            found[p].settled_high = max(node[high], found[p].settled)
        found[p].onset = found[p].begin = found[p].settled  # a step
        if onset != end:
            until = node[stop] if stop != end else found[p].settled
            around = take_range(max(node[onset] - NODE + 1, first), min(node[onset] + NODE, until - 1), 1, near)
            evidence_at(sums, n_index, zeros, near, around, tables.baseline, few, before, ignored)
            stages_near(sums, until, 1.0, near, around, tables.stage, ends, fixed, lanes)
            best = best_sum(before, works, around)
            if best >= 0:
                found[p].onset = found[p].begin = near[best]
