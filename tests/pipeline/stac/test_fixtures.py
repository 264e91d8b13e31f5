"""Real responses of real archives, through sources and screening, with the outcome that their README tells."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import shapely
import yaml

from groundbreak.pipeline.core.config import parse_span
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.screening import ScreenedItems, screen_items
from tests.shared import SHARED, needs_shared
from tests.stac import serve

pytestmark = needs_shared

FIXTURES = SHARED / "data" / "stac_fixtures"
STACTOOLS = FIXTURES / "stactools_sentinel2"
WORLD = shapely.box(-180, -90, 180, 90)
BANDS = ("nir", "red", "swir16")


def screened(source: SourceConfig, area: Any = WORLD) -> ScreenedItems:
    raws = read_items(source, area, str)
    return screen_items(raws, area=area, span=parse_span(source.datetime), bands=BANDS, source=source)


def of_file(path: Path, area: Any = WORLD, **more: Any) -> ScreenedItems:
    return screened(SourceConfig(datetime="2015-01-01/2025-12-31", items=str(path), **more), area)


def offsets(got: ScreenedItems) -> set[float]:
    return {s.assets[band].offset for s in got.scenes for band in BANDS}


@pytest.mark.parametrize(
    ("name", "provider", "scenes", "datatakes", "tiles", "offset"),
    [
        ("cdse_s2l2a_xcube.json", "cdse", 4, 2, 2, -0.1),
        ("earthsearch_v1_s2c1l2a_rustac.json", "earth-search-c1", 10, 10, 1, -0.1),
        ("earthsearch_v1_s2l2a_mixed_baselines_xcube.json", "earth-search", 8, 2, 4, 0.0),
        ("pc_s2l2a_1000items_2024_rustac.parquet", "planetary-computer", 1000, 51, 54, -0.1),
        ("pc_s2l2a_13SDD_2024_rustac.json", "planetary-computer", 22, 20, 1, -0.1),
        ("pc_s2l2a_13TDE_2024_rustac.json", "planetary-computer", 10, 10, 1, -0.1),
        ("pc_s2l2a_20190101_baseline0212_pystacclient.json", "planetary-computer", 33, 1, 33, 0.0),
        ("pc_s2l2a_47XML_twozones_geoparquet.json", "planetary-computer", 4, 1, 4, -0.1),
        ("pc_s2l2a_strip_20200606_odcstac.json", "planetary-computer", 9, 1, 9, 0.0),
        ("pc_s2l2a_tile35MNM_2020_odcstac.json", "planetary-computer", 13, 13, 1, 0.0),
    ],
)
def test_archives(name: str, provider: str, scenes: int, datatakes: int, tiles: int, offset: float) -> None:
    got = of_file(FIXTURES / name)
    assert {s.provider for s in got.scenes} == {provider}
    assert len(got.scenes) == scenes
    assert len({s.datatake for s in got.scenes}) == datatakes
    assert len({s.tile for s in got.scenes}) == tiles
    assert offsets(got) == {offset}
    for scene in got.scenes:
        assert set(scene.assets) == {*BANDS, "scl"}
        assert all(a.frame and a.scale == (1.0 if b == "scl" else 1e-4) and a.nodata == 0
                   for b, a in scene.assets.items())  # fmt: skip
        assert scene.assets["red"].frame is not None
        assert scene.assets["red"].frame.resolution == 10
        assert scene.assets["scl"].frame is not None
        assert scene.assets["scl"].frame.resolution == 20


def test_mixed_baselines_keep_05_00_and_its_pixels_are_not_shifted_twice() -> None:
    got = of_file(FIXTURES / "earthsearch_v1_s2l2a_mixed_baselines_xcube.json")
    assert {s.baseline for s in got.scenes} == {"05.00"}
    assert all("_1_L2A" in s.id for s in got.scenes)
    assert Counter(r.reason for r in got.rejections) == {"older_baseline": 8}
    assert all("_0_L2A" in r.item for r in got.rejections)


def test_split_datatakes_are_kept_whole_first() -> None:
    path = FIXTURES / "pc_s2l2a_13SDD_2024_rustac.json"
    raw = {f["id"]: f["properties"] for f in json.loads(path.read_text())["features"]}
    by_take: dict[str, list[float]] = defaultdict(list)
    for scene in of_file(path).scenes:
        by_take[scene.datatake].append(raw[scene.id]["s2:nodata_pixel_percentage"])
    split = {key: shares for key, shares in by_take.items() if len(shares) > 1}
    assert sorted(key[4:12] for key in split) == ["20240719", "20240820"]
    assert sorted(round(shares[1], 1) for shares in split.values()) == [93.6, 96.6]
    assert all(shares[0] < shares[1] for shares in split.values())


def test_two_zones_in_one_result() -> None:
    got = of_file(FIXTURES / "pc_s2l2a_47XML_twozones_geoparquet.json")
    frames = [s.assets["red"].frame for s in got.scenes]
    assert {f.epsg for f in frames if f} == {32646, 32647}


def test_cdse_is_jp2_on_s3_in_its_native_resolutions() -> None:
    got = of_file(FIXTURES / "cdse_s2l2a_xcube.json")
    assets = [a for s in got.scenes for a in s.assets.values()]
    assert {a.driver for a in assets} == {"JP2OpenJPEG"}
    assert all(a.href.startswith("s3://eodata/") for a in assets)
    assert {a.href[-7:] for a in assets} == {"10m.jp2", "20m.jp2"}


def test_geoparquet_is_cut_by_an_area() -> None:
    got = of_file(FIXTURES / "pc_s2l2a_1000items_2024_rustac.parquet", shapely.box(-105.6, 39, -105.5, 39.1))
    assert len(got.scenes) + len(got.rejections) == 1000
    assert {r.reason for r in got.rejections} == {"outside_area"}
    assert {s.tile for s in got.scenes} == {"MGRS-13SDD"}


OUTCOMES = {
    "S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135": "missing_band",
    "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248": "missing_band",
    "S2A_OPER_MSI_L1C_TL_SGS__20181231T203637_A018414_T10SDG": "missing_band",
    "S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBQ": "offset_contradicts_baseline",
    "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857": (0.0, "GTiff"),
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157": (-0.1, "JP2OpenJPEG"),
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022158": (-0.1, "JP2OpenJPEG"),
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157": (-0.1, "JP2OpenJPEG"),
    "S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825": (-0.1, "JP2OpenJPEG"),
    "S2A_OPER_MSI_L2A_TL_2APS_20240108T121951_A044635_T34VEL": (-0.1, "JP2OpenJPEG"),
    "S2A_OPER_MSI_L2A_TL_SGS__20181231T210250_A018414_T10SDG": (0.0, "JP2OpenJPEG"),
    "S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBP": (-0.1, "JP2OpenJPEG"),
    "S2A_T60CWS_20240109T203651_L2A": (-0.1, "JP2OpenJPEG"),
    "S2B_MSIL2A_20191228T210519_N0212_R071_T01CCV_20201003T104658": (0.0, "GTiff"),
    "S2B_MSIL2A_20200914T231559_N0500_R087_T01VCG_20230315T224658": (-0.1, "JP2OpenJPEG"),
    "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126": (-0.1, "GTiff"),
    "esa_S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500": (0.0, "JP2OpenJPEG"),
}


def test_every_stactools_item_is_in_the_table() -> None:
    assert {path.stem for path in STACTOOLS.glob("*.json")} == set(OUTCOMES)


@pytest.mark.parametrize(("name", "outcome"), OUTCOMES.items())
def test_stactools_items(name: str, outcome: str | tuple[float, str]) -> None:
    path = STACTOOLS / f"{name}.json"
    if isinstance(outcome, str):
        with pytest.raises(BadInput, match=f"1 {outcome}"):
            of_file(path)
        return
    got = of_file(path)
    (scene,) = got.scenes
    assert got.rejections == ()
    assert (offsets(got), scene.assets["red"].driver) == ({outcome[0]}, outcome[1])
    assert scene.assets["red"].href.startswith(str(STACTOOLS))
    west, south, east, north = scene.bounds
    assert -180 <= west < east <= 180
    assert north - south < 2


@pytest.mark.parametrize(
    ("name", "box", "meets"),
    [
        ("S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157", (179.5, 68.8, 179.8, 69), True),
        ("S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157", (-179.8, 68.8, -179.5, 69), True),
        ("S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157", (0, 68.8, 1, 69), False),
        ("S2A_T60CWS_20240109T203651_L2A", (-179.5, -80, -179.4, -79.95), True),
        ("S2A_T60CWS_20240109T203651_L2A", (0, -80, 1, -79.9), False),
    ],
)  # fmt: skip
def test_tiles_at_the_antimeridian_meet_both_sides_and_no_other(
    name: str, box: tuple[float, float, float, float], meets: bool
) -> None:
    path = STACTOOLS / f"{name}.json"
    if meets:
        assert len(of_file(path, shapely.box(*box)).scenes) == 1
    else:
        with pytest.raises(BadInput, match="1 outside_area"):
            of_file(path, shapely.box(*box))


def test_one_product_listed_twice(tmp_path: Path) -> None:
    names = [n for n in OUTCOMES if "_T01WCP_" in n]
    features = [json.loads((STACTOOLS / f"{name}.json").read_text()) for name in names]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    got = of_file(path)
    assert len(got.scenes) == 1
    assert [r.reason for r in got.rejections] == ["duplicate"]


def _replay(name: str) -> dict[tuple[str, str], list[bytes]]:
    """Read the recorded answers of a VCR cassette, by method and path below the API's root, in order."""
    text = (FIXTURES / f"cassette_{name}.yaml").read_text()
    answers: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for exchange in yaml.safe_load(text)["interactions"]:
        body = exchange["response"]["body"]["string"]
        body = body.encode() if isinstance(body, str) else body
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        path = exchange["request"]["uri"].partition("/v1")[2].strip("/")
        answers[exchange["request"]["method"], path].append(body)
    return answers


