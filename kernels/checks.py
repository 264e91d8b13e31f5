"""The stage that questions every candidate: what a likelihood of independent noise and harmonics ignores.

Crops rotate, lie fallow and come back; weeds grow. Each is a number here; :mod:`kernels.outcome` weighs them.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import jit
from kernels.evidence import evidence_at, n_sums, running_sums, stage_evidence
from kernels.model import Candidates, Records, Tables
from kernels.states import lost_states, novel_share


@jit
def question(records: Records, tables: Tables, found: Candidates) -> None:
    """Fourth stage: what speaks for and against every candidate.

    Parameters
    ----------
    found : (pixel,) FOUND; out: grown, lost, novel
    """
    n_time, n_index = records.z.shape[1:]
    sums = np.empty((n_time + 1, n_sums(n_index)))
    lanes = np.zeros((sums.shape[1], 1))
    start, stop = np.empty(1, np.int64), np.empty(1, np.int64)
    evidence, spread = np.empty(1), np.empty(1)
    for p in range(found.size):
        if found[p].onset < 0:
            continue
        n, onset = records.size[p], found[p].onset
        z, season = records.z[p][:n], records.season[p][:n]
        running_sums(z[onset:], records.design[p][onset:n], sums)
        start[0], stop[0] = 0, n - onset
        evidence_at(sums, n_index, start, stop, 1, tables.baseline, lanes, evidence, spread)
        works, _ = stage_evidence(sums, n_index, 0, n - onset, tables.stage)
        found[p].grown = (evidence[0] - works) / (n_index * (n - onset))
        found[p].lost = lost_states(z, season, onset, onset, n)
        found[p].novel = novel_share(z, onset, onset, n)
