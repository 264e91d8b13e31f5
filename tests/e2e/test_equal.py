"""Whole cubes by blocks, by the general way and by odc-stac: the same numbers, to the bit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pystac
import pytest
import shapely

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.sections import AreaConfig
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning.plans import GridPlan
from groundbreak.pipeline.planning.regions import Ownership
from tests.cubes import APPLIED, USUAL, Built, assert_three_ways, read_items
from tests.world import SIDES, Pixels, Tile, configure, days, item, lonlat_box, write_items, write_source, write_tif

# Of shapely, to which odc-geo speaks in an older way.
pytestmark = pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")

SPAN = "2021-01-01/2021-12-31"
DATES = days("2021-01-03", 4, 10)
WEST = Tile("38TPK", 32638, 600_000, 4_400_000)
EAST = Tile("38TQK", 32638, 600_820, 4_400_200)
"""Beside the other, on the lattice of its pixels but not of its blocks."""


def noise(band: str, tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Every pixel of every tile a number of its own: some missing, some below the offset, some saturated."""
    rng = np.random.default_rng([number, round(tile.x0), *band.encode()])
    shape = np.broadcast_shapes(x.shape, y.shape)
    if band == "scl":
        return rng.integers(0, 12, shape)
    values = rng.integers(-3000, 9000, shape)
    return np.where(values > 8900, 65_535, np.maximum(values, 0))


def write(
    folder: Path, tiles: Sequence[Tile], pixels: Pixels = noise, dates: Sequence[str] = DATES, **creation: Any
) -> list[dict[str, Any]]:
    """Write a source of which every other date's pixels still hold ESA's offset; return its items."""
    path = write_source(folder / "source", tiles, dates, pixels, **creation)
    features: list[dict[str, Any]] = json.loads(path.read_text())["features"]
    for feature in features:
        feature["properties"][APPLIED] = feature["properties"]["datetime"][:10] in DATES[::2]
    write_items(folder / "source", features)
    return features


def compare(folder: Path, tiles: Sequence[Tile], configured: Callable[[str], Config]) -> Built:
    """All three ways, each tile its own grid."""
    items = read_items(folder / "source/items.json")
    by_tile = {t.code: [i for i in items if i.properties["grid:code"].endswith(t.code)] for t in tiles}
    return assert_three_ways(configured, by_tile, USUAL)


def over(folder: Path, box: tuple[float, ...], **cube: int) -> Callable[[str], Config]:
    """Output -> configuration of a box of the zone's metres."""
    lonlat = lonlat_box(32638, *box)
    return lambda out: configure(folder, lonlat, SPAN, out=out, cube={"slab": 3, **cube})


def test_regions_are_whole_pixels_of_every_band(tmp_path: Path) -> None:
    write(tmp_path, [WEST], block=128)
    compare(tmp_path, [WEST], over(tmp_path, (600_100, 4_398_800, 601_200, 4_399_900), region=65))


def owned_pixels(built: Built, planned: GridPlan) -> Iterator[tuple[float, float]]:
    """(x, y) of the centres of the pixels that a grid owns."""
    area = areas.project(built.plan.area, planned.grid.frame.epsg)
    ownership = Ownership(planned.grid, planned.others, area)
    for region in planned.regions:
        x, y = np.meshgrid(*region.frame.centres())
        mine = ownership.of(region.frame)
        yield from zip(x[mine], y[mine], strict=True)


def test_an_area_of_whole_blocks(tmp_path: Path) -> None:
    write(tmp_path, [WEST])
    box = shapely.box(600_000, 4_398_720, 600_640, 4_400_000)
    (tmp_path / "area.json").write_text(shapely.to_geojson(geo.to_lonlat(box, 32638)))
    usual = over(tmp_path, box.bounds, region=1)
    area = AreaConfig(geometry=str(tmp_path / "area.json"))
    built = compare(tmp_path, [WEST], lambda out: dataclasses.replace(usual(out), area=area))
    (planned,) = built.plan.grids
    # A block of 64 pixels of 20 m is four of 10 m.
    assert [r.frame.bounds for r in planned.regions] == [
        (600_000, 4_399_360, 600_640, 4_400_000),
        (600_000, 4_398_720, 600_640, 4_399_360),
    ]
    assert [r.owned for r in planned.regions] == [64 * 64] * 2


@pytest.mark.parametrize(
    ("size", "layout"),
    [
        (256, {"block": 64}),
        (1024, {"block": 512}),
        (1100, {"block": 1024}),
        (256, {"blockxsize": 48, "blockysize": 16}),
        (256, {"tiled": False, "blockysize": 48}),
        (256, {"tiled": False, "blockysize": 100}),
    ],
    ids=["64", "512", "1024", "16 x 48", "strips of 48", "strips of 100"],
)
def test_an_area_across_blocks(tmp_path: Path, size: int, layout: dict[str, Any]) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000, size)
    write(tmp_path, [tile], dates=DATES[:2] if size > 256 else DATES, **layout)
    edge = size * 10
    box = 600_000 + 0.3 * edge + 5, 4_400_000 - edge, 600_000 + edge, 4_400_000 - 0.4 * edge - 3
    compare(tmp_path, [tile], over(tmp_path, box))


