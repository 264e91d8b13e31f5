"""The sky: clouds, shadows, haze, snow and rain, and what the scene classification makes of them.

Everything is drawn at 20 m, the resolution of the scene classification (SCL). The classification is
wrong in the ways Sen2Cor is: thin cloud edges and some shadows pass as clear, bright ground passes
as cloud, and melting snow passes as bare ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from groundbreak.pipeline.testing.cadence import Overpass
from groundbreak.pipeline.testing.fields import Floats, smooth, stream, wander

CLOUD = np.array([0.56, 0.57, 0.60, 0.42], dtype=np.float32)
SNOW = np.array([0.72, 0.72, 0.66, 0.10], dtype=np.float32)
_SHADE = np.array([0.62, 0.56, 0.50, 0.46], dtype=np.float32)

_BEYOND = 33
"""Pixels of sky drawn beyond the scene's southern and eastern border; the longest shadow."""


@dataclass(frozen=True, slots=True)
class Sky:
    """One overpass's atmosphere, (row, col) at 20 m."""

    opacity: Floats
    """0 clear to 1 opaque cloud."""
    shadow: Floats
    """0 lit to 1 fully shaded by cloud."""
    snow: Floats
    """0-1 cover of the ground."""
    flagged: NDArray[np.uint8]
    """SCL classes that the sky decides (3, 8, 9, 10, 11); 0 leaves the ground's class."""

    def veil(self, ground: Floats, at_10m: bool) -> Floats:
        """Return the reflectance that is seen through this sky, (band, row, col), with bands in the order of BANDS.

        Parameters
        ----------
        ground
            (band, row, col) float32: blue, red, nir at 10 m, or swir16 alone at 20 m.
        at_10m
            Whether `ground` has twice the sky's resolution.
        """
        bands = slice(0, 3) if at_10m else slice(3, 4)
        parts = [self.snow, self.shadow, self.opacity]
        if at_10m:
            parts = [p.repeat(2, axis=0).repeat(2, axis=1) for p in parts]
        snow, shadow, opacity = parts
        cloud, white, shade = (a[bands, None, None] for a in (CLOUD, SNOW, _SHADE))
        out = ground + snow * (white - ground) if snow.any() else ground.copy()
        if shadow.any():
            out *= 1 - shadow * (1 - shade)
        # Thick cloud is brighter than its edges.
        bright = cloud * (np.float32(0.75) + np.float32(0.45) * opacity)
        bright -= out
        bright *= opacity
        out += bright
        return np.asarray(out)


class Weather:
    """Daily weather of a record, and the sky of each overpass."""

    def __init__(self, seed: int, start: date, days: int) -> None:
        self._seed = seed
        rng = stream(seed, 5)
        doy = np.arange(days) + start.timetuple().tm_yday
        self.season: NDArray[np.float64] = np.cos(2 * np.pi * (doy - 197) / 365.25)
        """(day,) -1 midwinter to 1 midsummer."""
        overcast = wander(rng, days, 1, 2.0)[0] - 0.42 * self.season - 0.25
        # Spread widely before the logistic: most days are nearly clear or nearly covered.
        self.covered: NDArray[np.float64] = 1 / (1 + np.exp(-3.4 * overcast))
        """(day,) share of the scene under cloud."""
        wet = overcast > 1.0 - 0.15 * self.season
        warmth = 11.0 + 13.0 * self.season + 3.5 * wander(rng, days, 1, 4.0)[0]
        self.moisture, self.snow = _ground_water(wet, warmth)

    def sky(self, overpass: Overpass, brightness: Floats) -> Sky:
        """Draw the sky of one overpass.

        Parameters
        ----------
        overpass
            When.
        brightness
            (row, col) float32 at 20 m: red reflectance of the ground, which misleads the
            classification where it is bright.
        """
        rng = stream(self._seed, 6, overpass.key)
        shape = brightness.shape
        share = float(np.clip(self.covered[overpass.day], 0.004, 0.996))
        cell = float(rng.choice([18.0, 30.0, 60.0]))
        # Clouds beyond the border cast shadows into the scene too.
        wide = (shape[0] + _BEYOND, shape[1] + _BEYOND)
        lumps = 0.80 * smooth(rng, wide, cell) + 0.50 * smooth(rng, wide, cell / 3) + 0.30 * smooth(rng, wide, cell / 9)
        clouds = np.clip((lumps + ndtri(share)) * 0.75, 0, 1).astype(np.float32)
        opacity = clouds[: shape[0], : shape[1]]
        # The sun stands in the south-south-east: shadows fall to the north-north-west.
        length = float(rng.uniform(10, 18)) * (1.4 - 0.4 * float(self.season[overpass.day]))
        row, col = round(length), round(0.35 * length)
        shadow = clouds[row : row + shape[0], col : col + shape[1]]
        shadow = np.clip(shadow * 2.0 - 0.3, 0, 1) * (1 - opacity)
        if rng.random() < 0.015:
            # A cirrus veil over everything, too thin to be flagged.
            veil = 0.05 + 0.03 * smooth(rng, shape, 40)
            opacity = np.maximum(opacity, np.clip(veil, 0, 0.14))
        snow = self._snow_cover(rng, overpass.day, shape)
        flagged = _classify(rng, opacity, shadow, snow, brightness)
        return Sky(opacity, shadow.astype(np.float32), snow, flagged)

    def _snow_cover(self, rng: np.random.Generator, day: int, shape: tuple[int, int]) -> Floats:
        depth = float(self.snow[day])
        if depth <= 0.02:
            return np.zeros(shape, dtype=np.float32)
        patches = smooth(rng, shape, 8) * 0.5 + 3.0 * depth - 0.8
        return np.asarray(np.clip(patches, 0, 0.95), dtype=np.float32)


def _ground_water(
    wet: NDArray[np.bool_], warmth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute soil moisture and snow depth, (day,) each, 0-1, from rain days and temperature in C."""
    moisture, snow = np.zeros(len(wet)), np.zeros(len(wet))
    m = s = 0.0
    for day, (rain, t) in enumerate(zip(wet, warmth, strict=True)):
        falls_as_snow = bool(rain and t < -0.5)
        m = max(m * np.exp(-1 / (6.0 if t < 12 else 3.0)), 0.9 if rain and not falls_as_snow else 0)
        s = min(s + 0.35, 0.9) if falls_as_snow else max(s - 0.03 - 0.03 * max(t, 0), 0.0)
        moisture[day], snow[day] = m, s
    return moisture, snow


def _classify(
    rng: np.random.Generator,
    opacity: Floats,
    shadow: NDArray[np.floating[Any]],
    snow: Floats,
    brightness: Floats,
) -> NDArray[np.uint8]:
    shape = opacity.shape
    blind = smooth(rng, shape, 12)
    out = np.zeros(shape, dtype=np.uint8)
    out[(snow > 0.20) & (blind < 1.0)] = 11
    out[(shadow > 0.10) & (blind < 1.3)] = 3
    # Where the classification is blind, only thicker cloud is found.
    limit = 0.03 + 0.13 * np.clip(blind - 0.9, 0, 2.5)
    out[opacity > limit] = 8
    out[opacity > np.maximum(limit, 0.5)] = 9
    if rng.random() < 0.4:
        # Medium-thin cloud is called cirrus on some dates.
        out[(out == 8) & (opacity < 0.3)] = 10
    if rng.random() < 0.10:
        dazzled = (brightness > 0.20) & (smooth(rng, shape, 10) > 0.5) & (out == 0)
        out[dazzled] = np.where(brightness[dazzled] > 0.27, 9, 8)
    return out
