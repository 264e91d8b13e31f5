"""Evidence of a phase between any two observations, from running sums; lanes are positions, not pixels.

A segment of m observations is modelled as z = X c + e, e ~ N(0, s^2), with the conjugate prior
c ~ N(0, s^2 / precision), s^2 ~ InverseGamma(shape, scale). Its evidence is in closed form (Gelman et al., Bayesian
Data Analysis, ch. 14), from the sums of X'X, X'z and z'z alone: short segments shrink to their level instead of
overfitting, and more parameters cost what they must (Occam's factor, which BIC approximates). The difference of two
rows of running sums gives any segment's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.cholesky import factor, scale, solve
from groundbreak.kernels.lanes.design import waves
from groundbreak.kernels.lanes.jit import helper, step
from groundbreak.kernels.lanes.logarithm import log
from groundbreak.kernels.phases.model import Prior
from groundbreak.kernels.types import Floats, Ints

N_TERMS = 6
"""Columns of the design: level, two annual harmonics (cos, sin each), and trend."""

N_PAIRS = N_TERMS * (N_TERMS + 1) // 2

VECTOR = 8
"""Lanes that any processor fills at once; more of them cost nothing."""

TAIL = 0.05
"""Posterior left out on either side of a 90 % interval."""

MAX_INDICES = 16
"""Indices read jointly at most: the product of that many spreads stays far from overflow."""


def design_matrix(days: NDArray[np.int64]) -> Floats:
    """Make the design of a phase, (time, N_TERMS) float64: 1, cos, sin, cos 2, sin 2 of the year, and years.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    """
    years = (days - (days[0] + days[-1]) / 2 if days.size else days) / 365.25
    return np.stack([*waves(days, 2), years], axis=1)


def design_pairs(design: Floats) -> Floats:
    """Multiply the columns i >= j of a design (time, N_TERMS); (time, N_PAIRS) float64, at i (i + 1) / 2 + j."""
    return np.stack([design[:, i] * design[:, j] for i in range(N_TERMS) for j in range(i + 1)], axis=1)


def make_prior(n_time: int, precision: Floats, shape: float, scale: float) -> Prior:
    """Make a prior and its table, lgamma(shape + m/2) - lgamma(shape) + shape log scale for m = 0..n_time.

    Parameters
    ----------
    n_time : most observations of a segment
    precision : (term,) float64, relative to the noise
    shape, scale : of the variance's inverse gamma
    """
    free = shape * math.log(scale) - math.lgamma(shape)
    table = np.array([free + math.lgamma(shape + m / 2) for m in range(n_time + 1)])
    return Prior(precision, -float(np.log(precision).sum()), shape, scale, table)


@helper
def n_sums(n_index: int) -> int:
    """Count the columns of the running sums: X'X (pairs i >= j), then X'z and z'z of each index."""
    return N_PAIRS + n_index * (N_TERMS + 1)


@helper
def running_sums(z: Floats, date: Ints, start: int, stop: int, design: Floats, pairs: Floats, sums: Floats) -> None:
    """Sum up the products of the observations [start, stop): row i holds the sums over [start, start + i).

    Parameters
    ----------
    z : (index, time) float64, noise units
    date : (time,) int64, positions of the observations among all dates
    design, pairs : (all dates, N_TERMS) and (all dates, N_PAIRS) float64, of `design_matrix` and `design_pairs`
    sums : (> time, n_sums) float64, out
    """
    sums[0] = 0.0
    for i in range(start, stop):
        row, d = i - start, date[i]
        for a in range(N_PAIRS):
            sums[row + 1, a] = sums[row, a] + pairs[d, a]
        for k in range(z.shape[0]):
            at, x = N_PAIRS + k * (N_TERMS + 1), z[k, i]
            for a in range(at, at + N_TERMS):
                sums[row + 1, a] = sums[row, a] + x * design[d, a - at]
            sums[row + 1, at + N_TERMS] = sums[row, at + N_TERMS] + x * x


@step
def sums_between(sums: Floats, start: Ints, stop: Ints, count: int, lanes: Floats) -> None:
    """Take the sums over ``count`` segments [start, stop) into lanes; the other lanes hold those of no observation."""
    for q in range(lanes.shape[1]):
        i, j = (start[q], stop[q]) if q < count else (0, 0)
        for a in range(sums.shape[1]):
            lanes[a, q] = sums[j, a] - sums[i, a]


@helper
def evidence_at(
    sums: Floats,
    n_index: int,
    start: Ints,
    stop: Ints,
    count: int,
    prior: Prior,
    lanes: Floats,
    out: Floats,
    spread: Floats,
) -> None:
    """Compute the evidence and the spread of the segments [start, stop).

    Parameters
    ----------
    sums : of `running_sums`
    start, stop : (segment,) int64, of which ``count`` are in use; an empty segment has evidence 0
    lanes : (n_sums + 1, >= count) float64, scratch; all lanes are computed, whole vectors are as fast as one
    out : (segment,) float64, out: log evidence, summed over the indices, without the factor (2 pi)^(-m/2)
    spread : (segment,) float64, out: standard deviation of the residuals, mean over the indices
    """
    columns, width = sums.shape[1], lanes.shape[1]
    sums_between(sums, start, stop, count, lanes)
    matrix = lanes[:N_PAIRS]
    for a in range(N_TERMS):
        for q in range(width):
            matrix[a * (a + 3) // 2, q] += prior.precision[a]
    factor(matrix, N_TERMS, 0.0)
    table, shape = prior.table, prior.shape
    product = lanes[columns]
    product[:] = 1.0
    for a in range(N_TERMS):
        scale(matrix[a * (a + 3) // 2], product)  # reciprocals of the diagonal
    for q in range(count):
        out[q] = n_index * (table[stop[q] - start[q]] - 0.5 * prior.logdet + log(product[q]))
        spread[q] = 0.0
    product[:] = 1.0
    for k in range(n_index):
        at = N_PAIRS + k * (N_TERMS + 1)
        solve(matrix, lanes[at : at + N_TERMS])
        for q in range(count):
            rest = lanes[at + N_TERMS, q]
            left = 0.0
            for a in range(N_TERMS):
                coefficient = lanes[at + a, q]
                rest -= coefficient * (sums[stop[q], at + a] - sums[start[q], at + a])
                left += prior.precision[a] * coefficient * coefficient
            rest = max(rest, 0.0)
            product[q] *= prior.scale + 0.5 * rest
            spread[q] += math.sqrt(max(rest - left, 0.0) / max(stop[q] - start[q], 1)) / n_index
    for q in range(count):
        m = stop[q] - start[q]
        out[q] = out[q] - (shape + 0.5 * m) * log(product[q]) if m > 0 else 0.0


@helper
def posterior_bounds(score: Floats, low: int, high: int, heat: float) -> tuple[int, int]:
    """Return the first and the last of [low, high) with 90 % of the posterior exp(score / heat) between them.

    Parameters
    ----------
    score : (>= high,) float64, log evidence; overwritten in [low, high)
    heat : temperature of the posterior
    """
    best = -np.inf
    for q in range(low, high):
        best = max(best, score[q])
    total = 0.0
    for q in range(low, high):
        score[q] = math.exp((score[q] - best) / heat)
        total += score[q]
    first, mass = -1, 0.0
    for q in range(low, high):
        mass += score[q]
        if first < 0 and mass >= TAIL * total:
            first = q
        if mass >= (1.0 - TAIL) * total:
            return first, q
    return first, high - 1
