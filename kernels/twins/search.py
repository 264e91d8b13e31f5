"""Slow, obvious NumPy twin of the search: from one pixel's observations to a candidate.

`kernels.twins.phases` builds whole layers from it. It shares the constants with the kernels
and nothing else: least squares on the rows of a segment instead of recursive updates and running
sums, whole arrays and plain loops instead of scratch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from groundbreak.kernels.phases import model, onset, segments
from groundbreak.kernels.twins.evidence import log_evidence, posterior_bounds, spread
from groundbreak.kernels.twins.onset import cast_votes, change_point
from groundbreak.kernels.twins.stage import stage_evidence
from groundbreak.kernels.twins.states import lost_states, novel_share
from groundbreak.kernels.types import Floats


@dataclass(frozen=True)
class Candidate:
    """A candidate; positions count a pixel's observations."""

    onset: int
    """The first changed observation."""
    onsets: tuple[int, int]
    """90 % bounds of the onset."""
    settled: int
    """The first settled observation; the number of observations where works go on."""
    settles: tuple[int, int]
    """90 % bounds of the settled start."""
    pauses: int
    """Stages that are long and quiet."""
    evidence: int
    """Observations since the onset that no season explains."""
    after: int
    """Observations since the onset."""
    over_open: float
    """Log evidence, an index, of a settled end over works that go on."""
    lost: float
    """Share of the baseline's states that are gone."""
    novel: float
    """Share of what came that the baseline never showed."""
    grown: float
    """Log evidence, an observation and index, of a season over one stage since the onset."""
    spread: float
    """Standard deviation of the settled phase, noise units; 0 where works go on."""


class Series:
    """One pixel's clear observations, and the evidence of any of its segments."""

    def __init__(self, z: Floats, day: Floats, season: Floats, design: Floats) -> None:
        """Keep ``z`` (index, observation), and days, days of the year and design of each observation."""
        self.z, self.day, self.season, self.design = z, day, season, design
        self.n = z.shape[1]
        self.stage = lru_cache(None)(self._stage)

    def baseline(self, i: int) -> float:
        """Return the log evidence of [0, i) as normal ground."""
        return log_evidence(self.design[:i], self.z[:, :i], model.BASELINE)[0]

    def settled(self, j: int) -> float:
        """Return the log evidence of [j, n) as finished ground."""
        return log_evidence(self.design[j:], self.z[:, j:], model.SETTLED)[0]

    def _stage(self, i: int, j: int) -> tuple[float, float]:
        """Return the log evidence of [i, j) as one stage, and its largest variance."""
        return stage_evidence(self.design[i:j, -1], self.z[:, i:j])


