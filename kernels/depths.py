"""Which pixels lie in a ground, and deeper in it than in others, decided by squares of pixels.

A depth is the distance to the nearest edge of a ground, metres, negative outside. It changes by no more than one goes,
so a square of pixels is decided by its middle where the line between two grounds cannot pass through the square. Other
squares are quartered, in the end into pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.jit import helper, jit

BESIDE_TIES_M = 0.0031415
"""Metres that are added to a depth before it is rounded. Half a pixel of 9.87 m ends on half a centimetre, where the
last bit of a coordinate would decide; no pixel size of few decimals ends here."""
ROUNDED_M = 0.03
"""By how much rounding may change a difference of two depths, and more."""
HALF_CM = 0.005
"""Metres by which a name decides between depths that are alike: less than two depths differ by, and more than 0."""

EXCLUDES, COMPARES, OF_A_COLUMN, OF_A_ROW = range(4)
"""How a rival competes: it wins wherever it has ground; where it is deeper; so, and it has the same sides; so, and it
has the same top and bottom."""

LAST_BIT = 61
"""The bit that all further grounds share."""
LOST = 1 << LAST_BIT + 1
"""Says of a square that another ground has all of it."""


class Grounds(NamedTuple):
    """A ground, which comes first, and its rivals, with their CRSs as planes over a frame."""

    bounds: NDArray[np.float64]
    """(n, 4): left, bottom, right, top, in the ground's own CRS."""
    planes: NDArray[np.float64]
    """(n, 2, 3): x and y of the ground's CRS at the frame's corner, and their change for a metre of x and of y."""
    slack: NDArray[np.float64]
    """(n, 2): by how much x or y may change for each metre that both change on the frame, and by how much a plane may
    be wrong, metres; (1, 0) where the frame's CRS is the ground's: its planes are not looked at then."""
    rules: NDArray[np.int64]
    """(n,): how each rival competes; the first is not looked at."""
    wins: NDArray[np.bool_]
    """(n,): whether the first ground wins where it lies as deep as the rival."""


