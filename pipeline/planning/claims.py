"""How strongly grids claim a pixel: by how deep it lies in their ground, less where they have observed it little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

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
PROBED_M = 50_000.0
"""Side of the squares of ground in which this is measured at once, metres."""
STEP_M = 10.0
"""From a probe to the points beside it, metres."""
BETWEEN_PROBES = 1.02
"""How much more than at the probes it may be between them."""


def owned(grid: Grid, others: Sequence[Grid], frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that a grid claims, and more strongly than each of some others.

    Where two claim a pixel alike, the name decides.

    Returns
    -------
    (height, width) bool
    """
    mine, theirs = _claim_on(grid, frame), [(other, _claim_on(other, frame)) for other in others]
    if mine is not None:
        theirs = [(other, their) for other, their in theirs if their is None or not mine.lies_deeper(their, frame)]
    if mine is None:
        found, left = np.isfinite(claim(grid, frame)), theirs
    else:
        # The rivals that depth alone decides about are looked at together.
        alike = [their for _, their in theirs if their is not None and their.is_of(mine)]
        left = [t for t in theirs if t[1] not in alike]
        sure = not alike and _holds(mine.ground, frame)
        found = _shape(frame, True) if sure else _deepest(_Lead(mine, tuple(alike)), frame)
    for other, their in left:
        if found.any():
            found &= _beats(grid, other, frame) if mine is None or their is None else mine.beats(their, frame)
    return found


def _beats(grid: Grid, other: Grid, frame: Frame) -> NDArray[np.bool_]:
    """Tell where a grid claims a pixel more strongly than another one, pixel by pixel."""
    mine, theirs = claim(grid, frame), claim(other, frame)
    return np.asarray((mine > theirs) | ((mine == theirs) & (grid.name < other.name)))


@dataclass(frozen=True, eq=False)
class _Claim:
    """The one claim of a grid that counts on a frame."""

    name: str
    plan: int
    ground: Frame
    few: NDArray[np.bool_] | bool
    """Where the grid has few observations: (height, width), or everywhere or nowhere on the frame."""

    def is_of(self, other: _Claim) -> bool:
        """Tell whether depth alone says which of two claims is the stronger one, on all of the frame."""
        flags = isinstance(self.few, bool) and isinstance(other.few, bool) and self.few == other.few
        return flags and self.plan == other.plan

    def lies_deeper(self, other: _Claim, frame: Frame) -> bool:
        """Tell quickly whether all of a frame surely lies deeper in this claim's ground than in another one's."""
        if not self.is_of(other) or self.ground.epsg != frame.epsg:
            return False
        left, bottom, right, top = frame.bounds
        west, south, east, north = self.ground.bounds
        least = min(left - west, bottom - south, east - right, north - top)
        # What is deep in a ground is at least as deep in the box around it.
        west, south, east, north = _bounds_in(other.ground, frame.epsg)
        across = min(right - west, east - left, (east - west) / 2)
        along = min(top - south, north - bottom, (north - south) / 2)
        return least > BETWEEN_PROBES * _steepness(other.ground.epsg, frame) * min(across, along) + ROUNDED

    def beats(self, other: _Claim, frame: Frame) -> NDArray[np.bool_]:
        """Tell where this claim is stronger than another one; of no meaning where it claims nothing."""
        if self.plan != other.plan:
            return _shape(frame, True) if self.plan < other.plan else ~_deepest(_Lead(other, ()), frame)
        few, fewer = (np.broadcast_to(c.few, (frame.height, frame.width)) for c in (self, other))
        there = _deepest(_Lead(other, ()), frame)
        return np.asarray(~there | (~few & fewer) | ((few == fewer) & _deepest(_Lead(self, (other,)), frame)))


def _claim_on(grid: Grid, frame: Frame) -> _Claim | None:
    """Return the claim of a grid that counts on a frame; None where there may be several."""
    near = [(plan, ground) for plan, ground in grid.claimed if _meets(ground, frame)] or list(grid.claimed[:1])
    plan, ground = near[0]
    if len(near) > 1 and not _holds(ground, frame):
        return None
    if not grid.sparse:
        return _Claim(grid.name, plan, ground, few=False)
    few = _few(grid.sparse, frame.epsg)
    box = shapely.box(*frame.bounds)
    if not few.intersects(box):
        return _Claim(grid.name, plan, ground, few=False)
    return _Claim(grid.name, plan, ground, few=True if few.contains(box) else areas.inside(few, frame))


@lru_cache(maxsize=256)
def _few(sparse: str, epsg: int) -> BaseGeometry:
    """Return where a grid has few observations, in a CRS."""
    found = areas.project(shapely.from_wkb(bytes.fromhex(sparse)), epsg)
    shapely.prepare(found)
    return found


def _shape(frame: Frame, value: bool) -> NDArray[np.bool_]:
    return np.full((frame.height, frame.width), value)


