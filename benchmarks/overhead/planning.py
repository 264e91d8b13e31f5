"""What it costs to plan a country of tiles in several zones: `python -m benchmarks.overhead.planning`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from benchmarks.items import SIDES, WHOLE, Tile, item
from benchmarks.machine import PeakMemory, processor
from benchmarks.tables import aligned, write
from groundbreak.pipeline import api
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.config import Config

RESULTS = Path(__file__).parents[1] / "results"
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


def write_archive(folder: Path, regions: int) -> Path:
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
    """Write files that have headers and the pixels of one block: a plan reads headers."""
    folder.mkdir()
    for band, side in SIDES.items():
        pixels, block = WHOLE * 10 // side, 1024 * 10 // side
        options = {"driver": "GTiff", "count": 1, "dtype": "uint8" if band == "scl" else "uint16", "SPARSE_OK": True}
        options |= {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate", "nodata": 0}
        transform = Affine(side, 0, tile.x0, 0, -side, tile.y0)
        place = {"crs": f"EPSG:{tile.epsg}", "transform": transform, "width": pixels, "height": pixels}
        with rasterio.open(folder / f"{band}.tif", "w", **options, **place) as file:
            file.write(np.ones((1, block, block), str(options["dtype"])), window=Window(0, 0, block, block))


def lap(folder: Path, regions: int) -> dict[str, float]:
    """Plan once, in this process."""
    config = Config.from_toml(write_archive(folder, regions))
    gc.collect()
    memory, begun = PeakMemory(), time.perf_counter()
    planned = api.plan(config)
    cost = {"wall_s": time.perf_counter() - begun, "memory_mib": memory.mib()}
    return {"regions": sum(len(g.regions) for g in planned.grids), "grids": len(planned.grids), **cost}


def report(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    rows = [
        (f"{lap['regions']:,}", f"{lap['grids']:,}", f"{lap['wall_s']:.1f}", f"{lap['memory_mib']:.0f}")
        for lap in result["laps"]
    ]
    text = (
        "A plan of tiles like those of Sentinel-2 in five zones of UTM, which overlap within a zone and across zones; "
        f"three dates each. Wall time, and what the peak of memory lies above that before, on {result['processor']}, "
        f"{result['load']:.1f} others at work."
    )
    return "\n".join(["# What a plan costs", "", text, "", *aligned(("regions", "grids", "s", "MiB"), rows), ""])


def main() -> None:
    """Plan so many regions, about, in processes of their own, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("regions", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--here", action="store_true", help="in this process, and print what it cost as JSON")
    options = parser.parse_args()
    if options.here:
        with tempfile.TemporaryDirectory(prefix="planning") as name:
            print(json.dumps(lap(Path(name), options.regions[0])))
        return
    result: dict[str, Any] = {"processor": processor(), "load": os.getloadavg()[0], "laps": []}
    for regions in options.regions:
        line = [sys.executable, "-m", "benchmarks.overhead.planning", str(regions), "--here"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)  # noqa: S603 - ours
        result["laps"].append(json.loads(done.stdout.splitlines()[-1]))
        print(result["laps"][-1], flush=True)
    write(result, RESULTS, "planning", report(result))


if __name__ == "__main__":
    main()
