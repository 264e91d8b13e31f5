"""Items of tiles of Sentinel-2, as Earth Search writes them, for archives that a benchmark makes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo

SIDES = {"blue": 10, "red": 10, "nir": 10, "swir16": 20, "scl": 20}
"""Band -> side of its pixels, metres."""
WHOLE = 10980
"""Side of a whole tile, pixels of 10 m."""


@dataclass(frozen=True)
class Tile:
    """Where a tile lies."""

    code: str
    """Its name in the MGRS."""
    epsg: int
    x0: float
    """Left edge, metres."""
    y0: float
    """Top edge, metres."""

    def box(self, size: int) -> BaseGeometry:
        """Return its ground, of so many pixels of 10 m a side, in its CRS."""
        return shapely.box(self.x0, self.y0 - 10 * size, self.x0 + 10 * size, self.y0)


def item(tile: Tile, day: str, folder: str, size: int = WHOLE) -> dict[str, Any]:
    """Return the item of one day.

    Parameters
    ----------
    tile : Tile
    day : str
        As in "2021-01-03".
    folder : str
        Where its files lie, beside the file of items.
    size : int
        Side of the tile, pixels of 10 m.
    """
    assets = {}
    for band, side in SIDES.items():
        numbers: dict[str, Any] = {"nodata": 0, "data_type": "uint8"}
        if band != "scl":
            numbers = {"nodata": 0, "data_type": "uint16", "scale": 1e-4, "offset": 0}
        assets[band] = {
            "href": f"./{folder}/{band}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "proj:shape": [size * 10 // side] * 2,
            "proj:transform": [side, 0, tile.x0, 0, -side, tile.y0],
            "raster:bands": [numbers],
        }
    return feature(tile.code, tile.epsg, day, tile.box(size), assets)


def feature(code: str, epsg: int, day: str, ground: BaseGeometry, assets: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of one day with some assets; the offset is gone from pixels and item alike.

    Parameters
    ----------
    code : str
        The tile's name in the MGRS.
    epsg : int
    day : str
        As in "2021-01-03".
    ground : Polygon
        What it covers, in this CRS.
    assets : mapping
    """
    footprint = geo.to_lonlat(ground, epsg)
    compact = day.replace("-", "")
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2A_{code}_{compact}_0_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": json.loads(shapely.to_geojson(footprint)),
        "bbox": list(footprint.bounds),
        "links": [],
        "properties": {
            "datetime": f"{day}T07:47:00.000Z",
            "platform": "sentinel-2a",
            "proj:epsg": epsg,
            "grid:code": f"MGRS-{code}",
            "s2:processing_baseline": "05.00",
            "s2:datatake_id": f"GS2A_{compact}T074700_{zlib.crc32(day.encode()) % 10**6:06d}_N05.00",
            "earthsearch:boa_offset_applied": True,
        },
        "assets": assets,
    }
