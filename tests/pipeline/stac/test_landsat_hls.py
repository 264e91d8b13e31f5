"""Landsat Collection 2 and HLS as real archives list them: every item, with the meaning that its README tells."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import shapely

from groundbreak.pipeline.access.providers import recognise
from groundbreak.pipeline.compute.index_series import mask_tables
from groundbreak.pipeline.core.config import parse_span
from groundbreak.pipeline.core.sections import RunConfig, SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.screening import ScreenedItems, screen_items
from tests.shared import SHARED, needs_shared

pytestmark = needs_shared

FIXTURES = SHARED / "data" / "stac_fixtures"
WORLD = shapely.box(-180, -90, 180, 90)
BANDS = ("nir", "red", "swir16")
Item = dict[str, Any]


def screened(path: Path, **more: Any) -> ScreenedItems:
    source = SourceConfig(datetime="1980-01-01/2025-12-31", items=str(path), **more)
    return screen_items(
        read_items(source, WORLD, str), area=WORLD, span=parse_span(source.datetime), bands=BANDS, source=source
    )


def features(name: str) -> list[Item]:
    document = json.loads((FIXTURES / name).read_text())
    return list(document.get("features", [document]))


def written(folder: Path, given: list[Item]) -> Path:
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": given}))
    return path


# What each asset is called in each flavour: (red, nir, swir16, mask).
NAMED = ("red", "nir08", "swir16", "qa_pixel")
OLI_FILES = ("SR_B4.TIF", "SR_B5.TIF", "SR_B6.TIF", "QA_PIXEL.TIF")
PC, USGS = "planetary-computer-landsat", "usgs-landsat"

LANDSAT = {
    "pc_landsat_c2l2_100items_slim_033032_034032_rustac.json": (PC, 100, 100, NAMED),
    "pc_landsat_c2l2_LC08_202033_20220327_stacgeoparquet.json": (PC, 1, 1, NAMED),
    "pc_landsat_c2l2_LC08_LC09_LE07_033032_034032_2023-2024_rustac.json": (PC, 8, 8, NAMED),
    "pc_landsat_c2l2_LC09_084_20250722_L2SR_L2SP_pystacclient.json": (PC, 4, 4, NAMED),
    "pc_landsat_c2l2_LC09_089087-089090_20240417_twozones_stacgeoparquet.json": (PC, 4, 1, NAMED),
    "stactools_landsat_c2l2_LT04_002026_19830110_expected.json": (PC, 1, 1, NAMED),
    "stactools_landsat_c2l2_LT05_010067_19860424_expected.json": (PC, 1, 1, NAMED),
    "usgs_landsat_c2l2_LC08_028030_20200114_odcstac.json": (USGS, 1, 1, NAMED),
    "usgs_landsat_c2l2_LC08_047027_20201204_search_stactools.json": (USGS, 1, 1, NAMED),
    "usgs_landsat_c2l2_LC08_081119_20200101_antarctic_odcstac.json": ("usgs-landsat-oli", 1, 1, OLI_FILES),
    "usgs_landsat_c2l2_LC08_084024_20160111_L2SR_stactools.json": ("usgs-landsat-oli", 1, 1, OLI_FILES),
    "usgs_landsat_c2l2_LC09_092068_20230607_stacasset.json": (USGS, 1, 1, NAMED),
    "usgs_landsat_c2l2_LE07_044033_20210329_odcstac.json": (USGS, 1, 1, NAMED),
    "usgs_landsat_c2l2_LT05_010067_19860424_stactools.json": (USGS, 1, 1, NAMED),
    "usgs_landsat_c2l2_LT05_087017_20090621_L2SR_stactools.json": (USGS, 1, 1, NAMED),
}
"""File -> (provider, items, overpasses, keys of the assets)."""

HLS = {
    "lpcloud_hlsl30_T10SGD_20200903_cmrstac2022_openscapes.json": ("lp-daac-hls-l30", "10SGD", "B04 B05 B06 Fmask"),
    "lpcloud_hlsl30_T13TGF_20210513_cmrstac_lpdaac.json": ("lp-daac-hls-l30", "13TGF", "B04 B05 B06 Fmask"),
    "lpcloud_hlss30_T15MXV_20151129_static_lazycogs.json": ("lp-daac-hls-s30", "15MXV", "B04 B8A B11 Fmask"),
    "stactools_hls_l30_T19LDD_20220614_expected.json": ("stactools-hls", "19LDD", "B04 B05 B06 Fmask"),
    "stactools_hls_s30_T19LDD_20220615_expected.json": ("stactools-hls", "19LDD", "B04 B8A B11 Fmask"),
}
"""File -> (provider, tile, what the files of red, nir, swir16 and the mask are called)."""

EARTH = "earthsearch_landsat_c2l2_LC08_033032_20231008_with_s2_pystacclient.json"


def test_every_file_is_in_a_table() -> None:
    found = {p.name for p in FIXTURES.glob("*landsat*.json")} | {p.name for p in FIXTURES.glob("*hls*.json")}
    assert found == {*LANDSAT, *HLS, EARTH, "pc_hls2_collections_pystacclient.json"}


@pytest.mark.parametrize(("name", "truth"), LANDSAT.items())
def test_landsat(tmp_path: Path, name: str, truth: tuple[str, int, int, tuple[str, ...]]) -> None:
    provider, count, passes, keys = truth
    raw = {f["id"]: f for f in features(name)}
    path = FIXTURES / name
    if name.startswith("stactools"):  # its hrefs leave the catalogue's folder, which the policy refuses
        with pytest.raises(BadInput, match="1 href_refused"):
            screened(path)
        for asset in (a for f in raw.values() for a in f["assets"].values()):
            asset["href"] = asset["href"].rpartition("/")[2]
        path = written(tmp_path, [*raw.values()])
    if "pystacclient" in name:  # one page of a search, which says so, and would be refused
        path = written(tmp_path, [*raw.values()])
    got = screened(path)
    assert (len(got.scenes), got.rejections) == (count, ())
    assert {s.provider for s in got.scenes} == {provider}
    assert len({s.datatake for s in got.scenes}) == passes
    assert (got.provider.lattice, got.mask.band, got.mask.dtype) == ("zone", "qa_pixel", "uint16")
    for scene in got.scenes:
        assert scene.tile == ""
        for band, key in zip((*BANDS[1::-1], "swir16", "qa_pixel"), keys, strict=True):
            asset, told = scene.assets[band], raw[scene.id]["assets"][key]
            assert asset.href.endswith(told["href"].rpartition("/")[2])
            wanted = (1.0, 0.0, 1.0) if band == "qa_pixel" else (2.75e-5, -0.2, 0.0)
            assert (asset.scale, asset.offset, asset.nodata) == pytest.approx(wanted)
            _has_the_frame_that_is_told(asset.frame, raw[scene.id], told)


def _has_the_frame_that_is_told(frame: Any, item: Item, asset: Item) -> None:
    """Check a frame against the item's own numbers; there is none where pixels are not square, or nothing is told."""
    said = {**item["properties"], **asset}
    transform = said.get("proj:transform")
    if transform is None or transform[0] != -transform[4]:
        assert frame is None
        return
    assert (frame.epsg, frame.x0, frame.y0) == (said["proj:epsg"], transform[2], transform[5])
    assert [frame.height, frame.width] == said["proj:shape"]
    assert frame.resolution == 30


