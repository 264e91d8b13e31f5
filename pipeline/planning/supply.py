"""How many observations each grid has of each piece of ground, where grids overlap.

A neighbour of which a third of the scenes is missing must not own ground only because that ground lies deeper in it. So
the ground is cut into pieces, at a lattice of cells and at the edges of grids, and the scenes whose footprints hold a
point of each piece are counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.types import Grid, Scene

FEW = 0.8
"""A grid has few observations of a piece of ground where it has less than this share of what the best grid has."""

SHORT = 0.5
"""A pixel is short of observations where its owner has less than this share of all that meet it."""

CELLS = 2000
"""Cells into which the box of an area is cut, about."""

WIDEST_CELL = 0.05
"""Degrees; a cell is no wider, however large the area."""

THIN = 0.02
"""Pieces narrower than this share of a cell's side are left out: a hundred metres, where cells are widest."""

STRAIGHT = 1e-5
"""Degrees by which a straight edge may pass a bent one; a metre."""

Ground = Mapping[tuple[str, str], BaseGeometry]
"""(collection, id) of an item -> the ground that it covers, lon/lat."""


@dataclass(frozen=True)
class Supply:
    """Where grids that overlap have few observations."""

    few: Mapping[str, BaseGeometry]
    """Name of a grid -> the ground of which it has far fewer observations than another grid; lon/lat."""
    short: Mapping[str, BaseGeometry]
    """Name of a grid -> the ground of which it has less than half of all observations that meet it; lon/lat."""


NO_OVERLAP = Supply({}, {})
"""What is known of grids that share no ground."""


def weigh(drafts: Sequence[tuple[Grid, Sequence[Scene]]], area: BaseGeometry, ground: Ground) -> Supply:
    """Count the observations of each grid, piece by piece of the area.

    Parameters
    ----------
    drafts : sequence of (Grid, sequence of Scene)
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    ground : mapping
        What each item covers; an item that is not there is taken to cover all of its files.
    """
    if len(drafts) < 2:
        return NO_OVERLAP
    reach = np.array([_reach(grid) for grid, _ in drafts])
    pieces = _pieces(area, reach)
    if not pieces.size:
        return NO_OVERLAP
    tree = STRtree(shapely.point_on_surface(pieces))
    inside = [tree.query(shape, "intersects") for shape in reach]
    count, every = _count(drafts, ground, tree, inside)
    best = np.zeros(pieces.size, np.int64)
    for at, counted in zip(inside, count, strict=True):
        best[at] = np.maximum(best[at], counted)
    few: dict[str, BaseGeometry] = {}
    short: dict[str, BaseGeometry] = {}
    for (grid, _), at, counted in zip(drafts, inside, count, strict=True):
        for found, lacks in ((few, counted < FEW * best[at]), (short, counted < SHORT * every[at])):
            if lacks.any():
                found[grid.name] = shapely.union_all(pieces[at[lacks]])
    return Supply(few, short)


