"""Regions of a grid, and who owns a pixel.

Tiles overlap, across zones too: a point of the ground is owned by the grid in which it lies deepest, and in overlaps
the owner alone is read. A region's window is the part of it that the cube holds: whole chunks around the pixels that it
owns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.types import Frame, Grid, Region
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.stores.shards import chunk_step


def build_regions(grid: Grid, others: Sequence[Grid], area: BaseGeometry) -> list[Region]:
    """The regions of a grid that own some of the area."""
    here, step = areas.project(area, grid.frame.epsg), chunk_step(grid)
    regions = []
    for row in range(-(-grid.frame.height // grid.region)):
        for col in range(-(-grid.frame.width // grid.region)):
            top, left = row * grid.region, col * grid.region
            height = min(grid.region, grid.frame.height - top)
            width = min(grid.region, grid.frame.width - left)
            frame = grid.frame.window(top, left, height, width)
            mine = owned(grid, frame, others, here)
            if mine.any():
                part = [
                    _outwards(np.flatnonzero(mine.any(axis=axis)), step, n) for axis, n in ((1, height), (0, width))
                ]
                (y, rows), (x, cols) = part
                window = frame.window(y, x, rows, cols)
                regions.append(Region(grid.name, row, col, frame, int(mine.sum()), window))
    return regions


def _outwards(found: np.ndarray, step: int, end: int) -> tuple[int, int]:
    """(first, how many) of the whole steps around some positions, increasing, before ``end``."""
    first = int(found[0]) // step * step
    return first, min(-(-(int(found[-1]) + 1) // step) * step, end) - first


def owned(grid: Grid, frame: Frame, others: Sequence[Grid], area: BaseGeometry) -> np.ndarray:
    """(height, width) bool: pixels of a frame of `grid` that lie in the area and that this grid owns.

    Parameters
    ----------
    area : geometry in the grid's CRS

    Notes
    -----
    The rule compares depths at the pixel's centre, so two grids that share pixels agree on every one of them, and the
    answer for a pixel does not depend on the region asked for.
    """
    mine = areas.inside(area, frame)
    x, y = frame.centres()
    depth = _depth(grid.source, x[None, :], y[:, None])
    mine &= depth > 0
    for other in others:
        if other.name == grid.name or not mine.any():
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
        mine &= (depth > theirs) | ((depth == theirs) & (grid.name < other.name))
    return mine


def _depth(frame: Frame, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to the nearest edge of a frame, metres; negative outside. Whole centimetres, so that ties are ties."""
    left, bottom, right, top = frame.bounds
    across = np.minimum(x - left, right - x)
    along = np.minimum(y - bottom, top - y)
    return np.asarray(np.round(np.minimum(across, along), 2))
