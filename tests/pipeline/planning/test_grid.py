"""Grids, regions and ownership: every pixel of the area is owned once, whatever tiles and zones overlap it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput, Grid
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import planner
from groundbreak.pipeline.planning.regions import Ownership
from tests.world import Tile, configure, item, lonlat_box, plain, write_items, write_source, write_tif


def grid(name: str, epsg: int, x0: float, y0: float, size: int, region: int = 16) -> Grid:
    frame = Frame(epsg, x0, y0, 10.0, size, size)
    return Grid(name, frame, frame, {"red": 10.0}, region)


def owners(grids: list[Grid], area: object) -> list[np.ndarray]:
    """(n, 2) centres of the pixels that each grid owns, in its own CRS."""
    found = []
    for g in grids:
        x, y = (c.ravel() for c in np.meshgrid(*g.frame.centres()))
        mine = Ownership(g, tuple(grids), areas.project(area, g.frame.epsg)).of(g.frame).ravel()
        found.append(np.column_stack([x[mine], y[mine]]))
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(10, 50)), min_size=1, max_size=4))
def test_overlapping_tiles_share_no_pixel_and_leave_none(tiles: list[tuple[int, int, int]]) -> None:
    grids = [grid(f"t{i}", 32638, 500_000 + 10 * c, 4_400_000 - 10 * r, n) for i, (r, c, n) in enumerate(tiles)]
    area = geo.to_lonlat(shapely.box(499_000, 4_398_000, 502_000, 4_401_000), 32638)
    every = np.concatenate(owners(grids, area))
    assert len(np.unique(every, axis=0)) == len(every)
    covered = set()
    for g in grids:
        x, y = np.meshgrid(*g.frame.centres())
        covered |= set(zip(x.ravel(), y.ravel(), strict=True))
    assert len(every) == len(covered)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0.35, 0.5, 2.5, 9.87, 10.0032, 14.805, 17.12335]),
    st.tuples(st.integers(-3_000_000, 3_000_000), st.integers(-3_000_000, 3_000_000)),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(4, 36)), min_size=2, max_size=4),
)
def test_tiles_of_one_lattice_share_no_pixel_whatever_the_last_bits_say(
    side: float, corner: tuple[int, int], tiles: list[tuple[int, int, int]]
) -> None:
    """Each tile reckons from its own corner; a pixel that lies as deep in two of them has one owner all the same."""
    top, left = 4_400_000 + corner[0] / 1000, 500_000 + corner[1] / 1000
    frames = [Frame(32638, left + side * c, top - side * r, side, n, n) for r, c, n in tiles]
    grids = [Grid(f"t{i}", frame, frame, {"red": side}, 16) for i, frame in enumerate(frames)]
    area = areas.project(geo.to_lonlat(shapely.box(490_000, 4_390_000, 510_000, 4_410_000), 32638), 32638)
    owned = np.zeros((70, 70), int)
    covered = np.zeros((70, 70), bool)
    for g, (r, c, n) in zip(grids, tiles, strict=True):
        covered[r : r + n, c : c + n] = True
        owned[r : r + n, c : c + n] += Ownership(g, tuple(grids), area).of(g.frame)
    np.testing.assert_array_equal(owned, covered)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(1, 30))
def test_ownership_does_not_depend_on_the_window_asked_for(row: int, col: int) -> None:
    a, b = grid("a", 32638, 500_000, 4_400_000, 60), grid("b", 32638, 500_250, 4_399_900, 60)
    area = areas.project(geo.to_lonlat(shapely.box(499_000, 4_398_000, 502_000, 4_401_000), 32638), 32638)
    ownership = Ownership(a, (a, b), area)
    whole = ownership.of(a.frame)
    part = ownership.of(a.frame.window(row, col, 20, 15))
    np.testing.assert_array_equal(part, whole[row : row + 20, col : col + 15])


def test_two_zones_own_the_ground_once() -> None:
    # 48 degrees east parts zones 38 and 39.
    move = pyproj.Transformer.from_crs("OGC:CRS84", 32639, always_xy=True)
    x, y = move.transform(48.0, 40.0)
    west_x, west_y = pyproj.Transformer.from_crs("OGC:CRS84", 32638, always_xy=True).transform(48.0, 40.0)
    west = grid("38T", 32638, round(west_x, -1) - 3000, round(west_y, -1) + 2000, 400)
    east = grid("39T", 32639, round(x, -1) - 1000, round(y, -1) + 2000, 400)
    area = shapely.box(47.99, 39.995, 48.01, 40.005)
    counts = [len(o) for o in owners([west, east], area)]
    assert min(counts) > 0
    assert sum(counts) * 100 == pytest.approx(geo.ground_area(area), rel=2e-3)
    # No ground is owned twice: the western owner's pixel centres, seen from the east, are not the eastern owner's.
    to_east = pyproj.Transformer.from_crs(32638, 32639, always_xy=True)
    seen = np.column_stack(to_east.transform(*owners([west, east], area)[0].T))
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(owners([west, east], area)[1]).query(seen)
    assert (distance < 5).sum() < 0.01 * len(seen)


def test_an_area_over_the_antimeridian_is_owned_once() -> None:
    move = pyproj.Transformer.from_crs("OGC:CRS84", 32760, always_xy=True)
    x, y = move.transform(180.0, -16.5)
    left = grid("60K", 32760, round(x, -1) - 3000, round(y, -1) + 1500, 400)
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", 32701, always_xy=True).transform(-180.0, -16.5)
    right = grid("01K", 32701, round(x, -1) - 1000, round(y, -1) + 1500, 400)
    area = geo.split_bbox(179.99, -16.505, -179.99, -16.495)
    assert area.geom_type == "MultiPolygon"
    counts = [len(o) for o in owners([left, right], area)]
    assert min(counts) > 0
    assert sum(counts) * 100 == pytest.approx(geo.ground_area(area), rel=4e-3)


def test_regions_are_whole_blocks_of_every_band(tmp_path: Path) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000, 160)
    write_source(tmp_path / "source", [tile], ["2024-01-01"], block=32)
    box = lonlat_box(32638, 600_700, 4_398_700, 601_300, 4_399_300)
    planned = planner.plan(configure(tmp_path, box, "2024-01-01/2024-12-31", cube={"region": 50}))
    found = planned.grids[0]
    # Blocks of 32 pixels at 20 m are 64 at 10 m; the least multiple that reaches 50 is 64.
    assert found.grid.region == 64
    assert (found.grid.frame.x0 - tile.x0) % 640 == 0
    assert (tile.y0 - found.grid.frame.y0) % 640 == 0
    assert {(r.row, r.col) for r in found.regions} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert sum(r.owned for r in found.regions) == pytest.approx(geo.ground_area(shapely.box(*box)) / 100, rel=0.01)
    assert planned.uncovered_km2 == pytest.approx(0, abs=1e-6)


def test_another_resolution_goes_onto_the_zones_lattice(tmp_path: Path) -> None:
    tiles = [Tile("38TPK", 32638, 600_000, 4_400_000), Tile("38TQK", 32638, 600_900, 4_400_000)]
    write_source(tmp_path / "source", tiles, ["2024-01-01"])
    box = lonlat_box(32638, 600_300, 4_399_000, 601_800, 4_399_700)
    planned = planner.plan(configure(tmp_path, box, "2024-01-01/2024-12-31", cube={"region": 64, "resolution": 30}))
    assert [g.grid.name for g in planned.grids] == ["32638_30m"]
    only = planned.grids[0]
    assert set(only.grid.bands.values()) == {30.0}
    assert len(only.observations) == 1
    assert len(only.observations[0].scenes) == 2
    assert only.grid.frame.x0 % (30 * 64) == 0
    assert all("warped" in way for way in only.ways)


def test_the_parts_of_a_datatake_are_one_observation(tmp_path: Path) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000)
    source = tmp_path / "source"
    write_source(source, [tile], ["2024-01-01", "2024-01-06"])
    parts = [item(tile, "2024-01-01"), item(tile, "2024-01-01", suffix="1"), item(tile, "2024-01-06")]
    parts[1]["properties"]["s2:datastrip_id"] = parts[1]["properties"]["s2:datastrip_id"].replace("_S2024", "_S2023")
    for band in parts[1]["assets"].values():
        band["href"] = band["href"].replace("_1/", "_0/")
    write_items(source, parts)
    box = lonlat_box(32638, 600_300, 4_399_000, 600_900, 4_399_700)
    planned = planner.plan(configure(tmp_path, box, "2024-01-01/2024-12-31"))
    assert [len(o.scenes) for o in planned.grids[0].observations] == [2, 1]


def test_frames_come_from_headers_where_items_do_not_say(tmp_path: Path) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000)
    source = tmp_path / "source"
    write_source(source, [tile], ["2024-01-01"])
    bare = item(tile, "2024-01-01")
    for asset in bare["assets"].values():
        del asset["proj:transform"], asset["proj:shape"]
    write_items(source, [bare])
    box = lonlat_box(32638, 600_300, 4_399_000, 600_900, 4_399_700)
    config = configure(tmp_path, box, "2024-01-01/2024-12-31")
    assert planner.plan(config).grids[0].grid.source == tile.frame()
    (source / "38TPK" / "2024-01-01_0" / "red.tif").write_bytes(b"not a raster")
    with pytest.raises(BadInput, match="red"):
        planner.plan(config)


def test_an_area_beside_the_items_is_bad_input(tmp_path: Path) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000)
    write_source(tmp_path / "source", [tile], ["2024-01-01"])
    with pytest.raises(BadInput):
        planner.plan(configure(tmp_path, (10.0, 50.0, 10.1, 50.1), "2024-01-01/2024-12-31"))


def test_a_remote_raster_that_is_really_a_vrt_is_not_opened(tmp_path: Path) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000)
    source = tmp_path / "source"
    write_source(source, [tile], ["2024-01-01"])
    secret = tmp_path / "secret.tif"
    write_tif(secret, plain_values(tile), tile.frame())
    vrt = (
        f'<VRTDataset rasterXSize="128" rasterYSize="128"><SRS>EPSG:32638</SRS>'
        f"<GeoTransform>600000,10,0,4400000,0,-10</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename>'
        f"<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (source / "38TPK" / "2024-01-01_0" / "red.tif").write_text(vrt)
    box = lonlat_box(32638, 600_300, 4_399_000, 600_900, 4_399_700)
    with pytest.raises(BadInput, match="red"):
        planner.plan(configure(tmp_path, box, "2024-01-01/2024-12-31"))


def plain_values(tile: Tile) -> np.ndarray:
    x, y = tile.frame().centres()
    return np.full((tile.size, tile.size), int(plain("red", tile, 0, x, y)), np.uint16)


def test_tiles_together_take_the_memory_of_the_one_that_takes_most(tmp_path: Path) -> None:
    tiles = [Tile("38TPK", 32638, 600_000, 4_400_000), Tile("38TQK", 32638, 601_280, 4_400_000)]
    write_source(tmp_path / "source", tiles, ["2024-01-01", "2024-01-11"])

    def memory(left: float, right: float) -> dict[str, int]:
        box = lonlat_box(32638, left, 4_398_800, right, 4_399_900)
        return planner.plan(configure(tmp_path, box, "2024-01-01/2024-12-31", cube={"region": 64})).memory()

    west, east, both = memory(600_100, 601_200), memory(601_360, 602_460), memory(600_100, 602_460)
    assert both == {kind: max(west[kind], east[kind]) for kind in west}
