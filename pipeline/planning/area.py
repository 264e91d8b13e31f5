"""The area of interest: where it is, and which pixels of a frame lie in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput

NEAR_DEGREES = 0.1
"""How far around a frame an area is kept: more than what edges bend between two corners."""


def load_area(config: Config) -> BaseGeometry:
    """Read the area of interest from the configuration or from its GeoJSON file.

    Returns
    -------
    Polygon or MultiPolygon, lon/lat, split where it crosses the antimeridian.

    Raises
    ------
    BadInput
        The GeoJSON file is absent, is not GeoJSON in lon/lat, or holds no area.
    """
    if config.area.bbox is not None:
        west, south, east, north = config.area.bbox
        return geo.split_bbox(west, south, east, north)
    assert config.area.geometry is not None
    path = Path(config.path(config.area.geometry))
    what = f"[area] geometry = {config.area.geometry!r}"
    try:
        data = json.loads(path.read_text())
        parts = data["features"] if data["type"] == "FeatureCollection" else [data]
        shapes = [shapely.geometry.shape(p["geometry"] if p["type"] == "Feature" else p) for p in parts]
    except FileNotFoundError:
        raise BadInput(what, "the file must exist", "Check the path") from None
    except OSError as error:
        raise BadInput(what, f"cannot be read ({error.strerror})", "Name a GeoJSON file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            what, f"must be GeoJSON ({error})", "Write a Polygon, a Feature or a FeatureCollection"
        ) from None
    whole = shapely.union_all([geo.fix_antimeridian(s) for s in shapes])
    polygons = [p for p in shapely.get_parts(whole) if p.geom_type == "Polygon" and p.area > 0]
    if not polygons:
        raise BadInput(what, "must hold some area", "Give polygons, not points or lines")
    west, south, east, north = shapely.total_bounds(polygons)
    if west < -180 or east > 180 or south < -90 or north > 90:
        raise BadInput(what, "must be in degrees of longitude and latitude", "Reproject it to EPSG:4326")
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def project(area: BaseGeometry, epsg: int) -> BaseGeometry:
    """Transform a lon/lat geometry to a projected CRS; long edges are bent as the projection bends them."""
    return _projected(_dense(area), epsg)


@lru_cache(maxsize=4)
def _dense(area: BaseGeometry) -> BaseGeometry:
    return shapely.segmentize(area, 0.01)


def _projected(dense: BaseGeometry, epsg: int) -> BaseGeometry:
    # Halves that meet at the antimeridian become one; with the default method their seam would stay as a line.
    return shapely.make_valid(geo.from_lonlat(dense, epsg), method="structure", keep_collapsed=False)


def around(area: BaseGeometry, frame: Frame) -> BaseGeometry:
    """Return what of a lon/lat area lies on a frame or near it, in the frame's CRS.

    Within the frame it is the same as the area projected; a country's outline need not be projected for every grid.
    """
    dense = _dense(area)
    west, south, east, north = geo.transformer(frame.epsg, 4326).transform_bounds(*frame.bounds)
    if west < east:  # it does not cross the antimeridian
        near = (west - NEAR_DEGREES, south - NEAR_DEGREES, east + NEAR_DEGREES, north + NEAR_DEGREES)
        dense = shapely.clip_by_rect(dense, *near)
    return _projected(dense, frame.epsg)


def covers(area: BaseGeometry, frame: Frame) -> bool:
    """Tell whether an area, in the CRS of a frame, holds all of the frame."""
    return bool(area.contains(shapely.box(*frame.bounds)))


def inside(area: BaseGeometry, frame: Frame) -> NDArray[np.bool_]:
    """Tell which pixels of a frame have their centres in an area.

    Parameters
    ----------
    area : geometry
        The area, in the CRS of the frame.
    frame : Frame

    Returns
    -------
    (height, width) bool
    """
    shape = (frame.height, frame.width)
    if covers(area, frame):
        return np.ones(shape, bool)
    clipped = area.intersection(shapely.box(*frame.bounds))
    if clipped.is_empty:
        return np.zeros(shape, bool)
    return np.asarray(rasterio.features.geometry_mask([clipped], shape, Affine(*frame.transform), invert=True))


def uncovered_km2(area: BaseGeometry, sources: Sequence[Frame]) -> float:
    """Measure the ground of an area that lies outside some frames, in square kilometres.

    Parameters
    ----------
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    sources : sequence of Frame
        At least one frame. The ground is measured in the CRS of the first one.
    """
    epsg = sources[0].epsg
    left = project(area, epsg)
    for source in sources:
        box = shapely.segmentize(shapely.box(*source.bounds), 1000)
        left = left.difference(box if source.epsg == epsg else project(geo.to_lonlat(box, source.epsg), epsg))
    return float(left.area) / 1e6
