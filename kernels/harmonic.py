"""Marginal likelihood of a phase, for every prefix or suffix of a series.

A segment of m observations is modelled as z = X c + e, e ~ N(0, s^2), with the conjugate prior
c ~ N(0, s^2 / precision), s^2 ~ InverseGamma(shape, scale) (Gelman et al., Bayesian Data Analysis,
ch. 14). Adding an observation updates the posterior in O(p^2) (recursive least squares), so one
pass yields the evidence of all prefixes: short segments shrink to their level instead of
overfitting, and more parameters cost what they must (Occam's factor, which BIC approximates).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kernels._jit import helper
from kernels.model import Prior
from kernels.series import Floats

N_TERMS = 6
"""Columns of the design: level, two annual harmonics (cos, sin each), and trend."""

MAX_INDICES = 16
"""Indices read jointly at most: the product of that many spreads stays far from overflow."""


def design_matrix(days: NDArray[np.int64]) -> Floats:
    """Design (time, N_TERMS) float64: 1, cos, sin, cos 2, sin 2 of the year, and years.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    """
    years = (days - (days[0] + days[-1]) / 2 if days.size else days) / 365.25
    phase = 2 * np.pi * days / 365.25
    columns = [np.ones(days.size), np.cos(phase), np.sin(phase)]
    return np.stack([*columns, np.cos(2 * phase), np.sin(2 * phase), years], axis=1)


def make_prior(n_time: int, precision: Floats, shape: float, scale: float) -> Prior:
    """A prior with its table lgamma(shape + m/2) - lgamma(shape) + shape log scale for m = 0..n_time."""
    free = shape * math.log(scale) - math.lgamma(shape)
    table = np.array([free + math.lgamma(shape + m / 2) for m in range(n_time + 1)])
    return Prior(precision, shape, scale, table)


@helper
def evidence_path(design: Floats, z: Floats, first: int, last: int, prior: Prior, score: Floats, coef: Floats) -> float:
    """Log evidence of growing segments, summed over the indices.

    Parameters
    ----------
    design : (time, N_TERMS) float64; z : (time, index) float64, noise units
    first, last : the path runs from ``first`` to ``last``, both included, backwards if last < first
    prior : of the phase
    score : (time + 1,) float64, out: score[i + 1] (forwards) or score[i] (backwards) is the
        evidence once observation i is in
    coef : (index, N_TERMS) float64, out: posterior mean after the last observation

    Returns
    -------
    float, the log evidence of the whole path (the factor (2 pi)^(-m/2) left out).
    """
    n_index = z.shape[1]
    cov = np.zeros((N_TERMS, N_TERMS))
    gain = np.empty(N_TERMS)
    spread = np.empty(n_index)
    for a in range(N_TERMS):
        cov[a, a] = 1.0 / prior.precision[a]
        for k in range(n_index):
            coef[k, a] = 0.0
            spread[k] = prior.scale
    step = 1 if last >= first else -1
    logdet = 0.0
    m = 0
    total = 0.0
    i = first
    while (last - i) * step >= 0:
        for a in range(N_TERMS):
            gain[a] = 0.0
        for b in range(N_TERMS):  # column by column: the inner loop has no reduction
            x = design[i, b]
            for a in range(N_TERMS):
                gain[a] += cov[b, a] * x
        f = 1.0
        for a in range(N_TERMS):
            f += gain[a] * design[i, a]
        for b in range(N_TERMS):
            share = gain[b] / f
            for a in range(N_TERMS):
                cov[b, a] -= share * gain[a]
        logdet += math.log(f)
        product = 1.0
        for k in range(n_index):
            e = z[i, k]
            for a in range(N_TERMS):
                e -= coef[k, a] * design[i, a]
            spread[k] += 0.5 * e * e / f
            product *= spread[k]
            for a in range(N_TERMS):
                coef[k, a] += gain[a] * (e / f)
        m += 1
        total = n_index * (prior.table[m] - 0.5 * logdet) - (prior.shape + 0.5 * m) * math.log(product)
        score[i + 1 if step > 0 else i] = total
        i += step
    return total


@helper
def stage_spread(moments: Floats, n_index: int, i: int, j: int, prior: Prior) -> tuple[float, float]:
    """(log evidence, largest residual variance) of [i, j) as one stage, in O(1).

    Same model as :func:`evidence_path`, with the columns 1 and t - mean(t), which are orthogonal.

    Parameters
    ----------
    moments : see :func:`kernels.series.running_moments`; 0 <= i < j
    """
    m = j - i
    st = moments[j, 0] - moments[i, 0]
    stt = max(moments[j, 1] - moments[i, 1] - st * st / m, 0.0)
    per_level = 1.0 / (m + prior.precision[0])
    per_trend = 1.0 / (stt + prior.precision[1])
    mean_t = st / m
    product = 1.0
    largest = 0.0
    for k in range(n_index):
        at = 2 + 3 * k
        sz = moments[j, at] - moments[i, at]
        szt = moments[j, at + 1] - moments[i, at + 1] - mean_t * sz
        szz = moments[j, at + 2] - moments[i, at + 2]
        rest = max(szz - sz * sz * per_level - szt * szt * per_trend, 0.0)
        product *= prior.scale + 0.5 * rest
        largest = max(largest, rest / m)
    logdet = math.log((m / prior.precision[0] + 1.0) * (stt / prior.precision[1] + 1.0))
    evidence = n_index * (prior.table[m] - 0.5 * logdet) - (prior.shape + 0.5 * m) * math.log(product)
    return evidence, largest
