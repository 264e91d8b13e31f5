"""Slow, obvious NumPy twins of `kernels.phases.screen` and `kernels.phases.series`: the statistic, noise and spikes."""

from __future__ import annotations

import math

import numpy as np

from groundbreak.kernels.phases.screen import ROUNDING, step_places
from groundbreak.kernels.phases.series import CLIP, ROUGHNESS_OF_NOISE, SPIKE_RUN
from groundbreak.kernels.types import Bools, Floats, Ints


def standardise(z: Floats, floor: float) -> tuple[Floats, Floats]:
    """Return (index, time) values in noise units, clipped, and the noise of each index, never below ``floor``."""
    rough = np.median(np.abs(np.diff(z, axis=1)), axis=1) / ROUGHNESS_OF_NOISE
    scale = np.maximum(rough, floor)
    units = (z - np.median(z, axis=1)[:, None]) / scale[:, None]
    return np.clip(units, -CLIP, CLIP), scale


def spikes(z: Floats, day: Floats, limit: float) -> Bools:
    """Return which observations stay once isolated runs of spikes are gone, (time,) bool.

    Parameters
    ----------
    z : (index, time) float64, noise units
    day : (time,) float64
    limit : noise units that a spike is off
    """
    n_index, n = z.shape
    keep = np.ones(n, np.bool_)
    if limit <= 0 or n < 6:
        return keep
    lengths = range(1, SPIKE_RUN + 1)
    within = [(i, length) for length in lengths for i in range(1, n - length)]
    ends = [(i, length) for length in lengths for i in (0, n - length)]
    for i, length in within + ends:
        before = i - 1 if i > 0 else i + length + 1
        after = i + length if i + length < n else i - 2
        run = list(range(i, i + length))
        if not keep[[run[0], run[-1], before, after]].all():
            continue
        jump = z[:, after] - z[:, before]
        offs = []
        for q in run:
            share = (day[q] - day[before]) / (day[after] - day[before])
            if i == 0 or i + length == n:
                share = 0.5
            offs.append(((z[:, q] - z[:, before] - share * jump) ** 2).sum())
        if min(offs) > limit**2 * n_index and min(offs) > 9 * (jump**2).sum():
            keep[run] = False
    return keep


def step_left(days: Ints, clear: Ints) -> float:
    """Return what the screen's season leaves of a step near the middle of the observations: the sum of its squares.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01, of all dates
    clear : (observation,) int64, positions of the clear ones
    """
    before = [int((clear < place).sum()) for place in step_places(days)]
    step = np.arange(clear.size) < min(before, key=lambda count: abs(2 * count - clear.size))
    design = seasons(days[clear].astype(np.float64))
    rest = step - design @ np.linalg.lstsq(design, step.astype(np.float64), rcond=None)[0]
    return float((rest**2).sum())


def seasons(days: Floats) -> Floats:
    """Return level and two harmonics of the year on ``days``, (time, 5) float64."""
    phase = 2 * np.pi * days / 365.25
    return np.stack([np.ones(days.size)] + [f(k * phase) for k in (1, 2) for f in (np.cos, np.sin)], axis=1)


def cusum(values: Floats, days: Floats, noise_floor: float) -> float:
    """Compute the screen's statistic of one index by least squares (Ploberger & Kraemer 1992).

    Parameters
    ----------
    values : (time,) float64, NaN = not clear
    days : (time,) float64, days since 1970-01-01
    noise_floor : smallest standard deviation that is believed
    """
    clear = np.isfinite(values)
    design, known = seasons(days[clear]), values[clear] - values[clear][0]
    fitted = np.linalg.lstsq(design, known, rcond=None)[0]
    rest = known - design @ fitted
    n = rest.size
    floor = max(noise_floor, ROUNDING * float(np.abs(fitted).sum()))
    spread = max(math.sqrt((rest**2).sum() / max(n - 5, 1)), floor)
    return float(np.abs(np.cumsum(rest)).max() / (spread * math.sqrt(n)))
