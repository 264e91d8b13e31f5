"""Regions of a grid, and who owns a pixel.

Tiles overlap, across zones too: a point of the ground is owned by the grid in which it lies deepest, and in overlaps
the owner alone is read. A region's window is the part of it that the cube holds: whole chunks around the pixels that it
owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Region
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.stores.shards import chunk_step


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

        The rule compares depths at the pixel's centre, so two grids that share pixels agree on every one of them, and
        the answer for a pixel does not depend on the frame asked for.

        Parameters
        ----------
        frame : Frame
            On the grid's lattice.

        Returns
        -------
        (height, width) bool
        """
        mine = areas.inside(self.area, frame)
        x, y = frame.centres()
        depth = _depth(self.grid.source, x[None, :], y[:, None])
        mine &= depth > 0
        for other in self.others:
            if other.name == self.grid.name or not mine.any():
                continue
            if other.source.epsg == frame.epsg:
                if not shapely.box(*other.source.bounds).intersects(shapely.box(*frame.bounds)):
                    continue
                theirs = _depth(other.source, x[None, :], y[:, None])
            else:
                move = geo.transformer(frame.epsg, other.source.epsg)
                left, bottom, right, top = move.transform_bounds(*frame.bounds)
                if not shapely.box(*other.source.bounds).intersects(shapely.box(left, bottom, right, top)):
                    continue
                xs, ys = np.meshgrid(x, y)
                theirs = _depth(other.source, *move.transform(xs, ys))
            mine &= (depth > theirs) | ((depth == theirs) & (self.grid.name < other.name))
        return mine


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
    for row in range(-(-grid.frame.height // grid.region)):
        for col in range(-(-grid.frame.width // grid.region)):
            top, left = row * grid.region, col * grid.region
            height = min(grid.region, grid.frame.height - top)
            width = min(grid.region, grid.frame.width - left)
            frame = grid.frame.window(top, left, height, width)
            mine = ownership.of(frame)
            if mine.any():
                y, rows = _whole_steps(np.flatnonzero(mine.any(axis=1)), step, height)
                x, cols = _whole_steps(np.flatnonzero(mine.any(axis=0)), step, width)
                regions.append(Region(grid.name, row, col, frame, int(mine.sum()), frame.window(y, x, rows, cols)))
    return regions


def _whole_steps(found: NDArray[np.intp], step: int, end: int) -> tuple[int, int]:
    """Return (first, how many) of the whole steps around some positions, increasing, cut at ``end``."""
    first = int(found[0]) // step * step
    return first, min(-(-(int(found[-1]) + 1) // step) * step, end) - first


def _depth(frame: Frame, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the nearest edge of a frame, metres, negative outside.

    Distances are whole centimetres, so that ties are ties.
    """
    left, bottom, right, top = frame.bounds
    across = np.minimum(x - left, right - x)
    along = np.minimum(y - bottom, top - y)
    return np.asarray(np.round(np.minimum(across, along), 2))
