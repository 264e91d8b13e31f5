"""The step that questions every candidate: what a likelihood of independent noise and harmonics ignores.

Crops rotate, lie fallow and come back; weeds grow. Each is a number here; `kernels.phases.outcome` weighs them.
"""

from __future__ import annotations

import numpy as np

from groundbreak.kernels.lanes.jit import jit
from groundbreak.kernels.phases.climate import count_before
from groundbreak.kernels.phases.evidence import VECTOR, evidence_at, n_sums, running_sums
from groundbreak.kernels.phases.model import Candidates, Records, Tables
from groundbreak.kernels.phases.stage import one_stage, stage_lanes
from groundbreak.kernels.phases.states import lost_states, novel_share


@jit
def score_candidates(records: Records, tables: Tables, found: Candidates) -> None:
    """Score what speaks for and against every candidate: the fourth step of the detector.

    Parameters
    ----------
    found : (pixel,) CANDIDATE; out: grown, lost, novel
    """
    n_index, n_time = records.z.shape[1:]
    sums = np.empty((n_time + 1, n_sums(n_index)))
    few = np.empty((sums.shape[1] + 1, VECTOR))
    ends, lanes = np.zeros((1 + n_index, 3, VECTOR)), stage_lanes(1, VECTOR)
    start, stop = np.empty(1, np.int64), np.empty(1, np.int64)
    evidence, spread = np.empty(1), np.empty(1)
    places, before = np.empty((n_index, n_time), np.float32), np.empty(n_time + 1, np.int64)
    far, visits = np.empty(n_time, np.float32), np.empty(n_time, np.float32)
    for p in range(found.size):
        if found[p].onset < 0:
            continue
        n, onset = records.size[p], found[p].onset
        z = records.z[p]
        for k in range(n_index):  # number by number, for the compiler's sake: see `screen._keep`
            for i in range(n):
                places[k, i] = z[k, i]
        count_before(records.date[p], n, before)
        running_sums(z, records.date[p], onset, n, tables.design, tables.pairs, sums)
        start[0], stop[0] = 0, n - onset
        evidence_at(sums, n_index, start, stop, 1, tables.baseline, few, evidence, spread)
        works, _ = one_stage(sums, 0, n - onset, tables.stage, ends, lanes)
        found[p].grown = (evidence[0] - works) / (n_index * (n - onset))
        found[p].lost = lost_states(places, n, records.date[p], before, tables.states, onset, far, visits)
        found[p].novel = novel_share(z, n, onset)
