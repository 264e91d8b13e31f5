"""Slow, obvious NumPy twin of the kernels' helpers; see kernels/reference.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.phases import states
from groundbreak.kernels.phases.series import CLIP, ROUGHNESS_OF_NOISE, SPIKE_RUN
from groundbreak.kernels.types import Bools, Floats

Prior = tuple[Floats, float, float]
"""Precision, shape and scale, as in kernels/model.py."""


def log_evidence(design: Floats, z: Floats, prior: Prior) -> tuple[float, Floats, Floats]:
    """Evidence of a segment under the conjugate linear model, by least squares.

    Parameters
    ----------
    design : (time, term) float64; z : (index, time) float64
    prior : its precision is added as one row a term: sqrt(precision) c = 0

    Returns
    -------
    Log evidence summed over the indices, coefficients (term, index), residuals (index, time).
    """
    m = design.shape[0]
    precision, shape, scale = prior
    rows = np.vstack([design, np.diag(np.sqrt(precision))])
    target = np.vstack([z.T, np.zeros((precision.size, z.shape[0]))])
    coef = np.linalg.lstsq(rows, target, rcond=None)[0]
    penalised = ((target - rows @ coef) ** 2).sum(axis=0)
    _, logdet = np.linalg.slogdet(rows.T @ rows)
    occam = -0.5 * (logdet - np.log(precision).sum())
    a = shape + m / 2
    total = 0.0
    for rest in penalised:
        gammas = math.lgamma(a) - math.lgamma(shape)
        total += gammas + shape * math.log(scale) - a * math.log(scale + rest / 2) + occam
    return total, coef, z - (design @ coef).T


def standardise(z: Floats, floor: float) -> tuple[Floats, Floats]:
    """(index, time) in noise units, and the noise of each index."""
    rough = np.median(np.abs(np.diff(z, axis=1)), axis=1) / ROUGHNESS_OF_NOISE
    scale = np.maximum(rough, floor)
    units = (z - np.median(z, axis=1)[:, None]) / scale[:, None]
    return np.clip(units, -CLIP, CLIP), scale


def spikes(z: Floats, day: Floats, limit: float) -> Bools:
    """Which observations stay once isolated runs of spikes are gone."""
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


def lost_states(z: NDArray[Any], season: NDArray[Any], i: int, part: int) -> float:
    """Share of the baseline's states, in seasons that came again, that [part, n) no longer shows."""
    z, season = z.astype(np.float32), season.astype(np.float32)
    far = np.abs(z[:, :i, None] - z[:, None, part:]).max(axis=0)
    visits = (far <= states.STATE_RADIUS).sum(axis=1)
    apart = np.abs(season[:i, None] - season[None, part:])
    reached = (np.minimum(apart, np.float32(365.25) - apart) <= states.STATE_DAYS).any(axis=1)
    kept = visits >= states.STATE_VISITS
    due = kept | reached
    return float((due & ~kept).sum() / due.sum()) if due.any() else 0.0


def novel_share(z: Floats, i: int, part: int) -> float:
    """Share of [part, n) outside the range of the baseline [0, i) in some index."""
    low = z[:, :i].min(axis=1, keepdims=True) - states.SEASON_MARGIN
    high = z[:, :i].max(axis=1, keepdims=True) + states.SEASON_MARGIN
    after = z[:, part:]
    return float(((after < low) | (after > high)).any(axis=0).mean())


def cusum(values: Floats, days: Floats, noise_floor: float) -> float:
    """The screen's statistic of one index, (time,) with NaN where not clear, by least squares."""
    clear = np.isfinite(values)
    phase = 2 * np.pi * days[clear] / 365.25
    design = np.stack([np.ones(clear.sum())] + [f(k * phase) for k in (1, 2) for f in (np.cos, np.sin)], axis=1)
    rest = values[clear] - design @ np.linalg.lstsq(design, values[clear], rcond=None)[0]
    n = rest.size
    spread = max(math.sqrt((rest**2).sum() / max(n - 5, 1)), noise_floor)
    return float(np.abs(np.cumsum(rest)).max() / (spread * math.sqrt(n)))


def spread(residuals: Floats) -> float:
    """Standard deviation of residuals (index, time), mean over the indices."""
    return float(np.sqrt((residuals**2).mean(axis=1)).mean())