@pytest.mark.parametrize(
    ("name", "host", "scenes", "rejected", "searches"),
    [
        ("xcubestac_earthsearch", "https://earth-search.aws.element84.com/v1", 8, 8, 3),
        ("xcubestac_cdse", "https://stac.dataspace.copernicus.eu/v1", 4, 0, 1),
        ("pystacclient_pc_datetime", "https://planetarycomputer.microsoft.com/api/stac/v1", 33, 0, 1),
    ],
)
def test_recorded_apis(name: str, host: str, scenes: int, rejected: int, searches: int) -> None:
    answers = _replay(name)
    root = {"type": "Catalog", "id": "x", "description": "x", "stac_version": "1.0.0"}
    links = [{"rel": "search", "method": "POST", "href": f"{host}/search", "type": "application/geo+json"}]
    # One recording starts at the search: its root is not in it.
    answers.setdefault(("GET", ""), [json.dumps({**root, "links": links}).encode()])

    def answer(method: str, path: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        content = answers[method, path.strip("/")].pop(0)
        return 200, {"Content-Type": "application/json"}, content.replace(host.encode(), server.url.encode())

    with serve(answer) as server:
        source = SourceConfig(datetime="2015-01-01/2025-12-31", catalog=server.url, collection="sentinel-2-l2a")
        got = screened(source)
        assert len(got.scenes) == scenes
        assert len(got.rejections) == rejected
        assert server.asked[-searches:] == [("POST", "/search")] * searches