@jit
def settle_squares(corner: tuple[float, float, float], grounds: Grounds, found: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Find the pixels of a frame that are the first ground's.

    Parameters
    ----------
    corner : left and top edge of the frame, and its resolution
    grounds : Grounds
    found : (height, width) bool
        All False; pixels of the first ground are set.

    Returns
    -------
    (n, 2) int32: row and column of pixels that planes cannot decide.
    """
    height, width = found.shape
    unsure, count = np.empty((height * width, 2), np.int32), 0  # of which but the first few are ever touched
    side = 1
    while side < max(height, width):
        side *= 2
    stack, top = np.zeros((128, 4), np.int64), 1
    stack[0, 2], stack[0, 3] = side, -1
    while top:
        top -= 1
        row, col, side = stack[top, 0], stack[top, 1], stack[top, 2]
        open_to = LOST if row >= height or col >= width else _square(corner, grounds, row, col, side, stack[top, 3])
        if open_to == LOST:
            continue
        if open_to == 0:
            _set(found, row, col, side)
        elif side > 1:
            half = side // 2
            for n in range(4):
                stack[top, 0], stack[top, 1] = row + n // 2 * half, col + n % 2 * half
                stack[top, 2], stack[top, 3] = half, open_to
                top += 1
        else:
            unsure[count, 0], unsure[count, 1] = row, col
            count += 1
    return unsure[:count]


@jit
def settle_pixels(
    pixels: NDArray[np.int32], points: NDArray[np.float64], grounds: Grounds, found: NDArray[np.bool_]
) -> None:
    """Decide single pixels by where they lie in the CRS of each ground.

    Parameters
    ----------
    pixels : (n, 2) int32
        Row and column.
    points : (ground, 2, n) float64
        x and y of the pixels' centres.
    grounds, found
        As of `settle_squares`.
    """
    for n in range(len(pixels)):
        across, along = _edges(grounds.bounds[0], points[0, 0, n], points[0, 1, n])
        is_mine = min(across, along) > 0
        for rival in range(1, len(points)):
            is_mine &= _lead(grounds, rival, across, along, points[rival, 0, n], points[rival, 1, n]) > 0
        found[pixels[n, 0], pixels[n, 1]] = is_mine


@helper
def _set(found: NDArray[np.bool_], row: int, col: int, side: int) -> None:
    """Set a square of pixels; the frame's edge may cut it."""
    height, width = found.shape
    for down in range(row, min(row + side, height)):
        line = found[down, col : min(col + side, width)]
        for right in range(len(line)):
            line[right] = True


@helper
def _square(corner: tuple[float, float, float], grounds: Grounds, row: int, col: int, side: int, asked: int) -> int:
    """Compare a square of pixels with the grounds whose bits are set.

    Returns
    -------
    The bits of those that may have some of its pixels, the first one's where some may lie outside of it: 0 where all
    pixels are the first ground's; `LOST` where none is.
    """
    left, top, size = corner
    half = (side - 1) / 2 * size  # from the middle to the outermost centres
    x, y = left + (col + side / 2) * size, top - (row + side / 2) * size
    mx, my = _there(corner, grounds, 0, x, y)
    across, along = _edges(grounds.bounds[0], mx, my)
    found = 0
    for n in range(len(grounds.rules)):
        bit = 1 << min(n, LAST_BIT)
        if not asked & bit:
            continue
        steep, error = grounds.slack[0, 0], grounds.slack[0, 1]
        if n:
            steep += grounds.slack[n, 0]
            error += grounds.slack[n, 1]
            tx, ty = _there(corner, grounds, n, x, y)
            lead = _lead(grounds, n, across, along, tx, ty)
        else:
            lead = min(across, along)
        # A pixel in the CRS of both is decided exactly. What is no number, where a projection ends, is never sure.
        margin = steep * half + error + ROUNDED_M if side > 1 or error > 0 else 0.0
        if lead < -margin:
            return LOST
        if not lead > margin:
            found |= bit
    return found


@helper
def _there(corner: tuple[float, float, float], grounds: Grounds, n: int, x: float, y: float) -> tuple[float, float]:
    """Return where a point of the frame lies in the CRS of a ground."""
    if grounds.slack[n, 1] == 0:
        return x, y
    plane, right, up = grounds.planes[n], x - corner[0], y - corner[1]
    tx = plane[0, 0] + plane[0, 1] * right + plane[0, 2] * up
    return tx, plane[1, 0] + plane[1, 1] * right + plane[1, 2] * up


@helper
def _edges(bounds: NDArray[np.float64], x: float, y: float) -> tuple[float, float]:
    """Return the distances to the nearer side edge, and to the nearer of top and bottom, whole centimetres.

    Rounded before the lesser is taken: of a frame in the ground's CRS these are of a column and of a row.
    """
    across, along = min(x - bounds[0], bounds[2] - x), min(y - bounds[1], bounds[3] - y)
    return np.rint((across + BESIDE_TIES_M) * 100) / 100, np.rint((along + BESIDE_TIES_M) * 100) / 100


@helper
def _lead(grounds: Grounds, n: int, across: float, along: float, x: float, y: float) -> float:
    """Return by how much deeper a point lies in the first ground than in a rival; positive where the first has it.

    Tiles of a row have the same top and bottom. Where these are near, points lie as deep in both: the name decides, and
    the lead must not be 0 all over such ground, or each of its pixels would be looked at.
    """
    their_across, their_along = _edges(grounds.bounds[n], x, y)
    theirs, rule = min(their_across, their_along), grounds.rules[n]
    if rule == EXCLUDES:
        return HALF_CM - theirs
    tie = HALF_CM if grounds.wins[n] else -HALF_CM
    if rule == COMPARES:
        return min(across, along) - theirs + tie
    common, own, their = (across, along, their_along) if rule == OF_A_COLUMN else (along, across, their_across)
    beyond = min(own, their) - common  # 0 and more where the common edge is the nearest of both
    return (max(own - their, beyond) if grounds.wins[n] else min(own - their, -beyond)) + tie
