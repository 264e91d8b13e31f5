"""The simulated archive: COGs as Earth Search has them, and its items with hrefs of one's choice.

Tiles of one date are windows of one scene, so pixels that two tiles share are equal, as those of one datatake are.
"""

from __future__ import annotations

import functools
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine

from benchmarks.cubes.cases import EAST, EPSG, SMALL, WEST, Case, Tile
from benchmarks.cubes.job import BANDS, MASK
from benchmarks.items import feature
from groundbreak.pipeline.core import geo

LEVELS = {"blue": 600.0, "nir": 2500.0, "red": 900.0}
NOISE = 20.0
"""Standard deviation of the noise of a pixel: with it, deflate shrinks the files as it shrinks real reflectance."""
STEP_DAYS = 5
_EXTENSIONS = ("raster/v1.1.0", "eo/v1.1.0", "grid/v1.0.0", "projection/v1.1.0")


def date(number: int) -> str:
    """ISO date of an overpass."""
    return str(np.datetime64("2021-01-03") + np.timedelta64(STEP_DAYS * number, "D"))


def write_archive(folder: Path, dates: int) -> float:
    """Write what the folder lacks of the tiles on the first ``dates`` dates; returns how far the reflectance shrank."""
    missing = [n for n in range(dates) if not (folder / f"{date(n)}.done").exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(functools.partial(_write_date, folder), missing))
    files = [_path(folder, WEST, n, band) for n in range(dates) for band in BANDS]
    # A quarter of the pixels again is in the overviews.
    return len(files) * 2 * WEST.size**2 * 1.25 / sum(f.stat().st_size for f in files)


def write_items(stem: Path, base: str, case: Case, dates: int) -> None:
    """Write the items to STEM.json, with hrefs below ``base``, and the area to STEM.geojson."""
    features = [_item(base, tile, n) for n in range(dates) for tile in case.tiles]
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    left, bottom, right, top = case.bounds
    # A metre within: no centre of a pixel is lost, and rounding reaches no other block.
    inner = shapely.segmentize(shapely.box(left + 1, bottom + 1, right - 1, top - 1), 500)
    stem.with_suffix(".geojson").write_text(shapely.to_geojson(geo.to_lonlat(inner, EPSG)))


def _path(folder: Path, tile: Tile, number: int, band: str) -> Path:
    return folder / tile.code / date(number) / f"{band}.tif"


@functools.cache
def _ground() -> tuple[np.ndarray, np.ndarray]:
    """Return fields of the ground, 0 to 1, and one field of noise, (row, column) float32 each."""
    height, width = WEST.size, round((EAST.x0 - WEST.x0) / 10) + EAST.size
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    fields = np.sin(cols / 91) * np.cos(rows / 57) + 0.4 * np.sin(cols / 17 + rows / 23)
    # Plots of some 30 pixels, each its own level.
    plots = np.random.default_rng(0).random((height // 30 + 1, width // 30 + 1), np.float32)
    ground = 0.3 * (fields + 1.4) / 2.8 + 0.7 * np.kron(plots, np.ones((30, 30), np.float32))[:height, :width]
    return ground, np.random.default_rng(1).standard_normal((height, width), np.float32)


def _write_date(folder: Path, number: int) -> None:
    ground, noise = _ground()
    for place, (band, level) in enumerate(LEVELS.items()):
        shift = np.roll(noise, (37 * number + 11 * place, 101 * number), (0, 1))
        season = 0.8 + 0.3 * np.sin(number / 6 + place)
        scene = np.rint(level * season * (0.4 + ground) + NOISE * shift)
        _write_tiles(folder, number, band, np.maximum(scene, 1).astype(np.uint16))
    cloud = np.roll(ground, 53 * number, 1)[::2, ::2]
    classes = np.where(cloud > 0.8, 9, np.where(ground[::2, ::2] > 0.5, 4, 5))
    _write_tiles(folder, number, MASK, classes.astype(np.uint8))
    (folder / f"{date(number)}.done").touch()


def _write_tiles(folder: Path, number: int, band: str, scene: np.ndarray) -> None:
    side = 20 if band == MASK else 10
    for tile in (WEST, EAST, SMALL):
        size, first = tile.size * 10 // side, round((tile.x0 - WEST.x0) / side)
        path = _path(folder, tile, number, band)
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path,
            "w",
            driver="COG",
            width=size,
            height=size,
            count=1,
            dtype=scene.dtype,
            crs=f"EPSG:{EPSG}",
            transform=Affine(*_transform(tile, side)),
            nodata=0,
            compress="deflate",
            predictor="STANDARD",
            blocksize=tile.block * 10 // side,
            overview_resampling="nearest" if band == MASK else "average",
        ) as target:
            target.write(scene[:size, first : first + size], 1)


def _transform(tile: Tile, side: int) -> tuple[float, ...]:
    return side, 0.0, tile.x0, 0.0, -side, tile.y0


def _item(base: str, tile: Tile, number: int) -> dict[str, Any]:
    """Return an item with what peers ask for beside what all items have."""
    day = date(number)
    assets = {band: _asset(base, tile, number, band) for band in (*BANDS, MASK)}
    made = feature(tile.code, EPSG, day, shapely.box(*tile.bounds), assets)
    made["stac_extensions"] = [f"https://stac-extensions.github.io/{name}/schema.json" for name in _EXTENSIONS]
    made["properties"] |= {
        "constellation": "sentinel-2",
        "s2:generation_time": f"{day}T12:00:00Z",
        "s2:nodata_pixel_percentage": 0.0,
    }
    return made


def _asset(base: str, tile: Tile, number: int, band: str) -> dict[str, Any]:
    side = 20 if band == MASK else 10
    numbers: dict[str, Any] = {"nodata": 0, "data_type": "uint8", "spatial_resolution": side}
    if band != MASK:
        numbers |= {"data_type": "uint16", "scale": 1e-4, "offset": 0}
    return {
        "href": f"{base}/{tile.code}/{date(number)}/{band}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [tile.size * 10 // side] * 2,
        "proj:transform": list(_transform(tile, side)),
        "raster:bands": [numbers],
    }


def span(dates: int) -> str:
    """Return the time that the first dates fill, as start/end."""
    return f"{date(0)}/{date(dates - 1)}"
