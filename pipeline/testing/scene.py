"""A simulated piece of the Earth: known ground, known changes, and what Sentinel-2 sees of it.

    scene = Scene(LAYOUTS["full"], seed=0)
    for overpass in scene.overpasses:
        view = scene.observe(overpass)

A view is drawn from the seed and the overpass alone, so views may be made in any order and process.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.testing.cadence import Overpass, overpasses
from groundbreak.pipeline.testing.fields import Floats, blur, double, halve, smooth, stream, wander
from groundbreak.pipeline.testing.frames import BANDS, Layout
from groundbreak.pipeline.testing.landscape import Landscape, build_landscape
from groundbreak.pipeline.testing.sites import Site, build_sites
from groundbreak.pipeline.testing.weather import Weather

NO_DATE = -32768
"""Fill of the day arrays in `Scene.pixel_truth`."""

# Relative brightness from the neighbour orbit: the background's gain, and what green cover adds.
_SIDE_GAIN = np.array([0.045, 0.045, 0.035, 0.030])
_SIDE_GREEN = np.array([0.02, 0.02, 0.06, 0.03])


@dataclass(frozen=True, slots=True)
class View:
    """What one overpass delivers over the whole scene, before it is cut into tiles."""

    visible: Floats
    """(3, row, col) float32 reflectance of blue, red, nir at 10 m."""
    swir16: Floats
    """(row, col) float32 reflectance at 20 m."""
    scl: NDArray[np.uint8]
    """(row, col) scene classification at 20 m; 0 outside the swath."""
    contaminated: NDArray[np.bool_]
    """(row, col) at 20 m: classified clear, but cloud, haze, shadow or snow changes the value."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Tell which pixels, (row, col) bool at 20 m, lie inside the swath."""
        return np.asarray(self.scl > 0)


