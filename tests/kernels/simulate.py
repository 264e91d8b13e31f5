"""Simulated ground with known truth: land covers, weather, clouds, snow and construction.

Independent of the detectors: it mixes end-member spectra (blue, red, nir, swir16 reflectance) over
time and knows nothing about harmonics, phases or likelihoods. Every pixel has its own random
stream, so a pixel of a set never depends on how many others were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANDS = ("blue", "red", "nir", "swir16")
VEGETATION = np.array([0.025, 0.035, 0.42, 0.18])
FOREST = np.array([0.02, 0.025, 0.32, 0.12])
DRY = np.array([0.06, 0.11, 0.24, 0.28])
SOIL = np.array([0.09, 0.16, 0.25, 0.33])
SAND = np.array([0.15, 0.30, 0.38, 0.45])
WATER = np.array([0.05, 0.03, 0.02, 0.01])
CLOUD = np.array([0.55, 0.52, 0.55, 0.40])
BUILT = np.array(
    [
        [0.22, 0.27, 0.31, 0.33],  # concrete
        [0.09, 0.10, 0.11, 0.12],  # asphalt
        [0.34, 0.40, 0.45, 0.42],  # metal roof
        [0.16, 0.20, 0.24, 0.28],  # gravel
        [0.12, 0.22, 0.30, 0.36],  # tiles
    ]
)
STABLE_COVERS = ("forest", "grass", "crops", "desert", "water")
BUILDABLE = ("forest", "grass", "crops", "desert")
DAY0 = np.datetime64("2020-01-01")


@dataclass(frozen=True, slots=True)
class Scene:
    """A set of simulated pixels.

    ``values`` (index, time, pixel) float32; ``dates`` (time,) datetime64[D]; ``snow`` (time, pixel)
    bool; ``cover`` (pixel,) str; ``onset`` and ``halt`` (pixel,) float64 days since 1970-01-01,
    NaN where the pixel has none (stable ground; works that go on until the end).
    """

    values: NDArray[np.float32]
    dates: NDArray[np.datetime64]
    snow: NDArray[np.bool_]
    cover: NDArray[Any]
    onset: Floats
    halt: Floats


def indices_of(bands: Floats) -> NDArray[np.float32]:
    """(..., 4) reflectance -> (3, ...) ndvi, bare-soil index and swir16."""
    blue, red, nir, swir = np.moveaxis(bands, -1, 0)
    ndvi = (nir - red) / (nir + red)
    bsi = ((swir + red) - (nir + blue)) / ((swir + red) + (nir + blue))
    return np.stack([ndvi, bsi, swir]).astype(np.float32)


def autoregressive(rng: np.random.Generator, days: Floats, memory: float) -> Floats:
    """Draw a unit-variance AR(1) series at ``days`` whose correlation decays over ``memory`` days."""
    out = np.empty(days.size)
    out[0] = rng.normal()
    for i in range(1, days.size):
        rho = np.exp(-(days[i] - days[i - 1]) / memory)
        out[i] = rho * out[i - 1] + np.sqrt(1 - rho * rho) * rng.normal()
    return out


def _bump(doy: Floats, rise: float, fall: float, width: float) -> Floats:
    """Vegetation fraction that rises and falls around two days of the year."""
    up: Floats = 1 / (1 + np.exp(-(doy - rise) / width))
    down: Floats = 1 / (1 + np.exp((doy - fall) / width))
    return up * down


def ground(rng: np.random.Generator, cover: str, days: Floats) -> Floats:
    """(time, 4) reflectance of undisturbed ground; ``days`` since 2020-01-01."""
    doy = days % 365.25
    year = (days // 365.25).astype(int)
    wet = np.clip(1 - 0.06 * autoregressive(rng, days, 15.0), 0.8, 1.2)[:, None]
    tint = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 4)
    if cover == "forest":
        season = 0.5 - 0.5 * np.cos(2 * np.pi * (doy - 20) / 365.25)
        evergreen = rng.uniform(0.3, 1.0)
        green = 0.95 * (evergreen + (1 - evergreen) * season)
        green = green + 0.02 * autoregressive(rng, days, 25.0)
        return np.asarray(green[:, None] * FOREST * tint + (1 - green[:, None]) * DRY)
    if cover == "grass":
        green = np.zeros(days.size)
        for y in np.unique(year):
            peak = rng.uniform(0.55, 0.9)
            rise, fall = 100 + 10 * rng.normal(), 290 + 12 * rng.normal()
            green = np.where(year == y, 0.15 + peak * _bump(doy, rise, fall, 16.0), green)
        green = np.clip(green + 0.07 * autoregressive(rng, days, 30.0), 0, 1)[:, None]
        return np.asarray(green * VEGETATION * tint + (1 - green) * DRY * wet)
    if cover == "crops":
        green = np.zeros(days.size)
        soil = SOIL * rng.uniform(0.75, 1.2)
        summer_share = rng.choice([0.0, 0.5, 1.0])
        for y in np.unique(year):
            if rng.random() < summer_share:
                rise, fall = 150 + 12 * rng.normal(), 265 + 15 * rng.normal()
            else:
                rise, fall = 85 + 12 * rng.normal(), 195 + 15 * rng.normal()
            cycle = rng.uniform(0.75, 0.95) * _bump(doy, rise, fall, rng.uniform(5, 10))
            if rng.random() < 0.3:  # a catch crop in autumn
                cycle = cycle + 0.4 * _bump(doy, fall + 45, fall + 110, 8.0)
            green = np.where(year == y, 0.05 + cycle, green)
        green = np.clip(green + 0.03 * autoregressive(rng, days, 20.0), 0, 1)[:, None]
        return np.asarray(green * VEGETATION * tint + (1 - green) * soil * wet)
    if cover == "desert":
        shrub = np.clip(rng.uniform(0, 0.12) + 0.015 * autoregressive(rng, days, 40.0), 0, 1)
        base = SAND * rng.uniform(0.8, 1.1)
        dry = 1 + 0.15 * (wet - 1)
        return np.asarray(shrub[:, None] * DRY + (1 - shrub[:, None]) * base * dry)
    if cover == "water":
        level = 0.6 * np.cos(2 * np.pi * (doy - rng.uniform(60, 180)) / 365.25)
        level = level + 0.8 * autoregressive(rng, days, 120.0) + rng.uniform(-1, 1)
        flooded = (1 / (1 + np.exp(-3 * level)))[:, None]
        return np.asarray(flooded * WATER + (1 - flooded) * SOIL * rng.uniform(0.7, 1.1) * wet)
    raise ValueError(f"cover: {cover!r} is not simulated; use one of {STABLE_COVERS}")


def works(rng: np.random.Generator, days: Floats, onset: float, halt: float, roughness: float) -> Floats:
    """(time, 4) reflectance of a building site: stages of bare, wet, paved and shadowed ground."""
    out = np.empty((days.size, 4))
    start = onset
    first = True
    while start <= halt:
        length = rng.uniform(20, 90)
        stage = SOIL * rng.uniform(0.8, 1.5) if first else _stage(rng)
        noise = roughness * rng.uniform(0.6, 1.4)
        inside = (days >= start) & (days < start + length)
        for i in np.flatnonzero(inside):
            other = _stage(rng)
            share = np.clip(abs(rng.normal(0, noise)), 0, 0.8)
            out[i] = ((1 - share) * stage + share * other) * np.exp(rng.normal(0, 0.4 * noise))
        start += length
        first = False
    return out


def _stage(rng: np.random.Generator) -> Floats:
    if rng.random() < 0.5:
        return np.asarray(SOIL * rng.uniform(0.7, 1.5))
    return np.asarray(BUILT[rng.integers(len(BUILT))] * rng.uniform(0.8, 1.2))


def settled(rng: np.random.Generator, days: Floats) -> Floats:
    """(time, 4) reflectance of finished ground: built, in part with a lawn."""
    mix = rng.dirichlet(np.full(len(BUILT), 0.5))
    lawn = 0.25 * rng.random() * (rng.random() < 0.3)
    doy = days % 365.25
    green = (lawn * (0.3 + 0.7 * _bump(doy, 100, 290, 18.0)))[:, None]
    wet = 1 - 0.02 * autoregressive(rng, days, 10.0)[:, None]
    return np.asarray(green * VEGETATION + (1 - green) * (mix @ BUILT) * wet)


def observe(rng: np.random.Generator, bands: Floats, outliers: float) -> Floats:
    """Sensor and atmosphere noise, and a share of unmasked clouds and shadows."""
    n = bands.shape[0]
    common = np.exp(rng.normal(0, 0.03, (n, 1)))
    seen = bands * common * np.exp(rng.normal(0, 0.015, (n, 4))) + rng.normal(0, 0.003, (n, 4))
    bad = rng.random(n) < outliers
    for i in np.flatnonzero(bad):
        if rng.random() < 0.7:
            share = rng.uniform(0.2, 0.9)
            seen[i] = (1 - share) * seen[i] + share * CLOUD
        else:
            seen[i] = seen[i] * rng.uniform(0.35, 0.7)
    return np.clip(seen, 0.002, 1.2)


def simulate(
    covers: Sequence[str],
    *,
    seed: int = 0,
    construction: bool = False,
    onset: str | None = None,
    halt: str | None = None,
    ongoing: bool = False,
    duration: tuple[float, float] = (30.0, 900.0),
    end: str = "2025-01-01",
    cadence: int = 5,
    missing: float = 0.45,
    outliers: float = 0.03,
    roughness: tuple[float, float] = (0.15, 0.45),
    snow_share: float = 0.4,
) -> Scene:
    """Simulate one pixel per entry of ``covers``.

    With ``construction`` each pixel is built on: at ``onset`` until ``halt`` (ISO dates) where
    given, else at a random time, for a log-uniform ``duration`` in days; ``ongoing`` works never
    halt. The truth is the first observed-or-not day of works, and the last.
    """
    days = np.arange(0, (np.datetime64(end) - DAY0).astype(int), cadence).astype(float)
    dates = DAY0 + days.astype(int)
    epoch = float(DAY0.astype(int))
    values = np.empty((3, days.size, len(covers)), np.float32)
    snow = np.zeros((days.size, len(covers)), bool)
    onsets = np.full(len(covers), np.nan)
    halts = np.full(len(covers), np.nan)
    for p, cover in enumerate(covers):
        rng = np.random.default_rng([seed, p])
        bands = ground(rng, cover, days)
        if construction:
            last = days[-1]
            a = float((np.datetime64(onset) - DAY0).astype(int)) if onset else np.nan
            if not onset:
                a = rng.uniform(1.2 * 365, last - (250 if ongoing else 400))
            if ongoing:
                b = last + 1
            elif halt:
                b = float((np.datetime64(halt) - DAY0).astype(int))
            else:
                low, high = np.log(duration[0]), np.log(min(duration[1], last - 200 - a))
                b = a + np.exp(rng.uniform(low, max(high, low)))
            busy = (days >= a) & (days <= b)
            bands[busy] = works(rng, days, a, b, rng.uniform(*roughness))[busy]
            done = days > b
            if done.any():
                bands[done] = settled(rng, days)[done]
            onsets[p] = epoch + a
            halts[p] = np.nan if ongoing else epoch + b
        index = indices_of(observe(rng, bands, outliers))
        cloudy = rng.random(days.size) < missing + 0.2 * np.cos(2 * np.pi * days / 365.25)
        if rng.random() < snow_share:
            doy = days % 365.25
            winter = (doy < rng.uniform(40, 75)) | (doy > rng.uniform(335, 360))
            snow[:, p] = winter & (rng.random(days.size) < 0.85)
        index[:, cloudy | snow[:, p]] = np.nan
        values[:, :, p] = index
    return Scene(values, dates, snow, np.asarray(covers), onsets, halts)
