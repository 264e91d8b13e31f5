"""Which pixels of a frame lie deepest in a ground, where grounds and frame may be of any CRS.

A CRS is transformed to another one as a plane does it, where that is good enough to decide a square of pixels or a
pixel (`kernels.depths`); the pixels that are left are transformed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels import depths
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame

PROBES = 5
"""Places in each direction of a frame at which a plane is held against the transformation."""
BETWEEN_PROBES = 2.0
"""How much further apart the two may be between these places."""
LEAST_ERROR_M = 1e-6
"""Metres by which a plane of another CRS is always taken to be wrong: 0 says that there is no plane."""
NO_TERMS = np.zeros((2, 3))

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """Ground whose depth counts, and the name that decides where another one is as deep."""

    name: str
    frame: Frame


@dataclass(frozen=True)
class Rival(Ground):
    """Ground of which some pixels may be another one's."""

    excludes: bool = False
    """Whether it wins wherever it has ground, how deep ever the other one is."""

    def rule_against(self, mine: Ground) -> int:
        """Return how it competes, as `kernels.depths` has it."""
        if self.excludes:
            return depths.EXCLUDES
        one, other = mine.frame, self.frame
        if one.epsg == other.epsg:
            for n, rule in enumerate((depths.OF_A_COLUMN, depths.OF_A_ROW)):
                if one.bounds[n::2] == other.bounds[n::2]:
                    return rule
        return depths.COMPARES


def transformed(source: int, target: int, x: Points, y: Points) -> tuple[Points, Points]:
    """Transform points from one CRS to another one."""
    if source == target:
        return x, y
    xs, ys = np.broadcast_arrays(x, y)
    xs, ys = geo.transformer(source, target).transform(xs, ys)
    return xs, ys


def deepest(mine: Ground, rivals: Sequence[Rival], frame: Frame) -> NDArray[np.bool_]:
    """Tell the pixels of a frame that lie in a ground, and deeper in it than in each rival; names decide ties.

    Returns
    -------
    (height, width) bool
    """
    all_grounds = (mine, *rivals)
    planes = {epsg: _Plane.over(frame, epsg) for epsg in {ground.frame.epsg for ground in all_grounds}}
    laid = [planes[ground.frame.epsg] for ground in all_grounds]
    grounds = depths.Grounds(
        np.array([ground.frame.bounds for ground in all_grounds]),
        np.array([plane.terms for plane in laid]),
        np.array([(plane.steepness, plane.error) for plane in laid]),
        np.array([0, *(rival.rule_against(mine) for rival in rivals)]),
        np.array([False, *(mine.name < rival.name for rival in rivals)]),
    )
    found = np.zeros((frame.height, frame.width), np.bool_)
    corner = frame.x0, frame.y0, frame.resolution
    unsure = depths.settle_squares(corner, grounds, found)
    if len(unsure):
        x, y = frame.centres()
        rows, cols = unsure.T
        points = {epsg: np.array(transformed(frame.epsg, epsg, x[cols], y[rows])) for epsg in planes}
        depths.settle_pixels(unsure, np.array([points[g.frame.epsg] for g in all_grounds]), grounds, found)
    return found


@dataclass(frozen=True)
class _Plane:
    """How a CRS lies over a frame."""

    terms: NDArray[np.float64]
    """(2, 3): x and y of the CRS at the frame's corner, and by how much they change for a metre of x and of y."""
    steepness: float
    """By how much x or y may change for each metre that both change in the frame."""
    error: float
    """How far a point of the frame may lie from where this has it, metres; 0 of the frame's own CRS alone."""

    @classmethod
    def over(cls, frame: Frame, epsg: int) -> _Plane:
        """Fit a plane to a CRS at some places of a frame."""
        if frame.epsg == epsg:
            return cls(NO_TERMS, 1.0, 0.0)
        terms, fit = _probes()
        sides = np.array([1, frame.width * frame.resolution, -frame.height * frame.resolution])
        x, y = frame.x0 + terms[1] * sides[1], frame.y0 + terms[2] * sides[2]
        there = np.array(transformed(frame.epsg, epsg, x, y))
        if not np.isfinite(there).all():
            return cls(NO_TERMS, 1.0, np.inf)  # so that every pixel is transformed exactly
        fitted = there @ fit
        error = max(BETWEEN_PROBES * float(np.abs(fitted @ terms - there).max()), LEAST_ERROR_M)
        fitted /= sides
        # What is bent changes the slope, too, by what it is bent over half a frame.
        slope = float(np.abs(fitted[:, 1:]).sum(axis=1).max()) + 4 * error / float(np.abs(sides[1:]).min())
        return cls(fitted, slope, error)


@cache
def _probes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places of a frame, (3, n): 1, and parts of its sides; and what fits planes to values there, (n, 3)."""
    at = np.linspace(0, 1, PROBES)
    x, y = (part.ravel() for part in np.meshgrid(at, at))
    terms = np.stack([np.ones_like(x), x, y])
    return terms, np.asarray(np.linalg.pinv(terms))
