"""The stage that questions every candidate: what a likelihood of independent noise and harmonics ignores.

Weather makes residuals that last for weeks; crops rotate, lie fallow and come back; a flood leaves the ground as it
was. Each is a number here; :mod:`kernels.outcome` weighs them.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import helper, jit
from kernels.harmonic import N_TERMS, evidence_path, stage_spread
from kernels.model import Candidates, Records, Tables
from kernels.series import Floats, running_moments
from kernels.states import lost_states, novel_share


@helper
def phase_spread(design: Floats, z: Floats, coef: Floats, start: int, stop: int) -> float:
    """Standard deviation of the residuals of [start, stop), mean over the indices."""
    total = 0.0
    for k in range(z.shape[1]):
        squares = 0.0
        for i in range(start, stop):
            e = z[i, k]
            for a in range(N_TERMS):
                e -= coef[k, a] * design[i, a]
            squares += e * e
        total += math.sqrt(squares / (stop - start))
    return total / z.shape[1]


@jit
def question(records: Records, tables: Tables, found: Candidates) -> None:
    """Fourth stage: what speaks for and against every candidate.

    Parameters
    ----------
    found : (pixel,) FOUND; out: grown, lost, novel, spread (0 where works go on)
    """
    n_time, n_index = records.z.shape[1:]
    score = np.empty(n_time + 1)
    coef = np.empty((n_index, N_TERMS))
    moments = np.zeros((n_time + 1, 2 + 3 * n_index))
    for p in range(found.size):
        if found[p].onset < 0:
            continue
        n = records.size[p]
        z, season, design = records.z[p][:n], records.season[p][:n], records.design[p][:n]
        j, onset = found[p].settled, found[p].onset
        if j < n:
            evidence_path(design, z, n - 1, j, tables.settled, score, coef)
            found[p].spread = phase_spread(design, z, coef, j, n)
        running_moments(z, design, moments)
        works, _ = stage_spread(moments, n_index, onset, n, tables.stage)
        season_after = evidence_path(design, z, onset, n - 1, tables.baseline, score, coef)
        found[p].grown = (season_after - works) / (n_index * (n - onset))
        found[p].lost = lost_states(z, season, onset, onset, n)
        found[p].novel = novel_share(z, onset, onset, n)
