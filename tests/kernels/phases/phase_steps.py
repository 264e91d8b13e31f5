"""Steps of the ``phases`` detector, to be called from Python: kernels' helpers have no wrapper of their own."""

from __future__ import annotations

import numpy as np

from groundbreak.kernels.lanes.jit import jit
from groundbreak.kernels.phases import climate, evidence, onset, stage, states
from groundbreak.kernels.phases.model import Prior
from groundbreak.kernels.types import Floats, Ints


@jit
def running_sums(z: Floats, date: Ints, start: int, stop: int, design: Floats, pairs: Floats, sums: Floats) -> None:
    evidence.running_sums(z, date, start, stop, design, pairs, sums)


@jit
def evidence_at(sums: Floats, n_index: int, start: Ints, stop: Ints, width: int, prior: Prior) -> tuple[Floats, Floats]:
    """Give the lanes ``width`` places."""
    lanes = np.full((sums.shape[1] + 1, width), np.nan)
    out, spread = np.full(width, np.nan), np.full(width, np.nan)
    evidence.evidence_at(sums, n_index, start, stop, start.size, prior, lanes, out, spread)
    return out, spread


@jit
def posterior_bounds(score: Floats, low: int, high: int, heat: float) -> tuple[int, int]:
    return evidence.posterior_bounds(score, low, high, heat)


@jit
def stage_evidence(sums: Floats, fixed_at: Ints, sign: float, moving_at: Ints, n_index: int, prior: Prior) -> Floats:
    """Compute, (end, lane), the stages between the observations ``fixed_at`` and ``moving_at``."""
    n_ends, count = fixed_at.size, moving_at.size
    lanes = stage.stage_lanes(n_ends, count)
    width = lanes.evidence.shape[1] + n_ends
    ends, fixed = np.zeros((1 + n_index, 3, width)), np.empty((n_ends, 1 + n_index, 3))
    at = np.empty(count + n_ends, np.int64)
    at[:count], at[count:] = moving_at, fixed_at
    stage.stage_sums(sums, at, at.size, ends)
    stage.take_ends(ends, count, fixed)
    stage.stage_evidence(fixed, sign, ends, count, prior, lanes)
    return lanes.evidence


@jit
def one_stage(sums: Floats, i: int, j: int, n_index: int, prior: Prior) -> tuple[float, float]:
    ends = np.zeros((1 + n_index, 3, evidence.VECTOR))
    return stage.one_stage(sums, i, j, prior, ends, stage.stage_lanes(1, evidence.VECTOR))


@jit
def cast_votes(
    z: Floats, date: Ints, windows: Ints, base: int, begin: int, low: int, n_time: int
) -> tuple[Floats, Floats]:
    """Return votes and distances, (time,) each, 0 before ``low``."""
    n_index, n = z.shape
    sums, work = np.empty((n + 1, 2 * n_index)), np.full((4 * n_index + 2, n), np.nan)
    before = np.empty(n_time + 1, np.int64)
    ratio, far = np.zeros(n), np.zeros(n)
    climate.running(z, n, sums)
    climate.count_before(date, n, before)
    onset.cast_votes(z, n, date, before, windows, sums, base, begin, low, work, ratio, far)
    return ratio, far


@jit
def change_point(ratio: Floats, low: int, high: int, cost: float) -> int:
    return onset.change_point(ratio, low, high, cost)


@jit
def lost_states(z: Floats, date: Ints, windows: Ints, first: int, n_time: int) -> float:
    """Compare the observations in float32, as the detector does."""
    n = z.shape[1]
    places, before = z.astype(np.float32), np.empty(n_time + 1, np.int64)
    far, visits = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    climate.count_before(date, n, before)
    return states.lost_states(places, n, date, before, windows, first, far, visits)


@jit
def novel_share(z: Floats, first: int) -> float:
    return states.novel_share(z, z.shape[1], first)
