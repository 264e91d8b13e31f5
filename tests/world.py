"""Small sources whose every pixel is known: tiles, dates and a function of them, as GeoTIFFs and Earth Search items."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.frame import Frame

SIDES = {"blue": 10, "red": 10, "nir": 10, "swir16": 20, "scl": 20}
CLEAR = 5
Pixels = Callable[[str, "Tile", int, np.ndarray, np.ndarray], Any]
"""(band, tile, number of the date, x, y of the pixel centres) -> digital numbers."""


class Sections(TypedDict, total=False):
    """Sections of a configuration, each with the keys that a test sets."""

    area: Mapping[str, Any]
    source: Mapping[str, Any]
    output: Mapping[str, Any]
    cube: Mapping[str, Any]
    detect: Mapping[str, Any]
    cluster: Mapping[str, Any]
    run: Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """A tile of `size` x `size` pixels of 10 m."""

    code: str
    epsg: int
    x0: float
    y0: float
    size: int = 128

    def frame(self, side: int = 10) -> Frame:
        return Frame(self.epsg, self.x0, self.y0, side, self.size * 10 // side, self.size * 10 // side)

    @property
    def footprint(self) -> BaseGeometry:
        """Polygon of the tile in lon/lat."""
        return geo.to_lonlat(shapely.box(*self.frame().bounds), self.epsg)


def plain(band: str, _tile: Tile, number: int, _x: np.ndarray, _y: np.ndarray) -> Any:
    """Pixels that are clear, and the same everywhere: each band its own level, a little noise by date."""
    if band == "scl":
        return CLEAR
    level = {"blue": 600, "red": 800, "nir": 2500, "swir16": 2200}[band]
    return level + 20 * np.sin(12.9898 * number + len(band))


def works(dates: Sequence[str], site: tuple[float, float, float, float], onset: str, halt: str) -> Pixels:
    """Return seasonal grass; a site (its centre, half its width and height) is cleared, worked on, and built."""
    days_in = (np.array(dates, "datetime64[D]") - np.datetime64(dates[0])).astype(int)

    def pixels(band: str, _tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
        if band == "scl":
            return np.where((number % 4 == 3) & (x + y > 0), 9, CLEAR)
        season = np.sin(2 * np.pi * days_in[number] / 365.25)
        grass = {"blue": 500, "red": 700 - 200 * season, "nir": 3000 + 700 * season, "swir16": 2000 - 300 * season}
        bare = {"blue": 1200, "red": 2000, "nir": 2600, "swir16": 3300}
        rng = np.random.default_rng([number, len(band)])
        noise, unrest = rng.normal(0, 40), rng.normal(0, 450)
        if dates[number] < onset:
            return grass[band] + noise + 0 * x + 0 * y
        inside = (abs(x - site[0]) < site[2]) & (abs(y - site[1]) < site[3])
        return np.where(inside, bare[band] + noise + (unrest if dates[number] <= halt else 0.0), grass[band] + noise)

    return pixels


def write_raster(
    path: Path, values: np.ndarray, frame: Frame, *, mask: np.ndarray | None = None, **creation: Any
) -> None:
    """Write a GeoTIFF of (rows, columns) or (band, rows, columns), with an internal mask if one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = values if values.ndim == 3 else values[None]
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": len(bands),
        "height": frame.height,
        "width": frame.width,
        "crs": f"EPSG:{frame.epsg}",
        "transform": Affine(*frame.transform),
        **creation,
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as target:
        target.write(bands)
        if mask is not None:
            target.write_mask(mask)


