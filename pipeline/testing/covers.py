"""Undisturbed land covers for hard ground: forest, grass, crops, desert and suburb, each pixel a place of its own.

Fractions of end members (leaf, straw, soil, built ...) rise and fall with the seasons and the weather. Loops run over
time or years, never over pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rng = np.random.Generator

COVERS = ("forest", "grass", "crops", "desert", "suburb")
YEAR = 365.25


def _spectrum(*bands: float) -> Floats:
    """(band, 1) reflectance of blue, green, red, nir, swir16, swir22."""
    return np.asarray(bands, np.float32)[:, None]


CROP = _spectrum(0.028, 0.060, 0.035, 0.45, 0.19, 0.09)
CANOPY = _spectrum(0.020, 0.040, 0.025, 0.31, 0.13, 0.06)
BRANCHES = _spectrum(0.040, 0.058, 0.068, 0.18, 0.20, 0.13)
HERB = _spectrum(0.035, 0.068, 0.048, 0.37, 0.21, 0.11)
STRAW = _spectrum(0.075, 0.115, 0.150, 0.27, 0.33, 0.25)
SOIL = _spectrum(0.075, 0.105, 0.140, 0.21, 0.29, 0.25)
SAND = _spectrum(0.150, 0.220, 0.290, 0.36, 0.44, 0.39)
SHRUB = _spectrum(0.050, 0.075, 0.085, 0.24, 0.24, 0.16)
GRAVEL = _spectrum(0.150, 0.180, 0.210, 0.25, 0.28, 0.26)
CONCRETE = _spectrum(0.210, 0.240, 0.265, 0.30, 0.32, 0.29)
METAL = _spectrum(0.310, 0.350, 0.390, 0.43, 0.41, 0.37)
ASPHALT = _spectrum(0.080, 0.090, 0.100, 0.12, 0.13, 0.12)
TILES = _spectrum(0.090, 0.130, 0.210, 0.29, 0.34, 0.30)
BUILT = np.concatenate([GRAVEL, CONCRETE, METAL, ASPHALT, TILES], axis=1)
"""(band, material) reflectance."""

HARVEST_SHIFT = 5.0
"""Days by which a field's calendar shifts from year to year, one standard deviation; harvests shift more."""
RESTLESS = 0.08
"""Share of the fields that change crops from year to year, and lie fallow one year in four."""
DROUGHT = (0.78, 0.95)
"""Growth left in a dry year."""

_THIRST = _spectrum(0.07, 0.07, 0.075, 0.08, 0.11, 0.12)
"""(band, 1) how much a unit of wetness darkens bare ground, log scale."""


class Surface(NamedTuple):
    """Undisturbed ground of a block of pixels.

    ``bands`` (band, time, pixel) float32 reflectance; ``soil`` (band, pixel) float32 reflectance of the bare ground
    beneath; ``wet`` (time, pixel) float32 wetness, about -2 dry to 3 wet.
    """

    bands: Floats
    soil: Floats
    wet: Floats


def wander(rng: Rng, days: Floats, n: int, memory: float) -> Floats:
    """Draw AR(1) series of unit variance.

    Parameters
    ----------
    days : (time,) days, increasing
    n : pixels
    memory : days over which the correlation falls to 1/e

    Returns
    -------
    (time, pixel) float32, unitless.
    """
    out = rng.standard_normal((days.size, n), dtype=np.float32)
    keep = np.exp(-np.diff(days) / memory).astype(np.float32)
    for i, rho in enumerate(keep, start=1):
        out[i] = rho * out[i - 1] + np.sqrt(1 - rho * rho) * out[i]
    return out


def bump(time: Floats, rise: Floats, fall: Floats, up: Floats | float, down: Floats | float) -> Floats:
    """Compute curves that rise and fall between 0 and 1.

    Parameters
    ----------
    time : (time,) float32
        Days.
    rise, fall : (pixel,) float32
        Days of the middle of each rise and fall.
    up, down : (pixel,) float32 or float
        How many days a rise and a fall take: the scale of a logistic curve.

    Returns
    -------
    (time, pixel) float32
    """
    t = time[:, None]
    grown = 1 + np.tanh((t - rise) / (2 * np.asarray(up, np.float32)))
    cut = 1 - np.tanh((t - fall) / (2 * np.asarray(down, np.float32)))
    return np.asarray(0.25 * grown * cut, np.float32)


def midwinter(days: Floats) -> Floats:
    """Return 1 in mid January to -1 in mid July, (time, 1) float32, for (time,) days since 1970-01-01."""
    return np.asarray(np.cos(2 * np.pi * (days - 15) / YEAR), np.float32)[:, None]


def darkening(wet: Floats) -> Floats:
    """Return by which factor (band, time, pixel) wetness (time, pixel) darkens the reflectance of bare ground."""
    return np.asarray(np.exp(-_THIRST[:, :, None] * wet), np.float32)