class Scene:
    """Ground truth and reflectance model of one seed.

    Parameters
    ----------
    layout
        One of `frames.LAYOUTS`.
    seed
        0 keeps the planned sites and dates; others move sites, dates, fields and weather.
    start, end
        Record; the layout's own by default.
    """

    def __init__(self, layout: Layout, seed: int = 0, *, start: date | None = None, end: date | None = None) -> None:
        self.layout, self.seed = layout, seed
        self.start, self.end = start or layout.start, end or layout.end
        days = (self.end - self.start).days + 1
        if days < 1:
            raise ValueError(f"the record ends ({self.end}) before it starts ({self.start})")
        self.landscape: Landscape = build_landscape(layout, seed, self.start, days)
        self.sites: tuple[Site, ...] = build_sites(layout, self.landscape.zone, seed, self.start, days)
        self.weather = Weather(seed, self.start, days)
        self.overpasses: list[Overpass] = overpasses(layout, seed, self.start, self.end)
        rng = stream(seed, 7)
        # Atmosphere and illumination wander over days: a common gain, one a band, haze, and slow
        # patterns across the scene.
        self._gain = wander(rng, days, 1 + len(BANDS), 10.0)
        self._haze = wander(rng, days, 1, 5.0)[0]
        self._slow = wander(rng, days, 6, 15.0)
        self._shapes = np.stack([smooth(rng, layout.shape, layout.width / 4) for _ in range(6)])

    def pixel_truth(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the true onset and halt of every pixel.

        Returns
        -------
        Two (row, col) int32 arrays on the 10 m scene lattice, days since 1970-01-01, NO_DATE where
        nothing changed or, in the second, where change goes on at the end of the record.
        """
        first = (self.start - date(1970, 1, 1)).days
        onset = np.full(self.layout.shape, NO_DATE, dtype=np.int32)
        halt = onset.copy()
        for site in self.sites:
            begun, settled = np.ceil(site.history.begun), np.ceil(site.history.settled)
            onset[site.rows, site.cols] = begun + first
            over = np.isfinite(settled)
            halt[site.rows[over], site.cols[over]] = settled[over] + first
        return onset, halt

    def ground(self, day: int) -> tuple[Floats, Floats]:
        """Render the surface on one day, without sky or noise.

        Returns
        -------
        (band, row, col) float32 reflectance and (row, col) float32 green cover, at 10 m.
        """
        moisture = float(self.weather.moisture[day])
        out, green = self.landscape.render(day, moisture)
        for site in self.sites:
            changed, surface = site.history.surface(day, float(self.weather.season[day]))
            rows, cols = site.rows[changed], site.cols[changed]
            texture = self.landscape.texture[rows, cols]
            out[:, rows, cols] = surface[changed].T * texture * (1 - 0.15 * moisture)
            green[rows, cols] = 0.03
        return out, green

    def observe(self, overpass: Overpass) -> View:
        """Render what one overpass sees."""
        rng = stream(self.seed, 8, overpass.key)
        ground, green = self.ground(overpass.day)
        if overpass.side:
            base, leaf = ((a.astype(np.float32))[:, None, None] for a in (_SIDE_GAIN, _SIDE_GREEN))
            ground *= 1 + base + leaf * green
        ground = blur(ground, *(float(s) for s in np.clip(rng.normal(0, 0.09, 2), -0.2, 0.2)))
        coarse = halve(ground)
        sky = self.weather.sky(overpass, coarse[1])
        visible = self._noise(rng, sky.veil(ground[:3], True), overpass.day, slice(0, 3))
        swir = self._noise(rng, sky.veil(coarse[3:], False), overpass.day, slice(3, 4))
        seen = overpass.seen(self.layout)
        scl = np.where(sky.flagged > 0, sky.flagged, self._ground_class(rng, coarse))
        clear = np.isin(scl, (2, 4, 5, 6, 7))
        spoilt = clear & ((sky.opacity > 0.03) | (sky.shadow > 0.12) | (sky.snow > 0.2))
        return View(
            visible=visible * double(seen),
            swir16=swir[0] * seen,
            scl=np.where(seen, scl, 0).astype(np.uint8),
            contaminated=spoilt & seen,
        )

    def _noise(self, rng: np.random.Generator, values: Floats, day: int, bands: slice) -> Floats:
        """Multiply by 3-5 % and add about 0.005, both correlated in time and in space."""
        rows, cols = values.shape[1:]
        step = self.layout.height // rows
        weights = (self._slow[:, day] * 0.006).astype(np.float32)
        field = np.tensordot(weights, self._shapes[:, ::step, ::step], 1)
        # Drawn at 20 m for both: patches of 120 m have no finer detail, at a quarter of the time.
        patch = smooth(rng, self.layout.coarse, 6)
        field += np.float32(0.012) * (double(patch) if step == 1 else patch)
        gain = 1 + 0.02 * self._gain[0, day] + 0.011 * self._gain[1:, day][bands]
        haze = np.array([0.006, 0.004, 0.002, 0.0015])[bands] * self._haze[day]
        factor = rng.standard_normal(values.shape, dtype=np.float32)
        factor *= np.float32(0.011)
        factor += field
        factor += gain.astype(np.float32)[:, None, None]
        factor *= values
        factor += np.float32(0.0012) * rng.standard_normal((rows, cols), dtype=np.float32)
        factor += haze.astype(np.float32)[:, None, None]
        return np.maximum(factor, np.float32(1e-4), out=factor)

    def _ground_class(self, rng: np.random.Generator, coarse: Floats) -> NDArray[np.uint8]:
        blue, red, nir, _ = coarse
        ndvi = (nir - red) / (nir + red)
        unsure = 0.04 * smooth(rng, blue.shape, 4)
        out = np.where(ndvi + unsure > 0.36, 4, 5).astype(np.uint8)
        out[(ndvi < 0.05) & (nir < 0.10)] = 6
        out[(nir < 0.13) & (out == 5)] = 2
        out[(np.abs(ndvi + unsure - 0.36) < 0.004)] = 7
        return out
