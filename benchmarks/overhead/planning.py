"""A process of its own that plans a country of tiles in several zones, and prints what that cost as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path

import rasterio
from affine import Affine

from benchmarks.items import SIDES, WHOLE, Tile, item
from benchmarks.machine import PeakMemory
from groundbreak.pipeline import api
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.config import Config

ZONES = range(31, 36)
"""Zones of UTM, from Greenwich to 30 degrees east."""
COLUMNS = 6
"""Tiles beside each other in a zone, less those that lie outside of it altogether: as in the MGRS."""
X0, Y0, STEP = 200_000.0, 6_100_000.0, 100_000.0
"""Corner of a zone's first tile, and from one tile to the next, metres."""
PER_TILE = 85
"""Regions of a tile that own some of it, about."""
DAYS = "2021-01-03", "2021-01-13", "2021-01-23"
BANDS, LETTERS = "STUV", "ABCDEFGHJKLMNPQRSTUVWXYZ"


def write(folder: Path, regions: int) -> Path:
    """Write the items of about so many regions, and a configuration; return its path."""
    rows = max(round(regions / (PER_TILE * COLUMNS * len(ZONES))), 1)
    tiles = [
        Tile(_code(zone, row, col), 32600 + zone, X0 + col * STEP, Y0 - row * STEP)
        for zone in ZONES
        for row in range(rows)
        for col in range(COLUMNS)
    ]
    tiles = [tile for tile in tiles if _meets_zone(tile)]
    for tile in tiles:
        _write_files(tile, folder / tile.code)
    features = [item(tile, day, tile.code) for tile in tiles for day in DAYS]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    south = 55.0 - 0.9 * rows
    path = folder / "run.toml"
    path.write_text(
        f'[area]\nbbox = [0.5, {south:.1f}, 29.5, 55]\n[source]\nitems = "items.json"\n'
        'datetime = "2021-01-01/2021-12-31"\n[output]\npath = "out"\n'
    )
    return path


def _meets_zone(tile: Tile) -> bool:
    west, _, east, _ = geo.to_lonlat(tile.box(WHOLE), tile.epsg).bounds
    begin = 6 * (tile.epsg - 32631)
    return bool(east > begin and west < begin + 6)


def _code(zone: int, row: int, col: int) -> str:
    return f"{zone}{BANDS[row // 20]}{LETTERS[row % 20]}{LETTERS[col]}"


def _write_files(tile: Tile, folder: Path) -> None:
    """Write files that have headers and no pixels: a plan looks at the blocks of a grid's first files."""
    folder.mkdir()
    for band, side in SIDES.items():
        pixels, block = WHOLE * 10 // side, 1024 * 10 // side
        options = {"driver": "GTiff", "count": 1, "dtype": "uint8" if band == "scl" else "uint16", "SPARSE_OK": True}
        options |= {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate", "nodata": 0}
        transform = Affine(side, 0, tile.x0, 0, -side, tile.y0)
        place = {"crs": f"EPSG:{tile.epsg}", "transform": transform, "width": pixels, "height": pixels}
        rasterio.open(folder / f"{band}.tif", "w", **options, **place).close()


def main() -> None:
    """Write, plan, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("regions", type=int)
    options = parser.parse_args()
    config = Config.from_toml(write(options.folder, options.regions))
    gc.collect()
    memory, begun = PeakMemory(), time.perf_counter()
    planned = api.plan(config)
    cost = {"wall_s": time.perf_counter() - begun, "memory_mib": memory.mib()}
    print(json.dumps({"regions": sum(len(g.regions) for g in planned.grids), "grids": len(planned.grids), **cost}))


if __name__ == "__main__":
    main()