@pytest.mark.parametrize(("name", "truth"), HLS.items())
def test_hls(name: str, truth: tuple[str, str, str]) -> None:
    provider, tile, files = truth
    (raw,) = features(name)
    got = screened(FIXTURES / name)
    (scene,) = got.scenes
    assert got.rejections == ()
    assert (scene.provider, scene.tile, got.provider.lattice) == (provider, f"MGRS-{tile}", "source")
    assert (got.mask.band, got.mask.dtype, got.mask.nodata) == ("fmask", "uint8", 255)
    for band, file in zip(("red", "nir", "swir16", "fmask"), files.split(), strict=True):
        asset = scene.assets[band]
        assert asset.href.endswith(f".{file}.tif")
        assert asset.driver == "GTiff"
        wanted = (1.0, 0.0, 255.0) if band == "fmask" else (1e-4, 0.0, -9999.0)
        assert (asset.scale, asset.offset, asset.nodata) == wanted
        _has_the_frame_that_is_told(asset.frame, raw, {})


def test_earth_search_lists_two_collections_that_one_name_tells_apart() -> None:
    with pytest.raises(BadInput, match="read in different ways"):
        screened(FIXTURES / EARTH)
    got = screened(FIXTURES / EARTH, collection="landsat-c2-l2")
    (scene,) = got.scenes
    assert (scene.provider, got.provider.requester_pays) == ("earth-search-landsat", "usgs-landsat")
    assert all(a.href.startswith("s3://usgs-landsat/") for a in scene.assets.values())
    assert (scene.assets["red"].scale, scene.assets["red"].offset) == (2.75e-5, -0.2)


