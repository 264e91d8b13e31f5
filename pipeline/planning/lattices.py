"""The pixel lattices on which scenes lie, and how the bands of a cube lie on one.

Frames of one CRS, pixel size and phase are one lattice, however far each scene reaches: Landsat's windows move from
date to date by whole pixels. A tile of MGRS is a lattice of its own, since neighbours do not share their blocks.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from groundbreak.pipeline.core.frame import PHASE_TOLERANCE, Frame
from groundbreak.pipeline.core.types import Scene
from groundbreak.pipeline.planning.frames import finest, frame_of


@dataclass
class Lattice:
    """A lattice, and the scenes that lie on it."""

    tile: str
    """The MGRS tile of its scenes, or "" where they lie on none."""
    frame: Frame
    """The least frame that covers all its scenes, in the finest pixels."""
    scenes: list[Scene]


def tile_name(scene: Scene) -> str:
    """Return the MGRS tile of a scene ("38TPK"), or "" where it lies on none; codes of other kinds are no lattices."""
    name = scene.tile.removeprefix("MGRS-")
    return name if re.fullmatch(r"\d\d[A-Z]{3}", name) else ""


def group(scenes: Sequence[Scene], bands: Sequence[str]) -> list[Lattice]:
    """Group scenes by tile and lattice, in the order of their first scenes.

    Parameters
    ----------
    scenes : sequence of Scene
        Whose frames are known.
    bands : sequence of str
        The bands of the cube: the finest of them makes the lattice.
    """
    found: dict[str, list[Lattice]] = {}
    for scene in scenes:
        frame, tile = finest(scene, bands), tile_name(scene)
        of_tile = found.setdefault(tile, [])
        lattice = next((k for k in of_tile if k.frame.shift(frame) is not None), None)
        if lattice is None:
            of_tile.append(Lattice(tile, frame, [scene]))
        else:
            lattice.frame = lattice.frame.union(frame)
            lattice.scenes.append(scene)
    return [lattice for of_tile in found.values() for lattice in of_tile]


@dataclass(frozen=True)
class Layout:
    """How the bands of a cube lie on a lattice."""

    anchor: Frame
    """A frame on the lattice, at whose upper left corner pixels of every band begin, and blocks of most files."""
    bands: dict[str, float]
    """Band -> the resolution at which the cube holds it."""
    native: frozenset[str]
    """The bands whose own pixels the cube holds; the others do not nest, and are warped onto the finest pixels."""


def lay_bands(lattice: Lattice, bands: Sequence[str]) -> Layout:
    """Decide how a cube holds each band: in its own pixels where these are whole blocks of the finest ones.

    Where a band's pixels lie in most of the scenes is what counts. A scene that has them elsewhere is warped.

    Parameters
    ----------
    lattice : Lattice
    bands : sequence of str
    """
    usual = {band: _usual(lattice, band) for band in bands}
    fine = min(usual.values(), key=lambda frame: frame.resolution)
    nested = {band: place for band, frame in usual.items() if (place := _nested(frame, fine)) is not None}
    shift = _common_corner(list(nested.values()))
    if shift is None:
        # Coarse pixels of several bands begin at no common corner: only the finest ones are kept as they are.
        nested = {band: place for band, place in nested.items() if place[0] == 1}
        shift = (0, 0)
    resolutions = {band: nested[band][0] * fine.resolution if band in nested else fine.resolution for band in bands}
    return Layout(fine.window(*shift, fine.height, fine.width), resolutions, frozenset(nested))


def _usual(lattice: Lattice, band: str) -> Frame:
    """Return a band's frame in the first of the scenes whose pixels lie where most scenes have them."""
    frames = [frame_of(scene, band) for scene in lattice.scenes]
    size = lattice.frame.resolution

    def phase(frame: Frame) -> tuple[float, ...]:
        steps = (frame.x0 - lattice.frame.x0, lattice.frame.y0 - frame.y0)
        factor = round(frame.resolution / size, 3)
        return factor, *(round(step / size, 2) % factor for step in steps)

    phases = [phase(frame) for frame in frames]
    most = Counter(phases).most_common(1)[0][0]
    return frames[phases.index(most)]


def _nested(frame: Frame, fine: Frame) -> tuple[int, int, int] | None:
    """Return how a band's pixels nest in the finest ones: (finest pixels to a side, row and column of its corner).

    None where they do not: a side is no whole number of the finest pixels, or the corner lies within one.
    """
    factor = frame.resolution / fine.resolution
    row, col = (fine.y0 - frame.y0) / fine.resolution, (frame.x0 - fine.x0) / fine.resolution
    drifts = (factor - round(factor)) * max(frame.height, frame.width), row - round(row), col - round(col)
    return (round(factor), round(row), round(col)) if max(map(abs, drifts)) <= PHASE_TOLERANCE else None


def _common_corner(places: Sequence[tuple[int, int, int]]) -> tuple[int, int] | None:
    """Return the (row, column), 0 or before, at which pixels of every band begin; None where there is none.

    ``places`` are those that `_nested` returns.
    """
    found = []
    for axis in (1, 2):
        steps = range(math.lcm(*(place[0] for place in places)))
        start = next((n for n in steps if all((place[axis] + n) % place[0] == 0 for place in places)), None)
        if start is None:
            return None
        found.append(-start)
    return found[0], found[1]


def region_side(
    layout: Layout, blocks: Sequence[tuple[str, Frame, tuple[int, int]]], wanted: int, most_m: float
) -> int:
    """Return the side of a region, in the finest pixels: the least multiple of every band's pixels and blocks.

    Parameters
    ----------
    layout : Layout
    blocks : sequence of (band, frame, (rows, columns) of a block)
        Of a file of each band.
    wanted : int
        The least side.
    most_m : float
        Metres; blocks that would make regions wider than this do not count.
    """
    size = layout.anchor.resolution
    factors = {band: round(layout.bands[band] / size) for band in layout.native}
    # Pixels come first: a region must not cut a coarse pixel in two, or it would not lie on that band's lattice.
    side = math.lcm(*factors.values())
    for (band, frame, shape), axis in product(blocks, (0, 1)):
        block, whole = shape[axis], (frame.height, frame.width)[axis]
        if band not in layout.native or not 1 < block < whole:
            continue
        both = math.lcm(side, block * factors[band])
        if both * size <= most_m:
            side = both
    return side * -(-wanted // side)
