"""What is detected on: simple stable series for speed, hard ground with known truth for accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors.series import Doubles, Floats, Series
from groundbreak.kernels import DEFAULT_INDICES
from groundbreak.pipeline.testing.hard_ground import hard_ground

N_DATES = 220
MISSING = 0.39
PER_YEAR = 46
"""A date every 7.9 days: slots that R's regular time axis, and so zeit's, holds exactly."""
NOISE = 0.03
THINNED_PIXELS = 16384
N_BANDS = 6
BANDS_FOR = 1024
"""Pixels that have bands in the speed workload: those who read bands are slow."""
START = "2019-01-01"
HISTORY_DAYS = 730
"""Before any works of hard ground."""
THINNED = 0.1
"""Share of its pixels that change where whole detection is timed: about what a task meets, and still more."""


class Truth(NamedTuple):
    """(pixel,) cover; onset and halt in float64 days since 1970-01-01, NaN = stable, not ended."""

    cover: NDArray[Any]
    onset: Doubles
    halt: Doubles


def speed_series(n_pixel: int, seed: int = 0) -> Series:
    """Stable ground: level, trend, two harmonics and white noise; 220 dates, 39 % missing, half of them history."""
    rng = np.random.default_rng(seed)
    steps = np.round(np.arange(N_DATES) * 365.25 / PER_YEAR).astype(np.int64)
    dates = np.datetime64("2019-01-01") + steps
    index = _stable(rng, steps, n_pixel)
    index[rng.random(index.shape, np.float32) < MISSING] = np.nan
    few = min(n_pixel, BANDS_FOR)
    bands = np.stack([0.3 + 0.5 * (_stable(rng, steps, few) - 0.5) for _ in range(N_BANDS)])
    bands[:, np.isnan(index[:, :few])] = np.nan
    return Series(index[None], DEFAULT_INDICES[:1], dates, dates[N_DATES // 2 - 1], bands.astype(np.float32))


def _stable(rng: np.random.Generator, steps: NDArray[np.int64], n_pixel: int) -> Floats:
    """(time, pixel) float32 around 0.5."""
    years = steps / 365.25
    out = np.full((steps.size, n_pixel), 0.5, np.float32)
    waves = (years - 2.4, *(f(2 * np.pi * k * years) for k in (1, 2) for f in (np.cos, np.sin)))
    for wave, size in zip(waves, (0.01, 0.15, 0.15, 0.05, 0.05), strict=True):
        out += np.outer(wave, size * rng.standard_normal(n_pixel)).astype(np.float32)
    out += NOISE * rng.standard_normal(out.shape, np.float32)
    return out


def hard_case(n_pixel: int, seed: int, changed: float = 0.5) -> tuple[Series, Truth]:
    """Hard ground, a share of it ``changed``; half of the observations are missing.

    No works begin in the first two years: detectors that need a history thus have one that is true on every pixel;
    those that need none are not told.
    """
    ground = hard_ground(n_pixel, seed=seed, changed=changed, start=START)
    history_end = np.datetime64(START) + np.timedelta64(HISTORY_DAYS - 1, "D")
    assert not (ground.onset <= float(history_end.astype(np.int64))).any()
    series = Series(
        ground.indices(DEFAULT_INDICES), DEFAULT_INDICES, ground.dates, history_end, ground.bands, ground.snow
    )
    return series, Truth(ground.cover, ground.onset, ground.halt)
