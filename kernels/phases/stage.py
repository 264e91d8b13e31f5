"""Evidence of a stage of works, a level and a trend, between two observations; lanes are stages with one end in common.

Same model as `kernels.phases.evidence`, with the columns 1 and t - mean(t), which are orthogonal, so that
nothing need be factored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from groundbreak.kernels.lanes.jit import helper, lane
from groundbreak.kernels.lanes.logarithm import log
from groundbreak.kernels.phases.evidence import N_PAIRS, N_TERMS, VECTOR
from groundbreak.kernels.phases.model import Prior
from groundbreak.kernels.types import Floats, Ints


class StageLanes(NamedTuple):
    """Scratch of `stage_evidence`, and its results."""

    dates: Floats
    """(5, end, lane) float64: observations, their mean time, reciprocals of what level and trend are divided by, and
    the log of the determinant."""
    totals: Floats
    """(2, end, lane) float64: product over the indices, and largest of the sums of squares left."""
    evidence: Floats
    """(end, lane) float64: log evidence, summed over the indices."""


@helper
def stage_lanes(n_ends: int, count: int) -> StageLanes:
    """Make room for ``count`` stages to each of ``n_ends`` ends."""
    width = -(-count // VECTOR) * VECTOR
    return StageLanes(np.zeros((5, n_ends, width)), np.zeros((2, n_ends, width)), np.zeros((n_ends, width)))


@helper
def stage_sums(sums: Floats, at: Ints, count: int, out: Floats) -> None:
    """Take what a stage needs out of the running sums at some observations.

    Parameters
    ----------
    sums : of `kernels.phases.evidence.running_sums`
    at : (lane,) int64, the observations, of which ``count`` are in use
    out : (1 + index, 3, lane) float64, out: count, t and t^2, then z, t z and z^2 of each index
    """
    for q in range(count):
        row = sums[at[q]]
        out[0, 0, q], out[0, 1, q], out[0, 2, q] = row[0], row[N_PAIRS - N_TERMS], row[N_PAIRS - 1]
        for k in range(1, out.shape[0]):
            end = N_PAIRS + k * (N_TERMS + 1) - 1
            out[k, 0, q], out[k, 1, q], out[k, 2, q] = row[end - N_TERMS], row[end - 1], row[end]


@helper
def take_ends(ends: Floats, first: int, fixed: Floats) -> None:
    """Copy lanes from ``first`` on of (1 + index, 3, lane) to (end, 1 + index, 3)."""
    for e in range(fixed.shape[0]):
        for k in range(fixed.shape[1]):
            for a in range(3):
                fixed[e, k, a] = ends[k, a, first + e]


@lane
def _span(fixed: Floats, sign: float, moving: Floats, precision: Floats, count: int, dates: Floats) -> None:
    """Compute what the dates alone decide."""
    level, trend = precision[0], precision[1]
    for e in range(fixed.shape[0]):
        f0, f1, f2 = fixed[e, 0, 0], fixed[e, 0, 1], fixed[e, 0, 2]
        for q in range(count):
            m = sign * (f0 - moving[0, 0, q])
            st = sign * (f1 - moving[0, 1, q])
            mean = st / m
            stt = max(sign * (f2 - moving[0, 2, q]) - st * mean, 0.0)
            both = (m + level) * (stt + trend)
            shrink = 1.0 / both  # one division for two
            dates[0, e, q] = m
            dates[1, e, q] = mean
            dates[2, e, q] = shrink * (stt + trend)
            dates[3, e, q] = shrink * (m + level)
            dates[4, e, q] = log(both)


@lane
def _rest(
    k: int, fixed: Floats, sign: float, moving: Floats, scale: float, count: int, dates: Floats, out: Floats
) -> None:
    """Multiply what level and trend leave of index k into the product over the indices, and keep the largest."""
    for e in range(fixed.shape[0]):
        f0, f1, f2 = fixed[e, k, 0], fixed[e, k, 1], fixed[e, k, 2]
        for q in range(count):
            sz = sign * (f0 - moving[k, 0, q])
            szt = sign * (f1 - moving[k, 1, q]) - dates[1, e, q] * sz
            rest = max(sign * (f2 - moving[k, 2, q]) - sz * sz * dates[2, e, q] - szt * szt * dates[3, e, q], 0.0)
            out[0, e, q] *= scale + 0.5 * rest
            out[1, e, q] = max(out[1, e, q], rest)


@lane
def _conclude(
    dates: Floats, totals: Floats, table: Floats, logdet: float, shape: float, n_index: int, count: int, out: Floats
) -> None:
    """Compute the log evidence of every stage."""
    for e in range(out.shape[0]):
        for q in range(count):
            m = dates[0, e, q]
            constant = n_index * (table[max(int(m), 0)] - 0.5 * (logdet + dates[4, e, q]))
            out[e, q] = constant - (shape + 0.5 * m) * log(totals[0, e, q])


@helper
def stage_evidence(fixed: Floats, sign: float, moving: Floats, count: int, prior: Prior, lanes: StageLanes) -> None:
    """Compute the log evidence of segments as one stage each, between every common end and every other end.

    Parameters
    ----------
    fixed : (end, 1 + index, 3) of `stage_sums` at the common ends; as many as ``lanes`` has room for
    sign : 1 if those are where stages stop, -1 if where they start
    moving : (1 + index, 3, lane) of `stage_sums` at their other ends, of which ``count`` are in use
    lanes : out; whole vectors are computed, and what is no segment is not a number
    """
    width = -(-count // VECTOR) * VECTOR
    dates, totals, evidence = lanes
    _span(fixed, sign, moving, prior.precision, width, dates)
    totals[0] = 1.0
    totals[1] = 0.0
    for k in range(1, fixed.shape[1]):
        _rest(k, fixed, sign, moving, prior.scale, width, dates, totals)
    _conclude(dates, totals, prior.table, prior.logdet, prior.shape, fixed.shape[1] - 1, count, evidence)


@helper
def one_stage(sums: Floats, i: int, j: int, prior: Prior, ends: Floats, lanes: StageLanes) -> tuple[float, float]:
    """Compute the log evidence of [i, j), 0 <= i < j, as one stage, and its largest residual variance.

    Parameters
    ----------
    ends : (1 + index, 3, >= VECTOR) float64, scratch
    lanes : of one end
    """
    at = np.array([j, i])
    stage_sums(sums, at, 2, ends)
    fixed = np.empty((1, *ends.shape[:2]))
    take_ends(ends, 1, fixed)
    stage_evidence(fixed, -1.0, ends, 1, prior, lanes)
    return lanes.evidence[0, 0], lanes.totals[1, 0, 0] / (j - i)
