"""Tiles that were split between two items: no pixel is lost, whatever the items tell of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core.geo import to_lonlat
from tests.world import SIDES, Tile, configure, days, lonlat_box, plain, write_items, write_source, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, size=64)
BOX = lonlat_box(32638, 600_050, 4_399_450, 600_600, 4_399_950)
DATES = days("2021-01-03", 12, 20)


def texture(band: str, tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
    """Return pixels that differ everywhere, so that a pixel of another place shows."""
    return 5 if band == "scl" else plain(band, tile, number, x, y) + (x - TILE.x0) / 10 + (TILE.y0 - y) / 5


def split(folder: Path, overlap: float, told: bool, footprints: bool, strips: bool) -> np.ndarray:
    """Split every date but each third in two items, and return red as it was, (time, y, x)."""
    write_source(folder / "source", [TILE], DATES, texture)
    items = json.loads((folder / "source/items.json").read_text())["features"]
    parts, whole = [], []
    for number, item in enumerate(items):
        with rasterio.open(folder / "source" / item["assets"]["red"]["href"]) as red:
            whole.append(red.read(1))
        if not strips:
            del item["properties"]["s2:datastrip_id"]
        if number % 3 == 2:
            parts.append(item)
            continue
        for part, (top, bottom) in enumerate(((0.0, 0.4 + overlap), (0.4, 1.0))):
            own = json.loads(json.dumps(item)) | {"id": item["id"].replace("_0_L2A", f"_{part}_L2A")}
            own["properties"]["s2:generation_time"] = f"{DATES[number]}T1{part}:00:00Z"
            del own["properties"]["s2:nodata_pixel_percentage"]
            if told:
                own["properties"]["s2:nodata_pixel_percentage"] = 100 * (1 - (bottom - top))
            if strips:
                own["properties"]["s2:datastrip_id"] += f"_{part}"
            if footprints:
                west, south, east, north = TILE.frame().bounds
                low, high = north - bottom * (north - south), north - top * (north - south)
                ground = to_lonlat(shapely.box(west, low, east, high), TILE.epsg)
                own["geometry"], own["bbox"] = shapely.geometry.mapping(ground), list(ground.bounds)
            for band, side in SIDES.items():
                frame = TILE.frame(side)
                with rasterio.open(folder / "source" / item["assets"][band]["href"]) as source:
                    values = source.read(1)
                rows = np.arange(frame.height) / frame.height
                values[(rows < top) | (rows >= bottom)] = 0
                own["assets"][band]["href"] = f"./parts/{number}_{part}_{band}.tif"
                write_tif(folder / f"source/parts/{number}_{part}_{band}.tif", values, frame)
            parts.append(own)
    write_items(folder / "source", parts)
    return np.stack(whole)


@pytest.mark.parametrize(
    ("overlap", "told", "footprints", "strips"),
    [(0.0, False, True, False), (0.1, False, True, False), (0.0, True, False, False), (0.1, True, False, False),
     (0.05, True, True, False), (0.1, True, True, True)],
)  # fmt: skip
def test_a_split_tile_keeps_all_its_pixels(
    tmp_path: Path, client: Client, overlap: float, told: bool, footprints: bool, strips: bool
) -> None:
    whole = split(tmp_path, overlap, told, footprints, strips)
    config = configure(tmp_path, BOX, "2021-01-01/2021-12-31")
    assert api.plan(config).rejections == ()
    assert not api.run(config, client).outcome.failed
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr", group="10m", mask_and_scale=False, consolidated=False) as cube:
        assert cube.sizes["time"] == len(DATES)
        x, y = TILE.frame().centres()
        row, col = int(np.abs(y - float(cube.y[0])).argmin()), int(np.abs(x - float(cube.x[0])).argmin())
        wanted = whole[:, row : row + cube.sizes["y"], col : col + cube.sizes["x"]]
        # Earth Search took the offset of its pixels out.
        np.testing.assert_array_equal(cube.red.values, wanted)
    with xr.open_zarr(tmp_path / "out/38TPK/change.zarr", mask_and_scale=False, consolidated=False) as layers:
        owned = layers.status.values != 255
        assert (layers.n_valid.values[owned] == len(DATES)).all()
