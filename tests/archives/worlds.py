"""What there is in a random archive: places, dates, scenes, numbers and masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyproj

Harm = str
"""Name of what is wrong with an item (`tests.archives.harms`), or ""."""

MASK_KEYS = {"scl": "scl", "classes": "cloudmask", "zero": "cloudmask", "bits": "fmask", "qa": "qa_pixel"}
RED, NIR, MASK = "red", "nir", "mask"


@dataclass(frozen=True)
class Place:
    """A rectangle of pixels in one CRS on which scenes lie."""

    code: str
    """An MGRS tile, or "" where scenes lie on none."""
    epsg: int
    left: float
    top: float
    width: float
    """Metres."""
    height: float
    """Metres."""


@dataclass(frozen=True)
class Numbers:
    """What the digital numbers of reflectance mean."""

    dtype: str
    scale: float
    offset: float
    nodata: float | None
    told: str
    """Who tells scale and offset: items (raster:bands), asset (STAC 1.1) or configuration."""
    fill_told: str
    """Who tells nodata: item, file or configuration."""


@dataclass(frozen=True)
class Classes:
    """What a mask holds."""

    kind: str
    """A key of MASK_KEYS."""
    dtype: str
    clear: tuple[int, ...]
    """Values of clear ground, of which each date takes one."""
    cloudy: tuple[int, ...]
    nodata: int | None
    rule: dict[str, Any]
    """The section [source.provider.mask], without the asset."""


@dataclass(frozen=True)
class Spec:
    """One item of the archive."""

    id: str
    take: int
    """Number of its overpass."""
    place: Place
    """Where its pixels lie, and how far."""
    time: np.datetime64
    gap: tuple[float, float, float] | None = None
    """(a, b, c): there are no data where a x + b y > c, in the coordinates of the world."""
    part: int | None = None
    """Number of the part, where the tile is split between two items."""
    harm: Harm = ""
    band: str = RED
    """The band that the harm hits, where it hits one."""
    lifted: int = 0
    """What its pixels differ from the truth by: of versions that must not be used."""
    baseline: str = "05.00"
    driver: str = "GTiff"


@dataclass(frozen=True)
class World:
    """An archive, and the configuration that reads it."""

    seed: int
    epsg: int
    """The CRS in which the truth is written."""
    left: float
    top: float
    fine: float
    """Side of the finest pixels, metres."""
    sides: dict[str, float]
    """Band -> side of its pixels, metres."""
    layout: str
    lattice: str
    resolution: float | None
    numbers: Numbers
    classes: Classes
    creation: dict[str, Any]
    style: str
    """How items tell their overpass: s2 (datatake and baseline) or plain (platform and time)."""
    geometry: str
    """How items tell where they lie: see `tests.archives.files`."""
    nameless: bool
    """Whether files hold their CRS without an EPSG code."""
    dates: tuple[np.datetime64, ...]
    places: tuple[Place, ...]
    specs: tuple[Spec, ...]
    box: tuple[float, float, float, float]
    """The area, (left, bottom, right, top) in the CRS of the world."""
    poor: str = ""
    """Code of a place with far fewer dates than the other."""
    parts_told: str = "footprint"
    strips: bool = False
    refused: str = ""
    """A key of REFUSED: what the run must refuse; or ""."""
    region: int = 64
    slab: int = 12
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def warped(self) -> bool:
        """Whether finest pixels may be resampled."""
        return self.resolution not in (None, self.fine) or (
            self.lattice == "zone" and len({p.epsg for p in self.places}) > 1
        )

    def warps(self, band: str) -> bool:
        """Tell whether a band may be resampled."""
        ratio = self.sides[band] / self.fine
        # A zone's lattice holds all bands in the finest pixels.
        return self.warped or (self.lattice == "zone" and ratio != 1) or abs(ratio - round(ratio)) > 1e-6


REFUSED = {"scale": "scale", "mask": "[source.provider.mask]", "lattice": "[source.provider] lattice"}
"""What cannot be used -> what the refusal must name."""


def move(source: int, target: int, x: Any, y: Any) -> Any:
    """Transform coordinates between CRSs; 4326 means longitude, latitude."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True).transform(x, y)


class Draw:
    """Draws from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([16, seed])

    def one(self, *values: Any) -> Any:
        """Draw one of some values."""
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))
