"""Products made of one overpass: tiles, the swath edge, and the two traps of real archives.

*Duplicates*: a few early acquisitions were processed twice. Baseline 02.14 is noisier and two
pixels off, so that a reader who takes it notices; baseline 05.00 replaces it.
*Split datatakes*: a few acquisitions come as two items of one tile and time, one nearly empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, box

from groundbreak.pipeline.testing.cadence import OFFSET_FROM, Overpass
from groundbreak.pipeline.testing.fields import Floats, double, stream
from groundbreak.pipeline.testing.frames import Frame, Layout
from groundbreak.pipeline.testing.scene import Scene, View
from groundbreak.pipeline.testing.weather import Weather

Flavour = Literal["plain", "old", "reprocessed"]
Part = Literal["whole", "north", "south"]

SCALE = 10_000
OFFSET_DN = 1000
_DN_STEP, _BRIGHT_DN, _BRIGHT_STEP = 4, 4500, 32
"""DN are rounded to a step well below the noise, a coarser one on cloud and snow: the archive
shrinks by a third."""
_LEAST_COVER = 0.005
_TWICE: tuple[Flavour, Flavour] = ("old", "reprocessed")
_SPLIT_SLOPE = 0.21
_DUPLICATES, _SPLITS = 6, 5


@dataclass(frozen=True, slots=True)
class Granule:
    """One item to be: one overpass of one tile in one processing."""

    overpass: Overpass
    frame: Frame
    sequence: int
    """0, or 1 for the second item of the same tile and day."""
    flavour: Flavour
    part: Part
    split_row: float
    """Scene row where the datastrip changes; meaningless where part is whole."""
    footprint: Polygon
    """Valid ground in (col, row) scene coordinates."""

    @property
    def id(self) -> str:
        """Item id in Earth Search's manner."""
        day = self.overpass.time.strftime("%Y%m%d")
        return f"{self.overpass.platform}_{self.frame.code}_{day}_{self.sequence}_L2A"

    @property
    def baseline(self) -> str:
        """Processing baseline of this product."""
        known = {"old": "02.14", "reprocessed": "05.00"}
        return known.get(self.flavour, self.overpass.baseline)

    @property
    def boa_offset_applied(self) -> bool:
        """Whether the archive took the +1000 out of the DN but still announces offset -0.1."""
        return self.flavour == "reprocessed"

    @property
    def shifted(self) -> bool:
        """Whether the DN carry +1000."""
        return self.flavour == "plain" and self.overpass.time.date() >= OFFSET_FROM

    @property
    def offset(self) -> float:
        """The offset that the item announces, right or wrong."""
        return -0.1 if self.shifted or self.boa_offset_applied else 0.0

    def mask(self) -> NDArray[np.bool_]:
        """Tell which pixels of the frame, (row, col) bool at 20 m, belong to this part."""
        rows, cols = np.mgrid[: self.frame.height // 2, : self.frame.width // 2]
        if self.part == "whole":
            return np.ones(rows.shape, dtype=bool)
        row, col = 2 * rows + 1 + self.frame.row, 2 * cols + 1 + self.frame.col
        north = row < self.split_row + _SPLIT_SLOPE * col
        return np.asarray(north if self.part == "north" else ~north)


@dataclass(frozen=True, slots=True)
class Traps:
    """Which acquisitions are processed twice, and which are split, by day of the record."""

    twice: frozenset[int]
    split: dict[int, str]
    """Day to the code of the one tile that is split."""


def choose_traps(scene: Scene) -> Traps:
    """Pick the trap dates among the main orbit's clearer days, so that they matter."""
    rng = stream(scene.seed, 9)
    clear = [o for o in scene.overpasses if not o.side and _clear(scene.weather, o)]
    early = [o.day for o in clear if o.time.date() < date(2021, 7, 1)]
    twice = frozenset(int(d) for d in rng.permutation(early)[:_DUPLICATES])
    rest = [o.day for o in clear if o.day not in twice]
    codes = [frame.code for frame in scene.layout.frames]
    split = enumerate(rng.permutation(rest)[:_SPLITS])
    return Traps(twice, {int(day): codes[i % len(codes)] for i, day in split})


def _clear(weather: Weather, overpass: Overpass) -> bool:
    return bool(weather.covered[overpass.day] < 0.25)


def granules(layout: Layout, overpass: Overpass, traps: Traps) -> list[Granule]:
    """List the items that one overpass becomes: none for a tile that its swath misses."""
    found = []
    for frame in layout.frames:
        corner = box(frame.col, frame.row, frame.col + frame.width, frame.row + frame.height)
        seen = corner
        if overpass.side:
            # Beyond the edge line, far enough to hold the whole scene.
            first, slope = overpass.edge
            rows = (-10.0, layout.height + 10.0)
            edge = [(first + slope * r, r) for r in rows]
            far = 2.0 * layout.width
            seen = corner & Polygon([*edge, (far, rows[1]), (far, rows[0])])
        if seen.area < _LEAST_COVER * corner.area:
            continue
        # The northern sliver of a split datatake holds about 6 % of the tile.
        middle = frame.col + frame.width / 2
        split_row = frame.row + 0.06 * frame.height + _SPLIT_SLOPE * -middle
        if overpass.day in traps.twice:
            for sequence, flavour in enumerate(_TWICE):
                found.append(Granule(overpass, frame, sequence, flavour, "whole", 0.0, seen))
        elif traps.split.get(overpass.day) == frame.code:
            left, right = frame.col - 10.0, frame.col + frame.width + 10.0
            line = [(x, split_row + _SPLIT_SLOPE * x) for x in (left, right)]
            north = seen & Polygon([*line, (right, -900.0), (left, -900.0)])
            parts: tuple[tuple[Part, Polygon], ...] = (("south", seen - north), ("north", north))
            for sequence, (part, shape) in enumerate(parts):
                found.append(Granule(overpass, frame, sequence, "plain", part, split_row, shape))
        else:
            found.append(Granule(overpass, frame, 0, "plain", "whole", 0.0, seen))
    return found


def digital_numbers(scene: Scene, view: View, granule: Granule) -> dict[str, NDArray[np.uint16] | NDArray[np.uint8]]:
    """Compute the pixels of one item, band by band, 0 where it has no data.

    Returns
    -------
    blue, red, nir as (row, col) uint16 at 10 m, swir16 uint16 and scl uint8 at 20 m.
    """
    frame = granule.frame
    fine, coarse = frame.window(10), frame.window(20)
    visible, swir, scl = view.visible[:, *fine], view.swir16[coarse], view.scl[coarse]
    if granule.flavour == "old":
        visible, swir, scl = _older(scene, granule, visible, swir, scl)
    valid = granule.mask() & (scl > 0)
    bands = {
        name: _quantise(visible[i], double(valid), granule.shifted) for i, name in enumerate(("blue", "red", "nir"))
    }
    return {
        **bands,
        "swir16": _quantise(swir, valid, granule.shifted),
        "scl": np.where(valid, scl, 0).astype(np.uint8),
    }


def _older(
    scene: Scene, granule: Granule, visible: Floats, swir: Floats, scl: NDArray[np.uint8]
) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Turn an acquisition into its first processing: misplaced, noisy, with half of its clouds missed."""
    rng = stream(scene.seed, 10, granule.overpass.key, granule.frame.col)
    worse = [
        np.roll(a, (2 // step, -2 // step), axis=(-2, -1))
        * (1.12 + 0.10 * rng.standard_normal(a.shape, dtype=np.float32))
        for a, step in ((visible, 1), (swir, 2))
    ]
    missed = (scl == 8) & (rng.random(scl.shape) < 0.5)
    return worse[0], worse[1], np.where(missed, 5, scl).astype(np.uint8)


def _quantise(reflectance: Floats, valid: NDArray[np.bool_], shifted: bool) -> NDArray[np.uint16]:
    """Return reflectance x 10000 as digital numbers, + 1000 from baseline 04.00; never 0 where there is data."""
    number = np.rint(reflectance * np.float32(SCALE / _DN_STEP)).astype(np.int32) * _DN_STEP
    bright = number > _BRIGHT_DN
    number[bright] &= -_BRIGHT_STEP
    number += OFFSET_DN if shifted else 0
    return np.where(valid, np.clip(number, 1, 65_535), 0).astype(np.uint16)