@pytest.mark.parametrize(("collection", "narrow"), [("hls2-l30", ".B05.tif"), ("hls2-s30", ".B8A.tif")])
def test_planetary_computer_hls_as_its_maker_writes_it(tmp_path: Path, collection: str, narrow: str) -> None:
    known = {
        c["id"] for c in json.loads((FIXTURES / "pc_hls2_collections_pystacclient.json").read_text())["collections"]
    }
    assert collection in known
    (item,) = features("lpcloud_hlss30_T15MXV_20151129_static_lazycogs.json")
    item["collection"] = collection
    if collection == "hls2-l30":
        item = json.loads(json.dumps(item).replace("S30", "L30").replace("sentinel-2a", "landsat-8"))
    for asset in item["assets"].values():
        asset["href"] = "https://hls2euwest.blob.core.windows.net/hls2/x/" + asset["href"].rpartition("/")[2]
    got = screened(written(tmp_path, [item]))
    (scene,) = got.scenes
    assert scene.provider == f"planetary-computer-{collection.replace('hls2', 'hls')}"
    assert scene.assets["nir"].href.endswith(narrow)
    access = got.provider.access(SourceConfig(), RunConfig())
    assert access.token_url is not None
    assert access.token_url.endswith("/token/hls2euwest/hls2")


def test_l30_and_s30_are_one_source_and_their_overpasses_are_two(tmp_path: Path) -> None:
    l30, s30 = (features(f"stactools_hls_{k}_expected.json")[0] for k in ("l30_T19LDD_20220614", "s30_T19LDD_20220615"))
    for item in (l30, s30):  # as CMR-STAC answers: no platform; and in one minute
        del item["properties"]["platform"]
    s30["properties"]["datetime"] = "2022-06-14T14:40:40Z"
    got = screened(written(tmp_path, [l30, s30]))
    assert len(got.scenes) == 2
    assert len({s.datatake for s in got.scenes}) == 2
    assert {s.tile for s in got.scenes} == {"MGRS-19LDD"}


def _lp(product: str, item: Item) -> Item:
    new = copy.deepcopy(item) | {"collection": f"HLS{product}_2.0"}
    return dict(json.loads(json.dumps(new).replace("HLS.L30", f"HLS.{product}")))