def test_two_tiles_of_a_zone_own_the_area_once(tmp_path: Path) -> None:
    write(tmp_path, [WEST, EAST])
    box = 600_303, 4_399_000, 601_700, 4_399_700
    built = compare(tmp_path, [WEST, EAST], over(tmp_path, box))
    x, y = np.meshgrid(*WEST.frame().window(-100, -100, 400, 400).centres())
    lon, lat = pyproj.Transformer.from_crs(32638, "OGC:CRS84", always_xy=True).transform(x, y)
    west, south, east, north = lonlat_box(32638, *box)
    within = np.minimum.reduce([lon - west, east - lon, lat - south, north - lat])  # degrees; 1e-6 is 0.1 m
    surely, perhaps = (set(zip(x[at], y[at], strict=True)) for at in (within > 1e-6, within > -1e-6))
    found = [pixel for planned in built.plan.grids for pixel in owned_pixels(built, planned)]
    assert len(set(found)) == len(found)
    assert surely <= set(found) <= perhaps


def test_two_zones(tmp_path: Path) -> None:
    tiles, corners = [], {}
    for epsg, code, reach in ((32638, "38TQK", 900), (32639, "39TUK", 380)):
        x, y = pyproj.Transformer.from_crs("OGC:CRS84", epsg, always_xy=True).transform(48.0, 40.0)
        corners[epsg] = x, y
        tiles.append(Tile(code, epsg, round((x - reach) / 20) * 20, round((y + 640) / 20) * 20))
    write(tmp_path, tiles)
    x, y = corners[32638]
    built = compare(tmp_path, tiles, over(tmp_path, (x - 250, y - 160, x + 250, y + 160)))
    assert [g.grid.frame.epsg for g in built.plan.grids] == [32638, 32639]


def swath(band: str, tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nothing east of the swath's edge, which runs aslant."""
    return np.where(x - tile.x0 < 600 + 0.3 * (tile.y0 - y), np.maximum(noise(band, tile, number, x, y), 1), 0)


def split(folder: Path, features: list[dict[str, Any]]) -> list[pystac.Item]:
    """Make the second date one of two parts, which overlap; the items, those of a datatake in fusing order."""
    south = item(WEST, DATES[1], suffix="1", properties={"s2:nodata_pixel_percentage": 60.0, APPLIED: False})
    south["properties"]["s2:datastrip_id"] = south["properties"]["s2:datastrip_id"].replace("_S2021", "_S2020")
    features[1]["properties"]["s2:nodata_pixel_percentage"] = 40.0
    for band, side in SIDES.items():
        frame = WEST.frame(side)
        x, y = np.meshgrid(*frame.centres())
        for suffix, number, part in (("0", 1, y > WEST.y0 - 700), ("1", 9, y < WEST.y0 - 500)):
            values = np.where(part, swath(band, WEST, number, x, y), 0).astype(USUAL[band].dtype)
            write_tif(folder / f"source/38TPK/{DATES[1]}_{suffix}/{band}.tif", values, frame)
    items = read_items(write_items(folder / "source", [south, *features]))  # the list says nothing of the order
    return [*items[1:], items[0]]


PART = 600_300, 4_399_000, 601_100, 4_399_700


def test_a_wedge_of_a_swath_and_a_split_datatake(tmp_path: Path) -> None:
    items = split(tmp_path, write(tmp_path, [WEST], swath))
    built = assert_three_ways(over(tmp_path, PART), {"38TPK": items}, USUAL)
    assert not built.faults
    missing = built.stored("38TPK", "red", 10) == -32768
    assert len(missing) == len(DATES)
    np.testing.assert_array_equal(missing[1], missing[0])  # both parts together saw the whole swath
    assert 0.1 < missing.mean() < 0.9


def test_what_is_missing_is_missing_loudly(tmp_path: Path) -> None:
    features = write(tmp_path, [WEST], swath)
    lame = features[3]
    del lame["assets"]["nir"]
    items = [i for i in split(tmp_path, features) if i.id != lame["id"]]
    gone = {(f"{DATES[0]}_0", "red"), (f"{DATES[1]}_1", "swir16"), (f"{DATES[2]}_0", "scl")}
    for folder, band in gone:
        (tmp_path / f"source/38TPK/{folder}/{band}.tif").unlink()
    built = assert_three_ways(over(tmp_path, PART), {"38TPK": items}, USUAL)
    (rejected,) = built.plan.rejections
    assert (rejected.item, rejected.reason, rejected.detail) == (lame["id"], "missing_band", "has no nir (nir)")
    (planned,) = built.plan.grids
    assert sum(n for way, n in planned.ways.items() if way.startswith("unknown")) == len(gone)
    named = {(Path(f.href).parent.name, f.band, f.region) for f in built.faults}
    assert named == {(folder, band, r.key) for folder, band in gone for r in planned.regions}
    assert (built.stored("38TPK", "red", 10)[0] == -32768).all()
    assert (built.stored("38TPK", "scl", 20)[2] == 0).all()
