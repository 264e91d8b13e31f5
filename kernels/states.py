"""States of the ground: which of the baseline's are lost after a change, and which are new.

A state is an observation's place in the space of the indices, whatever its date, so that neither a
harvest that shifts by weeks nor a rotation of crops loses one.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import helper, lane
from kernels.design import Rows
from kernels.series import Floats

SEASON_MARGIN = 2.0
"""Noise units beyond all that the baseline showed before a state is new."""

STATE_RADIUS = 3.0
"""Noise units, in every index, within which two observations show the same state of the ground."""

STATE_VISITS = 2
"""Observations of a baseline state after the change that show it to be still there."""

STATE_DAYS = 45.0
"""A baseline state can be missed only where an observation after the change lies this near in the year."""


@lane
def _apart(z: Rows, k: int, q: int, onset: int, far: Rows) -> None:
    """The distance of every state of the baseline from observation q, largest of the indices up to k."""
    now = z[k, q]
    for b in range(onset):
        apart = abs(z[k, b] - now)
        far[b] = max(far[b], apart) if k else apart


@lane
def _visit(season: Rows, q: int, onset: int, far: Rows, visits: Rows, reached: Rows) -> None:
    """Count a visit to every state near enough, and note whose season it is."""
    number = far.dtype.type  # literals would widen float32 to float64
    zero, one, radius, near, year = number(0), number(1), number(STATE_RADIUS), number(STATE_DAYS), number(365.25)
    today = season[q]
    for b in range(onset):
        visits[b] += one if far[b] <= radius else zero
        days = abs(season[b] - today)
        reached[b] = one if min(days, year - days) <= near else reached[b]


@helper
def lost_states(z: Rows, season: Rows, onset: int, far: Rows, visits: Rows, reached: Rows) -> float:
    """Share of the baseline's states that the ground no longer shows at any time of the year.

    Works take away what was there. A rotation, a fallow year or a late harvest brings it back, at
    another date: so states are compared, whatever their season. States whose season has not come since
    do not count; 0 if none does.

    Parameters
    ----------
    z : (index, time) float32; season : (time,) float32: half the bytes are twice the lanes
    onset : first changed observation
    far, visits, reached : (>= onset,) float32, scratch; their lanes are states of the baseline
    """
    visits[:onset] = 0
    reached[:onset] = 0
    for q in range(onset, z.shape[1]):
        for k in range(z.shape[0]):
            _apart(z, k, q, onset, far)
        _visit(season, q, onset, far, visits, reached)
    due, lost = 0, 0
    for b in range(onset):
        if visits[b] >= STATE_VISITS:
            due += 1
        elif reached[b] > 0:
            due += 1
            lost += 1
    return float(lost / due) if due > 0 else 0.0


@helper
def novel_share(z: Floats, onset: int) -> float:
    """Share of what came since ``onset`` outside what the baseline showed in any season, in some index."""
    n_index, n = z.shape
    new = np.zeros(n, np.bool_)
    for k in range(n_index):
        low, high = np.inf, -np.inf
        for b in range(onset):
            low, high = min(low, z[k, b]), max(high, z[k, b])
        for q in range(onset, n):
            if z[k, q] < low - SEASON_MARGIN or z[k, q] > high + SEASON_MARGIN:
                new[q] = True
    count = 0
    for q in range(onset, n):
        count += new[q]
    return float(count / (n - onset))
