"""Which items stand for one acquisition: the newest version of each, and all parts of one that was cut in two.

A tile's data of one overpass may come in two items, each partly empty: a datatake is cut on its way to the ground, and
HLS keeps what two scenes of one pass show of a tile apart. Parts are fused later, so none of them is dropped here. Two
versions of one acquisition look alike, except that they cover the same ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.provider import Provider
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.types import Rejection, Scene

SAME_GROUND = 0.8
"""Share of what two footprints cover together that both cover: above it they are those of two versions."""

SAME_MOMENT = np.timedelta64(5, "s")
"""Versions of one acquisition are not further apart in time; the scenes of a pass are 24 seconds apart."""

MOST_OVERLAP = 0.1
"""Share of a tile by which the data of two parts may overlap: with more, two items cannot be parts."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scene, and what else it is ordered and chosen by."""

    scene: Scene
    provider: Provider
    ground: BaseGeometry
    """Its footprint, lon/lat."""
    place: str
    """Code of its place in the grid of its source (`pipeline.stac.items.place`), or ""."""
    strip: str
    """Sensing start of the strip that it was cut from, or ""."""
    nodata: float | None
    """Share of the tile without data, 0-1; None where it is not told."""
    rank: tuple[int, str]
    """What decides between versions before their time of processing (`pipeline.stac.items.rank`)."""


def newest(group: Sequence[Candidate], rejections: list[Rejection]) -> list[Candidate]:
    """Choose among the scenes of one datatake and place: of each part the newest baseline and version.

    Parameters
    ----------
    group : sequence of Candidate
    rejections : list of Rejection, out
        Those that are replaced are added.
    """
    best = max((c.scene.baseline for c in group if c.strip), default="")
    parts: list[list[Candidate]] = []
    for c in sorted(group, key=lambda c: (not c.strip, c.scene.id)):
        if c.strip and c.scene.baseline != best:
            rejections.append(_older_baseline(c, best))
            continue
        versions = next((part for part in parts if _are_versions(c, part[0])), None)
        if versions is None:
            parts.append([c])
        else:
            versions.append(c)
    return [_newest_version(part, rejections) for part in parts]


def _newest_version(part: Sequence[Candidate], rejections: list[Rejection]) -> Candidate:
    """Choose one of several versions of one part."""
    *older, best = sorted(part, key=lambda c: (c.scene.baseline, c.rank, c.scene.version, c.scene.id))
    for c in older:
        if c.scene.baseline != best.scene.baseline:
            rejections.append(_older_baseline(c, best.scene.baseline))
            continue
        same = (c.rank, c.scene.version) == (best.rank, best.scene.version)
        reason = "duplicate" if same else "older_version"
        rejections.append(Rejection(c.scene.id, reason, f"{best.scene.id} is used"))
    return best


def _older_baseline(c: Candidate, used: str) -> Rejection:
    return Rejection(c.scene.id, "older_baseline", f"{c.scene.baseline or 'none'}; {used} is used")


def _are_versions(a: Candidate, b: Candidate) -> bool:
    """Tell whether two items of one place and overpass show the same ground at the same moment."""
    one_strip = bool(a.strip) and a.strip == b.strip
    if a.strip and b.strip and not one_strip:
        return False
    hrefs = [{asset.href for asset in c.scene.assets.values()} for c in (a, b)]
    if hrefs[0] == hrefs[1]:
        return True
    if not one_strip and abs(a.scene.time - b.scene.time) > SAME_MOMENT:
        return False
    if not same_ground(a.ground, b.ground):
        return False
    # All parts of a datatake are processed alike.
    return one_strip or a.scene.baseline != b.scene.baseline or not _fill_each_other(a, b)


def same_ground(a: BaseGeometry, b: BaseGeometry) -> bool:
    """Tell whether two footprints are those of versions of one item."""
    together: float = a.union(b).area
    return bool(a.intersection(b).area >= SAME_GROUND * together)


def _fill_each_other(a: Candidate, b: Candidate) -> bool:
    """Tell whether two items of one footprint are parts by what they tell of nodata.

    Together they hold about one tile of data, and their footprint does not tell which part of it each holds: it is
    larger than the smaller part.
    """
    if a.nodata is None or b.nodata is None:
        return False
    data = (1 - a.nodata), (1 - b.nodata)
    frame = next((asset.frame for asset in a.scene.assets.values() if asset.frame is not None), None)
    tile = geo.to_lonlat(shapely.box(*frame.bounds), frame.epsg).area if frame is not None else a.ground.area
    return sum(data) <= 1 + MOST_OVERLAP and min(a.ground.area, b.ground.area) > (min(data) + MOST_OVERLAP) * tile
