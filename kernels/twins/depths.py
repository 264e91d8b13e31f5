"""Slow, obvious NumPy twin of `kernels.depths`: the depth of every pixel in every ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.depths import BESIDE_TIES_M

Points = NDArray[np.float64]


def depth(bounds: Sequence[float], x: Points, y: Points) -> Points:
    """Return the distance to the nearest edge of a ground, metres, negative outside.

    Distances are whole centimetres, so that ties are ties: grids of one lattice, which reckon from corners of their
    own, find the same distance of a pixel.

    Parameters
    ----------
    bounds : (left, bottom, right, top)
    x, y : float64, of one shape, in the ground's CRS
    """
    left, bottom, right, top = bounds
    nearest = np.minimum.reduce([x - left, right - x, y - bottom, top - y])
    return np.asarray(np.round(nearest + BESIDE_TIES_M, 2))


def deepest(depths: Points, excludes: Sequence[bool], wins: Sequence[bool]) -> NDArray[np.bool_]:
    """Tell the pixels of the first ground: inside it, where no rival that excludes has ground and no other is deeper.

    Parameters
    ----------
    depths : (ground, height, width) float64
    excludes, wins : (ground,) bool
        Of each ground, whether it wins wherever it has ground, and whether the first one wins where both lie as deep;
        those of the first are not looked at.
    """
    mine, found = depths[0], depths[0] > 0
    for theirs, all_of_it, tie in zip(depths[1:], excludes[1:], wins[1:], strict=True):
        found &= theirs <= 0 if all_of_it else (mine > theirs) | ((mine == theirs) & tie)
    return np.asarray(found)
