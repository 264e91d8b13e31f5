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

from kernels._jit import helper
from kernels.design import waves
from kernels.lanes import factor, solve
from kernels.model import Prior
from kernels.series import Floats, Ints

N_TERMS = 6
"""Columns of the design: level, two annual harmonics (cos, sin each), and trend."""

N_PAIRS = N_TERMS * (N_TERMS + 1) // 2

TAIL = 0.05
"""Posterior left out on either side of a 90 % interval."""

MAX_INDICES = 16
"""Indices read jointly at most: the product of that many spreads stays far from overflow."""


def design_matrix(days: NDArray[np.int64]) -> Floats:
    """Design (time, N_TERMS) float64: 1, cos, sin, cos 2, sin 2 of the year, and years.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    """
    years = (days - (days[0] + days[-1]) / 2 if days.size else days) / 365.25
    return np.stack([*waves(days, 2), years], axis=1)


def make_prior(n_time: int, precision: Floats, shape: float, scale: float) -> Prior:
    """A prior with its table lgamma(shape + m/2) - lgamma(shape) + shape log scale for m = 0..n_time."""
    free = shape * math.log(scale) - math.lgamma(shape)
    table = np.array([free + math.lgamma(shape + m / 2) for m in range(n_time + 1)])
    return Prior(precision, shape, scale, table)


@helper
def n_sums(n_index: int) -> int:
    """Columns of the running sums: X'X (pairs i >= j), then X'z and z'z of each index."""
    return N_PAIRS + n_index * (N_TERMS + 1)


@helper
def running_sums(z: Floats, design: Floats, sums: Floats) -> None:
    """Row i holds the sums over [0, i).

    Parameters
    ----------
    z : (time, index) float64; design : (time, N_TERMS) float64
    sums : (> time, n_sums) float64, out
    """
    n, n_index = z.shape
    for a in range(sums.shape[1]):
        sums[0, a] = 0.0
    for i in range(n):
        pair = 0
        for a in range(N_TERMS):
            for b in range(a + 1):
                sums[i + 1, pair] = sums[i, pair] + design[i, a] * design[i, b]
                pair += 1
        for k in range(n_index):
            for a in range(N_TERMS):
                sums[i + 1, pair] = sums[i, pair] + design[i, a] * z[i, k]
                pair += 1
            sums[i + 1, pair] = sums[i, pair] + z[i, k] * z[i, k]
            pair += 1


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
    """Evidence and spread of the segments [start, stop).

    Parameters
    ----------
    sums : of :func:`running_sums`
    start, stop : (lane,) int64, of which ``count`` are in use; an empty segment has evidence 0
    lanes : (n_sums, lane) float64, scratch; at least ``count`` wide
    out : (lane,) float64, out: log evidence, summed over the indices, without the factor (2 pi)^(-m/2)
    spread : (lane,) float64, out: standard deviation of the residuals, mean over the indices
    """
    for q in range(count):
        for a in range(sums.shape[1]):
            lanes[a, q] = sums[stop[q], a] - sums[start[q], a]
    matrix = lanes[:N_PAIRS]
    logdet = 0.0
    for a in range(N_TERMS):
        logdet -= math.log(prior.precision[a])
        for q in range(count):
            matrix[a * (a + 3) // 2, q] += prior.precision[a]
    factor(matrix, N_TERMS, 0.0)
    for q in range(count):
        m = stop[q] - start[q]
        product = 1.0
        for a in range(N_TERMS):
            product *= matrix[a * (a + 3) // 2, q]  # reciprocals of the diagonal
        out[q] = n_index * (prior.table[m] - 0.5 * logdet + math.log(product))
        spread[q] = 1.0
    for k in range(n_index):
        at = N_PAIRS + k * (N_TERMS + 1)
        solve(matrix, lanes[at : at + N_TERMS])
    for q in range(count):
        m = stop[q] - start[q]
        if m == 0:
            out[q] = 0.0
            continue
        product = 1.0
        total = 0.0
        for k in range(n_index):
            at = N_PAIRS + k * (N_TERMS + 1)
            rest = lanes[at + N_TERMS, q]
            left = 0.0
            for a in range(N_TERMS):
                coefficient = lanes[at + a, q]
                rest -= coefficient * (sums[stop[q], at + a] - sums[start[q], at + a])
                left += prior.precision[a] * coefficient * coefficient
            rest = max(rest, 0.0)
            product *= prior.scale + 0.5 * rest
            total += math.sqrt(max(rest - left, 0.0) / m)
        out[q] -= (prior.shape + 0.5 * m) * math.log(product)
        spread[q] = total / n_index


@helper
def stage_evidence(sums: Floats, n_index: int, i: int, j: int, prior: Prior) -> tuple[float, float]:
    """(log evidence, largest residual variance) of [i, j) as one stage: a level and a trend.

    Same model as :func:`evidence_at`, with the columns 1 and t - mean(t), which are orthogonal, so that nothing need be
    factored.

    Parameters
    ----------
    sums : of :func:`running_sums`; 0 <= i < j
    """
    m = j - i
    trend = N_PAIRS - N_TERMS  # the pair of trend and level
    st = sums[j, trend] - sums[i, trend]
    stt = max(sums[j, N_PAIRS - 1] - sums[i, N_PAIRS - 1] - st * st / m, 0.0)
    per_level = 1.0 / (m + prior.precision[0])
    per_trend = 1.0 / (stt + prior.precision[1])
    mean_t = st / m
    product = 1.0
    largest = 0.0
    for k in range(n_index):
        at = N_PAIRS + k * (N_TERMS + 1)
        sz = sums[j, at] - sums[i, at]
        szt = sums[j, at + N_TERMS - 1] - sums[i, at + N_TERMS - 1] - mean_t * sz
        szz = sums[j, at + N_TERMS] - sums[i, at + N_TERMS]
        rest = max(szz - sz * sz * per_level - szt * szt * per_trend, 0.0)
        product *= prior.scale + 0.5 * rest
        largest = max(largest, rest / m)
    logdet = math.log((m / prior.precision[0] + 1.0) * (stt / prior.precision[1] + 1.0))
    evidence = n_index * (prior.table[m] - 0.5 * logdet) - (prior.shape + 0.5 * m) * math.log(product)
    return evidence, largest


@helper
def posterior_bounds(score: Floats, low: int, high: int, heat: float) -> tuple[int, int]:
    """First and last of [low, high) between which 90 % of the posterior exp(score / heat) lies; overwrites ``score``."""
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
