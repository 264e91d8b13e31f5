"""Which CRS a file means, and whether rasters meet on the ground, whatever their CRSs."""

from __future__ import annotations

import math
from functools import lru_cache

import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame

UNNAMED_DATUMS = ("unknown", "not_specified", "not specified", "unnamed")
"""How the name of a datum begins that a file does not tell."""

WGS84 = (6378137.0, 298.257223563)
"""Semi-major axis, metres, and inverse flattening of the ellipsoid of WGS 84."""


def utm_epsg(zone: int, south: bool) -> int:
    """Return the EPSG code of a UTM zone on WGS 84."""
    return (32700 if south else 32600) + zone


def is_utm(epsg: int) -> bool:
    """Tell whether an EPSG code is that of a UTM zone on WGS 84."""
    return 32601 <= epsg <= 32660 or 32701 <= epsg <= 32760


def epsg_of(crs: pyproj.CRS, told: int | None = None) -> int | None:
    """Return the EPSG code that a file's CRS means.

    Some archives write the CRS without its code. HLS, for one, has UTM zones on "Unknown datum based upon the WGS 84
    ellipsoid". Such a zone evidently means the zone on WGS 84, which is what the archive's own items say.

    Parameters
    ----------
    crs : pyproj.CRS
    told : int, optional
        The code that somebody else gives it, which counts where the CRS has the projection of that code.

    Returns
    -------
    int, or None where no code has this CRS.
    """
    unnamed = crs.datum is None or crs.datum.name.lower().startswith(UNNAMED_DATUMS)
    # PROJ would guess a datum for one that is not named, and so turn a zone on WGS 84 into one of the Gulf's.
    code = _evident_utm(crs) if unnamed else crs.to_epsg()
    if code is None and told is not None and _projection(pyproj.CRS.from_epsg(told)) == _projection(crs):
        code = told
    return code


def _evident_utm(crs: pyproj.CRS) -> int | None:
    """Return the code of the UTM zone that a projection's parameters are those of, on the ellipsoid of WGS 84."""
    shape, operation = crs.ellipsoid, crs.coordinate_operation
    if not crs.is_projected or shape is None or operation is None or operation.method_name != "Transverse Mercator":
        return None
    if abs(shape.semi_major_metre - WGS84[0]) > 1e-3 or abs(shape.inverse_flattening - WGS84[1]) > 1e-9:
        return None
    values = [float(p.value) * p.unit_conversion_factor for p in operation.params]
    if len(values) != 5 or {axis.unit_conversion_factor for axis in crs.axis_info} != {1.0}:
        return None
    latitude, longitude, scale, east, north = values
    zone = (math.degrees(longitude) + 183) / 6
    good = abs(zone - round(zone)) < 1e-9 and 1 <= round(zone) <= 60 and latitude == 0 and abs(scale - 0.9996) < 1e-9
    if not good or east != 500_000 or north not in (0, 10_000_000):
        return None
    return utm_epsg(round(zone), north > 0)


def _projection(crs: pyproj.CRS) -> tuple[object, ...] | None:
    """Return what a projection is made of: method, parameters and ellipsoid; None where it is no projection."""
    operation, shape = crs.coordinate_operation, crs.ellipsoid
    if not crs.is_projected or operation is None or shape is None:
        return None
    values = sorted((p.name, round(float(p.value) * p.unit_conversion_factor, 9)) for p in operation.params)
    return operation.method_name, tuple(values), round(shape.semi_major_metre, 3), round(shape.inverse_flattening, 4)


@lru_cache(maxsize=65536)
def is_metric(epsg: int) -> bool:
    """Tell whether a CRS is projected, and so has metres."""
    return bool(pyproj.CRS.from_epsg(epsg).is_projected)


@lru_cache(maxsize=65536)
def ground(frame: Frame) -> BaseGeometry:
    """Return the ground of a frame, a lon/lat geometry that is split at the antimeridian."""
    box = shapely.box(*frame.bounds)
    return geo.to_lonlat(box, frame.epsg) if is_metric(frame.epsg) else geo.fix_antimeridian(box)


def meet(a: Frame, b: Frame) -> bool:
    """Tell whether two frames share some ground."""
    if a.epsg == b.epsg:
        left, bottom, right, top = a.bounds
        other = b.bounds
        return left < other[2] and other[0] < right and bottom < other[3] and other[1] < top
    return bool(ground(a).intersects(ground(b)))


def demand_reach(own: Frame, told: Frame, target: Frame) -> None:
    """Raise ValueError where a raster reaches nothing of a window of which it should reach some.

    Parameters
    ----------
    own : Frame
        Where the raster lies, by its own header.
    told : Frame
        Where the plan has it.
    target : Frame
        The window that is read.
    """
    if meet(told, target) and not meet(own, target):
        raise ValueError(f"its raster does not reach where its item says: it lies in EPSG:{own.epsg} at {own.bounds}")
