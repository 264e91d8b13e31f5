"""The nouns of the pipeline, as frozen values: asset, scene, rejection, observation, grid, region, slab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.mistakes import BadInput as BadInput
from groundbreak.pipeline.core.show import clean

REFLECTANCE_SCALE, REFLECTANCE_FILL = 1e-4, -32768
"""Reflectance of one unit of the int16 numbers that cubes hold, and the number that means no observation there."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One raster of one item, with what its numbers mean."""

    band: str
    """Canonical name of its band (red, nir, swir16, scl...), whatever the provider calls it."""
    href: str
    """Absolute URL or path, unsigned."""
    driver: str
    """The format that its item names, GTiff or JP2OpenJPEG as GDAL calls them; its bytes have the last word."""
    scale: float
    """reflectance = scale * digital number + offset."""
    offset: float
    """See ``scale``."""
    nodata: float | None
    """The digital number that means no observation."""
    frame: Frame | None
    """The frame of its pixels, where the item tells it; otherwise its header does."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One item after normalisation: what one provider holds of one datatake on one tile."""

    id: str
    """The item's id."""
    collection: str
    """Id of the item's collection, or ""."""
    provider: str
    """Name of the entry of the provider table."""
    time: np.datetime64
    """Time of acquisition, datetime64[ms] in UTC."""
    datatake: str
    """Key of the overpass: equal for every item of one datatake, whatever its processing baseline."""
    tile: str
    """The source's own tile ("MGRS-38TPK"), or "" where it has none."""
    baseline: str
    """Processing baseline ("05.10"), or ""."""
    version: str
    """What tells one processing of this item from the next (its generation time...); part of the observation digest."""
    bounds: tuple[float, ...]
    """(west, south, east, north) of its footprint, degrees."""
    assets: Mapping[str, Asset]
    """Canonical band name -> asset."""

    def __repr__(self) -> str:
        return f"<Scene {self.id}: {self.time}, tile {self.tile or '-'}, {', '.join(self.assets)}>"


