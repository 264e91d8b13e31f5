"""Seasonal regression and its marginal likelihood, for every prefix or suffix of a series.

A segment of m observations is modelled as z = X c + e, e ~ N(0, s^2), with the conjugate prior
c ~ N(0, s^2 / precision), s^2 ~ InverseGamma(a0, b0) (Gelman et al., Bayesian Data Analysis,
ch. 14). Adding an observation updates the posterior in O(p^2) (recursive least squares), so one
pass yields the evidence of all prefixes: short segments shrink to their level instead of
overfitting, and more parameters cost what they must (Occam's factor, which BIC approximates).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kernels._jit import helper
from kernels.series import Floats

N_TERMS = 6
"""Columns of the design: level, two annual harmonics (cos, sin each), and trend."""

A0 = 1.0
"""Shape of the variance prior: worth two observations."""

SEASON_B0 = 1.0
"""Scale of the variance prior of seasonal phases: their noise is the unit."""

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


def evidence_table(n_time: int, b0: float) -> Floats:
    """lgamma(a_m) - lgamma(a0) + a0 log b0 for m = 0..n_time: the part that ignores the data."""
    free = A0 * math.log(b0) - math.lgamma(A0)
    return np.array([free + math.lgamma(A0 + m / 2) for m in range(n_time + 1)])


@helper
def evidence_path(
    design: Floats,
    z: Floats,
    first: int,
    last: int,
    skip: tuple[int, int],
    precision: Floats,
    table: Floats,
    score: Floats,
    coef: Floats,
) -> float:
    """Log evidence of growing segments, summed over the indices.

    Parameters
    ----------
    design : (time, N_TERMS) float64; z : (time, index) float64, noise units
    first, last : the path runs from ``first`` to ``last``, both included, backwards if last < first
    skip : observations [skip[0], skip[1]) are passed over
    precision : (N_TERMS,) float64, prior precision of the coefficients relative to the noise
    table : see :func:`evidence_table`, of ``SEASON_B0``
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
        cov[a, a] = 1.0 / precision[a]
        for k in range(n_index):
            coef[k, a] = 0.0
            spread[k] = SEASON_B0
    step = 1 if last >= first else -1
    logdet = 0.0
    m = 0
    total = 0.0
    i = first
    while (last - i) * step >= 0:
        if i < skip[0] or i >= skip[1]:
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
            total = n_index * (table[m] - 0.5 * logdet) - (A0 + 0.5 * m) * math.log(product)
        score[i + 1 if step > 0 else i] = total
        i += step
    return total


@helper
def level_trend_scan(
    moments: Floats,
    n_index: int,
    anchor: int,
    start: int,
    stop: int,
    step: int,
    precision: tuple[float, float],
    b0: float,
    table: Floats,
    out: Floats,
) -> None:
    """Log evidence of segments between ``anchor`` and each q as a level and a trend; O(1) each.

    Same model as :func:`evidence_path`, with the columns 1 and t - mean(t), which are orthogonal.
    A loop over q, not a call a pair: handing arrays over costs more than the sums do.

    Parameters
    ----------
    moments : see :func:`kernels.series.running_moments`
    anchor : int; start, stop, step : of q; the segment is [anchor, q) or [q, anchor)
    precision : of level and trend; b0, table : see :func:`evidence_path`
    out : (time + 1,) float64, out[q] is written; 0 for an empty segment
    """
    for q in range(start, stop, step):
        i = min(anchor, q)
        j = max(anchor, q)
        m = j - i
        if m == 0:
            out[q] = 0.0
            continue
        st = moments[j, 0] - moments[i, 0]
        stt = max(moments[j, 1] - moments[i, 1] - st * st / m, 0.0)
        per_level = 1.0 / (m + precision[0])
        per_trend = 1.0 / (stt + precision[1])
        mean_t = st / m
        product = 1.0
        for k in range(n_index):
            at = 2 + 3 * k
            sz = moments[j, at] - moments[i, at]
            szt = moments[j, at + 1] - moments[i, at + 1] - mean_t * sz
            szz = moments[j, at + 2] - moments[i, at + 2]
            rest = szz - sz * sz * per_level - szt * szt * per_trend
            product *= b0 + 0.5 * max(rest, 0.0)
        logdet = math.log((m / precision[0] + 1.0) * (stt / precision[1] + 1.0))
        out[q] = n_index * (table[m] - 0.5 * logdet) - (A0 + 0.5 * m) * math.log(product)
