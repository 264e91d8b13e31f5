"""Longitude and latitude: from a projected lattice to them, the antimeridian, and distances on the ground."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pyproj
import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core.types import BadInput

MAX_EDGE_M = 1000.0
"""Longest edge that stays straight in lon/lat: a kilometre of a parallel bends by 2 cm x tan(latitude)."""


def split_bbox(west: float, south: float, east: float, north: float) -> Polygon | MultiPolygon:
    """A lon/lat box in degrees; ``west > east`` crosses the antimeridian and gives two boxes."""
    if west <= east:
        return shapely.box(west, south, east, north)
    halves = [(west, 180.0), (-180.0, east)]
    parts = [shapely.box(a, south, b, north) for a, b in halves if b > a]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def to_lonlat(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """Polygons of a projected CRS in lon/lat (OGC:CRS84), valid, split where they cross the antimeridian.

    Long edges are densified first, so that they bend as the projection bends them.
    """
    return fix_antimeridian(_transform(shapely.segmentize(geometry, MAX_EDGE_M), epsg, "OGC:CRS84"))


def from_lonlat(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """A lon/lat geometry, vertex by vertex, in a projected CRS; halves at the antimeridian meet again."""
    return _transform(geometry, "OGC:CRS84", epsg)


def point_lonlat(x: float, y: float, epsg: int) -> tuple[float, float]:
    """(longitude, latitude) of a point of a projected CRS."""
    lon, lat = transformer(epsg, "OGC:CRS84").transform(x, y)
    return float(lon), float(lat)


def fix_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """The polygons of a lon/lat geometry with every longitude within [-180, 180], split at the antimeridian.

    A ring whose neighbouring vertices are more than 180 degrees apart is read as crossing the antimeridian, as is one
    that goes on beyond 180. Polygons come back valid; points and lines are dropped. Coordinates that cannot be degrees
    are left as they are, for the caller to refuse.

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
    """Metres between two geometries of projected CRSs, measured in the first one's.

    A UTM zone holds for a few degrees beyond its borders (scale error 0.1-0.3 %), and going from zone to zone without
    longitudes in between knows no antimeridian.
    """
    if epsg_a != epsg_b:
        b = _transform(b, epsg_b, epsg_a)
    return float(shapely.distance(a, b))


def ground_area(geometry: BaseGeometry) -> float:
    """Square metres on the WGS 84 ellipsoid that a lon/lat geometry covers."""
    geod = pyproj.Geod(ellps="WGS84")
    return math.fsum(abs(geod.geometry_area_perimeter(shapely.orient_polygons(p))[0]) for p in _polygons(geometry))


def label_point(geometry: BaseGeometry) -> tuple[float, float]:
    """(x, y) of a point inside the largest part of a polygon geometry."""
    largest = max(_polygons(geometry), key=lambda p: p.area)
    point = largest.representative_point()
    return point.x, point.y


@cache
def transformer(source: int | str, target: int | str) -> pyproj.Transformer:
    """From one CRS (EPSG code or name) to another, x and y first; made once, since making one takes milliseconds."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _transform(geometry: BaseGeometry, source: int | str, target: int | str) -> BaseGeometry:
    return shapely.transform(geometry, transformer(source, target).transform, interleaved=False)


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The non-empty polygons of a geometry, collections within collections included."""
    if geometry.geom_type == "Polygon":
        return [] if geometry.is_empty else [geometry]
    parts = shapely.get_parts(geometry) if hasattr(geometry, "geoms") else []
    return [polygon for part in parts for polygon in _polygons(part)]


def _unwrap(polygon: Polygon) -> BaseGeometry:
    """The polygon with continuous longitudes: no edge is longer than 180 degrees."""
    shell = _unwrap_ring(np.asarray(polygon.exterior.coords)[:, :2])
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        hole = _unwrap_ring(np.asarray(ring.coords)[:, :2])
        hole[:, 0] += 360 * round((middle - (hole[:, 0].min() + hole[:, 0].max()) / 2) / 360)
        holes.append(hole)
    unwrapped = Polygon(shell, holes)
    if unwrapped.area == 0 < polygon.area:
        # A box around the whole globe: its edges of 360 degrees are meant.
        return polygon
    return unwrapped


def _unwrap_ring(ring: np.ndarray) -> np.ndarray:
    """(vertex, 2) float64 of a closed ring, the longitudes continuous."""
    lon = np.unwrap(ring[:, 0], period=360.0)
    if abs(lon[-1] - lon[0]) > 180:
        raise BadInput("a polygon", "must not go around a pole", "Cut it into parts that lie beside the pole")
    return np.column_stack([lon, ring[:, 1]])


def _split(polygon: BaseGeometry) -> list[Polygon]:
    """Valid polygons within [-180, 180] degrees of longitude."""
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
