"""The words of the pipeline, as values: every other module speaks in these.

All of them are frozen, so they can be digested, sent to a worker and printed. Nothing here reads or writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from groundbreak.pipeline.core.frame import Frame

REFLECTANCE_SCALE = 1e-4
"""Cubes hold reflectance as int16 x this."""

REFLECTANCE_FILL = -32768
"""No observation, in a reflectance band of a cube."""


class BadInput(Exception):
    """The user's input cannot be used: exit code 2.

    Parameters
    ----------
    what : str
        The input, by the name and value that the user gave it.
    rule : str
        What such an input must be.
    remedy : str
        What to do about it.
    """

    def __init__(self, what: str, rule: str, remedy: str) -> None:
        super().__init__(what, rule, remedy)
        self.what, self.rule, self.remedy = what, rule, remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.rule}. {self.remedy}."


def digest(value: Any) -> str:
    """Sixteen hex digits that name a JSON-like value; equal values have equal digests on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Asset:
    """One raster of one item, with what its numbers mean."""

    band: str
    """Canonical band name (red, nir, swir16, scl...), whatever the provider calls it."""
    href: str
    """Absolute URL or path, unsigned."""
    driver: str
    """The one GDAL driver that may open it: GTiff or JP2OpenJPEG."""
    scale: float
    """reflectance = scale * DN + offset."""
    offset: float
    nodata: float | None
    """The DN that means no observation."""
    frame: Frame | None
    """Its lattice, where the item says it; otherwise its header does."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One item after normalisation: what one provider holds of one datatake on one tile."""

    id: str
    collection: str
    provider: str
    """Name of the entry of the provider table."""
    time: np.datetime64
    """UTC, ms."""
    datatake: str
    """Key of the overpass; equal for every item of one datatake, whatever its processing baseline."""
    tile: str
    """The source's own tile ("MGRS-38TPK"), or "" where it has none."""
    baseline: str
    """Processing baseline ("05.10"), or ""."""
    version: str
    """What tells one processing of this item from the next (generation time...); part of the observation digest."""
    bounds: tuple[float, ...]
    """Of its footprint, lon/lat: west, south, east, north."""
    assets: Mapping[str, Asset]
    """By canonical band name."""

    def __repr__(self) -> str:
        return f"<Scene {self.id}: {self.time}, tile {self.tile or '-'}, {', '.join(self.assets)}>"


@dataclass(frozen=True, slots=True)
class Rejection:
    """An item that is not used, and why."""

    item: str
    reason: str
    """One of screen.REASONS."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRule:
    """How clear pixels are told: by classes (as Sentinel-2's SCL) or by bit flags (as HLS' Fmask)."""

    clear: tuple[int, ...] = ()
    """Classes that are clear; empty where ``bits`` decides."""
    snow: tuple[int, ...] = ()
    """Classes that are snow: not clear, but told to the detector."""
    bits: tuple[int, ...] = ()
    """Bit numbers, any of which set makes a pixel not clear."""
    snow_bits: tuple[int, ...] = ()
    """Bit numbers, any of which set means snow."""
    nodata: int = 0
    """The mask's own fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask(MaskRule):
    """The mask of a collection: its band, and how clear pixels are told from it."""

    band: str
    """Canonical name of the mask's band."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What of it is part of the digests of cubes and of detection."""
        return self.band, self.clear, self.snow, self.bits, self.snow_bits, self.nodata


@dataclass(frozen=True, slots=True)
class Observation:
    """One overpass of a grid: all scenes of one datatake, fused in order."""

    id: str
    """The datatake's key."""
    time: np.datetime64
    """UTC, ms: the earliest of its scenes."""
    scenes: tuple[Scene, ...]
    """In fusing order: the first that has a pixel gives it."""

    @property
    def version(self) -> str:
        """Digest of what was observed, how it was processed, and what its numbers are taken to mean; hrefs and
        signatures play no part.
        """
        scenes = [
            [s.id, s.baseline, s.version, sorted({(a.scale, a.offset) for a in s.assets.values()})] for s in self.scenes
        ]
        return digest([self.id, str(self.time), scenes])

    def __repr__(self) -> str:
        return f"<Observation {self.id}: {self.time}, {len(self.scenes)} scenes>"


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixel lattice that one cube lives on."""

    name: str
    """A safe folder name: "38TPK", or "32638" for a zone's lattice."""
    frame: Frame
    """The cube's own frame: whole regions around the area, in the finest pixels."""
    source: Frame
    """All that the source can fill (one MGRS tile; on a zone's lattice, its scenes together), in the finest pixels."""
    bands: Mapping[str, float]
    """Band -> the resolution at which the cube holds it, metres; the mask's band included."""
    region: int
    """Side of a region in the finest pixels: whole source blocks of every band."""

    def band_frame(self, band: str) -> Frame:
        """The cube's frame in the pixels of one band."""
        return self.frame.at(self.bands[band])


@dataclass(frozen=True, slots=True)
class Region:
    """A square of one grid: one detection task, one owner for every pixel of it."""

    grid: str
    row: int
    col: int
    frame: Frame
    """In the finest pixels; the last row and column of regions may be cut by the grid's edge."""
    owned: int
    """Pixels of the area that it owns."""
    window: Frame
    """The part that the cube holds: whole chunks around the pixels that it owns."""

    @property
    def key(self) -> str:
        """What the region is called: "38TPK/r000c001"."""
        return f"{self.grid}/r{self.row:03d}c{self.col:03d}"

    def __repr__(self) -> str:
        size = f"{self.frame.height} x {self.frame.width} px of {self.frame.resolution:g} m"
        return f"<Region {self.key}: {size}, EPSG:{self.frame.epsg}, owns {self.owned:,} px>"


@dataclass(frozen=True, slots=True)
class Slab:
    """Consecutive observations [start, stop) of a grid: one shard deep."""

    index: int
    start: int
    stop: int
    depth: int
    """Observations in a full slab."""

    @property
    def full(self) -> bool:
        """Whether it holds as many observations as a slab can."""
        return self.stop - self.start == self.depth


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with one asset of one region, kept by name."""

    region: str
    observation: str
    item: str
    band: str
    href: str
    """Redacted."""
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished task leaves behind, written after its data."""

    task: str
    """"build/<region>/s0003" or "detect/<region>"."""
    state: str
    """done or failed; started while it is being replaced; dropped where what was built is no longer kept."""
    identity: str
    """Digest of all that the task's output depends on; a record with another identity is stale."""
    attempts: int
    started: str
    seconds: Mapping[str, float]
    """Wall seconds by phase: read, compute, write."""
    bytes_written: int
    pixels: int
    checksums: Mapping[str, str]
    """Store key -> CRC-32 of the object written."""
    faults: tuple[Fault, ...] = ()
    error: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Figures worth keeping: pixels by status, clear observations..."""
    dark: tuple[int, ...] = ()
    """Of a build: the dark level of each observation, reflectance x 10000."""
    offsets: tuple[int, ...] = ()
    """Of a build: the offset that each was taken to carry, reflectance x 10000."""
