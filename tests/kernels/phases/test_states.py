"""States of the ground that are lost and that are new: the kernel against a comparison of all with all."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels.phases.climate import season_windows
from groundbreak.kernels.phases.states import SEASON_MARGIN, STATE_DAYS, STATE_RADIUS
from groundbreak.kernels.twins.states import lost_states as lost_twin
from groundbreak.kernels.twins.states import novel_share as novel_twin
from tests.kernels.phases.phase_steps import lost_states, novel_share
from tests.kernels.phases.random_records import make_record

SHAPES = pytest.mark.parametrize("n_index", [1, 2, 3, 4])


@SHAPES
@pytest.mark.parametrize(("n", "every"), [(12, 3), (40, 4), (120, 8), (300, 5)])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_lost_and_novel_states(n_index: int, n: int, every: int, tied: bool, share: float) -> None:
    rng = np.random.default_rng([n_index, n, every, tied])
    for _ in range(5):
        record = make_record(rng, n_index, n, tied, every)
        onset = min(max(int(share * n), 1), n - 1)
        windows = season_windows(record.days, STATE_DAYS, own_year=True)
        lost = lost_states(record.z, record.date, windows, onset, record.days.size)
        assert lost == lost_twin(record.z, record.day % 365.25, onset)
        assert novel_share(record.z, onset) == novel_twin(record.z, onset)


def test_what_comes_back_twice_is_not_lost_and_seasons_to_come_do_not_count() -> None:
    days = 18000 + 10 * np.arange(60)
    date, windows = np.arange(60), season_windows(days, STATE_DAYS, own_year=True)
    z = np.zeros((1, 60))
    z[0, 40:] = STATE_RADIUS + 1.0
    assert lost_states(z, date, windows, 40, 60) == lost_twin(z, days % 365.25, 40) == 1.0
    z[0, 50] = STATE_RADIUS  # one visit may be a cloud
    assert lost_states(z, date, windows, 40, 60) == 1.0
    z[0, 51] = -STATE_RADIUS
    assert lost_states(z, date, windows, 40, 60) == 0.0
    z[0, 40:] = 99.0
    short = slice(0, 20)  # 200 days: only the last weeks of the baseline are near the changed ones
    near = lost_states(z[:, 39 - 17 : 42].copy(), date[short], windows, 18, 60)
    assert near == lost_twin(z[:, 39 - 17 : 42], days[short] % 365.25, 18) == 1.0


@SHAPES
def test_novel_beyond_the_margin_in_any_index(n_index: int) -> None:
    z = np.zeros((n_index, 30))
    z[-1, 20:25] = SEASON_MARGIN
    assert novel_share(z, 20) == 0.0
    z[-1, 20:25] = -SEASON_MARGIN - 1e-9
    assert novel_share(z, 20) == novel_twin(z, 20) == 0.5
