"""How deep pixels lie in grounds of any CRS, and which of them lie deepest in one, decided by squares of pixels.

A depth is the distance to the nearest edge of a ground. Along the line between two grounds alone are single pixels
looked at, and a CRS is transformed to another one as a plane does it, where that is good enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame

BESIDE_TIES_M = 0.0031415
"""Metres that are added to a depth before it is rounded. Half a pixel of 9.87 m ends on half a centimetre, where the
last bit of a coordinate would decide; no pixel size of few decimals ends here."""
SIDES = 128, 16, 4, 1
"""Sides of the squares of pixels that are decided as one, pixels; each a multiple of the next."""
ROUNDED_M = 0.03
"""By how much rounding may change a difference of two depths, and more."""
PROBES = 5
"""Places in each direction of a frame at which a plane is held against the transformation."""
BETWEEN_PROBES = 2.0
"""How much further apart the two may be between these places."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """Ground whose depth counts, and the name that decides where another one is as deep."""

    name: str
    frame: Frame


def depth(ground: Frame, x: Points, y: Points) -> Points:
    """Return the distance to the nearest edge of a ground, metres, negative outside.

    Distances are whole centimetres, so that ties are ties: grids of one lattice, which reckon from corners of their
    own, find the same distance of a pixel.
    """
    return np.asarray(np.minimum(*_edges(ground, x, y)))


def _edges(ground: Frame, x: Points, y: Points) -> tuple[Points, Points]:
    """Return the distances to the nearer side edge, and to the nearer of top and bottom, whole centimetres."""
    left, bottom, right, top = ground.bounds
    # Rounded before the lesser is taken: of a frame in this CRS these are a row and a column.
    across = np.round(np.minimum(x - left, right - x) + BESIDE_TIES_M, 2)
    along = np.round(np.minimum(y - bottom, top - y) + BESIDE_TIES_M, 2)
    return across, along


def transformed(source: int, target: int, x: Points, y: Points) -> tuple[Points, Points]:
    """Transform points from one CRS to another one."""
    if source == target:
        return x, y
    xs, ys = np.broadcast_arrays(x, y)
    xs, ys = geo.transformer(source, target).transform(xs, ys)
    return xs, ys


def deepest(mine: Ground, rivals: Sequence[Ground], frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that lie in a ground, and deeper in it than in each rival; names decide ties.

    Large squares of pixels are looked at in their middle. Where it lies so far from all dividing lines that they cannot
    pass through the square, all its pixels are decided; else smaller squares are looked at, in the end pixels.

    Returns
    -------
    (height, width) bool
    """
    height, width = (-(-size // SIDES[0]) * SIDES[0] for size in (frame.height, frame.width))
    whole = frame.window(0, 0, height, width)
    x, y = whole.centres()
    found = np.empty((height, width), np.bool_)
    rows, cols = (at.ravel() for at in np.indices((height // SIDES[0], width // SIDES[0])))
    lead = _Lead(mine, tuple(rivals))
    for side, smaller in zip(SIDES, (*SIDES[1:], 1), strict=True):
        first = (side - 1) / 2 * frame.resolution  # from the first centre in a square to the square's middle
        leads, steepness, error = lead.about(whole, x[cols * side] + first, y[rows * side] - first)
        squares = found.reshape(height // side, side, width // side, side)
        squares[rows, :, cols, :] = (leads > 0).all(axis=0)[:, None, None]
        unsure = steepness * first + error + ROUNDED_M
        # What is no number, where a projection has an end, is not sure either.
        sure = leads > unsure
        undecided = ~(sure.all(axis=0) | (leads < -unsure).any(axis=0))
        if not undecided.any():
            break
        close = ~sure[:-1, undecided].all(axis=1)
        lead = replace(lead, rivals=tuple(r for r, is_close in zip(lead.rivals, close, strict=True) if is_close))
        rows, cols = _parts(rows[undecided], cols[undecided], side // smaller)
    else:
        found[rows, cols] = (lead.exactly(frame, x[cols], y[rows]) > 0).all(axis=0)
    return found[: frame.height, : frame.width]


def _parts(rows: NDArray[np.intp], cols: NDArray[np.intp], parts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut squares into so many in each direction; return the rows and columns of those, counted in them."""
    down, across = np.indices((parts, parts))
    return (rows[:, None, None] * parts + down).ravel(), (cols[:, None, None] * parts + across).ravel()


@dataclass(frozen=True)
class _Lead:
    """By how much deeper a point lies in one's own ground than in that of each rival, and than at its own edge."""

    mine: Ground
    rivals: tuple[Ground, ...]

    def exactly(self, frame: Frame, x: Points, y: Points) -> Points:
        """Return the leads at points in a frame's CRS, (rivals + 1, n) float64, metres; the edge's comes last.

        One's own is the point where all are positive.
        """
        epsgs = {ground.frame.epsg for ground in (*self.rivals, self.mine)}
        return self._at({epsg: transformed(frame.epsg, epsg, x, y) for epsg in epsgs})

    def about(self, frame: Frame, x: Points, y: Points) -> tuple[Points, Points, Points]:
        """Return the leads as planes have them.

        Returns
        -------
        leads : (rivals + 1, n) float64
        steepness : (rivals + 1, 1) float64
            By how much each lead may change for each metre that both x and y change.
        error : (rivals + 1, 1) float64
            By how much each lead may be wrong, metres.
        """
        grounds = (*self.rivals, self.mine)
        planes = {epsg: _plane(frame, epsg) for epsg in {ground.frame.epsg for ground in grounds}}
        leads = self._at({epsg: plane.at(frame, x, y) for epsg, plane in planes.items()})
        of_all = np.array([(planes[g.frame.epsg].steepness, planes[g.frame.epsg].error) for g in grounds])
        of_all[:-1] += of_all[-1]
        return leads, of_all[:, :1], of_all[:, 1:]

    def _at(self, points: dict[int, tuple[Points, Points]]) -> Points:
        mine = _edges(self.mine.frame, *points[self.mine.frame.epsg])
        with np.errstate(invalid="ignore"):  # infinity less infinity, where a projection has an end
            leads = [_lead(self.mine, mine, r, _edges(r.frame, *points[r.frame.epsg])) for r in self.rivals]
        return np.stack([*leads, np.minimum(*mine)])


def _lead(ground: Ground, mine: tuple[Points, Points], other: Ground, theirs: tuple[Points, Points]) -> Points:
    """Return by how much deeper points lie in a ground than in another one; positive where the ground has the point.

    Tiles of a row have the same top and bottom. Where these are near, points lie as deep in both: the name decides, and
    the lead must not be 0 all over such ground, or each of its pixels would be looked at.
    """
    wins = ground.name < other.name
    # Distances are whole centimetres: half of one decides ties, and nothing else.
    tie = 0.005 if wins else -0.005
    one, another = ground.frame, other.frame
    shared = [one.epsg == another.epsg and one.bounds[n::2] == another.bounds[n::2] for n in (0, 1)]
    if not any(shared):
        return np.minimum(*mine) - np.minimum(*theirs) + tie
    (common, own), their = (mine, theirs[1]) if shared[0] else (mine[::-1], theirs[0])
    beyond = np.minimum(own, their) - common  # 0 and more where the common edge is the nearest of both
    return (np.maximum(own - their, beyond) if wins else np.minimum(own - their, -beyond)) + tie


@dataclass(frozen=True)
class _Plane:
    """How a CRS lies over a frame."""

    terms: NDArray[np.float64] | None
    """(2, 3): x and y of the CRS at the frame's corner, and by how much they change for a metre of x and of y; None for
    the frame's own CRS."""
    steepness: float
    """By how much x or y may change for each metre that both change in the frame."""
    error: float
    """How far a point of the frame may lie from where this has it, metres."""

    def at(self, frame: Frame, x: Points, y: Points) -> tuple[Points, Points]:
        """Return where points of the frame lie."""
        if self.terms is None:
            return x, y
        x, y = x - frame.x0, y - frame.y0
        (x0, xx, xy), (y0, yx, yy) = self.terms
        return x0 + xx * x + xy * y, y0 + yx * x + yy * y


@lru_cache(maxsize=256)
def _plane(frame: Frame, epsg: int) -> _Plane:
    """Fit a plane to a CRS at some places of a frame."""
    if frame.epsg == epsg:
        return _Plane(None, 1.0, 0.0)
    sides = frame.width * frame.resolution, -frame.height * frame.resolution
    x, y = (at.ravel() for at in np.meshgrid(*(np.linspace(0, side, PROBES) for side in sides)))
    there = np.array(transformed(frame.epsg, epsg, frame.x0 + x, frame.y0 + y))
    if not np.isfinite(there).all():
        return _Plane(np.zeros((2, 3)), 1.0, np.inf)  # so that every pixel is transformed exactly
    terms = np.stack([np.ones_like(x), x, y])
    fitted = np.asarray(np.linalg.lstsq(terms.T, there.T, rcond=None)[0].T)
    error = BETWEEN_PROBES * float(np.abs(fitted @ terms - there).max())
    # What is bent changes the slope, too, by what it is bent over half a frame.
    slope = float(np.abs(fitted[:, 1:]).sum(axis=1).max()) + 4 * error / min(map(abs, sides))
    return _Plane(fitted, slope, error)
