"""A whole cube of every type, coding, predictor and byte order: by blocks, the general way and odc-stac the same."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.frame import Frame
from tests.cubes import USUAL, Meaning, assert_three_ways, read_items
from tests.world import Tile, configure, item, lonlat_box, write_items, write_tif

# Of shapely, to which odc-geo speaks in an older way.
pytestmark = pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
FRAME = TILE.frame()
DATE = "2021-01-03"
BOX = lonlat_box(32638, 600_300, 4_399_000, 601_100, 4_399_700)
KINDS = [
    Meaning("uint8", 0, scale=4e-3),
    Meaning("int16", -9999),
    Meaning("uint16", 0, offset=-0.1),
    Meaning("float32", np.nan, scale=1.0),
    Meaning("float32", -9999, scale=1.0),
]


def files() -> list[tuple[Meaning, dict[str, Any]]]:
    """List what the numbers of a file mean and how GDAL writes it; tiles and strips, TIFF and BigTIFF take turns."""
    found: list[tuple[Meaning, dict[str, Any]]] = []
    for kind, coding, order in product(KINDS, ("deflate", "lzw", "zstd"), ("LITTLE", "BIG")):
        for predictor in (1, 2, 3) if kind.dtype == "float32" else (1, 2):
            layout = {"tiled": False, "blockysize": 48} if len(found) % 3 else {"block": 48}
            coded = {"compress": coding, "predictor": predictor, "endianness": order}
            found.append((kind, {**coded, **layout, "bigtiff": "YES" if len(found) % 4 > 1 else "NO"}))
    return found


def numbers(kind: Meaning, seed: int, frame: Frame) -> np.ndarray:
    """Numbers of the type's whole range (reflectance, where it is floating point), a fifth of them missing."""
    rng = np.random.default_rng(seed)
    shape = frame.height, frame.width
    if kind.dtype == "float32":
        values = np.where(rng.random(shape) < 0.1, np.nan, rng.normal(0.3, 0.2, shape))
    else:
        info = np.iinfo(kind.dtype)
        values = rng.integers(info.min, info.max, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.1, kind.nodata, values).astype(kind.dtype)


def asset(folder: Path, name: str, values: np.ndarray, frame: Frame, kind: Meaning, **creation: Any) -> dict[str, Any]:
    """Write a file; the asset that an item tells of it."""
    write_tif(folder / f"{name}.tif", values, frame, nodata=kind.nodata, **creation)
    return {
        "href": f"./{name}.tif",
        "type": "image/tiff; application=geotiff",
        "proj:shape": [frame.height, frame.width],
        "proj:transform": list(frame.transform),
        "raster:bands": [{"nodata": str(kind.nodata), "scale": kind.scale, "offset": kind.offset}],
    }


def test_a_cube_of_a_band_for_each_way_to_write_a_file(tmp_path: Path) -> None:
    written = files()
    names = ["red", *(f"b{number:02d}" for number in range(1, len(written)))]  # an index must have its band
    meanings = {name: kind for name, (kind, _) in zip(names, written, strict=True)}
    classes = TILE.frame(20)
    found = {"scl": asset(tmp_path, "scl", numbers(USUAL["scl"], 0, classes) % 12, classes, USUAL["scl"])}
    for seed, (name, (kind, creation)) in enumerate(zip(names, written, strict=True)):
        found[name] = asset(tmp_path, name, numbers(kind, seed, FRAME), FRAME, kind, **creation)
    items = read_items(write_items(tmp_path, [{**item(TILE, DATE), "assets": found}]))

    def configured(out: str) -> Config:
        return configure(
            tmp_path,
            BOX,
            f"{DATE}/{DATE}",
            items="items.json",
            out=out,
            source={"provider": {"bands": {name: name for name in names}}},
            cube={"bands": names},
            detect={"indices": ["red"]},
        )

    built = assert_three_ways(configured, {"38TPK": items}, {**meanings, "scl": USUAL["scl"]})
    (planned,) = built.plan.grids
    assert len(planned.grid.bands) == len(written) + 1 > 70
    assert len(planned.ways) == 1
    assert not built.faults
