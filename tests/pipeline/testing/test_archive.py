"""What stands in an archive: COGs that GDAL accepts, items like Earth Search's, and the traps."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from shapely.geometry import shape

from groundbreak.pipeline.testing import Truth, write_archive
from groundbreak.pipeline.testing.frames import EPSG, LAYOUTS
from tests.shared import SHARED

REAL = SHARED / "data/stac_fixtures/earthsearch_v1_s2l2a_mixed_baselines_xcube.json"
Item = dict[str, Any]
Archive = tuple[Path, Truth]


def read(folder: Path, item: Item, band: str) -> np.ndarray:
    with rasterio.open(folder / item["assets"][band]["href"]) as source:
        return np.asarray(source.read(1))


def digest(folder: Path) -> str:
    sums = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sums.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return sums.hexdigest()


def test_every_asset_is_a_cog_on_its_announced_grid(archive: Archive, items: list[Item]) -> None:
    for item in items[::20]:
        for name, asset in item["assets"].items():
            with rasterio.open(archive[0] / asset["href"]) as source:
                tags = source.tags(ns="IMAGE_STRUCTURE")
                assert tags["LAYOUT"] == "COG"
                assert tags["COMPRESSION"] == "DEFLATE"
                assert tags["PREDICTOR"] == "2"
                assert source.profile["tiled"]
                assert source.block_shapes == [(64, 64)]
                assert source.nodata == 0
                assert source.crs.to_epsg() == EPSG
                assert source.overviews(1) == ([2] if max(source.shape) > 64 else [])
                assert source.dtypes == (("uint8",) if name == "scl" else ("uint16",))
                assert list(source.shape) == asset["proj:shape"]
                assert list(source.transform)[:6] == asset["proj:transform"]


def test_no_side_files(archive: Archive) -> None:
    kinds = Counter(p.suffix for p in archive[0].rglob("*") if p.is_file())
    assert set(kinds) == {".tif", ".json"}


def test_tiles_share_the_lattice_but_not_the_blocks() -> None:
    for layout in LAYOUTS.values():
        one, two = layout.frames
        assert (two.left - one.left) % 20 == 0
        assert (two.col - one.col) % layout.block
        assert (two.col - one.col) // 2 % layout.block
        west, east = layout.utm(0, 0)[0], layout.utm(layout.width, 0)[0]
        assert west == one.left
        assert east == two.left + 10 * two.width
        rows, cols = np.nonzero(layout.aoi_mask())
        # The area of interest lies inside the tiles, or the mask would touch the scene's border.
        assert rows.min() > 0
        assert cols.min() > 0
        assert rows.max() < layout.height - 1
        assert cols.max() < layout.width - 1


def test_tiles_agree_where_they_overlap(archive: Archive, items: list[Item]) -> None:
    pairs = defaultdict(list)
    for item in items:
        p = item["properties"]
        if p["s2:nodata_pixel_percentage"] == 0 and p["s2:processing_baseline"] != "02.14":
            pairs[item["properties"]["datetime"]].append(item)
    one, two = next(p for p in pairs.values() if len(p) == 2)
    overlap = 34
    left, right = read(archive[0], one, "red"), read(archive[0], two, "red")
    np.testing.assert_array_equal(left[:, -overlap:], right[:, :overlap])


def test_items_are_valid_stac_and_complete(items: list[Item]) -> None:
    assert len({i["id"] for i in items}) == len(items)
    for item in items:
        pystac.Item.from_dict(item)
        outline = shape(item["geometry"])
        assert outline.is_valid
        assert np.allclose(outline.bounds, item["bbox"])
        assert item["properties"]["earthsearch:boa_offset_applied"] in (True, False)
        for asset in item["assets"].values():
            assert asset["href"].startswith("./38T")


@pytest.mark.skipif(not REAL.exists(), reason="real responses are not beside this clone")
def test_items_have_the_keys_of_a_real_one(items: list[Item]) -> None:
    real = json.loads(REAL.read_text())["features"][0]
    ours = items[0]
    assert set(ours) == set(real)
    # Sun angles and the archive's own paths have no meaning here; nothing else may be missing.
    left_out = {
        "view:sun_azimuth",
        "view:sun_elevation",
        "s2:reflectance_conversion_factor",
        "earthsearch:s3_path",
        "earthsearch:payload_id",
    }
    assert set(real["properties"]) - set(ours["properties"]) == left_out
    assert set(ours["properties"]) <= set(real["properties"])
    for key, asset in ours["assets"].items():
        assert set(asset) == set(real["assets"][key])
        assert asset["type"] == real["assets"][key]["type"]
        assert set(asset["raster:bands"][0]) == set(real["assets"][key]["raster:bands"][0])


def test_offset_is_in_the_numbers_and_goes_away_with_the_rules(archive: Archive, items: list[Item]) -> None:
    raw: dict[bool, list[float]] = {False: [], True: []}
    ruled: dict[bool, list[float]] = {False: [], True: []}
    for item in items:
        p = item["properties"]
        if p["eo:cloud_cover"] > 20 or p["s2:nodata_pixel_percentage"] > 0:
            continue
        values, scl = read(archive[0], item, "blue"), read(archive[0], item, "scl")
        dark = values[np.isin(scl, (4, 5, 6)).repeat(2, 0).repeat(2, 1)]
        level = float(np.percentile(dark, 5))
        late = p["datetime"] >= "2022-01-25"
        band = item["assets"]["blue"]["raster:bands"][0]
        # The rule for Earth Search: an announced offset counts unless it was already applied.
        offset = 0.0 if p["earthsearch:boa_offset_applied"] else band["offset"]
        raw[late].append(level)
        ruled[late].append(level * band["scale"] + offset)
    assert np.median(raw[True]) - np.median(raw[False]) == pytest.approx(1000, abs=100)
    assert np.median(ruled[True]) == pytest.approx(np.median(ruled[False]), abs=0.01)


def test_no_valid_pixel_is_zero(archive: Archive, items: list[Item]) -> None:
    for item in items[::7]:
        for band, repeat in (("red", 2), ("swir16", 1)):
            values, scl = read(archive[0], item, band), read(archive[0], item, "scl")
            valid = (scl > 0).repeat(repeat, 0).repeat(repeat, 1)
            np.testing.assert_array_equal(values > 0, valid)


def test_duplicates_are_there_and_differ(archive: Archive, items: list[Item]) -> None:
    twins = [i for i in items if i["properties"]["s2:processing_baseline"] == "05.00"]
    assert twins
    by_id = {i["id"]: i for i in items}
    for new in twins:
        old = by_id[new["id"].replace("_1_L2A", "_0_L2A")]
        before, after = old["properties"], new["properties"]
        assert before["s2:processing_baseline"] == "02.14"
        assert after["earthsearch:boa_offset_applied"]
        assert new["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
        assert old["assets"]["red"]["raster:bands"][0]["offset"] == 0
        times = [datetime.fromisoformat(p["datetime"]) for p in (before, after)]
        assert (times[1] - times[0]).total_seconds() == pytest.approx(0.001)
        a, b = (read(archive[0], i, "red").astype(float) for i in (old, new))
        # Neither carries +1000, and the older one is clearly another picture.
        assert abs(np.median(a) - np.median(b)) < 400
        assert np.mean(np.abs(a - b) > 0.05 * b) > 0.5


def test_split_datatakes_complete_each_other(archive: Archive, items: list[Item]) -> None:
    groups = defaultdict(list)
    for item in items:
        p = item["properties"]
        groups[p["s2:datatake_id"], p["grid:code"]].append(item)
    splits = [g for g in groups.values() if len(g) == 2]
    assert splits
    for group in splits:
        properties = [i["properties"] for i in group]
        assert len({p["datetime"] for p in properties}) == 1
        for key in ("s2:datastrip_id", "s2:granule_id", "s2:generation_time"):
            assert len({p[key] for p in properties}) == 2
        valid = [read(archive[0], i, "scl") > 0 for i in group]
        assert not (valid[0] & valid[1]).any()
        assert (valid[0] | valid[1]).all()
        assert max(p["s2:nodata_pixel_percentage"] for p in properties) > 85


def test_neighbour_orbit_leaves_a_wedge(archive: Archive, items: list[Item]) -> None:
    cut = [i for i in items if "_R006_" in i["properties"]["s2:product_uri"]]
    assert cut
    wedges = [i for i in cut if i["properties"]["s2:nodata_pixel_percentage"] > 0]
    assert wedges
    whole = max(shape(i["geometry"]).area for i in items)
    for item in wedges[:3]:
        empty = read(archive[0], item, "scl") == 0
        footprint = shape(item["geometry"]).area / whole
        assert footprint == pytest.approx(1 - empty.mean(), abs=0.02)
        # The wedge leans: its width differs between the first and the last row.
        assert empty[0].sum() != empty[-1].sum()


def test_same_seed_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    span = ("2021-07-01", "2021-07-31")
    for name, workers, seed in (("a", 1, 3), ("b", 2, 3), ("c", 1, 4)):
        write_archive(tmp_path / name, seed, start=span[0], end=span[1], workers=workers, scale="small")
    one, two, other = (digest(tmp_path / n) for n in "abc")
    assert one == two
    assert one != other


def test_finished_archives_are_reused_and_broken_ones_rewritten(tmp_path: Path) -> None:
    write = partial(write_archive, tmp_path, start="2021-07-01", end="2021-08-01", scale="small")
    truth = write()
    before = digest(tmp_path)
    kept = tmp_path / "items.json"
    stamp = kept.stat().st_mtime_ns
    assert write() == truth
    assert kept.stat().st_mtime_ns == stamp
    (tmp_path / ".complete.json").unlink()
    next(tmp_path.rglob("red.tif")).write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    write()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "notes.txt").unlink()
    assert digest(tmp_path) == before
