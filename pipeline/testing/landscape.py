"""The ground before and beside the sites: parcels of land cover and their seasons.

A parcel is a mixture of green cover, dry cover and background. Green and dry cover rise and fall in
*cycles* (a crop, a steppe spring, a forest summer) whose dates shift from year to year and from
parcel to parcel, which is what makes crops hard for any detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from groundbreak.pipeline.testing.fields import Floats, smooth, stream
from groundbreak.pipeline.testing.frames import Layout
from groundbreak.pipeline.testing.seasons import Cycles, grow
from groundbreak.pipeline.testing.spectra import SPECTRA

KINDS: tuple[str, ...] = ("crops", "grass", "forest", "reservoir", "suburb", "desert")
"""Land covers; the index is the code in `Landscape.zone`."""

# Zone seeds in relative scene coordinates (x right, y down); each pixel joins the nearest one.
_ANCHORS: tuple[tuple[str, float, float], ...] = (
    ("crops", 0.10, 0.22),
    ("crops", 0.14, 0.62),
    ("crops", 0.24, 0.40),
    ("reservoir", 0.27, 0.93),
    ("grass", 0.42, 0.42),
    ("grass", 0.62, 0.55),
    ("grass", 0.64, 0.32),
    ("grass", 0.48, 0.74),
    ("suburb", 0.52, 0.06),
    ("forest", 0.91, 0.15),
    ("desert", 0.70, 0.86),
    ("desert", 0.92, 0.58),
    ("crops", 0.95, 0.93),
)
_PARCEL_PX: dict[str, float] = {
    "crops": 18,
    "grass": 30,
    "forest": 24,
    "reservoir": 60,
    "suburb": 4,
    "desert": 40,
}


@dataclass(frozen=True)
class Landscape:
    """Land cover of one world; built by `build_landscape`, then only read."""

    zone: NDArray[np.uint8]
    """(row, col) index into KINDS."""
    label: NDArray[np.intp]
    """(row, col) parcel number."""
    cycles: Cycles
    green: NDArray[np.float32]
    """(band, parcel) spectrum of green cover."""
    ground: NDArray[np.float32]
    """(band, parcel) spectrum of the dry background."""
    vigour: Floats
    """(row, col) static factor of green cover."""
    texture: Floats
    """(row, col) static factor of brightness."""
    bed: Floats
    """(row, col) 0-1 depth of the reservoir's bed, 0 elsewhere."""
    levels: NDArray[np.float64]
    """(day,) share of the bed's depth under water."""

    def cover(self, day: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the green and the dry cover (0-1) of each parcel on a day of the record."""
        return self.cycles.cover(day, self.green.shape[1])

    def render(self, day: int, moisture: float) -> tuple[Floats, Floats]:
        """Render the surface on one day, without noise.

        Parameters
        ----------
        day
            Days since the start of the record.
        moisture
            0 dry to 1 just rained; wet ground is darker.

        Returns
        -------
        (band, row, col) float32 reflectance and (row, col) float32 green cover.
        """
        green, dry = self.cover(day)
        straw = np.array(SPECTRA["straw"])[:, None]
        base = (dry * straw + (1 - dry) * self.ground) * (1 - 0.22 * moisture)
        lift = self.green - base
        share = np.minimum(green.astype(np.float32)[self.label] * self.vigour, np.float32(0.97))
        out: Floats = np.take(lift.astype(np.float32), self.label, axis=1)
        out *= share
        out += np.take(base.astype(np.float32), self.label, axis=1)
        out *= self.texture
        self._flood(out, share, float(self.levels[day]))
        return out, share

    def _flood(self, out: Floats, share: Floats, level: float) -> None:
        wet = self.bed > 0
        above = (1 - level) - self.bed[wet]
        water = 1 / (1 + np.exp(np.clip(above / 0.02, -30, 30)))
        # The shore dries as it lies further from the water's edge.
        dried = np.clip(above / 0.25, 0, 1)
        mud, silt, deep = (np.array(SPECTRA[k])[:, None] for k in ("mud", "silt", "water"))
        shore = (mud * (1 - dried) + silt * dried) * self.texture[wet]
        out[:, wet] = water * deep + (1 - water) * shore
        share[wet] = 0.03


def build_landscape(layout: Layout, seed: int, start: date, days: int) -> Landscape:
    """Draw the zones, parcels and seasons of one world from its seed."""
    rng = stream(seed, 1)
    zone = _zones(layout, seed, rng)
    label, kind_of = _parcels(zone, rng)
    count = len(kind_of)
    kinds = np.array(KINDS)[kind_of]
    green = np.where(kinds == "forest", 1, 0)[None, :] * np.array(SPECTRA["leaf"])[:, None]
    for name, cover in (("crops", "crop"), ("forest", "leaf")):
        green = np.where(kinds == name, np.array(SPECTRA[cover])[:, None], green)
    other = ~np.isin(kinds, ("crops", "forest"))
    green = np.where(other, np.array(SPECTRA["herb"])[:, None], green)
    names = {
        "crops": "loam",
        "grass": "loam",
        "forest": "litter",
        "reservoir": "silt",
        "suburb": "roofs",
        "desert": "sand",
    }
    ground = np.array([SPECTRA[names[k]] for k in kinds]).T
    # Parcels differ in brightness and slightly in colour; a suburb is a patchwork.
    spread = np.where(kinds == "suburb", 0.30, 0.10)
    ground = ground * np.exp(spread * rng.standard_normal(count))
    ground = ground * np.exp(0.03 * rng.standard_normal((4, count)))
    shape = layout.shape
    vigour = 1 + 0.09 * smooth(rng, shape, 5) + 0.05 * rng.standard_normal(shape)
    texture = 1 + 0.05 * smooth(rng, shape, 4) + 0.04 * rng.standard_normal(shape)
    inside = zone == KINDS.index("reservoir")
    shore = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    bed = shore / max(float(shore.max()), 1.0) * 0.9 + 0.04 * smooth(rng, shape, 12)
    return Landscape(
        zone=zone,
        label=label,
        cycles=grow(list(kinds), start, days, rng),
        green=green.astype(np.float32),
        ground=ground.astype(np.float32),
        vigour=np.clip(vigour, 0.5, 1.4).astype(np.float32),
        texture=np.clip(texture, 0.75, 1.3).astype(np.float32),
        bed=np.where(inside, np.clip(bed, 0.01, 1), 0).astype(np.float32),
        levels=_levels(start, days, rng),
    )


def _zones(layout: Layout, seed: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = layout.shape
    anchors = np.array([(x, y) for _, x, y in _ANCHORS])
    if seed:
        anchors = anchors + rng.uniform(-0.05, 0.05, anchors.shape)
        flips = rng.random(2) < 0.5
        anchors = np.where(flips, 1 - anchors, anchors)
    rows, cols = np.mgrid[:height, :width].astype(np.float64)
    # Warped coordinates give zones the winding borders that straight Voronoi cells lack.
    cols = cols / width + 0.03 * smooth(rng, layout.shape, width / 14)
    rows = rows / height + 0.03 * smooth(rng, layout.shape, width / 14)
    aspect = np.array([1.0, height / width])
    _, nearest = cKDTree(anchors * aspect).query(np.stack([cols, rows], -1) * aspect)
    codes = np.array([KINDS.index(kind) for kind, _, _ in _ANCHORS], dtype=np.uint8)
    return np.asarray(codes[nearest])


def _parcels(zone: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    height, width = zone.shape
    label = np.zeros(zone.shape, dtype=np.int64)
    for code, kind in enumerate(KINDS):
        cell, angle = _PARCEL_PX[kind], rng.uniform(0.1, 0.5)
        here = zone == code
        rows, cols = np.nonzero(here)
        if kind in ("crops", "suburb"):
            u = np.cos(angle) * cols + np.sin(angle) * rows
            v = np.cos(angle) * rows - np.sin(angle) * cols
            # Rectangles in rows; rows are offset like bricks, as real field patterns are.
            line = np.floor(v / cell).astype(np.int64) + 500
            shift = rng.uniform(0, 2, 2000)[line]
            piece = np.floor(u / (1.6 * cell) + shift).astype(np.int64) + 500
        else:
            points = rng.uniform((0, 0), (height, width), (int(height * width / cell**2) + 1, 2))
            line = cKDTree(points).query(np.stack([rows, cols], -1))[1].astype(np.int64)
            piece = np.zeros_like(line)
        label[here] = (code * 4000 + line) * 4000 + piece
    unique, flat = np.unique(label, return_inverse=True)
    return flat.reshape(zone.shape).astype(np.intp), unique // (4000 * 4000)


def _levels(start: date, days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    first = start.timetuple().tm_yday
    t = np.arange(days)
    season = np.cos(2 * np.pi * (t + first - 125) / 365.25)
    year = (t + first) // 365.25
    supply = rng.normal(0, 0.05, int(year.max()) + 1)[year.astype(int)]
    # Supply changes between years without a jump: a running mean over four months.
    supply = np.convolve(np.pad(supply, 60, mode="edge"), np.ones(121) / 121, mode="valid")
    return np.asarray(np.clip(0.72 + 0.17 * season + supply, 0.3, 0.97))
