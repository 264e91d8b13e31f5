"""What every pixel of a random archive is, and what must be read of it: stated before anything is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tests.archives.harms import fate
from tests.archives.worlds import NIR, RED, Place, Spec, World, move

LEVELS = {RED: (900.0, 7.0, 11.0, 37.0), NIR: (2600.0, 9.0, 5.0, 41.0)}
"""Band -> reflectance x 10000 at the corner, and its rise by pixel to the right, pixel down and date."""

STEEPEST = 20.0
"""Reflectance x 10000 by which neighbouring pixels differ at most."""


def reflectance(world: World, band: str, take: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return reflectance x 10000 at coordinates in the CRS of the world: a plane, which resampling does not bend."""
    level, right, down, date = LEVELS[band]
    found: np.ndarray = (
        level + right * (x - world.left) / world.fine + down * (world.top - y) / world.fine + date * take
    )
    return found


def clouds(world: World, take: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how deep in clouds a point lies, in finest pixels; below 0 it is clear."""
    angle = 0.7 * take + world.seed
    a, b = math.cos(angle), math.sin(angle)
    middle = world.places[0]
    u = (x - world.left - middle.width / 2) / world.fine
    v = (world.top - middle.height / 2 - y) / world.fine
    found: np.ndarray = a * u + b * v - (take * 5 % 17 - 2) - 0.123
    return found


def classes(world: World, take: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the values of the mask."""
    kinds = world.classes
    return np.where(
        clouds(world, take, x, y) > 0, kinds.cloudy[take % len(kinds.cloudy)], kinds.clear[take % len(kinds.clear)]
    )


def extent(place: Place, side: float) -> tuple[int, int]:
    """Return the (rows, columns) of whole pixels that cover a place."""
    return math.ceil(place.height / side - 1e-6), math.ceil(place.width / side - 1e-6)


def depth(world: World, spec: Spec, band: str, x: np.ndarray, y: np.ndarray, *, gaps: bool = True) -> np.ndarray:
    """Return how far inside an item's data points lie, metres; below 0 they lie outside."""
    side, place = world.sides[band], spec.place
    rows, cols = extent(place, side)
    own = (x, y) if place.epsg == world.epsg else move(world.epsg, place.epsg, x, y)
    edges = [
        own[0] - place.left,
        place.left + cols * side - own[0],
        place.top - own[1],
        own[1] - (place.top - rows * side),
    ]
    if gaps:
        edges += [c - a * x - b * y for a, b, c in filter(None, (spec.gap,))]
    found: np.ndarray = np.minimum.reduce(edges)
    return found


@dataclass(frozen=True)
class Expected:
    """What is said beforehand of some points on one date, in one band."""

    must: np.ndarray
    """Whether something must be read there."""
    may: np.ndarray
    """Whether something may be read there."""
    edge: np.ndarray
    """Whether it lies at an edge of data, where resampling mixes in what is missing."""


def margin(world: World, band: str) -> float:
    """Return how far from the edges of data resampling reaches, metres; about 0 where nothing is resampled."""
    return 2.1 * max(world.sides[band], world.resolution or world.fine) if world.warps(band) else 1e-3 * world.fine


def expect(world: World, band: str, take: int, x: np.ndarray, y: np.ndarray) -> Expected:
    """Say what is read of a band on a date, at points in the CRS of the world.

    Where scenes share a lattice, a point has whatever one of them has. Where tiles keep their own, one of those that
    cover a point owns it, and so it must have what all of them have; a tile with few dates owns nothing that a tile
    with many covers.
    """
    reach = margin(world, band)
    together = world.lattice == "zone" or world.resolution not in (None, world.fine) or len(world.places) == 1
    may, edge = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    groups: list[tuple[bool, np.ndarray, np.ndarray]] = []
    for place in (None,) if together else world.places:
        specs = [s for s in world.specs if place is None or s.place.code == place.code]
        read, covered = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
        for spec in specs:
            what = fate(world, spec, band)
            covered |= depth(world, spec, band, x, y, gaps=False) > -reach
            if spec.take != take or what == "no":
                continue
            inside = depth(world, spec, band, x, y)
            read |= (inside > reach) & (what == "read")
            may |= inside > -reach
            edge |= abs(inside) <= reach
        groups.append((place is not None and place.code == world.poor, covered, read))
    owners = [g for g in groups if not g[0]]
    by_rich = np.logical_or.reduce([covered for _, covered, _ in owners])
    must = np.logical_and.reduce([read | ~covered for _, covered, read in owners]) & by_rich
    for _, _, read in (g for g in groups if g[0]):
        must |= read & ~by_rich
    return Expected(must, may, edge)
