"""What is detected on: simple stable series for speed, hard ground with known truth for accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors.series import Doubles, Floats, Series
from kernels import DEFAULT_INDICES
from pipeline.testing.hard_ground import hard_ground

N_DATES = 220
MISSING = 0.39
PER_YEAR = 46
"""A date every 7.9 days: slots that R's regular time axis, and so zeit's, holds exactly."""
NOISE = 0.03
N_BANDS = 6
BANDS_FOR = 1024
"""Pixels that have bands in the speed workload: those who read bands are slow."""
HISTORY_YEARS = 2


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
    return Series(index[None], dates, dates[N_DATES // 2 - 1], bands.astype(np.float32))


def _stable(rng: np.random.Generator, steps: NDArray[np.int64], n_pixel: int) -> Floats:
    """(time, pixel) float32 around 0.5."""
    years = steps / 365.25
    out = np.full((steps.size, n_pixel), 0.5, np.float32)
    waves = (years - 2.4, *(f(2 * np.pi * k * years) for k in (1, 2) for f in (np.cos, np.sin)))
    for wave, size in zip(waves, (0.01, 0.15, 0.15, 0.05, 0.05), strict=True):
        out += np.outer(wave, size * rng.standard_normal(n_pixel)).astype(np.float32)
    out += NOISE * rng.standard_normal(out.shape, np.float32)
    return out


def hard_case(n_pixel: int, seed: int) -> tuple[Series, Truth]:
    """Hard ground, cut to the pixels that are stable or whose works begin after two years.

    Detectors that need a history thus have two whole years of it, true on every pixel; those that need none are not
    told.
    """
    ground = hard_ground(2 * n_pixel, seed=seed)
    history_end = ground.dates[0] + np.timedelta64(round(HISTORY_YEARS * 365.25), "D")
    late = ground.onset > float(history_end.astype("datetime64[D]").astype(np.int64))
    keep = np.flatnonzero(np.isnan(ground.onset) | late)[:n_pixel]
    indices = np.ascontiguousarray(ground.indices(DEFAULT_INDICES)[..., keep])
    bands = np.ascontiguousarray(ground.bands[..., keep])
    series = Series(indices, ground.dates, history_end, bands, np.ascontiguousarray(ground.snow[:, keep]))
    return series, Truth(ground.cover[keep], ground.onset[keep], ground.halt[keep])
