"""Slow, obvious NumPy twin of `kernels.phases.states`: every state of the baseline against every later observation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.phases.states import SEASON_MARGIN, STATE_DAYS, STATE_RADIUS, STATE_VISITS
from groundbreak.kernels.types import Floats


def lost_states(z: Floats, season: NDArray[np.floating[Any]], onset: int) -> float:
    """Return the share of the baseline's states, in seasons that came again, that the ground no longer shows.

    Parameters
    ----------
    z : (index, time) float64, noise units, compared in float32
    season : (time,) float, day of the year
    onset : first changed observation
    """
    places, when = z.astype(np.float32), season.astype(np.float32)
    far = np.abs(places[:, :onset, None] - places[:, None, onset:]).max(axis=0)
    kept = (far <= STATE_RADIUS).sum(axis=1) >= STATE_VISITS
    apart = np.abs(when[:onset, None] - when[None, onset:])
    came_again = (np.minimum(apart, np.float32(365.25) - apart) <= STATE_DAYS).any(axis=1)
    due = kept | came_again
    return float((due & ~kept).sum() / due.sum()) if due.any() else 0.0


def novel_share(z: Floats, onset: int) -> float:
    """Return the share of the observations since ``onset`` outside the range of those before, in some index.

    Parameters
    ----------
    z : (index, time) float64, noise units
    onset : first changed observation
    """
    low = z[:, :onset].min(axis=1, keepdims=True) - SEASON_MARGIN
    high = z[:, :onset].max(axis=1, keepdims=True) + SEASON_MARGIN
    after = z[:, onset:]
    return float(((after < low) | (after > high)).any(axis=0).mean())