@dataclass(frozen=True, slots=True)
class Rejection:
    """An item that is not used, and why."""

    item: str
    """The item's id."""
    reason: str
    """A key of `pipeline.stac.screening.REASONS`."""
    detail: str
    """What was seen in the item."""

    def __post_init__(self) -> None:
        """Clean what the item's writer has written, since it is shown and kept (`pipeline.core.show.clean`)."""
        for name in ("item", "detail"):
            object.__setattr__(self, name, clean(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Notice:
    """What a run does otherwise than an item, a file or the configuration says, or what else must be known of it."""

    subject: str
    """What it is about: an item's id, a grid's name..."""
    kind: str
    """A key of `pipeline.planning.plans.NOTICES`."""
    detail: str
    """What was seen, and what is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRule:
    """How a mask tells which pixels are clear: by classes (as Sentinel-2's SCL) or by bit flags (as HLS' Fmask)."""

    clear: tuple[int, ...] = ()
    """Classes that are clear; empty where ``bits`` decides."""
    snow: tuple[int, ...] = ()
    """Classes that are snow: such pixels are not clear, but the detector learns that they were snow."""
    bits: tuple[int, ...] = ()
    """Numbers of bits, from 0: a pixel in which any of them is set is not clear."""
    snow_bits: tuple[int, ...] = ()
    """Numbers of bits: a pixel in which any of them is set is snow, and so not clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask(MaskRule):
    """The mask of a collection: its band, its type, and which of its values are clear."""

    band: str
    """Canonical name of the mask's band."""
    nodata: int = 0
    """The value of a cube's mask where there is no observation; it is never clear."""
    dtype: str = "uint8"
    """NumPy's type of the mask in a cube: uint8, or uint16 where the source's files hold more than a byte."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """The values that enter the digests of cubes and of detection."""
        values = self.band, self.clear, self.snow, self.bits, self.snow_bits, self.nodata
        # A type of one byte goes without saying: so it was before there was another.
        return values if self.dtype == "uint8" else (*values, self.dtype)


@dataclass(frozen=True, slots=True)
class Observation:
    """One overpass of a grid: all scenes of one datatake, fused in order."""

    id: str
    """Key of the datatake."""
    time: np.datetime64
    """Time of the earliest of its scenes, datetime64[ms] in UTC."""
    scenes: tuple[Scene, ...]
    """Its scenes in the order of fusing: a pixel is taken from the first scene that has it."""

    @property
    def version(self) -> str:
        """Digest of what was observed, how it was processed, and what its numbers are taken to mean.

        Hrefs and signatures play no part in it.
        """
        scenes = [
            [s.id, s.baseline, s.version, sorted({(a.scale, a.offset) for a in s.assets.values()})] for s in self.scenes
        ]
        return digest([self.id, str(self.time), scenes])

    def __repr__(self) -> str:
        """Return the observation in one line."""
        return f"<Observation {self.id}: {self.time}, {len(self.scenes)} scenes>"


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixel lattice that one cube lives on."""

    name: str
    """A safe name of a folder: the tile's ("38TPK"), or that of a zone's lattice ("32638_10m")."""
    frame: Frame
    """The frame of the cube in the finest pixels: whole regions around the area."""
    source: Frame
    """All that the source can fill, in the finest pixels: one MGRS tile, or all scenes of a zone's lattice together."""
    bands: Mapping[str, float]
    """Band -> the resolution at which the cube holds it, metres; the mask's band comes last."""
    region: int
    """Side of a region in the finest pixels: whole source blocks of every band."""
    claims: tuple[tuple[int, Frame], ...] = ()
    """What it may own: (plan, ground) by and by; an earlier plan's claim beats a later one. Empty: ``source``, 0."""
    sparse: str = ""
    """Where another grid has far more observations: a lon/lat geometry as hexadecimal WKB; "" for nowhere."""

    @property
    def claimed(self) -> tuple[tuple[int, Frame], ...]:
        """Its claims, the earliest first."""
        return self.claims or ((0, self.source),)

    def band_frame(self, band: str) -> Frame:
        """Return the frame of the cube in the pixels of one band."""
        return self.frame.at(self.bands[band])


@dataclass(frozen=True, slots=True)
class Region:
    """A square of one grid: one detection task, and one owner of every pixel in it."""

    grid: str
    """Name of the grid."""
    row: int
    """Row of the region among the grid's regions."""
    col: int
    """Column of the region among the grid's regions."""
    frame: Frame
    """Frame of the region in the finest pixels; the grid's edge may cut the last row and column of regions."""
    owned: int
    """Pixels of the area that the region owns."""
    window: Frame
    """The part of the region that the cube holds: whole chunks around the pixels that the region owns."""
    grown: tuple[tuple[int, Frame], ...] = ()
    """Smaller windows of earlier plans, oldest first: (position, window) for the slabs that begin before a position.

    What such slabs hold stays right: no observation of theirs reaches the ground by which the window has grown.
    """

    def window_at(self, start: int) -> Frame:
        """Return the window of the slab that begins at a position in the grid's list of observations."""
        return next((window for position, window in self.grown if start < position), self.window)

    @property
    def key(self) -> str:
        """Name of the region, unique in a plan: "38TPK/r000c001"."""
        return f"{self.grid}/r{self.row:03d}c{self.col:03d}"

    def __repr__(self) -> str:
        """Return the region in one line."""
        size = f"{self.frame.height} x {self.frame.width} px of {self.frame.resolution:g} m"
        return f"<Region {self.key}: {size}, EPSG:{self.frame.epsg}, owns {self.owned:,} px>"


@dataclass(frozen=True, slots=True)
class Slab:
    """Consecutive observations of a grid, from ``start`` up to but not including ``stop``: at most a shard deep."""

    index: int
    """Number of the slab, from 0."""
    start: int
    """Position of its first observation in the grid's list."""
    stop: int
    """Position after its last observation."""
    depth: int
    """Observations of a full slab."""

    @property
    def full(self) -> bool:
        """Whether the slab holds as many observations as a slab can."""
        return self.stop - self.start == self.depth
