"""A whole tile: wall time of a run split into plan, build, detect and publish; and publishing on one worker and on two.

The files of a date are links to one of a few, so that the archive is small while every read and every pixel counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine

from benchmarks.items import SIDES, Tile, item
from benchmarks.machine import processor
from benchmarks.tables import aligned, write
from groundbreak.cluster.connect import connect
from groundbreak.pipeline import api
from groundbreak.pipeline.core import geo, places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running.runner import Listener

RESULTS = Path(__file__).parent / "results"
TILE = Tile("38TPK", 32638, 600_000.0, 4_500_000.0)
GRASS = {"blue": 500, "red": 700, "nir": 3000, "swir16": 2000}
BARE = {"blue": 1200, "red": 2000, "nir": 2600, "swir16": 3300}
NOISE = 40.0
LOOKS = 3
"""Files of each band before the works, and as many after them."""
WORKS = 311
"""Works lie at every so-many-th pixel of 10 m in both directions."""


def write_archive(folder: Path, size: int, dates: int) -> None:
    """Write what the folder lacks of a tile: the few files, the links of each date, and the items."""
    for look in range(2 * LOOKS):
        for band in SIDES:
            if not (path := folder / f"look{look}" / f"{band}.tif").exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_file(path, band, look, size)
    features = []
    for number in range(dates):
        look = number % LOOKS + (LOOKS if number >= dates // 2 else 0)
        for band in SIDES:
            link = folder / _day(number) / f"{band}.tif"
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(folder / f"look{look}" / f"{band}.tif", link)
        features.append(item(TILE, _day(number), _day(number), size))
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def _day(number: int) -> str:
    return str(np.datetime64("2021-01-03") + np.timedelta64(20 * number, "D"))


def _write_file(path: Path, band: str, look: int, size: int) -> None:
    """Write one file in strips of rows, so that memory holds no whole tile."""
    side = SIDES[band]
    pixels, step = size * 10 // side, 1024
    profile = {"driver": "GTiff", "width": pixels, "height": pixels, "count": 1, "nodata": 0}
    place = {"crs": f"EPSG:{TILE.epsg}", "transform": Affine(side, 0, TILE.x0, 0, -side, TILE.y0)}
    kind = "uint8" if band == "scl" else "uint16"
    blocks = {"tiled": True, "blockxsize": step * 10 // side, "blockysize": step * 10 // side, "compress": "deflate"}
    # The noise of what does not change is the same before and after, or all of the tile would seem to have changed.
    rng = np.random.default_rng([look % LOOKS, len(band)])
    with rasterio.open(path, "w", dtype=kind, predictor=2, **profile, **place, **blocks) as target:
        for top in range(0, pixels, step):
            rows, cols = np.mgrid[top : min(top + step, pixels), :pixels] * side // 10
            values = np.full(rows.shape, 5, kind)
            if band != "scl":
                changed = (rows % WORKS < 8) & (cols % WORKS < 9) & (look >= LOOKS)
                level = np.where(changed, BARE[band], GRASS[band])
                values = np.rint(level + NOISE * rng.standard_normal(rows.shape, np.float32)).astype(kind)
            target.write(values, 1, window=((top, top + len(rows)), (0, pixels)))


def configure(folder: Path, size: int, dates: int) -> Config:
    """Return the configuration of a run on the whole tile."""
    inner = TILE.box(size).buffer(-1, join_style="mitre")
    area = geo.to_lonlat(shapely.segmentize(inner, 500), TILE.epsg)
    (folder / "area.geojson").write_text(shapely.to_geojson(area))
    (folder / "run.toml").write_text(
        f'[area]\ngeometry = "area.geojson"\n[source]\nitems = "items.json"\ndatetime = "2021-01-01/{_day(dates)}"\n'
        '[output]\npath = "out"\n'
    )
    return Config.from_toml(folder / "run.toml")


def time_run(config: Config, workers: int) -> dict[str, float]:
    """Run, and split the wall time; that of tasks as the workers' time, since they build and detect at once."""
    marks, busy = [time.perf_counter()], defaultdict[str, float](float)

    def finished(record: Record) -> None:
        busy[places.kind_of(record.task)] += record.seconds["total"]
        marks[2:] = [time.perf_counter()]

    listener = Listener(lambda *_figures: marks.append(time.perf_counter()), finished)
    with connect("local", workers=workers) as client:
        result = api.run(config, client, listener=listener)
        end = time.perf_counter()
    assert result.good
    begun, started, last = marks
    share = busy[places.BUILD] / sum(busy.values())
    tasks = {"build": share * (last - started), "detect": (1 - share) * (last - started)}
    return {"plan": started - begun, **tasks, "publish": end - last, "sites": len(result.sites)}


def time_publishing(config: Config, workers: int, rounds: int) -> float:
    """Return the median wall time of publishing what is there."""
    seconds = []
    with connect("local", workers=workers) as client:
        for _ in range(rounds):
            begun = time.perf_counter()
            api.republish(config, client)
            seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def report(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    wall = {name: result["run"][name] for name in ("plan", "build", "detect", "publish")}
    total = sum(wall.values())
    rows = [(name, f"{seconds:.1f}", f"{100 * seconds / total:.1f}") for name, seconds in wall.items()]
    one, two = (result["publishing"][n] for n in ("1", "2"))
    head = (
        f"A tile of {result['size']} x {result['size']} pixels, {result['dates']} dates, "
        f"{result['run']['sites']} sites; two workers on {result['processor']}, {result['load']:.1f} others at work."
    )
    ratio = f"Publishing alone: {one:.1f} s on one worker, {two:.1f} s on two: {two / one:.2f} times as long."
    return "\n".join(["# A whole tile", "", head, "", *aligned(("step", "s", "%"), rows), "", ratio, ""])


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("tile"), help="archive and output (default: ./tile)")
    parser.add_argument("--size", type=int, default=10980, help="side of the tile, pixels of 10 m")
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="of publishing alone; the median counts")
    options = parser.parse_args()
    folder = options.folder / f"{options.size}x{options.dates}"
    write_archive(folder, options.size, options.dates)
    config = configure(folder, options.size, options.dates)
    result: dict[str, Any] = {"size": options.size, "dates": options.dates, "processor": processor()}
    result["load"] = os.getloadavg()[0]
    result["run"] = time_run(config, 2)
    result["publishing"] = {str(n): time_publishing(config, n, options.rounds) for n in (1, 2)}
    write(result, RESULTS, "tile", report(result))
    print(report(result))


if __name__ == "__main__":
    main()
