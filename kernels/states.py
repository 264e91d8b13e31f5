"""States of the ground: which of the baseline's are lost after a change, and which are new.

A state is an observation's place in the space of the indices, whatever its date, so that neither a
harvest that shifts by weeks nor a rotation of crops loses one.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import helper
from kernels.series import Floats

SEASON_MARGIN = 2.0
"""Noise units beyond all that the baseline showed before a state is new."""

STATE_RADIUS = 3.0
"""Noise units, in every index, within which two observations show the same state of the ground."""

STATE_VISITS = 2
"""Observations of a baseline state after the change that show it to be still there."""

STATE_DAYS = 45.0
"""A baseline state can be missed only where an observation after the change lies this near in the year."""


@helper
def lost_states(z: Floats, season: Floats, i: int, part: int, n: int) -> float:
    """Share of the baseline's states that [part, n) no longer shows at any time of the year.

    Works take away what was there. A rotation, a fallow year or a late harvest brings it back, at
    another date: so states are compared, whatever their season. States whose season [part, n) has
    not reached do not count; 0 if none does.
    """
    n_index = z.shape[1]
    due = 0
    lost = 0
    for b in range(i):
        reached = False
        visits = 0
        for q in range(part, n):
            if not reached:
                apart = abs(season[q] - season[b])
                reached = min(apart, 365.25 - apart) <= STATE_DAYS
            far = 0.0
            for k in range(n_index):
                far = max(far, abs(z[q, k] - z[b, k]))
            if far <= STATE_RADIUS:
                visits += 1
                if visits == STATE_VISITS:
                    break
        if visits == STATE_VISITS:
            due += 1
        elif reached:
            due += 1
            lost += 1
    return lost / due if due > 0 else 0.0


@helper
def novel_share(z: Floats, i: int, part: int, n: int) -> float:
    """Share of [part, n) outside what the baseline [0, i) showed in any season, in some index."""
    n_index = z.shape[1]
    new = np.zeros(n, np.bool_)
    for k in range(n_index):
        low, high = np.inf, -np.inf
        for b in range(i):
            low, high = min(low, z[b, k]), max(high, z[b, k])
        for q in range(part, n):
            if z[q, k] < low - SEASON_MARGIN or z[q, k] > high + SEASON_MARGIN:
                new[q] = True
    count = 0
    for q in range(part, n):
        count += new[q]
    return count / (n - part)