def undisturbed(cover: str, rng: Rng, days: Floats, n: int) -> Surface:
    """Draw ``n`` pixels of one cover, weather included, without clouds or sensor noise.

    Parameters
    ----------
    cover : str, one of COVERS
    rng : the block's random stream
    days : (time,) float32 days since 1970-01-01, increasing

    Returns
    -------
    Surface of ``n`` pixels.
    """
    wet = wander(rng, days, n, 9.0) + 0.5 * midwinter(days)
    if cover == "desert":
        wet *= 0.2
        soil = SAND * _tint(rng, n, 0.14, 0.05)
    else:
        soil = SOIL * _tint(rng, n, 0.16, 0.05)
    bands = _DRAW[cover](rng, days, soil, wet)
    return Surface(bands, soil, wet)


def _tint(rng: Rng, n: int, common: float, own: float) -> Floats:
    """Draw factors (band, pixel) around 1: the brightness of a place, and its colour."""
    return np.asarray(np.exp(rng.normal(0, common, (1, n)) + rng.normal(0, own, (6, n))), np.float32)


def _uniform(rng: Rng, low: float, high: float, n: int) -> Floats:
    return rng.uniform(low, high, n).astype(np.float32)


def _normal(rng: Rng, mean: float, spread: float, n: int) -> Floats:
    return rng.normal(mean, spread, n).astype(np.float32)


