"""Slow, obvious NumPy twin of `kernels.phases.onset`: what each observation's own climatology says, one by one."""

from __future__ import annotations

import math

import numpy as np

from groundbreak.kernels.phases import climate, onset
from groundbreak.kernels.types import Floats


def cast_votes(z: Floats, day: Floats, season: Floats, base: int, begin: int, low: int) -> tuple[Floats, Floats]:
    """Compute, for every observation from ``low`` on, how much more likely changed ground is than normal ground.

    Parameters
    ----------
    z : (index, time) float64, noise units
    day, season : (time,) float64, days since 1970-01-01, and days of the year
    base : number of observations in the baseline
    begin : onset by evidence
    low : first observation that votes

    Returns
    -------
    (time,) float64 each, 0 before ``low``: the log likelihood ratio of changed to normal ground, capped at VOTE, and
    the distance from the climatology in standard deviations, largest of the indices.
    """
    n_index, n = z.shape
    ratio, far = np.zeros(n), np.zeros(n)
    for q in range(low, n):
        apart = np.abs(season[:base] - season[q])
        near = np.minimum(apart, 365.25 - apart) <= climate.SEASON_DAYS
        near &= np.abs(day[:base] - day[q]) > climate.SEASON_DAYS  # of other years
        witnesses = z[:, :base][:, near]
        count = witnesses.shape[1]
        if count < onset.SEASON_MIN:
            ratio[q] = onset.VOTE_COST * n_index + (onset.HINT if q >= begin else -onset.HINT)
            continue
        mean = witnesses.mean(axis=1)
        variance = (count * witnesses.var(axis=1) + 2) / (count + 1) * (1 + 1 / count)
        start = max(q, base)
        ahead = z[:, start : start + onset.AHEAD]
        changed = ahead.var(axis=1) + onset.CHANGED_VARIANCE
        off = (z[:, q] - mean) ** 2 / variance
        other = (z[:, q] - ahead.mean(axis=1)) ** 2 / changed
        ratio[q] = np.clip(0.5 * (off - other + np.log(variance / changed)).sum(), -onset.VOTE, onset.VOTE)
        far[q] = math.sqrt(off.max())
    return ratio, far


def change_point(ratio: Floats, low: int, high: int, cost: float) -> int:
    """Return the onset in [low, high) from which on the ratios less their cost sum up to most, earliest of equals.

    Parameters
    ----------
    ratio : (time,) float64
    cost : log likelihood ratio that each observation must pay
    """
    return low + int(np.argmax((ratio[low:high] - cost)[::-1].cumsum()[::-1]))