def test_two_collections_of_lp_daac_in_one_list(tmp_path: Path) -> None:
    (l30,) = features("lpcloud_hlsl30_T13TGF_20210513_cmrstac_lpdaac.json")
    s30 = _lp("S30", l30)
    s30["assets"]["B8A"], s30["assets"]["B12"] = s30["assets"]["B05"], s30["assets"]["B07"]
    path = written(tmp_path, [l30, s30])
    got = screened(path)
    assert [s.provider for s in got.scenes] == ["lp-daac-hls-l30", "lp-daac-hls-s30"]
    assert got.scenes[0].assets["nir"].href.endswith("L30.T13TGF.2021133T172406.v2.0.B05.tif")
    assert len({s.datatake for s in got.scenes}) == 2
    only = screened(path, collection="HLSL30_2.0")
    assert [s.id for s in only.scenes] == [l30["id"]]
    assert [r.reason for r in only.rejections] == ["other_collection"]


def test_scenes_of_two_rows_that_share_a_tile_of_hls_are_fused(tmp_path: Path) -> None:
    (north,) = features("lpcloud_hlsl30_T13TGF_20210513_cmrstac_lpdaac.json")
    south = dict(json.loads(json.dumps(north).replace("2021133T172406", "2021133T172430")))
    west, low, east, high = north["bbox"]
    south["properties"]["datetime"] = "2021-05-13T17:24:30.362Z"
    middle = low + 0.45 * (high - low)
    for item, part in ((north, (west, middle, east, high)), (south, (west, low, east, middle + 0.05 * (high - low)))):
        item["geometry"], item["bbox"] = shapely.geometry.mapping(shapely.box(*part)), list(part)
    got = screened(written(tmp_path, [north, south]))
    assert (len(got.scenes), got.rejections) == (2, ())
    assert len({s.datatake for s in got.scenes}) == 1


def test_rows_of_one_pass_are_one_overpass_and_overlapping_paths_are_two() -> None:
    got = screened(FIXTURES / "pc_landsat_c2l2_LC09_089087-089090_20240417_twozones_stacgeoparquet.json")
    assert len({s.datatake for s in got.scenes}) == 1
    frames = [s.assets["red"].frame for s in got.scenes]
    assert Counter(f.epsg for f in frames if f) == {32655: 3, 32656: 1}
    assert all(f.y0 < 0 for f in frames if f)
    both = screened(FIXTURES / "pc_landsat_c2l2_LC08_LC09_LE07_033032_034032_2023-2024_rustac.json")
    assert len({s.datatake for s in both.scenes}) == 8


VERSIONS = [
    # (id of the one that is replaced, id of the one that is used), of the scene LC08 047027 of 2020-12-04
    ("LC08_L2SP_047027_20201204_20201211_02_T1_SR", "LC08_L2SP_047027_20201204_20210313_02_T1_SR"),
    ("LC08_L2SP_047027_20201204_20210401_02_RT_SR", "LC08_L2SP_047027_20201204_20210313_02_T1_SR"),
    ("LC08_L2SP_047027_20201204_20210401_02_T2_SR", "LC08_L2SP_047027_20201204_20210313_02_T1_SR"),
    ("LC08_L2SP_047027_20201204_20201211_02_RT_SR", "LC08_L2SP_047027_20201204_20201211_02_T2_SR"),
    ("LC08_L2SR_047027_20201204_20201211_02_T1_SR", "LC08_L2SP_047027_20201204_20210313_02_T1_SR"),
    ("LC08_L2SP_047027_20201204_20201211_02_T1_SR", "LC08_L2SR_047027_20201204_20210313_02_T1_SR"),
]


@pytest.mark.parametrize(("old", "new"), VERSIONS)
@pytest.mark.parametrize("moved", [0, 300])
def test_versions_of_a_scene(tmp_path: Path, old: str, new: str, moved: int) -> None:
    (item,) = features("usgs_landsat_c2l2_LC08_047027_20201204_search_stactools.json")
    given = []
    for name in (old, new):
        other = copy.deepcopy(item) | {"id": name}
        del other["properties"]["updated"], other["properties"]["created"]
        other["properties"]["landsat:collection_category"] = name[-5:-3]
        for asset in other["assets"].values():
            asset["href"] = asset["href"].replace(item["id"][:-3], name[:-3])
        given.append(other)
    given[0]["properties"]["proj:transform"][2] -= moved  # each processing chooses its own window
    for order in (given, given[::-1]):
        got = screened(written(tmp_path, order))
        assert [s.id for s in got.scenes] == [new]
        assert [(r.item, r.reason) for r in got.rejections] == [(old, "older_version")]


