"""Regions of a grid, and who owns a pixel.

Tiles overlap, across zones too: a point of the ground is owned by the grid in which it lies deepest, and in overlaps
the owner alone is read. A grid that has far fewer observations of some ground than another one leaves it to the other,
and what an earlier plan has given to a grid stays with it. A region's window is the part of it that the cube holds:
whole chunks around the pixels that it owns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Region
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import claims
from groundbreak.pipeline.stores.shards import chunk_step

MARGIN_DEGREES = 0.01
"""By which boxes are widened before they are compared: more than what straight edges in degrees cut off."""


@dataclass(frozen=True)
class Ownership:
    """Which pixels a grid owns, beside the grids that it shares ground with."""

    grid: Grid
    others: tuple[Grid, ...]
    """The grids that compete for its ground; the grid itself may be among them."""
    area: BaseGeometry
    """The area of interest, in the grid's CRS."""

    def of(self, frame: Frame) -> NDArray[np.bool_]:
        """Tell the pixels of a frame that lie in the area and that the grid owns.

        The rule compares claims at the pixel's centre, so two grids that share pixels agree on every one of them, and
        the answer for a pixel does not depend on the frame asked for.

        Parameters
        ----------
        frame : Frame
            On the grid's lattice.

        Returns
        -------
        (height, width) bool
        """
        mine = claims.owned(self.grid, self._near(frame), frame)
        if not self._lies_in_area(frame) and mine.any():
            mine &= areas.inside(self.area, frame)
        return mine

    def is_whole(self, frame: Frame) -> bool:
        """Tell quickly whether a frame lies deep in the grid's ground and in the area; if so, it owns every pixel."""
        if not claims.holds(self.grid, frame) or self._near(frame):
            return False
        return self._lies_in_area(frame) or areas.covers(self.area, frame)

    def _lies_in_area(self, frame: Frame) -> bool:
        """Tell at once that a frame lies in the area because all of the grid does; False where that is not so."""
        return self._covers_all and self.grid.frame.holds(frame)

    @cached_property
    def _covers_all(self) -> bool:
        """Whether all of the grid lies in the area."""
        return areas.covers(self.area, self.grid.frame)

    @cached_property
    def _boxes(self) -> NDArray[np.float64]:
        return claims.boxes(self.others, self.grid.frame.epsg)

    def _near(self, frame: Frame) -> list[Grid]:
        """Return the other grids that may own some of a frame."""
        left, bottom, right, top = frame.bounds
        west, south, east, north = self._boxes
        near = (west <= right) & (left <= east) & (south <= top) & (bottom <= north)
        return [self.others[n] for n in np.flatnonzero(near) if self.others[n].name != self.grid.name]


def rivals(grids: Sequence[Grid]) -> dict[str, tuple[Grid, ...]]:
    """Find the grids that may compete for each grid's ground, in the order of ``grids``: name -> others.

    They are found by an index of the boxes of what grids claim, so that a country's grids are not all compared.
    """
    reach = [shapely.union_all([crs.ground(frame) for _, frame in grid.claimed]) for grid in grids]
    boxes = shapely.buffer(shapely.envelope(reach), MARGIN_DEGREES, join_style="mitre")
    met: list[list[int]] = [[] for _ in grids]
    for one, other in zip(*shapely.STRtree(boxes).query(boxes, "intersects"), strict=True):
        if one != other:
            met[one].append(int(other))
    return {grid.name: tuple(grids[n] for n in sorted(near)) for grid, near in zip(grids, met, strict=True)}


def build_regions(grid: Grid, others: Sequence[Grid], area: BaseGeometry) -> list[Region]:
    """Cut a grid into regions, and keep those that own some of the area.

    Parameters
    ----------
    grid : Grid
    others : sequence of Grid
        The grids that compete for its ground; the grid itself may be among them.
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    """
    ownership = Ownership(grid, tuple(others), areas.around(area, grid.frame))
    shapely.prepare(ownership.area)
    step = chunk_step(grid)
    regions = []
    for row, col, frame in _squares(grid):
        if ownership.is_whole(frame):
            regions.append(Region(grid.name, row, col, frame, frame.height * frame.width, frame))
            continue
        mine = ownership.of(frame)
        if len(filled := np.flatnonzero(mine.any(axis=1))):
            y, rows = _whole_steps(filled, step, frame.height)
            x, cols = _whole_steps(np.flatnonzero(mine.any(axis=0)), step, frame.width)
            owned, window = int(np.count_nonzero(mine)), frame.window(y, x, rows, cols)
            regions.append(Region(grid.name, row, col, frame, owned, window))
    return regions


def grown_regions(regions: Sequence[Region], before: Sequence[Region], built: int, depth: int) -> list[Region]:
    """Let regions remember the windows that they had in earlier plans.

    Parameters
    ----------
    regions : sequence of Region
        Of this plan.
    before : sequence of Region
        Of the plan before, on the same grid.
    built : int
        Observations that the cube holds.
    depth : int
        Observations of a full slab: only full slabs keep what they hold.
    """
    old = {(region.row, region.col): region for region in before}
    found = []
    for region in regions:
        earlier = old.get((region.row, region.col))
        grown = earlier.grown if earlier is not None else ()
        if earlier is not None and earlier.window != region.window:
            grown = (*grown, (built // depth * depth, earlier.window))
        found.append(replace(region, grown=grown))
    return found


def _squares(grid: Grid) -> Iterator[tuple[int, int, Frame]]:
    """Yield (row, column, frame) of a grid's regions; the grid's edge may cut the last row and column."""
    for row in range(-(-grid.frame.height // grid.region)):
        for col in range(-(-grid.frame.width // grid.region)):
            top, left = row * grid.region, col * grid.region
            height = min(grid.region, grid.frame.height - top)
            width = min(grid.region, grid.frame.width - left)
            yield row, col, grid.frame.window(top, left, height, width)


def _whole_steps(found: NDArray[np.intp], step: int, end: int) -> tuple[int, int]:
    """Return (first, how many) of the whole steps around some positions, increasing, cut at ``end``."""
    first = int(found[0]) // step * step
    return first, min(-(-(int(found[-1]) + 1) // step) * step, end) - first
