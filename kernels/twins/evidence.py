"""Slow, obvious NumPy twin of `kernels.phases.evidence`: least squares on the rows of a segment, no running sums."""

from __future__ import annotations

import math

import numpy as np

from groundbreak.kernels.phases.evidence import TAIL
from groundbreak.kernels.types import Floats

Parameters = tuple[Floats, float, float]
"""A prior, like BASELINE in `kernels.phases.model`: precision (term,), shape and scale of the variance."""


def log_evidence(design: Floats, z: Floats, prior: Parameters) -> tuple[float, Floats, Floats]:
    """Compute the evidence of a segment under the conjugate linear model, by least squares.

    Gelman et al., Bayesian Data Analysis, ch. 14; without the factor (2 pi)^(-m/2).

    Parameters
    ----------
    design : (time, term) float64
    z : (index, time) float64, noise units
    prior : precision, shape and scale; the precision is added as one row a term: sqrt(precision) c = 0

    Returns
    -------
    Log evidence summed over the indices, coefficients (term, index), residuals (index, time).
    """
    m = design.shape[0]
    precision, shape, scale = prior
    rows = np.vstack([design, np.diag(np.sqrt(precision))])
    target = np.vstack([z.T, np.zeros((precision.size, z.shape[0]))])
    coef = np.linalg.lstsq(rows, target, rcond=None)[0]
    penalised = ((target - rows @ coef) ** 2).sum(axis=0)
    _, logdet = np.linalg.slogdet(rows.T @ rows)
    occam = -0.5 * (logdet - np.log(precision).sum())
    a = shape + m / 2
    total = 0.0
    for rest in penalised:
        gammas = math.lgamma(a) - math.lgamma(shape)
        total += gammas + shape * math.log(scale) - a * math.log(scale + rest / 2) + occam
    return total, coef, z - (design @ coef).T


def spread(residuals: Floats) -> float:
    """Return the standard deviation of residuals (index, time) float64, mean over the indices, in their unit."""
    return float(np.sqrt((residuals**2).mean(axis=1)).mean())


def posterior_bounds(score: Floats, heat: float) -> tuple[int, int]:
    """Return the first and the last position with 90 % of the posterior exp(score / heat) between them.

    Parameters
    ----------
    score : (position,) float64, log evidence
    heat : temperature of the posterior
    """
    mass = np.exp((score - score.max()) / heat).cumsum()
    return int(np.argmax(mass >= TAIL * mass[-1])), int(np.argmax(mass >= (1 - TAIL) * mass[-1]))
