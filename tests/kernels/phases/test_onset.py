"""Votes of observations for changed ground: the kernel against one look at the baseline an observation."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels.phases.climate import SEASON_DAYS, season_windows
from groundbreak.kernels.phases.onset import HINT, VOTE, VOTE_COST
from groundbreak.kernels.twins.onset import cast_votes as votes_twin
from groundbreak.kernels.twins.onset import change_point as change_twin
from tests.kernels.phases.phase_steps import cast_votes, change_point
from tests.kernels.phases.random_records import make_record

SHAPES = pytest.mark.parametrize("n_index", [1, 2, 3, 4])


@SHAPES
@pytest.mark.parametrize(("n", "every"), [(20, 4), (60, 10), (150, 6), (300, 5), (80, 40)])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_votes(n_index: int, n: int, every: int, tied: bool, share: float) -> None:
    rng = np.random.default_rng([n_index, n, every, tied])
    record = make_record(rng, n_index, n, tied, every)
    base = max(int(share * n), 1)
    begin, low = int(rng.integers(0, n)), int(rng.integers(0, base + 1))
    windows = season_windows(record.days, SEASON_DAYS, own_year=False)
    ratio, far = cast_votes(record.z, record.date, windows, base, begin, low, record.days.size)
    votes, distances = votes_twin(record.z, record.day, record.day % 365.25, base, begin, low)
    np.testing.assert_allclose(ratio, votes, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(far, distances, rtol=1e-9, atol=1e-7)
    assert (np.abs(ratio) <= max(VOTE, VOTE_COST * n_index + HINT)).all()


@SHAPES
def test_within_a_year_there_are_no_witnesses(n_index: int) -> None:
    record = make_record(np.random.default_rng(1), n_index, 40, every=4)
    windows = season_windows(record.days, SEASON_DAYS, own_year=False)
    ratio, far = cast_votes(record.z, record.date, windows, 15, 12, 5, record.days.size)
    assert not far.any()
    assert not ratio[:5].any()
    np.testing.assert_array_equal(ratio[5:12], VOTE_COST * n_index - HINT)
    np.testing.assert_array_equal(ratio[12:], VOTE_COST * n_index + HINT)


@pytest.mark.parametrize("n", [1, 2, 15, 200])
@pytest.mark.parametrize("tied", [False, True])
def test_change_point(n: int, tied: bool) -> None:
    rng = np.random.default_rng([n, tied])
    for _ in range(50):
        ratio = rng.integers(-2, 3, n) / 2 if tied else rng.normal(size=n)
        low = int(rng.integers(0, n))
        high = int(rng.integers(low + 1, n + 1))
        cost = float(rng.choice([0.0, 0.5]))
        assert change_point(ratio, low, high, cost) == change_twin(ratio, low, high, cost)