def _years(days: Floats) -> list[tuple[slice, Floats]]:
    """Return the time steps that each year's growth may touch, and their days since 1 January of that year."""
    out = []
    for year in range(int(days[0] // YEAR), int(days[-1] // YEAR) + 2):
        day = days - np.float32(year * YEAR)
        inside = np.flatnonzero((day > -130) & (day < YEAR + 60))
        if inside.size:
            span = slice(int(inside[0]), int(inside[-1]) + 1)
            out.append((span, day[span]))
    return out


def _drought(rng: Rng, n: int) -> Floats:
    """Draw the factor (pixel,) on a year's growth: one year in eight is dry."""
    dry = rng.random(n) < 0.125
    return np.asarray(np.where(dry, _uniform(rng, *DROUGHT, n), 1), np.float32)


def _mix(green: Floats, leaf: Floats, below: Floats) -> Floats:
    """Cover ``below`` (band, time, pixel) with ``leaf`` (band, pixel) by the fraction ``green`` (time, pixel)."""
    below += green * (leaf[:, None, :] - below)
    return below


def _season(rng: Rng, days: Floats, n: int, rise: float, fall: float, shift: float, vary: float, slow: float) -> Floats:
    """Draw growth 0-1, (time, pixel): one season a year, whose dates and height vary from year to year."""
    green = np.zeros((days.size, n), np.float32)
    first, last = _normal(rng, rise, 9, n), _normal(rng, fall, 9, n)
    for span, day in _years(days):
        height = _drought(rng, n) * _uniform(rng, 1 - vary, 1, n)
        up = slow * _uniform(rng, 0.8, 1.2, n)
        grown = height * bump(day, first + _normal(rng, 0, shift, n), last + _normal(rng, 0, shift, n), up, up)
        np.maximum(green[span], grown, out=green[span])
    return green


def _forest(rng: Rng, days: Floats, soil: Floats, wet: Floats) -> Floats:
    n = soil.shape[1]
    season = _season(rng, days, n, 112, 296, 4, 0.03, 10)
    evergreen = _uniform(rng, 0, 1, n)
    green = _uniform(rng, 0.85, 0.97, n) * (evergreen + (1 - evergreen) * season)
    green = np.clip(green + 0.02 * wander(rng, days, n, 12.0), 0, 1)
    floor = (BRANCHES * _tint(rng, n, 0.1, 0.03))[:, None, :] * np.sqrt(darkening(wet))
    bands = _mix(green, CANOPY * _tint(rng, n, 0.1, 0.04), floor)
    return np.asarray(bands * (1 - _uniform(rng, 0, 0.12, n) * 0.5 * (1 + midwinter(days))), np.float32)


def _grass(rng: Rng, days: Floats, soil: Floats, wet: Floats) -> Floats:
    n = soil.shape[1]
    season = _season(rng, days, n, 98, 290, 8, 0.2, 15)
    mown = rng.random(n) < 0.35
    for span, day in _years(days):
        for nominal in (165, 225):
            cut = _normal(rng, nominal, 14, n)
            depth = np.where(mown & (rng.random(n) < 0.75), _uniform(rng, 0.2, 0.5, n), 0)
            season[span] *= 1 - depth * bump(day, cut, cut + 22, 1.5, 9.0)
    low = _uniform(rng, 0.12, 0.45, n)
    green = low + (_uniform(rng, 0.75, 0.95, n) - low) * season
    green = np.clip(green + 0.06 * wander(rng, days, n, 15.0), 0, 1)
    below = (0.6 * STRAW * _tint(rng, n, 0.08, 0.03) + 0.4 * soil)[:, None, :] * np.sqrt(darkening(wet))
    return _mix(green, HERB * _tint(rng, n, 0.08, 0.04), below)


def _crops(rng: Rng, days: Floats, soil: Floats, wet: Floats) -> Floats:
    n = soil.shape[1]
    green = np.full((days.size, n), 0.03, np.float32)
    straw = np.zeros_like(green)
    farm = rng.random(n)
    double = farm < 0.4
    # Restless fields change crops and lie fallow; the others keep to their calendar.
    restless = rng.random(n) < RESTLESS
    summers = np.where(restless, 0.5, np.where(farm < 0.6, 0.0, 1.0))
    catches = np.where(rng.random(n) < 0.3, 0.92, 0.04)
    place, lush, stubble = _normal(rng, 0, 9, n), _uniform(rng, 0.8, 0.93, n), _uniform(rng, 0.2, 0.8, n)
    for span, day in _years(days):
        fallow = rng.random(n) < np.where(restless, 0.25, 0.02)
        summer = rng.random(n) < summers
        late = _normal(rng, 0, HARVEST_SHIFT, n)
        height = _drought(rng, n) * lush * _normal(rng, 1, 0.04, n)
        up = _uniform(rng, 7, 12, n)
        rise, cut = place + late + 88, place + late + _normal(rng, 192, 0.6 * HARVEST_SHIFT, n)
        winter_crop = np.where(fallow | (summer & ~double), 0, height)
        grown = winter_crop * np.maximum(bump(day, rise, cut, up, 4.0), 0.3 * bump(day, rise - 140, rise, 10.0, 20.0))
        _reap(rng, straw[span], day, cut, winter_crop * stubble)
        late = _normal(rng, 0, HARVEST_SHIFT, n)
        rise = np.where(double, cut + _uniform(rng, 12, 25, n), place + late + 152)
        cut = np.where(
            double,
            rise + _normal(rng, 92, 0.6 * HARVEST_SHIFT, n),
            place + late + _normal(rng, 262, 0.8 * HARVEST_SHIFT, n),
        )
        summer_crop = np.where(~fallow & (summer | double), height, 0)
        np.maximum(grown, summer_crop * bump(day, rise, cut, up, 4.0), out=grown)
        _reap(rng, straw[span], day, cut, summer_crop * stubble)
        catch = np.where((winter_crop > 0) & ~double & (rng.random(n) < catches), _uniform(rng, 0.2, 0.5, n), 0)
        sown = place + _normal(rng, 240, 12, n)
        np.maximum(grown, catch * bump(day, sown, sown + _uniform(rng, 60, 100, n), 8.0, 8.0), out=grown)
        weeds = np.where(fallow, _uniform(rng, 0.1, 0.7, n), 0)
        np.maximum(grown, weeds * bump(day, place + 110, place + 270, 15.0, 12.0), out=grown)
        np.maximum(green[span], grown, out=green[span])
    green = np.clip(green * (1 + 0.16 * wander(rng, days, n, 3.0)), 0, 1)
    bare = soil[:, None, :] * darkening(wet) * (1 + 0.05 * wander(rng, days, n, 20.0))
    bare = _mix(straw, STRAW * _tint(rng, n, 0.08, 0.03), bare)
    return _mix(green, CROP * _tint(rng, n, 0.07, 0.04), bare)


def _reap(rng: Rng, straw: Floats, day: Floats, cut: Floats, crop: Floats) -> None:
    """Leave stubble from the harvest until the plough, where there was a ``crop`` (pixel,)."""
    left = crop * _uniform(rng, 0.8, 1.2, cut.size)
    np.maximum(straw, left * bump(day, cut - 12, cut + _uniform(rng, 8, 45, cut.size), 6.0, 2.0), out=straw)


def _desert(rng: Rng, days: Floats, soil: Floats, wet: Floats) -> Floats:
    n = soil.shape[1]
    slow = 1 + 0.2 * wander(rng, days, n, 400.0) + 0.15 * midwinter(days) * _normal(rng, 0, 1, n)
    shrub = np.clip(_uniform(rng, 0, 0.16, n) * slow, 0, 0.5)
    sun = 1 - _uniform(rng, 0, 0.06, n) * midwinter(days)
    sand = soil[:, None, :] * darkening(wet) * sun * (1 + 0.015 * wander(rng, days, n, 60.0))
    return _mix(np.asarray(shrub, np.float32), SHRUB * _tint(rng, n, 0.08, 0.04), sand)


def _suburb(rng: Rng, days: Floats, soil: Floats, wet: Floats) -> Floats:
    n = soil.shape[1]
    built = BUILT @ rng.dirichlet(np.full(BUILT.shape[1], 0.7), n).T.astype(np.float32)
    season = _season(rng, days, n, 100, 295, 7, 0.15, 14)
    garden = _uniform(rng, 0.05, 0.6, n)
    green = garden * np.clip(0.35 + 0.6 * season + 0.04 * wander(rng, days, n, 25.0), 0, 1)
    ground = (built * _tint(rng, n, 0.08, 0.02) * (1 - garden) + soil * garden)[:, None, :]
    bands = _mix(green, HERB * _tint(rng, n, 0.08, 0.04), ground * darkening(0.35 * wet))
    return np.asarray(bands * (1 - _uniform(rng, 0, 0.22, n) * 0.5 * (1 + midwinter(days))), np.float32)


_DRAW = {"forest": _forest, "grass": _grass, "crops": _crops, "desert": _desert, "suburb": _suburb}