def _count(
    drafts: Sequence[tuple[Grid, Sequence[Scene]]], ground: Ground, tree: STRtree, inside: Sequence[NDArray[np.intp]]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Count the datatakes that meet each piece of ground, of which a tree holds points.

    Returns
    -------
    of each draft's pieces, ``inside``, those of its own scenes; of all pieces, those of any scene.
    """
    takes: dict[str, dict[int, list[Scene]]] = defaultdict(lambda: defaultdict(list))
    for number, (_, scenes) in enumerate(drafts):
        for scene in scenes:
            takes[scene.datatake][number].append(scene)
    count = [np.zeros(at.size, np.int64) for at in inside]
    every = np.zeros(len(tree.geometries), np.int64)
    for met in takes.values():
        seen = np.zeros(every.size, np.bool_)
        for number, scenes in met.items():
            covered = [ground.get((scene.collection, scene.id)) for scene in scenes]
            at = [inside[number] if shape is None else tree.query(shape, "intersects") for shape in covered]
            there = np.unique(np.concatenate(at))
            seen[there] = True
            count[number] += np.isin(inside[number], there, assume_unique=True)
        every += seen
    return count, every


def with_sparse(grid: Grid, supply: Supply) -> Grid:
    """Return a grid that leaves ground to others where it has far fewer observations than they."""
    few = supply.few.get(grid.name)
    return grid if few is None else replace(grid, sparse=shapely.to_wkb(shapely.set_precision(few, 1e-9), hex=True))


def _reach(grid: Grid) -> BaseGeometry:
    """Return the ground that a grid may own, lon/lat, with as many vertices as its bent edges need."""
    return shapely.union_all([crs.ground(frame) for _, frame in grid.claimed]).simplify(STRAIGHT)


def _pieces(area: BaseGeometry, reach: NDArray[np.object_]) -> NDArray[np.object_]:
    """Cut the ground that several grids reach into pieces that lie wholly inside or outside of each grid."""
    one, other = STRtree(reach).query(reach, "intersects")
    pairs = one < other
    shared = shapely.union_all(shapely.intersection(reach[one[pairs]], reach[other[pairs]])).intersection(area)
    found = [part for part in shapely.get_parts(shared) if part.geom_type == "Polygon" and part.area > 0]
    if not found:
        return np.array([], object)
    cells = _cells(found)
    meets = np.zeros(cells.size, np.bool_)
    meets[STRtree(cells).query(np.array(found), "intersects")[1]] = True
    pieces = _cut(_within(area, cells[meets]), reach)
    # Where a footprint's straight edge passes a tile's bent one, there are slivers that no scene seems to cover.
    widths = 2 * shapely.area(pieces) / shapely.length(pieces)
    pieces = pieces[widths > THIN * math.sqrt(shapely.area(cells[0]))]
    there = STRtree(shapely.point_on_surface(pieces)).query(reach, "intersects")[1]
    return np.asarray(pieces[np.bincount(there, minlength=pieces.size) > 1])


def _cells(found: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    """Return the squares of a lattice that covers some polygons."""
    west, south, east, north = shapely.total_bounds(found)
    side = min(math.sqrt((east - west) * (north - south) / CELLS), WIDEST_CELL)
    lon, lat = np.arange(west, east, side), np.arange(south, north, side)
    corners = np.stack(np.meshgrid(lon, lat), axis=-1).reshape(-1, 2)
    return np.asarray(shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + side, corners[:, 1] + side))


def _within(area: BaseGeometry, cells: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return what of each cell lies in an area."""
    shapely.prepare(area)
    whole = shapely.contains(area, cells)
    # An outline of many vertices is cut by rectangles many times faster than by polygons.
    parts = [shapely.make_valid(shapely.clip_by_rect(area, *cell.bounds)) for cell in cells[~whole]]
    found = np.concatenate([cells[whole], np.array(parts, object)])
    return np.asarray(found[shapely.area(found) > 0])


def _cut(cells: NDArray[np.object_], shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Cut cells along the edges of shapes; each round cuts all that is left of a cell along one more edge."""
    crossing, crossed = STRtree(cells).query(shapely.boundary(shapes), "intersects")
    order = np.lexsort((crossing, crossed))
    crossing, crossed = crossing[order], crossed[order]
    first = np.searchsorted(crossed, np.arange(cells.size + 1))
    pieces, cell = cells, np.arange(cells.size)
    done: list[NDArray[np.object_]] = []
    for turn in range(int(np.diff(first).max(initial=0)) + 1):
        left = first[cell] + turn < first[cell + 1]
        done.append(pieces[~left])
        pieces, cell = pieces[left], cell[left]
        by = shapes[crossing[first[cell] + turn]]
        pieces = np.concatenate([shapely.intersection(pieces, by), shapely.difference(pieces, by)])
        cell = np.tile(cell, 2)
        some = shapely.area(pieces) > 0
        pieces, cell = pieces[some], cell[some]
    return np.concatenate(done)
