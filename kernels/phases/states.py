"""States of the ground: which of the baseline's are lost after a change, and which are new.

A state is an observation's place in the space of the indices, whatever its date, so that neither a
harvest that shifts by weeks nor a rotation of crops loses one.
"""

from __future__ import annotations

import numpy as np

from groundbreak.kernels.lanes.design import Rows
from groundbreak.kernels.lanes.jit import helper, lane
from groundbreak.kernels.types import Floats, Ints

SEASON_MARGIN = 2.0
"""Noise units beyond all that the baseline showed before a state is new."""

STATE_RADIUS = 3.0
"""Noise units, in every index, within which two observations show the same state of the ground."""

STATE_VISITS = 2
"""Observations of a baseline state after the change that show it to be still there."""

STATE_DAYS = 45.0
"""A baseline state can be missed only where an observation after the change lies this near in the year."""


@lane
def _apart(row: Rows, now: float, k: int, far: Rows) -> None:
    """Update every state's distance from an observation with index k: the largest over the indices."""
    for b in range(row.size):
        apart = abs(row[b] - now)
        far[b] = max(far[b], apart) if k else apart


@lane
def _visit(row: Rows, now: float, far: Rows, visits: Rows) -> None:
    """Count a visit to every state that is near enough in the last index and, by ``far``, in those before."""
    number = far.dtype.type  # literals would widen float32 to float64
    zero, one, radius = number(0), number(1), number(STATE_RADIUS)
    for b in range(row.size):
        visits[b] += one if max(far[b], abs(row[b] - now)) <= radius else zero


@helper
def lost_states(z: Rows, n: int, date: Ints, before: Ints, windows: Ints, onset: int, far: Rows, visits: Rows) -> float:
    """Return the share of the baseline's states that the ground no longer shows at any time of the year.

    Works take away what was there. A rotation, a fallow year or a late harvest brings it back, at
    another date: so states are compared, whatever their season. States whose season has not come since
    do not count; 0 if none does.

    Parameters
    ----------
    z : (index, >= n) float32, contiguous: half the bytes are twice the lanes
    n : observations in use
    date : (time,) positions among all dates
    before : of `kernels.phases.climate.count_before`
    windows : of `kernels.phases.climate.season_windows`, STATE_DAYS wide, with a date's own
    onset : first changed observation
    far, visits : (>= onset,) float32, scratch; their lanes are states of the baseline
    """
    far[:onset] = 0
    visits[:onset] = 0
    last = z.shape[0] - 1
    for q in range(onset, n):
        for k in range(last):
            _apart(z[k, :onset], z[k, q], k, far)
        _visit(z[last, :onset], z[last, q], far, visits)
    due, lost = 0, 0
    for b in range(onset):
        if visits[b] >= STATE_VISITS:
            due += 1
        elif _came_again(windows[date[b]], before, onset):
            due += 1
            lost += 1
    return float(lost / due) if due > 0 else 0.0


@helper
def _came_again(around: Ints, before: Ints, onset: int) -> bool:
    """Return whether an observation after the change lies in one of a state's windows (window, 2)."""
    for w in range(around.shape[0]):  # noqa: SIM110 - numba has no generators
        if before[around[w, 1]] > max(before[around[w, 0]], onset):
            return True
    return False


@helper
def novel_share(z: Floats, n: int, onset: int) -> float:
    """Return the share of what came since ``onset`` outside what the baseline showed in any season, in some index.

    Parameters
    ----------
    z : (index, >= n) float64, noise units
    n : observations in use
    onset : first changed observation
    """
    new = np.zeros(n, np.bool_)
    for k in range(z.shape[0]):
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
