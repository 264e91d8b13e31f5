"""How strongly grids claim a pixel: by how deep it lies in their ground, less where they have observed it little."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.planning import area as areas

PLAN_APART = 1e9
"""What a claim of a later plan weighs less than one of an earlier plan; more than any depth in metres."""
BESIDE_TIES_M = 0.0031415
"""Metres that are added to a depth before it is rounded. Half a pixel of 9.87 m ends on half a centimetre, where the
last bit of a coordinate would decide; no pixel size of few decimals ends here."""
SPARSE = 4e8
"""What a claim weighs less where the grid has few observations: more than any depth, less than a plan."""


def claimed(grid: Grid, frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that a grid claims.

    Returns
    -------
    (height, width) bool
    """
    if _is_plain(grid, frame):
        cols, rows = _edges(grid.claimed[0][1], *frame.centres())
        return (cols > 0) & (rows > 0)[:, None]
    return np.isfinite(claim(grid, frame))


def beats(grid: Grid, other: Grid, frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame, of those that a grid claims, which it claims more strongly than another grid.

    Where both claim a pixel alike, the name decides.

    Returns
    -------
    (height, width) bool; of no meaning where the grid claims nothing.
    """
    plans = {g.claimed[0][0] for g in (grid, other)}
    if len(plans) == 1 and _is_plain(grid, frame) and _is_plain(other, frame):
        return _lies_deeper(grid.claimed[0][1], other.claimed[0][1], frame, ties=grid.name < other.name)
    mine, theirs = claim(grid, frame), claim(other, frame)
    return np.asarray((mine > theirs) | ((mine == theirs) & (grid.name < other.name)))


def _is_plain(grid: Grid, frame: Frame) -> bool:
    """Tell whether depth alone says what a grid claims, and is a matter of rows and columns."""
    return grid.source.epsg == frame.epsg and len(grid.claimed) == 1 and not grid.sparse


def _lies_deeper(mine: Frame, theirs: Frame, frame: Frame, *, ties: bool) -> NDArray[np.bool_]:
    """Tell where a pixel that lies in one ground lies deeper in it than in another one.

    A depth is the lesser of two distances, of a column and of a row. The lesser of two is less than the lesser of two
    others where one of the two is less than both others; so no depth of a pixel need be worked out.

    Parameters
    ----------
    mine, theirs : Frame
        In the frame's CRS.
    frame : Frame
    ties : bool
        What holds where both depths are equal.

    Returns
    -------
    (height, width) bool
    """
    less = np.less_equal if ties else np.less
    (cols, rows), (their_cols, their_rows) = (_centimetres(ground, frame) for ground in (mine, theirs))
    by_cols = np.asarray(less(their_cols, rows[:, None]))
    by_cols &= less(their_cols, cols)
    by_rows = np.asarray(less(their_rows[:, None], cols))
    by_rows &= less(their_rows, rows)[:, None]
    by_cols |= by_rows
    return by_cols


def _centimetres(ground: Frame, frame: Frame) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the distances of a frame's columns and rows to the edges of a ground, which are compared faster so."""
    cols, rows = (np.rint(100 * edges) for edges in _edges(ground, *frame.centres()))
    return cols.astype(np.int32), rows.astype(np.int32)


def reaches(grid: Grid, frame: Frame) -> bool:
    """Tell whether some claim of a grid meets the box of a frame, which may be of another CRS."""
    bounds = frame.bounds
    if grid.source.epsg != frame.epsg:
        bounds = geo.transformer(frame.epsg, grid.source.epsg).transform_bounds(*bounds)
    box = shapely.box(*bounds)
    return any(shapely.box(*ground.bounds).intersects(box) for _, ground in grid.claimed)


def holds(grid: Grid, frame: Frame) -> bool:
    """Tell whether some claim of a grid holds all of a frame on the grid's lattice."""
    left, bottom, right, top = frame.bounds
    bounds = (ground.bounds for _, ground in grid.claimed if ground.epsg == frame.epsg)
    return any(b[0] <= left and b[1] <= bottom and right <= b[2] and top <= b[3] for b in bounds)


def claim(grid: Grid, frame: Frame) -> NDArray[np.float64]:
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
    found = _depth(ground, xs, ys)
    found[found <= 0] = -np.inf
    found -= plan * PLAN_APART
    for plan, ground in later:
        depth = _depth(ground, xs, ys)
        found = np.where(np.isfinite(found) | (depth <= 0), found, depth - plan * PLAN_APART)
    if grid.sparse:
        few = areas.project(shapely.from_wkb(bytes.fromhex(grid.sparse)), frame.epsg)
        found[areas.inside(few, frame)] -= SPARSE
    return found


def _depth(frame: Frame, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the nearest edge of a frame, metres, negative outside.

    Distances are whole centimetres, so that ties are ties: grids of one lattice, which reckon from corners of their
    own, find the same distance of a pixel.
    """
    across, along = _edges(frame, x, y)
    return np.asarray(np.minimum(across, along))


def _edges(
    frame: Frame, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distances to the nearer side edge, and to the nearer of top and bottom, whole centimetres."""
    left, bottom, right, top = frame.bounds
    # Rounded before the lesser is taken: of a frame in this CRS these are a row and a column.
    across = np.round(np.minimum(x - left, right - x) + BESIDE_TIES_M, 2)
    along = np.round(np.minimum(y - bottom, top - y) + BESIDE_TIES_M, 2)
    return across, along
