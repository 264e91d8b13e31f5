"""How strongly grids claim a pixel: by how deep it lies in their ground, less where they have observed it little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning.squares import Ground, deepest, depth, transformed

PLAN_APART = 1e9
"""What a claim of a later plan weighs less than one of an earlier plan; more than any depth in metres."""
SPARSE = 4e8
"""What a claim weighs less where the grid has few observations: more than any depth, less than a plan."""


def owned(grid: Grid, others: Sequence[Grid], frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that a grid claims, and more strongly than each of some others.

    Where two claim a pixel alike, the name decides.

    Returns
    -------
    (height, width) bool
    """
    mine, theirs = _claim_on(grid, frame), [(other, _claim_on(other, frame)) for other in others]
    if mine is None:
        found, left = np.isfinite(claim(grid, frame)), theirs
    else:
        # The rivals that depth alone decides about are looked at together.
        alike = [their for _, their in theirs if their is not None and their.is_of(mine)]
        left = [t for t in theirs if t[1] not in alike]
        sure = not alike and _holds(mine.frame, frame)
        found = _shape(frame, True) if sure else deepest(mine, alike, frame)
    for other, their in left:
        if found.any():
            found &= _beats(grid, other, frame) if mine is None or their is None else mine.beats(their, frame)
    return found


def _beats(grid: Grid, other: Grid, frame: Frame) -> NDArray[np.bool_]:
    """Tell where a grid claims a pixel more strongly than another one, pixel by pixel."""
    mine, theirs = claim(grid, frame), claim(other, frame)
    return np.asarray((mine > theirs) | ((mine == theirs) & (grid.name < other.name)))


@dataclass(frozen=True, eq=False)
class _Claim(Ground):
    """The one claim of a grid that counts on a frame."""

    plan: int
    few: NDArray[np.bool_] | bool
    """Where the grid has few observations: (height, width), or everywhere or nowhere on the frame."""

    def is_of(self, other: _Claim) -> bool:
        """Tell whether depth alone says which of two claims is the stronger one, on all of the frame."""
        flags = isinstance(self.few, bool) and isinstance(other.few, bool) and self.few == other.few
        return flags and self.plan == other.plan

    def beats(self, other: _Claim, frame: Frame) -> NDArray[np.bool_]:
        """Tell where this claim is stronger than another one; of no meaning where it claims nothing."""
        if self.plan != other.plan:
            return _shape(frame, True) if self.plan < other.plan else ~deepest(other, (), frame)
        few, fewer = (np.broadcast_to(c.few, (frame.height, frame.width)) for c in (self, other))
        there = deepest(other, (), frame)
        return np.asarray(~there | (~few & fewer) | ((few == fewer) & deepest(self, (other,), frame)))


def _claim_on(grid: Grid, frame: Frame) -> _Claim | None:
    """Return the claim of a grid that counts on a frame; None where there may be several."""
    near = [(plan, ground) for plan, ground in grid.claimed if _meets(ground, frame)] or list(grid.claimed[:1])
    plan, ground = near[0]
    if len(near) > 1 and not _holds(ground, frame):
        return None
    if not grid.sparse:
        return _Claim(grid.name, ground, plan, few=False)
    few = _few(grid.sparse, frame.epsg)
    box = shapely.box(*frame.bounds)
    if not few.intersects(box):
        return _Claim(grid.name, ground, plan, few=False)
    return _Claim(grid.name, ground, plan, few=True if few.contains(box) else areas.inside(few, frame))


@lru_cache(maxsize=256)
def _few(sparse: str, epsg: int) -> BaseGeometry:
    """Return where a grid has few observations, in a CRS."""
    found = areas.project(shapely.from_wkb(bytes.fromhex(sparse)), epsg)
    shapely.prepare(found)
    return found


def _shape(frame: Frame, value: bool) -> NDArray[np.bool_]:
    return np.full((frame.height, frame.width), value)


def reaches(grid: Grid, frame: Frame) -> bool:
    """Tell whether some claim of a grid may meet a frame, which may be of another CRS."""
    return any(_meets(ground, frame) for _, ground in grid.claimed)


def _meets(ground: Frame, frame: Frame) -> bool:
    left, bottom, right, top = frame.bounds
    west, south, east, north = _bounds_in(ground, frame.epsg)
    return west <= right and left <= east and south <= top and bottom <= north


@lru_cache(maxsize=1024)
def _bounds_in(ground: Frame, epsg: int) -> tuple[float, float, float, float]:
    """Return (left, bottom, right, top) of a box in a CRS that holds a ground."""
    if ground.epsg == epsg:
        return ground.bounds
    left, bottom, right, top = geo.transformer(ground.epsg, epsg).transform_bounds(*ground.bounds, densify_pts=100)
    more = (right - left + top - bottom) / 1000  # than edges bend between two of these points
    return left - more, bottom - more, right + more, top + more


def holds(grid: Grid, frame: Frame) -> bool:
    """Tell whether some claim of a grid holds all of a frame on the grid's lattice."""
    return any(_holds(ground, frame) for _, ground in grid.claimed)


def _holds(ground: Frame, frame: Frame) -> bool:
    left, bottom, right, top = frame.bounds
    west, south, east, north = ground.bounds
    return ground.epsg == frame.epsg and west <= left and south <= bottom and right <= east and top <= north


def claim(grid: Grid, frame: Frame) -> NDArray[np.float64]:
    """Return how strongly a grid claims each pixel of a frame; -inf where it claims nothing.

    Returns
    -------
    (height, width) float64: the depth of the pixel's centre in the grid, metres, lessened where the claim is weaker.
    """
    x, y = frame.centres()
    xs, ys = transformed(frame.epsg, grid.source.epsg, x[None, :], y[:, None])
    (plan, ground), *later = grid.claimed
    found = depth(ground, xs, ys)
    found[found <= 0] = -np.inf
    found -= plan * PLAN_APART
    for plan, ground in later:
        deep = depth(ground, xs, ys)
        found = np.where(np.isfinite(found) | (deep <= 0), found, deep - plan * PLAN_APART)
    if grid.sparse:
        found[areas.inside(_few(grid.sparse, frame.epsg), frame)] -= SPARSE
    return found
