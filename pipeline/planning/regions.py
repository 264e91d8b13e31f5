"""Regions of a grid, and who owns a pixel.

Tiles overlap, across zones too: a point of the ground is owned by the grid in which it lies deepest, and in overlaps
the owner alone is read. A grid that has far fewer observations of some ground than another one leaves it to the other,
and what an earlier plan has given to a grid stays with it. A region's window is the part of it that the cube holds:
whole chunks around the pixels that it owns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import crs, geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Region
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.stores.shards import chunk_step

PLAN_APART = 1e9
"""What a claim of a later plan weighs less than one of an earlier plan; more than any depth in metres."""
BESIDE_TIES_M = 0.0031415
"""Metres that are added to a depth before it is rounded. Half a pixel of 9.87 m ends on half a centimetre, where the
last bit of a coordinate would decide; no pixel size of few decimals ends here."""
MARGIN_DEGREES = 0.01
"""By which boxes are widened before they are compared: more than what straight edges in degrees cut off."""
SPARSE = 4e8
"""What a claim weighs less where the grid has few observations: more than any depth, less than a plan."""


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
        if not _reaches(self.grid, frame):
            return np.zeros((frame.height, frame.width), bool)
        mine = areas.inside(self.area, frame)
        near = [g for g in self.others if g.name != self.grid.name and _reaches(g, frame)]
        if not near and _holds(self.grid, frame):
            return mine  # most regions: no claims need be compared
        claim = _claim(self.grid, frame)
        mine &= np.isfinite(claim)
        for other in near:
            if not mine.any():
                break
            theirs = _claim(other, frame)
            mine &= (claim > theirs) | ((claim == theirs) & (self.grid.name < other.name))
        return mine


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
    ownership = Ownership(grid, tuple(others), areas.project(area, grid.frame.epsg))
    step = chunk_step(grid)
    regions = []
    for row, col, frame in _squares(grid):
        mine = ownership.of(frame)
        if mine.any():
            y, rows = _whole_steps(np.flatnonzero(mine.any(axis=1)), step, frame.height)
            x, cols = _whole_steps(np.flatnonzero(mine.any(axis=0)), step, frame.width)
            regions.append(Region(grid.name, row, col, frame, int(mine.sum()), frame.window(y, x, rows, cols)))
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


def _reaches(grid: Grid, frame: Frame) -> bool:
    """Tell whether some claim of a grid meets the box of a frame, which may be of another CRS."""
    bounds = frame.bounds
    if grid.source.epsg != frame.epsg:
        bounds = geo.transformer(frame.epsg, grid.source.epsg).transform_bounds(*bounds)
    box = shapely.box(*bounds)
    return any(shapely.box(*ground.bounds).intersects(box) for _, ground in grid.claimed)


def _holds(grid: Grid, frame: Frame) -> bool:
    """Tell whether some claim of a grid holds all of a frame on the grid's lattice."""
    left, bottom, right, top = frame.bounds
    bounds = (ground.bounds for _, ground in grid.claimed if ground.epsg == frame.epsg)
    return any(b[0] <= left and b[1] <= bottom and right <= b[2] and top <= b[3] for b in bounds)


def _claim(grid: Grid, frame: Frame) -> NDArray[np.float64]:
    """Return how strongly a grid claims each pixel of a frame; -inf where it claims nothing.

    Returns
    -------
    (height, width) float64: the depth of the pixel's centre in the grid, metres, lessened where the claim is weaker.
    """
    x, y = frame.centres()
    if grid.source.epsg == frame.epsg:
        xs, ys = x[None, :], y[:, None]
    else:
        xs, ys = geo.transformer(frame.epsg, grid.source.epsg).transform(*np.meshgrid(x, y))
    (plan, ground), *later = grid.claimed
    claim = _depth(ground, xs, ys)
    claim[claim <= 0] = -np.inf
    claim -= plan * PLAN_APART
    for plan, ground in later:
        depth = _depth(ground, xs, ys)
        claim = np.where(np.isfinite(claim) | (depth <= 0), claim, depth - plan * PLAN_APART)
    if grid.sparse:
        few = areas.project(shapely.from_wkb(bytes.fromhex(grid.sparse)), frame.epsg)
        claim[areas.inside(few, frame)] -= SPARSE
    return claim


def _depth(frame: Frame, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the nearest edge of a frame, metres, negative outside.

    Distances are whole centimetres, so that ties are ties: grids of one lattice, which reckon from corners of their
    own, find the same distance of a pixel.
    """
    left, bottom, right, top = frame.bounds
    # Rounded before the lesser is taken: of a frame in this CRS these are a row and a column.
    across = np.round(np.minimum(x - left, right - x) + BESIDE_TIES_M, 2)
    along = np.round(np.minimum(y - bottom, top - y) + BESIDE_TIES_M, 2)
    return np.asarray(np.minimum(across, along))
