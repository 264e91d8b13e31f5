"""Metadata as archives have it: where it is wrong the files decide, and nothing is lost or moved without a word."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.planning import plan_file
from tests.world import SIDES, Tile, configure, days, item, lonlat_box, write_items, write_source, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
DATES = days("2024-01-03", 9, 5)
BOX = lonlat_box(32638, 600_010, 4_399_500, 600_500, 4_399_900)
LENIENT = {"attempts": 1, "fault_threshold": 1.0}
ODD = 4
"""The date whose item or file is not like the others."""
Item = dict[str, Any]


def ramp(band: str, _tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
    """Reflectance x 10000 that tells where and when it was seen."""
    if band == "scl":
        return 4 + 0 * x + 0 * y
    level = {"blue": 300, "red": 700, "nir": 1500, "swir16": 2500}[band]
    return level + 40 * number + (x - 600_000) / 10 + (4_400_000 - y) / 10


def cube(folder: Path, band: str = "red", grid: str = "38TPK") -> xr.DataArray:
    """Open a band of a cube as stored, (time, y, x) int16."""
    size = f"{SIDES[band]}m"
    found = xr.open_zarr(folder / "out" / grid / "cube.zarr", group=size, consolidated=False, mask_and_scale=False)
    return xr.DataArray(found[band])


def demand_truth(found: xr.DataArray, band: str = "red", missing: tuple[int, ...] = ()) -> None:
    """Assert that a band holds the ramp at every pixel of the area, but for some dates that are missing."""
    x, y = np.meshgrid(found.x, found.y)
    inside = (x > 600_030) & (x < 600_480) & (y > 4_399_520) & (y < 4_399_880)
    assert len(found.time) == len(DATES) - (0 if len(found.time) == len(DATES) else len(missing))
    for t, time in enumerate(found.time.values):
        number = DATES.index(str(time)[:10])
        values = found[t].values[inside]
        if number in missing:
            assert (values == -32768).all()
        else:
            np.testing.assert_array_equal(values, np.rint(ramp(band, TILE, number, x, y))[inside])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", [TILE], DATES, ramp, block=32)
    return tmp_path


def items(folder: Path) -> list[Item]:
    found: list[Item] = json.loads((folder / "source/items.json").read_text())["features"]
    return found


def each_asset(change: Callable[[Item], None]) -> Callable[[Item], None]:
    def apply(one: Item) -> None:
        for asset in one["assets"].values():
            change(asset)

    return apply


def move(dx: float, dy: float) -> Callable[[Item], None]:
    def change(asset: Item) -> None:
        asset["proj:transform"][2] += dx
        asset["proj:transform"][5] += dy

    return each_asset(change)


def tell(**properties: Any) -> Callable[[Item], None]:
    def change(one: Item) -> None:
        one["properties"].update(properties)
        if "proj:code" in properties:
            one["properties"].pop("proj:epsg")

    return change


def larger(asset: Item) -> None:
    asset["proj:shape"] = [n + 1 for n in asset["proj:shape"]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (move(1e-9, -1e-9), False),
        (each_asset(larger), True),
        (move(5, -5), True),
        (move(-600, 600), True),
        (tell(**{"proj:code": "EPSG:32738"}), True),
        (tell(**{"proj:code": "EPSG:32637"}), True),
        (each_asset(lambda asset: asset.pop("proj:transform")), False),
    ],
    ids=["noise", "shape", "half", "moved", "south", "zone", "untold"],
)
@pytest.mark.parametrize("which", ["one", "many"])
def test_an_item_that_is_wrong_about_its_file(
    folder: Path, client: Client, change: Callable[[Item], None], told: bool, which: str
) -> None:
    every = items(folder)
    wrong = every[ODD:] if which == "many" else [every[ODD]]
    for one in wrong:
        change(one)
    write_items(folder / "source", every)
    config = configure(folder, BOX, "2024-01-01/2024-12-31", cube={"region": 32})
    assert not api.run(config, client).faults
    for band in ("red", "swir16"):
        demand_truth(cube(folder, band), band)
    kept = plan_file.load(config, api.output_of(config))
    named = {notice.subject for notice in kept.notices if notice.kind == "frame_contradicts_file"}
    assert named == ({one["id"] for one in wrong} if told else set())
    # Once more, and nothing is done again.
    assert api.run(config, client).outcome.done == 0


def move_file(path: Path, dx: float, epsg: int = 32638) -> None:
    with rasterio.open(path) as source:
        values, frame = source.read(1), source.transform
    write_tif(path, values, Frame(epsg, frame.c + dx, frame.f, frame.a, *values.shape), block=32)


@pytest.mark.parametrize(("dx", "epsg"), [(50_000, 32638), (0, 32639), (0, 32738)])
def test_a_file_that_lies_elsewhere_is_not_used_and_named(folder: Path, client: Client, dx: float, epsg: int) -> None:
    for band in SIDES:
        move_file(folder / "source/38TPK" / f"{DATES[ODD]}_0" / f"{band}.tif", dx, epsg)
    config = configure(folder, BOX, "2024-01-01/2024-12-31", cube={"region": 32})
    api.run(config, client)
    demand_truth(cube(folder), missing=(ODD,))
    rejected = plan_file.load(config, api.output_of(config)).rejections
    assert [(r.item, r.reason) for r in rejected] == [(items(folder)[ODD]["id"], "raster_elsewhere")]
    # Of bands that share their ground, the first one is told.
    assert rejected[0].detail.startswith(f"{config.bands[0]}: ")


def zero_offsets(path: Path) -> None:
    """Let the header of a little-endian TIFF place every block at byte 0."""
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number, where = struct.unpack_from("<HHII", data, entry)
        if tag in (273, 324):
            start = where if number * {3: 2, 4: 4}[kind] > 4 else entry + 8
            data[start : start + number * {3: 2, 4: 4}[kind]] = bytes(number * {3: 2, 4: 4}[kind])
    path.write_bytes(data)


def never_written(path: Path) -> None:
    with rasterio.open(path) as source:
        profile = source.profile
    with rasterio.open(path, "w", **{**profile, "SPARSE_OK": True}):
        pass


@pytest.mark.parametrize("harm", [zero_offsets, never_written])
def test_blocks_that_are_not_there_are_a_fault(folder: Path, client: Client, harm: Callable[[Path], None]) -> None:
    harm(folder / "source/38TPK" / f"{DATES[ODD]}_0" / "red.tif")
    settings = {"cube": {"region": 32}, "run": {"attempts": 1, "fault_threshold": 0.2}}
    config = configure(folder, BOX, "2024-01-01/2024-12-31", **settings)  # type: ignore[arg-type]
    result = api.run(config, client)
    assert {(f.item, f.band) for f in result.faults} == {(items(folder)[ODD]["id"], "red")}
    demand_truth(cube(folder), missing=(ODD,))
    demand_truth(cube(folder, "nir"), "nir")


def test_a_file_that_turns_out_to_lie_elsewhere_when_it_is_read(folder: Path, client: Client) -> None:
    """JPEG 2000 headers are not read for planning where the items agree, so what is wrong is met later."""
    every = items(folder)
    red = folder / "source/38TPK" / f"{DATES[ODD]}_0" / "red.tif"
    with rasterio.open(red) as source:
        values, profile = source.read(1), source.profile
    affine = rasterio.Affine(10, 0, 700_000, 0, -10, 4_400_000)
    jp2 = {"driver": "JP2OpenJPEG", "dtype": "uint16", "count": 1, "height": 64, "width": 64}
    with rasterio.open(
        red.with_suffix(".jp2"), "w", crs=profile["crs"], transform=affine, QUALITY=100, **jp2
    ) as target:
        target.write(values, 1)
    every[ODD]["assets"]["red"] |= {"href": f"./38TPK/{DATES[ODD]}_0/red.jp2", "type": "image/jp2"}
    write_items(folder / "source", every)
    settings = {"cube": {"region": 32}, "run": {"attempts": 1, "fault_threshold": 0.2}}
    result = api.run(configure(folder, BOX, "2024-01-01/2024-12-31", **settings), client)  # type: ignore[arg-type]
    assert {f.item for f in result.faults} == {every[ODD]["id"]}
    assert "does not reach where its item says" in result.faults[0].error
    demand_truth(cube(folder), missing=(ODD,))


SCENES = Tile("", 32638, 600_010, 4_399_990, 48)


def windowed(folder: Path, windows: list[tuple[int, int, int]]) -> None:
    """Write scenes without a tile, whose window (first row and column, pixels of 10 m, and size) moves by date."""
    every = []
    for number, (row, col, size) in enumerate(windows):
        tile = Tile("", 32638, SCENES.x0 + 10 * col, SCENES.y0 - 10 * row, size)
        one = item(tile, DATES[number])
        for key in ("grid:code",):
            del one["properties"][key]
        for band, side in SIDES.items():
            frame = tile.frame(side)
            x, y = frame.centres()
            values = np.broadcast_to(
                np.rint(ramp(band, tile, number, x[None, :], y[:, None])), (frame.height, frame.width)
            )
            name = f"s/{DATES[number]}/{band}.tif"
            write_tif(
                folder / "source" / name, values.astype(np.uint8 if band == "scl" else np.uint16), frame, block=16
            )
            one["assets"][band]["href"] = f"./{name}"
        every.append(one)
    write_items(folder / "source", every)


def demand_windows(found: xr.DataArray, windows: list[tuple[int, int, int]]) -> None:
    x, y = np.meshgrid(found.x, found.y)
    inside = (x > 600_030) & (x < 600_480) & (y > 4_399_520) & (y < 4_399_880)
    assert len(found.time) == len(windows)
    for t, (row, col, size) in enumerate(windows):
        left, top = SCENES.x0 + 10 * col, SCENES.y0 - 10 * row
        seen = (x > left) & (x < left + 10 * size) & (y < top) & (y > top - 10 * size)
        want = np.where(seen, np.rint(ramp("red", TILE, t, x, y)), -32768)
        np.testing.assert_array_equal(found[t].values[inside], want[inside])


def test_scenes_whose_windows_move_are_one_grid(tmp_path: Path, client: Client) -> None:
    windows = [(0, 0, 48), (2, -6, 64), (-8, 4, 60), (6, 6, 36), (0, -2, 50)]
    windowed(tmp_path, windows)
    result = api.run(configure(tmp_path, BOX, "2024-01-01/2024-12-31", cube={"region": 32}), client)
    assert not result.faults
    demand_windows(cube(tmp_path, grid="32638_10m"), windows)


def test_a_wider_scene_appends_and_the_store_grows(tmp_path: Path, client: Client) -> None:
    narrow = [(4, 8, 24), (6, 10, 22), (4, 8, 24), (5, 9, 20)]
    wide = [*narrow, (-10, -10, 80), (2, -6, 64)]
    windowed(tmp_path, narrow)
    config = configure(tmp_path, BOX, "2024-01-01/2024-12-31", cube={"region": 32, "slab": 2})
    api.run(config, client)
    with xr.open_zarr(tmp_path / "out/change/32638.zarr", consolidated=False) as layers:
        owned = int((layers.status != 255).sum())
    windowed(tmp_path, wide)
    result = api.run(config, client)
    assert not result.faults
    assert not result.outcome.failed
    demand_windows(cube(tmp_path, grid="32638_10m"), wide)
    with xr.open_zarr(tmp_path / "out/change/32638.zarr", consolidated=False) as layers:
        assert owned < int((layers.status != 255).sum()) == pytest.approx(49 * 40, rel=0.05)
        assert {int(n) for n in np.unique(layers.n_valid.values[layers.status.values != 255])} <= {2, 3, 4, 5, 6}
    kinds = {n.kind for n in plan_file.load(config, api.output_of(config)).notices}
    assert "grid_grown" in kinds
    # Nothing is left to do, and what was built at once is the same.
    assert api.run(config, client).outcome.done == 0
    other = configure(tmp_path, BOX, "2024-01-01/2024-12-31", out="other", cube={"region": 32, "slab": 2})
    api.run(other, client)
    demand_windows(cube(tmp_path, grid="32638_10m"), wide)


def test_rebuild_decides_anew(tmp_path: Path, client: Client) -> None:
    windowed(tmp_path, [(4, 8, 24), (6, 10, 22)])
    config = configure(tmp_path, BOX, "2024-01-01/2024-12-31", cube={"region": 32, "slab": 2})
    api.run(config, client)
    wide = [(4, 8, 24), (6, 10, 22), (-13, -11, 90), (-13, -11, 90), (-13, -11, 90)]
    windowed(tmp_path, wide)
    result = api.run(config, client, rebuild=True)
    assert not result.outcome.failed
    demand_windows(cube(tmp_path, grid="32638_10m"), wide)
    assert not plan_file.load(config, api.output_of(config)).notices


@pytest.mark.parametrize("broken", [b"", b"<html>Log in</html>" * 50])
def test_a_tile_of_which_no_header_can_be_read_takes_no_other_with_it(
    broken: bytes, tmp_path: Path, client: Client
) -> None:
    """Its one item is named; where no header of any tile can be read, the run is refused as before."""
    east = Tile("38TQK", 32638, 600_320, 4_400_000, 64)
    source = tmp_path / "source"
    write_source(source, [TILE], DATES, ramp)
    items = json.loads((source / "items.json").read_text())["features"]
    write_source(source, [east], DATES[:1], ramp)
    write_items(source, [*items, item(east, DATES[0])])
    (source / "38TQK" / f"{DATES[0]}_0" / "red.tif").write_bytes(broken)
    settings = configure(
        tmp_path, lonlat_box(32638, 600_010, 4_399_500, 600_900, 4_399_900), "2024-01-01/2024-12-31", run=LENIENT
    )
    result = api.run(settings, client)
    assert not result.outcome.failed
    assert {(f.band, f.region.partition("/")[0]) for f in result.faults} == {("red", "38TQK")}
    demand_truth(cube(tmp_path))
    for number, date in enumerate(DATES):
        (source / "38TPK" / f"{date}_0" / "red.tif").write_bytes(broken[: 10 + number])
    with pytest.raises(BadInput, match="no header of the first scenes can be read"):
        api.plan(configure(tmp_path, BOX, "2024-01-01/2024-12-31", out="other"))
