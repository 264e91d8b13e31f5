"""Evidence of stages of works: the kernel against least squares on a level and a trend."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels.phases.evidence import make_prior
from groundbreak.kernels.phases.model import STAGE
from groundbreak.kernels.twins.stage import stage_evidence as twin
from tests.kernels.phases.phase_steps import one_stage, stage_evidence
from tests.kernels.phases.random_records import make_record

SHAPES = pytest.mark.parametrize("n_index", [1, 2, 3, 4])
LENGTHS = pytest.mark.parametrize("n", [2, 9, 40, 300])
TIED = pytest.mark.parametrize("tied", [False, True])


@SHAPES
@LENGTHS
@TIED
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("n_ends", [1, 4])
def test_stages_between_common_ends_and_others(n_index: int, n: int, tied: bool, sign: float, n_ends: int) -> None:
    rng = np.random.default_rng([n_index, n, tied, n_ends])
    record = make_record(rng, n_index, n, tied)
    fixed, moving = rng.integers(0, n + 1, n_ends), rng.integers(0, n + 1, 13)
    found = stage_evidence(record.sums(), fixed, sign, moving, n_index, make_prior(record.days.size, *STAGE))
    years = record.design[:, -1]
    compared = 0
    for e, common in enumerate(fixed):
        for q, other in enumerate(moving):
            i, j = (other, common) if sign > 0 else (common, other)
            if i < j:
                truth, _ = twin(years[i:j], record.z[:, i:j])
                np.testing.assert_allclose(found[e, q], truth, rtol=1e-9, atol=1e-7)
                compared += 1
    assert compared or n_ends == 1


@SHAPES
@LENGTHS
@TIED
def test_one_stage_and_how_rough_it_is(n_index: int, n: int, tied: bool) -> None:
    rng = np.random.default_rng([n_index, n, tied])
    record = make_record(rng, n_index, n, tied)
    sums, prior = record.sums(), make_prior(record.days.size, *STAGE)
    for i, j in [(0, n), (n - 1, n), (0, 1), *np.sort(rng.integers(0, n + 1, (12, 2)), axis=1).tolist()]:
        if i == j:
            continue
        found = one_stage(sums, i, j, n_index, prior)
        np.testing.assert_allclose(found, twin(record.design[i:j, -1], record.z[:, i:j]), rtol=1e-8, atol=1e-7)
