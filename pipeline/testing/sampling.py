"""When a sensor sees a pixel series, and what it sees: cadence, snow, cloud spells, haze, and what nobody masked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.testing.covers import Floats, Rng, bump, midwinter, wander

STEPS = (2, 3, 5, 5, 5, 5, 8, 10)
"""Days between acquisitions, drawn at random."""
HAZE = 0.012
"""Spread of the haze that the atmospheric correction leaves, reflectance in blue."""

_CLOUD = np.array([0.55, 0.54, 0.53, 0.56, 0.42, 0.32], np.float32)[:, None]
_SNOW = np.array([0.75, 0.75, 0.73, 0.65, 0.10, 0.08], np.float32)[:, None]
_HAZE = (1.0, 0.85, 0.7, 0.4, 0.15, 0.08)


def acquisitions(rng: Rng, first: float, stop: float) -> Floats:
    """Draw the days of acquisitions, (time,) float32, days since 1970-01-01."""
    steps = rng.choice(STEPS, int((stop - first) / min(STEPS)) + 1)
    days = first + np.concatenate([[0], np.cumsum(steps)])
    return np.asarray(days[days < stop], np.float32)


def snowfall(rng: Rng, days: Floats, n: int) -> NDArray[np.bool_]:
    """Draw where snow lies, (time, pixel): in the winters of four pixels in ten."""
    day = np.asarray((days + 180) % 365.25, np.float32)
    falls, melts = (rng.normal(mean, 11, n).astype(np.float32) for mean in (160, 235))
    winter = bump(day, falls, melts, 4.0, 4.0)
    deep = wander(rng, days, n, 15.0) > -1
    return np.asarray((winter > 0.5) & deep & (rng.random(n) < 0.4))


def clouds(rng: Rng, days: Floats, missing: float, white: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Draw where clouds mask pixels, (time, pixel): in spells, more in winter; with snow, ``missing`` of all."""
    lying = white.mean(axis=0)
    swing = 0.36 * min(missing, 1 - missing) * midwinter(days)
    share = np.clip(np.maximum(missing - lying, 0) / (1 - lying) + swing, 0, 1)
    spells = 0.8 * wander(rng, days, white.shape[1], 7.0)
    spells += 0.6 * rng.standard_normal(spells.shape, dtype=np.float32)
    # The logistic curve stands for the normal distribution within one percent.
    return np.asarray(1 / (1 + np.exp(-1.702 * spells)) < share)


def observe(rng: Rng, truth: Floats, white: NDArray[np.bool_], outliers: float) -> Floats:
    """Turn reflectance into what a sensor sees: with clouds, shadows and snow (``white``) that no mask knows."""
    shape = truth.shape[1:]
    seen = truth.copy()
    seen[:, white] += rng.uniform(0.2, 0.9, int(white.sum())).astype(np.float32) * (_SNOW - seen[:, white])
    bad = rng.random(shape) < outliers
    cloud = bad & (rng.random(shape) < 0.65)
    thick = rng.beta(0.9, 1.4, int(cloud.sum())).astype(np.float32) * 0.9 + 0.05
    seen[:, cloud] += thick * (_CLOUD - seen[:, cloud])
    shadow = bad & ~cloud
    seen[:, shadow] *= rng.uniform(0.35, 0.75, int(shadow.sum())).astype(np.float32)
    veil = HAZE * np.abs(rng.standard_normal(shape, dtype=np.float32))
    common = 0.03 * rng.standard_normal(shape, dtype=np.float32)
    for band, share in zip(seen, _HAZE, strict=True):
        band += share * veil
        band *= np.exp(common + 0.015 * rng.standard_normal(shape, dtype=np.float32))
        band += 0.003 * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(np.clip(seen, 0.001, 1.2), np.float32)
