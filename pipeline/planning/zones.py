"""The lattices of UTM zones: for scenes that lie on no tile, and in more than one CRS or pixel size.

A zone's lattice has the pixels of the scenes that lie in the zone, so that these are read as they are. The scenes of
other zones that meet its ground are warped onto it, so that every pixel has all its dates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import crs, geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput, Scene
from groundbreak.pipeline.planning.frames import finest

REACH = 4.0
"""Degrees from its central meridian within which one zone may hold a whole area: a zone's own are 3, and a sidelap."""


@dataclass(frozen=True)
class ZoneLattice:
    """The lattice of a UTM zone, and the scenes that are put onto it."""

    anchor: Frame
    """One pixel of the lattice, by the origin of the zone's coordinates."""
    frame: Frame
    """The least frame on the lattice that covers all its scenes."""
    scenes: list[Scene]


def zone_lattices(
    scenes: Sequence[Scene],
    bands: Sequence[str],
    resolution: float | None,
    area: BaseGeometry,
    fixed: Sequence[Frame] = (),
) -> list[ZoneLattice]:
    """Choose the zones onto whose lattices scenes are put.

    One zone holds the whole area where the area is no wider than a zone and its sidelaps: of the zones in which the
    scenes lie, that of most scenes. A wider area has several, and a scene is put onto each that it meets.

    Parameters
    ----------
    scenes : sequence of Scene
        Whose frames are known.
    bands : sequence of str
        The bands of the cube.
    resolution : float or None
        Metres; None for that of the scenes' finest pixels.
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    fixed : sequence of Frame, optional
        Frames on the lattices that an earlier plan chose, which are then taken.

    Raises
    ------
    BadInput
        No resolution is given, and a scene is in degrees.
    """
    frames = [finest(scene, bands) for scene in scenes]
    if not frames:
        return []
    if resolution is None:
        degrees = next((frame.epsg for frame in frames if not crs.is_metric(frame.epsg)), None)
        if degrees is not None:
            raise BadInput("[cube] resolution", f"is needed: the source is in EPSG:{degrees}", "Set it, in metres")
    step = resolution or min(frame.resolution for frame in frames)
    anchors = list(fixed) or [_anchor(zone, step, frames) for zone in _choose_zones(frames, area)]
    found = []
    for anchor in anchors:
        on_zone = [_onto(anchor, frame) for frame in frames]
        kept = [n for n in range(len(frames)) if len(anchors) == 1 or _meets(frames, n, anchor.epsg)]
        if kept:
            whole = reduce(Frame.union, (on_zone[n] for n in kept))
            found.append(ZoneLattice(anchor, whole, [scenes[n] for n in kept]))
    return found


def _choose_zones(frames: Sequence[Frame], area: BaseGeometry) -> list[int]:
    """Return the EPSG codes of the zones onto whose lattices scenes are put, ascending."""
    home = _zone_of(area)
    zones = Counter(frame.epsg if crs.is_utm(frame.epsg) else home for frame in frames)
    fitting = [zone for zone in zones if _holds(zone, area)]
    return [max(fitting, key=lambda zone: (zones[zone], zone == home, -zone))] if fitting else sorted(zones)


def _meets(frames: Sequence[Frame], number: int, zone: int) -> bool:
    """Tell whether a scene lies in a zone, or meets the ground of one that does."""
    own = frames[number]
    return own.epsg == zone or any(crs.meet(own, frame) for frame in dict.fromkeys(frames) if frame.epsg == zone)


def _zone_of(area: BaseGeometry) -> int:
    """Return the EPSG code of the UTM zone in which the middle of an area lies."""
    point = shapely.get_parts(area)[0].centroid
    return crs.utm_epsg(int((point.x + 180) // 6) % 60 + 1, point.y < 0)


def _holds(zone: int, area: BaseGeometry) -> bool:
    """Tell whether a zone's lattice can hold a whole area."""
    meridian = (zone % 100) * 6 - 183
    ends = [end for part in shapely.get_parts(area) for end in (part.bounds[0], part.bounds[2])]
    return all(abs((end - meridian + 180) % 360 - 180) <= REACH for end in ends)


def _anchor(zone: int, step: float, frames: Sequence[Frame]) -> Frame:
    """Return a pixel by the origin of a zone, in the phase that most of the zone's scenes of that pixel size have."""
    own = [frame for frame in frames if frame.epsg == zone and math.isclose(frame.resolution, step, rel_tol=1e-9)]
    phases = [(round(frame.x0 / step % 1, 3) % 1, round(frame.y0 / step % 1, 3) % 1) for frame in own]
    if not phases:
        return Frame(zone, 0.0, 0.0, step, 1, 1)
    usual = own[phases.index(Counter(phases).most_common(1)[0][0])]
    return Frame(zone, usual.x0 % step, usual.y0 % step, step, 1, 1)


def _onto(anchor: Frame, frame: Frame) -> Frame:
    """Return the least frame on a zone's lattice that covers a frame, which may be of another CRS."""
    if frame.epsg == anchor.epsg and anchor.shift(frame) is not None:
        return frame
    bounds = frame.bounds
    if frame.epsg != anchor.epsg:
        bounds = geo.transformer(frame.epsg, anchor.epsg).transform_bounds(*bounds)
    row0, col0, row1, col1 = anchor.steps_around(bounds, 1)
    return anchor.window(row0, col0, row1 - row0, col1 - col0)
