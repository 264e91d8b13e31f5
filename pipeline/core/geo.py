"""Longitude and latitude: from a projected lattice to them, the antimeridian, and distances on the ground."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core.types import BadInput

MAX_EDGE_M = 1000.0
"""Longest edge that may stay straight in lon/lat, metres: a kilometre of a parallel bends by 2 cm x tan(latitude)."""


def split_bbox(west: float, south: float, east: float, north: float) -> Polygon | MultiPolygon:
    """Return a lon/lat box in degrees; where ``west > east`` it crosses the antimeridian and becomes two boxes."""
    if west <= east:
        return shapely.box(west, south, east, north)
    halves = [(west, 180.0), (-180.0, east)]
    parts = [shapely.box(a, south, b, north) for a, b in halves if b > a]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def to_lonlat(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """Transform polygons of a projected CRS to lon/lat.

    Long edges are densified first, so that they bend as the projection bends them.

    Parameters
    ----------
    geometry : Polygon or MultiPolygon
    epsg : int
        EPSG code of the projected CRS.

    Returns
    -------
    Polygon or MultiPolygon in OGC:CRS84, valid, split where it crosses the antimeridian.
    """
    return fix_antimeridian(_transform(shapely.segmentize(geometry, MAX_EDGE_M), epsg, "OGC:CRS84"))


def from_lonlat(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """Transform a lon/lat geometry, vertex by vertex, to a projected CRS; there halves at the antimeridian meet."""
    return _transform(geometry, "OGC:CRS84", epsg)


def point_lonlat(x: float, y: float, epsg: int) -> tuple[float, float]:
    """Transform a point of a projected CRS to (longitude, latitude) in degrees."""
    lon, lat = transformer(epsg, "OGC:CRS84").transform(x, y)
    return float(lon), float(lat)


def fix_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """Split the polygons of a lon/lat geometry at the antimeridian, so that every longitude lies within [-180, 180].

    A ring is taken to cross the antimeridian where two neighbouring vertices are more than 180 degrees apart, or where
    its longitudes go on beyond 180. The polygons that are returned are valid; points and lines are dropped. Coordinates
    that cannot be degrees are returned as they are, for the caller to refuse.

    Raises
    ------
    BadInput
        A ring goes around a pole.
    """
    polygons = _polygons(geometry)
    if not polygons:
        return Polygon()
    west, south, east, north = shapely.total_bounds(polygons)
    if west < -360 or east > 360 or south < -90 or north > 90:
        return geometry
    # Where all longitudes lie within half the globe, no two neighbours are further apart.
    whole = [shapely.force_2d(polygon) if east - west <= 180 else _unwrap(polygon) for polygon in polygons]
    parts = [part for polygon in whole for part in _split(polygon)]
    if len(parts) == 1:
        return parts[0]
    return shapely.union_all(parts)


def distance(a: BaseGeometry, epsg_a: int, b: BaseGeometry, epsg_b: int) -> float:
    """Measure the distance between two geometries, each in a projected CRS.

    The second one is transformed to the CRS of the first. A UTM zone is good for a few degrees beyond its borders
    (scale error 0.1-0.3 %), and since no longitudes come in between, the antimeridian does no harm.

    Parameters
    ----------
    a, b : geometry
    epsg_a, epsg_b : int
        EPSG codes of their CRSs.

    Returns
    -------
    float, metres.
    """
    if epsg_a != epsg_b:
        b = _transform(b, epsg_b, epsg_a)
    return float(shapely.distance(a, b))


def ground_area(geometry: BaseGeometry) -> float:
    """Measure the ground that a lon/lat geometry covers, in square metres on the WGS 84 ellipsoid."""
    geod = pyproj.Geod(ellps="WGS84")
    return math.fsum(abs(geod.geometry_area_perimeter(shapely.orient_polygons(p))[0]) for p in _polygons(geometry))


def label_point(geometry: BaseGeometry) -> tuple[float, float]:
    """Return (x, y) of a point inside the largest part of a polygon geometry."""
    largest = max(_polygons(geometry), key=lambda p: p.area)
    point = largest.representative_point()
    return point.x, point.y


@cache
def transformer(source: int | str, target: int | str) -> pyproj.Transformer:
    """Return the transformer from one CRS to another, which takes and gives x before y.

    Transformers are kept, since making one takes milliseconds.

    Parameters
    ----------
    source, target : int or str
        EPSG code or name of a CRS.
    """
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _transform(geometry: BaseGeometry, source: int | str, target: int | str) -> BaseGeometry:
    return shapely.transform(geometry, transformer(source, target).transform, interleaved=False)


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """Return the non-empty polygons of a geometry; collections may hold collections."""
    if geometry.geom_type == "Polygon":
        return [] if geometry.is_empty else [geometry]
    parts = shapely.get_parts(geometry) if hasattr(geometry, "geoms") else []
    return [polygon for part in parts for polygon in _polygons(part)]


def _unwrap(polygon: Polygon) -> BaseGeometry:
    """Make the longitudes of a polygon continuous: no edge is longer than 180 degrees."""
    shell = _unwrap_ring(np.asarray(polygon.exterior.coords)[:, :2])
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        hole = _unwrap_ring(np.asarray(ring.coords)[:, :2])
        hole[:, 0] += 360 * round((middle - (hole[:, 0].min() + hole[:, 0].max()) / 2) / 360)
        holes.append(hole)
    unwrapped = Polygon(shell, holes)
    if unwrapped.area == 0 < polygon.area:
        # It is a box around the whole globe, and means its edges of 360 degrees.
        return polygon
    return unwrapped


def _unwrap_ring(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make the longitudes of a closed ring, (vertex, 2) float64, continuous."""
    lon = np.unwrap(ring[:, 0], period=360.0)
    if abs(lon[-1] - lon[0]) > 180:
        raise BadInput("a polygon", "must not go around a pole", "Cut it into parts that lie beside the pole")
    return np.column_stack([lon, ring[:, 1]])


def _split(polygon: BaseGeometry) -> list[Polygon]:
    """Cut a polygon into valid polygons whose longitudes lie within [-180, 180]."""
    valid = polygon if polygon.is_valid else shapely.make_valid(polygon)
    west, _, east, _ = valid.bounds
    if west >= -180 and east <= 180:
        return _polygons(valid)
    parts: list[Polygon] = []
    for turn in range(math.floor((west + 180) / 360), math.floor((east + 180) / 360) + 1):
        world = shapely.box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)
        cut = translate(valid.intersection(world), xoff=-360.0 * turn)
        parts += [p for p in _polygons(cut) if p.area > 0]
    return parts
