"""Items of tiles of Sentinel-2, as Earth Search writes them, for archives that a benchmark makes."""

from __future__ import annotations

import json
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
    footprint = geo.to_lonlat(tile.box(size), tile.epsg)
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
    compact = day.replace("-", "")
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2A_{tile.code}_{compact}_0_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": json.loads(shapely.to_geojson(footprint)),
        "bbox": list(footprint.bounds),
        "links": [],
        "properties": {
            "datetime": f"{day}T07:47:00.000Z",
            "platform": "sentinel-2a",
            "proj:epsg": tile.epsg,
            "grid:code": f"MGRS-{tile.code}",
            "s2:processing_baseline": "05.00",
            "s2:datatake_id": f"GS2A_{compact}T074700_{int(compact) % 1_000_000:06d}_N05.00",
            "earthsearch:boa_offset_applied": True,
        },
        "assets": assets,
    }
