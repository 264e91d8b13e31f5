"""How many observations each grid has of each piece of ground, where grids overlap.

A neighbour of which a third of the scenes is missing must not own ground only because that ground lies deeper in it. So
the ground is cut into pieces, at a lattice of cells and at the edges of grids, and the scenes whose footprints hold a
point of each piece are counted.
"""

from __future__ import annotations

import math
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
    reach = [shapely.union_all([crs.ground(frame) for _, frame in grid.claimed]) for grid, _ in drafts]
    pieces = _pieces(area, reach)
    if not pieces.size:
        return NO_OVERLAP
    points = shapely.point_on_surface(pieces)
    tree = STRtree(points)
    inside = np.zeros((len(drafts), len(pieces)), bool)
    seen: dict[str, NDArray[np.bool_]] = {}
    count = np.zeros((len(drafts), len(pieces)), np.int64)
    for number, (_, scenes) in enumerate(drafts):
        inside[number, tree.query(reach[number], "intersects")] = True
        takes: dict[str, NDArray[np.bool_]] = {}
        for scene in scenes:
            covered = ground.get((scene.collection, scene.id))
            at = tree.query(reach[number] if covered is None else covered, "intersects")
            for table in (takes, seen):
                table.setdefault(scene.datatake, np.zeros(len(pieces), bool))[at] = True
        count[number] = sum((met.astype(np.int64) for met in takes.values()), np.zeros(len(pieces), np.int64))
    count[~inside] = 0
    best, every = count.max(axis=0), sum(met.astype(np.int64) for met in seen.values())
    few = inside & (count < FEW * best)
    short = inside & (count < SHORT * every)
    names = [grid.name for grid, _ in drafts]
    return Supply(
        {name: shapely.union_all(pieces[few[n]]) for n, name in enumerate(names) if few[n].any()},
        {name: shapely.union_all(pieces[short[n]]) for n, name in enumerate(names) if short[n].any()},
    )


def with_sparse(grid: Grid, supply: Supply) -> Grid:
    """Return a grid that leaves ground to others where it has far fewer observations than they."""
    few = supply.few.get(grid.name)
    return grid if few is None else replace(grid, sparse=shapely.to_wkb(shapely.set_precision(few, 1e-9), hex=True))


def _pieces(area: BaseGeometry, reach: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    """Cut the ground that several grids reach into pieces that lie wholly inside or outside of each grid."""
    shapes = np.array(reach)
    one, other = STRtree(shapes).query(shapes, "intersects")
    pairs = one < other
    together = shapely.union_all(shapely.intersection(shapes[one[pairs]], shapes[other[pairs]])).intersection(area)
    found = [part for part in shapely.get_parts(together) if part.geom_type == "Polygon" and part.area > 0]
    if not found:
        return np.array([], object)
    west, south, east, north = shapely.total_bounds(found)
    side = min(math.sqrt((east - west) * (north - south) / CELLS), WIDEST_CELL)
    lon, lat = np.arange(west, east, side), np.arange(south, north, side)
    corners = np.stack(np.meshgrid(lon, lat), axis=-1).reshape(-1, 2)
    cells = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + side, corners[:, 1] + side)
    whole = shapely.union_all(found)
    shapely.prepare(whole)
    cells = cells[shapely.intersects(whole, cells)]
    cut = np.where(shapely.contains(whole, cells), cells, shapely.intersection(whole, cells))
    for shape in reach:
        edge = shapely.boundary(shape)
        shapely.prepare(edge)
        crossed = shapely.intersects(edge, cut)
        if crossed.any():
            parts = shapely.intersection(cut[crossed], shape), shapely.difference(cut[crossed], shape)
            cut = np.concatenate([cut[~crossed], *parts])
    return np.asarray(cut[shapely.area(cut) > 0])