def test_usgs_is_read_from_s3_where_the_reader_pays() -> None:
    path = FIXTURES / "usgs_landsat_c2l2_LC08_047027_20201204_search_stactools.json"
    (scene,) = screened(path).scenes
    assert scene.assets["red"].href.startswith("https://landsatlook.usgs.gov/")
    (paid,) = screened(path, requester_pays=True).scenes
    assert paid.assets["red"].href.startswith("s3://usgs-landsat/")
    assert paid.assets["red"].href.endswith("_SR_B4.TIF")


def test_the_first_items_of_usgs_call_another_band_by_the_same_name(tmp_path: Path) -> None:
    (item,) = features("usgs_landsat_c2l2_LC08_084024_20160111_L2SR_stactools.json")
    older = dict(json.loads(json.dumps(item).replace("LC08_", "LT05_")))
    (scene,) = screened(written(tmp_path, [older])).scenes
    files = {band: scene.assets[band].href[-9:] for band in BANDS}
    assert files == {"red": "SR_B3.TIF", "nir": "SR_B4.TIF", "swir16": "SR_B5.TIF"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scale": 1.0, "offset": 0.0}, "scale_unknown"),
        ({"scale": 1e-4, "offset": -0.2}, "scale_unknown"),
        ({"scale": 2.75e-5, "offset": 0.0}, "offset_contradicts_product"),
    ],
)
def test_metadata_that_contradict_the_product_are_not_believed(tmp_path: Path, change: Item, reason: str) -> None:
    (item,) = features("pc_landsat_c2l2_LC08_202033_20220327_stacgeoparquet.json")
    item["assets"]["red"]["raster:bands"][0].update(change)
    with pytest.raises(BadInput, match=f"1 {reason}"):
        screened(written(tmp_path, [item]))


def test_an_item_of_tm_lacks_only_what_tm_lacks() -> None:
    item = features("usgs_landsat_c2l2_LT05_010067_19860424_stactools.json")[0]
    assert "coastal" not in item["assets"]
    assert recognise(item).name == "usgs-landsat"


@pytest.mark.parametrize(
    ("value", "clear", "snow"),
    [
        (21824, True, False),  # OLI: clear land, low confidences
        (21952, True, False),  # OLI: clear water
        (5440, True, False),  # TM: clear land
        (5504, True, False),  # TM: clear water
        (1, False, False),  # fill
        (0, True, False),  # no flag at all: never a pixel of Landsat
        (21826, False, False),  # dilated cloud
        (54596, False, False),  # cirrus
        (22280, False, False),  # cloud, high confidence
        (23888, False, False),  # cloud shadow
        (30048, False, True),  # snow
    ],
)
def test_the_pixels_of_qa_pixel(value: int, clear: bool, snow: bool) -> None:
    tables = mask_tables(screened(FIXTURES / "usgs_landsat_c2l2_LC09_092068_20230607_stacasset.json").mask)
    assert (tables[0][value], tables[1][value]) == (clear, snow)


@pytest.mark.parametrize(
    ("value", "clear", "snow"),
    [(0, True, False), (32, True, False), (64, True, False), (224, True, False), (255, False, False),
     (2, False, False), (4, False, False), (8, False, False), (16, False, True), (1, True, False), (66, False, False)],
)  # fmt: skip
def test_the_pixels_of_fmask(value: int, clear: bool, snow: bool) -> None:
    tables = mask_tables(screened(FIXTURES / "lpcloud_hlsl30_T13TGF_20210513_cmrstac_lpdaac.json").mask)
    assert (tables[0][value], tables[1][value]) == (clear, snow)
