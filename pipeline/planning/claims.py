"""How strongly grids claim a pixel: by how deep it lies in their ground, less where they have observed it little."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
SQUARES = 128, 16, 4, 1
"""Sides of the squares of pixels that are decided as one, pixels; each a multiple of the next."""
ROUNDED = 0.03
"""Metres by which rounding may change a difference of two depths, and more."""
PROBES = 8
"""Places in each direction where it is measured how one CRS stretches in another."""
BETWEEN_PROBES = 1.02
"""How much more than at the probes it may be between them."""


def claimed(grid: Grid, frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that a grid claims.

    Returns
    -------
    (height, width) bool
    """
    if not _is_plain(grid):
        return np.isfinite(claim(grid, frame))
    return _positive(partial(_depth_in, grid, frame.epsg), _steepness(grid, frame), frame)


def beats(grid: Grid, other: Grid, frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame, of those that a grid claims, which it claims more strongly than another grid.

    Where both claim a pixel alike, the name decides.

    Returns
    -------
    (height, width) bool; of no meaning where the grid claims nothing.
    """
    plans = {g.claimed[0][0] for g in (grid, other)}
    if len(plans) > 1 or not (_is_plain(grid) and _is_plain(other)):
        mine, theirs = claim(grid, frame), claim(other, frame)
        return np.asarray((mine > theirs) | ((mine == theirs) & (grid.name < other.name)))
    # Depths are whole centimetres: half of one decides ties, and nothing else.
    ties = 0.005 if grid.name < other.name else -0.005

    def lead(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return _depth_in(grid, frame.epsg, x, y) - _depth_in(other, frame.epsg, x, y) + ties

    return _positive(lead, _steepness(grid, frame) + _steepness(other, frame), frame)


def _is_plain(grid: Grid) -> bool:
    """Tell whether depth alone says how strongly a grid claims a pixel."""
    return len(grid.claimed) == 1 and not grid.sparse


def _positive(
    value: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]], steepness: float, frame: Frame
) -> NDArray[np.bool_]:
    """Tell the pixels of a frame at whose centres a function is positive, without asking it at most of them.

    It is asked at the middle of large squares of pixels. Where it is so far from 0 that it cannot reach it within the
    square, all the square's pixels are decided; else smaller squares are asked, in the end pixels.

    Parameters
    ----------
    value : function
        Of x and y, (n,) each, in the frame's CRS.
    steepness : float
        By how much it may change for each metre that both x and y change.
    frame : Frame

    Returns
    -------
    (height, width) bool
    """
    height, width = (-(-size // SQUARES[0]) * SQUARES[0] for size in (frame.height, frame.width))
    x, y = frame.window(0, 0, height, width).centres()
    found = np.empty((height, width), np.bool_)
    rows, cols = (at.ravel() for at in np.indices((height // SQUARES[0], width // SQUARES[0])))
    for side, smaller in zip(SQUARES, (*SQUARES[1:], 0), strict=True):
        first = (side - 1) / 2 * frame.resolution  # from the first centre in a square to the square's middle
        with np.errstate(invalid="ignore"):  # infinity less infinity, where a projection has an end
            values = value(x[cols * side] + first, y[rows * side] - first)
        squares = found.reshape(height // side, side, width // side, side)
        squares[rows, :, cols, :] = (values > 0)[:, None, None]
        if smaller:
            # What is no number is asked again, too.
            undecided = ~(np.abs(values) > steepness * first + ROUNDED)
            rows, cols = _parts(rows[undecided], cols[undecided], side // smaller)
    return found[: frame.height, : frame.width]


def _parts(rows: NDArray[np.intp], cols: NDArray[np.intp], parts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut squares into so many in each direction; return the rows and columns of those, counted in them."""
    down, across = np.indices((parts, parts))
    return (rows[:, None, None] * parts + down).ravel(), (cols[:, None, None] * parts + across).ravel()


def _steepness(grid: Grid, frame: Frame) -> float:
    """Return by how much the depth in a grid may change for each metre that both x and y change in a frame."""
    if grid.source.epsg == frame.epsg:
        return 1.0
    left, bottom, right, top = frame.bounds
    x, y = (at.ravel() for at in np.meshgrid(np.linspace(left, right, PROBES), np.linspace(bottom, top, PROBES)))
    transform = geo.transformer(frame.epsg, grid.source.epsg).transform
    step = frame.resolution
    here, beside, above = (np.array(transform(x + dx, y + dy)) for dx, dy in ((0, 0), (step, 0), (0, step)))
    with np.errstate(invalid="ignore"):
        return float(((np.abs(beside - here) + np.abs(above - here)) / step).max()) * BETWEEN_PROBES


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
    xs, ys = _in_crs_of(grid, frame.epsg, x[None, :], y[:, None])
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


def _depth_in(grid: Grid, epsg: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how deep points of a CRS lie in the ground that a grid claims first."""
    return _depth(grid.claimed[0][1], *_in_crs_of(grid, epsg, x, y))


def _in_crs_of(
    grid: Grid, epsg: int, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform points to the CRS of a grid's source, if they are in another one."""
    if grid.source.epsg == epsg:
        return x, y
    xs, ys = np.broadcast_arrays(x, y)
    xs, ys = geo.transformer(epsg, grid.source.epsg).transform(xs, ys)
    return xs, ys


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
