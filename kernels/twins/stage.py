"""Slow, obvious NumPy twin of `kernels.phases.stage`: a level and a trend, by least squares on the rows of a stage."""

from __future__ import annotations

import numpy as np

from groundbreak.kernels.phases.model import STAGE
from groundbreak.kernels.twins.evidence import log_evidence
from groundbreak.kernels.types import Floats


def stage_evidence(years: Floats, z: Floats) -> tuple[float, float]:
    """Compute the evidence of a segment as one stage of works, and how rough it is.

    Parameters
    ----------
    years : (time,) float64
    z : (index, time) float64, noise units

    Returns
    -------
    Log evidence summed over the indices, and the variance that the penalised fit leaves, largest of the indices.
    """
    design = np.stack([np.ones(years.size), years - years.mean()], axis=1)
    evidence, coef, rest = log_evidence(design, z, STAGE)
    penalty = (STAGE[0][:, None] * coef**2).sum(axis=0)
    return evidence, float(((rest**2).sum(axis=1) + penalty).max()) / years.size