def write_tif(
    path: Path, values: np.ndarray, frame: Frame, *, block: int = 64, nodata: float | None = 0, **options: Any
) -> None:
    """Write a tiled, deflated GeoTIFF with predictor 2."""
    usual = {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate", "predictor": 2}
    write_raster(path, values, frame, **{"nodata": nodata, **usual, **options})


def feature(
    name: str, footprint: BaseGeometry, properties: Mapping[str, Any], assets: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a STAC 1.0 item of Sentinel-2."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": "sentinel-2-l2a",
        "geometry": json.loads(shapely.to_geojson(footprint)),
        "bbox": list(footprint.bounds),
        "links": [],
        "properties": dict(properties),
        "assets": dict(assets),
    }


def item(
    tile: Tile,
    date: str,
    *,
    suffix: str = "0",
    baseline: str = "05.00",
    properties: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return an item as Earth Search writes them, with relative hrefs, and these properties beside the usual ones."""
    day = date.replace("-", "")
    return feature(
        f"S2A_{tile.code}_{day}_{suffix}_L2A",
        tile.footprint,
        properties={
            "datetime": f"{date}T07:47:00.000Z",
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "proj:epsg": tile.epsg,
            "grid:code": f"MGRS-{tile.code}",
            "s2:processing_baseline": baseline,
            "s2:datatake_id": f"GS2A_{day}T074700_012345_N{baseline}",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_X_{day}T090000_S{day}T074700_N{baseline}",
            "s2:generation_time": f"{date}T12:00:00Z",
            "s2:nodata_pixel_percentage": 0.0,
            "earthsearch:boa_offset_applied": True,
            **properties,
        },
        assets={
            band: {
                "href": f"./{tile.code}/{date}_{suffix}/{band}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "proj:shape": [tile.size * 10 // side] * 2,
                "proj:transform": list(tile.frame(side).transform),
                "raster:bands": [
                    {
                        "nodata": 0,
                        "data_type": "uint8" if band == "scl" else "uint16",
                        **({} if band == "scl" else {"scale": 1e-4, "offset": -0.1}),
                    }
                ],
            }
            for band, side in SIDES.items()
        },
    )


def write_source(
    folder: Path,
    tiles: Sequence[Tile],
    dates: Sequence[str],
    pixels: Pixels = plain,
    *,
    block: int = 64,
    **creation: Any,
) -> Path:
    """Write the rasters and items.json of all tiles on all dates; returns the path of items.json."""
    features = []
    for number, date in enumerate(dates):
        for tile in tiles:
            for band, side in SIDES.items():
                frame = tile.frame(side)
                x, y = frame.centres()
                dtype = np.uint8 if band == "scl" else np.uint16
                values = np.broadcast_to(
                    pixels(band, tile, number, x[None, :], y[:, None]), (frame.height, frame.width)
                )
                path = folder / tile.code / f"{date}_0" / f"{band}.tif"
                write_tif(path, np.rint(values).astype(dtype), frame, block=block, **creation)
            features.append(item(tile, date))
    return write_items(folder, features)


def write_items(folder: Path, features: Sequence[Mapping[str, Any]]) -> Path:
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def configure(
    folder: Path,
    bbox: Sequence[float],
    datetime: str,
    *,
    items: str = "source/items.json",
    out: str = "out",
    **sections: Unpack[Sections],
) -> Config:
    """Return a configuration whose paths are relative to `folder`, with further sections as given."""
    return Config.from_dict(settings(bbox, datetime, items, out, sections), folder)


def settings(
    bbox: Sequence[float], datetime: str, items: str, out: str, sections: Sections
) -> dict[str, dict[str, Any]]:
    """Return the sections of a configuration with small regions and slabs; the keys of `sections` win."""
    found: dict[str, dict[str, Any]] = {
        "area": {"bbox": list(bbox)},
        "source": {"items": items, "datetime": datetime},
        "output": {"path": out},
        "cube": {"region": 64, "slab": 12},
    }
    for name, values in sections.items():
        assert isinstance(values, Mapping)
        found[name] = {**found.get(name, {}), **values}
    return found


def lonlat_box(epsg: int, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
    """Return the lon/lat box (west, south, east, north) inside a box of a CRS; west > east over the antimeridian."""
    move = pyproj.Transformer.from_crs(epsg, "OGC:CRS84", always_xy=True)
    lons, lats = move.transform([left, right, left, right], [bottom, bottom, top, top])
    return max(lons[0], lons[2]), max(lats[0], lats[1]), min(lons[1], lons[3]), min(lats[2], lats[3])


def days(start: str, count: int, step: int) -> list[str]:
    """Return ISO dates, `step` days apart."""
    return [str(np.datetime64(start) + np.timedelta64(i * step, "D")) for i in range(count)]
