"""Evidence of any segment: the kernel against least squares on the segment's rows."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels.phases.evidence import VECTOR, design_matrix, design_pairs, make_prior
from groundbreak.kernels.phases.model import BASELINE, SETTLED
from groundbreak.kernels.twins.evidence import Parameters, log_evidence, spread
from groundbreak.kernels.twins.evidence import posterior_bounds as bounds_twin
from tests.kernels.phases.phase_steps import evidence_at, posterior_bounds, running_sums
from tests.kernels.phases.random_records import make_record

SHAPES = pytest.mark.parametrize("n_index", [1, 2, 3, 4])
LENGTHS = pytest.mark.parametrize("n", [1, 7, 40, 300])


@SHAPES
@LENGTHS
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("prior", [BASELINE, SETTLED], ids=["baseline", "settled"])
def test_evidence_and_spread_of_segments(n_index: int, n: int, tied: bool, prior: Parameters) -> None:
    rng = np.random.default_rng([n_index, n, tied])
    record = make_record(rng, n_index, n, tied)
    ends = np.sort(rng.integers(0, n + 1, (13, 2)), axis=1)
    ends[0], ends[1], ends[2] = (0, n), (n // 2, n // 2), (n - 1, n)  # all of it, nothing, one observation
    start, stop = ends.T.copy()
    width = -(-start.size // VECTOR) * VECTOR
    out, rough = evidence_at(record.sums(), n_index, start, stop, width, make_prior(record.days.size, *prior))
    for q, (i, j) in enumerate(ends):
        if i == j:
            assert out[q] == 0.0
            assert rough[q] == 0.0
            continue
        truth, _, rest = log_evidence(record.design[i:j], record.z[:, i:j], prior)
        np.testing.assert_allclose(out[q], truth, rtol=1e-9, atol=1e-7)
        np.testing.assert_allclose(rough[q], spread(rest), rtol=1e-6, atol=1e-5)


@SHAPES
@LENGTHS
def test_a_segment_s_evidence_does_not_depend_on_the_others(n_index: int, n: int) -> None:
    rng = np.random.default_rng([n_index, n, 5])
    record = make_record(rng, n_index, n)
    sums, prior = record.sums(), make_prior(record.days.size, *BASELINE)
    start, stop = np.zeros(11, np.int64), rng.integers(1, n + 1, 11)
    together, _ = evidence_at(sums, n_index, start, stop, 2 * VECTOR, prior)
    for q in range(11):
        alone, _ = evidence_at(sums, n_index, start[q : q + 1], stop[q : q + 1], VECTOR, prior)
        assert alone[0] == together[q]


@SHAPES
def test_running_sums_of_a_part(n_index: int) -> None:
    record = make_record(np.random.default_rng(n_index), n_index, 50)
    design = design_matrix(record.days)
    x, i, j = design[record.date], *np.tril_indices(design.shape[1])
    columns = [x[:, i] * x[:, j]]
    for z in record.z:
        columns += [z[:, None] * x, (z * z)[:, None]]
    rows = np.concatenate(columns, axis=1)
    for start, stop in ((0, 50), (17, 42), (30, 30)):
        sums = np.full((60, rows.shape[1]), np.nan)
        running_sums(record.z, record.date, start, stop, design, design_pairs(design), sums)
        truth = np.vstack([np.zeros(rows.shape[1]), rows[start:stop].cumsum(axis=0)])
        np.testing.assert_allclose(sums[: stop - start + 1], truth, rtol=1e-12, atol=1e-9)
        assert np.isnan(sums[stop - start + 1 :]).all()


@pytest.mark.parametrize("heat", [0.5, 5.0, 20.0])
@pytest.mark.parametrize("n", [1, 2, 30, 200])
@pytest.mark.parametrize("spikes", [0, 1, 3])
def test_bounds_of_a_posterior(heat: float, n: int, spikes: int) -> None:
    rng = np.random.default_rng([n, spikes])
    score = 10 * rng.normal(size=n) - 3000
    score[rng.integers(0, n, spikes)] += 100.0
    low, high = 2, 2 + n
    padded = np.concatenate([[np.nan, 1e9], score, [1e9, np.nan]])
    first, last = bounds_twin(score, heat)
    assert posterior_bounds(padded, low, high, heat) == (low + first, low + last)