def find_segments(s: Series, settled_days: float, first_onset: float) -> tuple[int, int, tuple[int, int], int, float]:
    """Find the best sequence of phases.

    Parameters
    ----------
    settled_days : least length of a settled phase, days
    first_onset : earliest day of an onset

    Returns
    -------
    Onset (-1 where there is no room for a change), settled start, its bounds, pauses, and the log evidence, an index,
    of a settled end over works that go on.
    """
    onsets = [i for i in range(model.MIN_BASELINE, s.n) if s.day[i] >= first_onset]
    nodes = onsets[:: segments.NODE]
    closable = {j for j in range(s.n - model.MIN_SETTLED + 1) if s.day[s.n - 1] - s.day[j] >= settled_days}
    before = {i: s.baseline(i) for i in nodes}
    stages: dict[int, tuple[float, list[int]]] = {}  # end: best evidence, and where its stages begin

    def reach(b: int) -> tuple[float, list[int]]:
        reached = stages.get(b, (-math.inf, []))
        return reached if b == s.n or reached[0] > before[b] else (before[b], [])

    cost = model.STAGE_COST * s.z.shape[0]
    for b in [*nodes, s.n]:
        ways = [(reach(a)[0] - cost + s.stage(a, b)[0], [*reach(a)[1], a]) for a in nodes if a < b and s.n - a >= 2]
        stages[b] = max(ways, key=lambda way: way[0], default=(-math.inf, []))
    scores = {j: reach(j)[0] + s.settled(j) for j in nodes if j in closable}
    closed = max(scores.values(), default=-math.inf)
    if max(closed, stages[s.n][0]) == -math.inf:
        return -1, -1, (-1, -1), 0, 0.0
    over = (closed - stages[s.n][0]) / s.z.shape[0]
    j = s.n if over < 0 else min(j for j in scores if scores[j] == closed)
    path = reach(j)[1]
    long = [(a, b) for a, b in pairwise(path) if s.day[b - 1] - s.day[a] >= model.PAUSE_DAYS]
    pauses = sum(s.stage(a, b)[1] <= model.PAUSE_SPREAD for a, b in long)
    if j == s.n:
        return refine_onset(s, path, j, onsets[0]), j, (j, j), pauses, over
    heat = segments.HALT_HEAT * max(s.z.shape[0], 2)
    low, high = (list(scores)[b] for b in posterior_bounds(np.array(list(scores.values())), heat))
    start = path[-1] if path else onsets[0] - 1
    around = [q for q in range(max(j - segments.NODE, start) + 1, j + segments.NODE) if q in closable]
    j = max(around, key=lambda q: (s.stage(path[-1], q)[0] if path else s.baseline(q)) + s.settled(q))
    return refine_onset(s, path, j, onsets[0]), j, (min(low, j), max(high, j)), pauses, over


def refine_onset(s: Series, path: list[int], settled: int, first: int) -> int:
    """Return the best onset around the node where the first stage begins.

    That of a step is where the ground settled, and so is that of a first stage too short to be divided.
    """
    if not path:
        return settled
    stop = path[1] if len(path) > 1 else settled
    around = range(max(path[0] - segments.NODE + 1, first), min(path[0] + segments.NODE, stop - 1))
    return max(around, key=lambda q: s.baseline(q) + s.stage(q, stop)[0], default=settled)


def find_change(s: Series, settings: model.Settings, first_onset: float) -> Candidate | None:
    """Return the candidate of a series, or None where there is no room for a change."""
    begin, settled, settles, pauses, over = find_segments(s, settings.settled_days, first_onset)
    if begin < 0:
        return None
    reach = max(begin - onset.REACH, model.MIN_BASELINE)
    while reach < begin and s.day[reach] < first_onset:
        reach += 1
    low = max(begin - onset.BACK, reach)
    high = max(min(begin + onset.SPAN, s.n - 3), low + 1)
    at, ratio, far = begin, np.zeros(s.n), np.zeros(s.n)
    for _ in range(2):
        ratio, far = cast_votes(s.z, s.day, s.season, at, begin, reach)
        at = change_point(ratio, low, high, onset.VOTE_COST * s.z.shape[0])
    votes = ratio[reach:high][::-1].cumsum()[::-1]
    early, late = (reach + bound for bound in posterior_bounds(votes, onset.ONSET_HEAT))
    count = int((far[at:] > onset.ABNORMAL).sum())
    seasonal = log_evidence(s.design[at:], s.z[:, at:], model.BASELINE)[0]
    finished = 0.0
    if settled < s.n:
        finished = spread(log_evidence(s.design[settled:], s.z[:, settled:], model.SETTLED)[2])
    return Candidate(
        onset=at,
        onsets=(min(early, at, begin), max(late, at, begin)),
        settled=settled,
        settles=settles,
        pauses=pauses,
        evidence=count,
        after=s.n - at,
        over_open=over,
        lost=lost_states(s.z, s.season, at),
        novel=novel_share(s.z, at),
        grown=(seasonal - s.stage(at, s.n)[0]) / (s.z.shape[0] * (s.n - at)),
        spread=finished,
    )
