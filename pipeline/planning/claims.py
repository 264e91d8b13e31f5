"""Which pixels a grid claims more strongly than others: by plans, then by observations, then by how deep they lie.

What an earlier plan gave to a grid stays with it. Of one plan, a grid that has few observations of some ground leaves
it to others, and else ground is the grid's in which it lies deepest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning.squares import Ground, Rival, deepest

Where = NDArray[np.bool_] | bool
"""Pixels of a frame: (height, width), or all or none of them."""


def owned(grid: Grid, others: Sequence[Grid], frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that a grid claims, and more strongly than each of some others.

    Where two claim a pixel alike, the name decides.

    Returns
    -------
    (height, width) bool
    """
    near = [(other, plan, ground) for other in (grid, *others) for plan, ground in _on(other, frame)]
    found = []
    for plan, ground in _on(grid, frame):
        # A grid's own earlier claims are ground that is decided there.
        earlier = [Rival(other.name, theirs, excludes=True) for other, its, theirs in near if its < plan]
        rivals = [(other, theirs) for other, its, theirs in near if its == plan and other is not grid]
        found.append(_owned(grid, ground, earlier, rivals, frame))
    if not found:
        return np.zeros((frame.height, frame.width), np.bool_)
    return found[0] if len(found) == 1 else np.logical_or.reduce(found)


def _owned(
    grid: Grid, ground: Frame, earlier: list[Rival], rivals: Sequence[tuple[Grid, Frame]], frame: Frame
) -> NDArray[np.bool_]:
    """Tell the pixels that a grid owns by one of its claims, beside rivals of the same plan."""
    mine, few = Ground(grid.name, ground), _is_few(grid, frame)
    sure, mixed = list(earlier), []
    for other, its in rivals:
        theirs, fewer = Rival(other.name, its), _is_few(other, frame)
        if not (isinstance(few, bool) and isinstance(fewer, bool)):
            mixed.append((theirs, fewer))
        elif few == fewer:
            sure.append(theirs)
        elif few:
            sure.append(replace(theirs, excludes=True))
    found = deepest(mine, sure, frame)
    for theirs, fewer in mixed:
        if found.any():
            there, deeper = deepest(theirs, (), frame), deepest(mine, (theirs,), frame)
            found &= ~there | np.where(np.equal(few, fewer), deeper, fewer)
    return found


def _is_few(grid: Grid, frame: Frame) -> Where:
    """Tell where on a frame a grid has few observations."""
    if not grid.sparse:
        return False
    few, box = _few(grid.sparse, frame.epsg), shapely.box(*frame.bounds)
    if not few.intersects(box):
        return False
    return True if few.contains(box) else areas.inside(few, frame)


@lru_cache(maxsize=256)
def _few(sparse: str, epsg: int) -> BaseGeometry:
    """Return where a grid has few observations, in a CRS."""
    found = areas.project(shapely.from_wkb(bytes.fromhex(sparse)), epsg)
    shapely.prepare(found)
    return found


def boxes(grids: Sequence[Grid], epsg: int) -> NDArray[np.float64]:
    """Return boxes in a CRS that hold all that grids claim.

    Returns
    -------
    (4, n) float64: left, bottom, right, top of each grid's
    """
    found = [np.array([_bounds_in(ground, epsg) for _, ground in grid.claimed]) for grid in grids]
    ends = [(*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)) for bounds in found]
    return np.array(ends).reshape(-1, 4).T


def _on(grid: Grid, frame: Frame) -> list[tuple[int, Frame]]:
    """Return the claims of a grid that may meet a frame: (plan, ground)."""
    left, bottom, right, top = frame.bounds
    found = []
    for plan, ground in grid.claimed:
        west, south, east, north = _bounds_in(ground, frame.epsg)
        if west <= right and left <= east and south <= top and bottom <= north:
            found.append((plan, ground))
    return found


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
    return any(ground.holds(frame) for _, ground in grid.claimed)