@dataclass(frozen=True)
class _Lead:
    """By how much deeper a point lies in the ground of a claim than in that of each rival, and than at its own edge."""

    mine: _Claim
    rivals: tuple[_Claim, ...]

    def at(self, epsg: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the leads at some points of a CRS, (rivals + 1, n) float64, metres; the edge's comes last.

        The claim has a point where all are positive.
        """
        grounds = [c.ground for c in (*self.rivals, self.mine)]
        points = {target: _transformed(epsg, target, x, y) for target in {g.epsg for g in grounds}}
        *theirs, mine = (_depth(ground, *points[ground.epsg]) for ground in grounds)
        # Depths are whole centimetres: half of one decides ties, and nothing else.
        ties = (0.005 if self.mine.name < rival.name else -0.005 for rival in self.rivals)
        with np.errstate(invalid="ignore"):  # infinity less infinity, where a projection has an end
            return np.stack([*(mine - depth + tie for depth, tie in zip(theirs, ties, strict=True)), mine])

    def steepness(self, frame: Frame) -> NDArray[np.float64]:
        """Return by how much each lead may change for each metre that both x and y change, (rivals + 1, 1) float64."""
        *theirs, mine = (_steepness(c.ground.epsg, frame) for c in (*self.rivals, self.mine))
        return np.array([[*(mine + its for its in theirs), mine]]).T


def _deepest(lead: _Lead, frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame at whose centres all leads are positive, without asking for most of them.

    Leads are asked for at the middle of large squares of pixels. Where they are so far from 0 that they cannot reach it
    within the square, all its pixels are decided; else smaller squares are asked, in the end pixels.

    Returns
    -------
    (height, width) bool
    """
    height, width = (-(-size // SQUARES[0]) * SQUARES[0] for size in (frame.height, frame.width))
    x, y = frame.window(0, 0, height, width).centres()
    found = np.empty((height, width), np.bool_)
    rows, cols = (at.ravel() for at in np.indices((height // SQUARES[0], width // SQUARES[0])))
    for side, smaller in zip(SQUARES, (*SQUARES[1:], 1), strict=True):
        first = (side - 1) / 2 * frame.resolution  # from the first centre in a square to the square's middle
        leads = lead.at(frame.epsg, x[cols * side] + first, y[rows * side] - first)
        squares = found.reshape(height // side, side, width // side, side)
        squares[rows, :, cols, :] = (leads > 0).all(axis=0)[:, None, None]
        sure = leads > (reach := lead.steepness(frame) * first + ROUNDED)
        # What is no number is not sure either.
        undecided = ~(sure.all(axis=0) | (leads < -reach).any(axis=0))
        if side == 1 or not undecided.any():
            break
        rows, cols = _parts(rows[undecided], cols[undecided], side // smaller)
        close = ~sure[:-1, undecided].all(axis=1)
        lead = replace(lead, rivals=tuple(r for r, is_close in zip(lead.rivals, close, strict=True) if is_close))
    return found[: frame.height, : frame.width]


def _parts(rows: NDArray[np.intp], cols: NDArray[np.intp], parts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut squares into so many in each direction; return the rows and columns of those, counted in them."""
    down, across = np.indices((parts, parts))
    return (rows[:, None, None] * parts + down).ravel(), (cols[:, None, None] * parts + across).ravel()


def _steepness(epsg: int, frame: Frame) -> float:
    """Return by how much x or y of a CRS may change for each metre that both change in a frame."""
    if epsg == frame.epsg:
        return 1.0
    left, bottom, right, top = frame.bounds
    return _stretch(frame.epsg, epsg, (left // PROBED_M, bottom // PROBED_M, right // PROBED_M, top // PROBED_M))


@lru_cache(maxsize=256)
def _stretch(source: int, target: int, bounds: tuple[float, float, float, float]) -> float:
    left, bottom, right, top = bounds
    xs, ys = (np.linspace(first, last + 1, PROBES) * PROBED_M for first, last in ((left, right), (bottom, top)))
    x, y = (at.ravel() for at in np.meshgrid(xs, ys))
    here, beside, above = (
        np.array(_transformed(source, target, x + dx, y + dy)) for dx, dy in ((0, 0), (STEP_M, 0), (0, STEP_M))
    )
    with np.errstate(invalid="ignore"):
        return float(((np.abs(beside - here) + np.abs(above - here)) / STEP_M).max()) * BETWEEN_PROBES


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
    xs, ys = _transformed(frame.epsg, grid.source.epsg, x[None, :], y[:, None])
    (plan, ground), *later = grid.claimed
    found = _depth(ground, xs, ys)
    found[found <= 0] = -np.inf
    found -= plan * PLAN_APART
    for plan, ground in later:
        depth = _depth(ground, xs, ys)
        found = np.where(np.isfinite(found) | (depth <= 0), found, depth - plan * PLAN_APART)
    if grid.sparse:
        found[areas.inside(_few(grid.sparse, frame.epsg), frame)] -= SPARSE
    return found


def _transformed(
    source: int, target: int, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform points from one CRS to another one."""
    if source == target:
        return x, y
    xs, ys = np.broadcast_arrays(x, y)
    xs, ys = geo.transformer(source, target).transform(xs, ys)
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
