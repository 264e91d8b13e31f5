"""One item, one scene: every way of saying the same thing ends in the same values."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbreak.pipeline.access.providers import from_spec, recognise
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.sections import MaskConfig, ProviderConfig, SourceConfig
from groundbreak.pipeline.core.types import Asset, Rejection, Scene
from groundbreak.pipeline.stac import items
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.scenes import normalise
from tests.stac import earth_search_item, pc_item

BANDS = ("red", "nir", "swir16", "scl")
Item = dict[str, Any]


def outcome(item: Item, *, base: str = "https://h.org/i.json", **more: Any) -> Scene | Rejection:
    source = SourceConfig(**more)
    provider = recognise(item, source.provider)
    bands = (*BANDS[:3], provider.mask.band) if source.provider is None else tuple(provider.bands)
    return normalise(RawItem(item, base, None), provider, bands, source)


def scene(item: Item, **more: Any) -> Scene:
    got = outcome(item, **more)
    assert isinstance(got, Scene), got
    return got


def reason(item: Item, **more: Any) -> str:
    got = outcome(item, **more)
    assert isinstance(got, Rejection), got
    return got.reason


def to_1_1(item: Item, level: str) -> Item:
    """Turn an item into STAC 1.1, its raster fields on the band, the asset or the item."""
    new = copy.deepcopy(item)
    new["stac_version"] = "1.1.0"
    new["properties"]["proj:code"] = f"EPSG:{new['properties'].pop('proj:epsg')}"
    for asset in new["assets"].values():
        (old,) = asset.pop("raster:bands", [None])
        if old is not None:
            said = {f"raster:{k}": old[k] for k in ("scale", "offset")} | {"nodata": old["nodata"]}
            place = {"band": {}, "asset": asset, "item": new["properties"]}[level]
            place.update(said)
            asset["bands"] = [{"name": "B", **(place if level == "band" else {})}]
    return new


@pytest.mark.parametrize("level", ["band", "asset", "item"])
def test_stac_1_1_says_the_same_as_1_0(level: str) -> None:
    old = earth_search_item(offset=-0.1, applied=False)
    assert scene(to_1_1(old, level)) == scene(old)


def test_every_field_of_a_scene() -> None:
    got = scene(pc_item())
    assert got.id == "S2A_MSIL2A_20240711T173911_R098_T13SDD_20240712T025103"
    assert (got.collection, got.provider) == ("sentinel-2-l2a", "planetary-computer")
    assert got.time == np.datetime64("2024-07-11T17:39:11.024")
    assert got.time.dtype == np.dtype("datetime64[ms]")
    assert (got.datatake, got.tile, got.baseline) == ("S2A_20240711T173911", "MGRS-13SDD", "05.10")
    assert got.version == "2024-07-12T02:51:03.000"
    assert got.bounds == (-106.0, 39.0, -105.0, 39.7)
    assert set(got.assets) == set(BANDS)
    host = "https://sentinel2l2a01.blob.core.windows.net"
    frame = Frame(32613, 399960.0, 4400040.0, 20.0, 5490, 5490)
    href = f"{host}/sentinel2-l2/{got.id}/B11_20m.tif"
    assert got.assets["swir16"] == Asset("swir16", href, "GTiff", 1e-4, -0.1, 0.0, frame)
    href = href.replace("B11", "SCL")
    assert got.assets["scl"] == Asset("scl", href, "GTiff", 1.0, 0.0, 0.0, frame)


def test_an_item_level_lattice_serves_every_asset_that_has_none() -> None:
    item = pc_item()
    asset = item["assets"]["B04"]
    for key in ("proj:shape", "proj:transform"):
        item["properties"][key] = asset.pop(key)
    assert scene(item).assets["red"] == scene(pc_item()).assets["red"]


@pytest.mark.parametrize(
    "change",
    [
        {"proj:transform": [10, 1, 399960, 0, -10, 4400040]},
        {"proj:transform": [10, 0, 399960, 0, -20, 4400040]},
        {"proj:transform": [10, 0, 399960, 0, 10, 4400040]},
        {"proj:transform": [10, 0, 399960]},
        {"proj:transform": [10, 0, None, 0, -10, 4400040]},
        {"proj:transform": [10, 0, "nan", 0, -10, 4400040]},
        {"proj:shape": [0, 10980]},
        {"proj:shape": [10980]},
        {"proj:code": "IAU_2015:30100"},
    ],
)
def test_a_lattice_that_is_not_north_up_and_square_is_left_to_the_header(change: Item) -> None:
    item = pc_item()
    item["assets"]["B04"].update(change)
    assert scene(item).assets["red"].frame is None


def test_a_nine_number_transform() -> None:
    item = pc_item()
    item["assets"]["B04"]["proj:transform"] += [0, 0, 1]
    assert scene(item) == scene(pc_item())


@pytest.mark.parametrize(
    ("properties", "time"),
    [
        ({"datetime": "2024-07-11T17:39:11Z"}, "2024-07-11T17:39:11.000"),
        ({"datetime": "2024-07-11T21:39:11.0249999+04:00"}, "2024-07-11T17:39:11.024"),
        ({"datetime": "2024-07-11T17:39:11"}, "2024-07-11T17:39:11.000"),
        ({"datetime": None, "start_datetime": "2024-07-11T23:59:59Z"}, "2024-07-11T23:59:59.000"),
        ({"datetime": None}, None),
        ({"datetime": "yesterday"}, None),
        ({"datetime": 1720719551}, None),
    ],
)
def test_times_are_utc(properties: Item, time: str | None) -> None:
    item = pc_item()
    item["properties"].update(properties)
    if time is None:
        assert reason(item) == "no_datetime"
    else:
        assert str(scene(item).time) == time


@pytest.mark.parametrize(
    ("kind", "name", "driver"),
    [
        ("image/tiff; application=geotiff; profile=cloud-optimized", "a", "GTiff"),
        ("image/vnd.stac.geotiff", "a", "GTiff"),
        ("IMAGE/JP2", "a", "JP2OpenJPEG"),
        (None, "a.TIF", "GTiff"),
        (None, "a.jp2?sig=.tif", "JP2OpenJPEG"),
        ("application/octet-stream", "a.tiff", "GTiff"),
        ("image/jp2", "a.tif", "JP2OpenJPEG"),
        (None, "a", None),
        ("application/x-hdf5", "a.h5", None),
        ("application/xml", "a.vrt", None),
    ],
)
def test_the_driver_comes_from_the_type_and_else_from_the_name(kind: str | None, name: str, driver: str | None) -> None:
    item = pc_item()
    item["assets"]["B04"].update(type=kind, href=f"https://h.org/{name}")
    if driver is None:
        assert reason(item) == "unknown_format"
    else:
        assert scene(item).assets["red"].driver == driver


@pytest.mark.parametrize(
    ("properties", "name", "key"),
    [
        ({"s2:datatake_id": "GS2A_20240711T173911_047285_N05.10"}, "x", "S2A_20240711T173911"),
        ({"eopf:datatake_id": "GS2C_20250101T101559_017394_N05.11"}, "x", "S2C_20250101T101559"),
        (
            {"s2:product_uri": "S2B_MSIL2A_20240711T173911_N0510_R098_T13SDD_20240712T025103.SAFE"},
            "x",
            "S2B_20240711T173911",
        ),
        ({}, "S2A_MSIL2A_20240711T173911_R098_T13SDD_20240712T025103", "S2A_20240711T173911"),
        ({}, "S2A_OPER_MSI_L2A_TL_2APS_20240108T121951_A044635_T34VEL", "S2A_A044635"),
        ({}, "x", "time-landsat8-20240711T173911"),
        ({"platform": None}, "x", "time-any-20240711T173911"),
        ({"platform": "../../etc"}, "../x", "time-etc-20240711T173911"),
        ({"s2:datatake_id": "../../etc"}, "x", "time-landsat8-20240711T173911"),
        ({"platform": None}, "LC09_L2SP_034033_20240711_02_T1", "time-landsat9-20240711T173911"),
        ({"platform": "LANDSAT_9"}, "LC09_L2SP_034033_20240711_02_T1", "time-landsat9-20240711T173911"),
        ({"platform": None}, "HLS.L30.T10SGD.2020247T184028.v2.0", "time-hlsl30-20240711T173911"),
        ({"platform": None}, "HLS.S30.T10SGD.2020247T184028.v2.0", "time-hlss30-20240711T173911"),
    ],
)
def test_keys_of_datatakes_know_no_baseline(properties: Item, name: str, key: str) -> None:
    own = {"datetime": "2024-07-11T17:39:11.024Z", "platform": "Landsat-8", **properties}
    assert items.datatake({"id": name, "properties": own}) == key


@pytest.mark.parametrize(
    ("properties", "name", "tile"),
    [
        ({"grid:code": "MGRS-13SDD"}, "x", "MGRS-13SDD"),
        ({"grid:code": "MGRS-1LAC"}, "x", "MGRS-01LAC"),
        ({"s2:mgrs_tile": "13SDD"}, "x", "MGRS-13SDD"),
        ({"mgrs:utm_zone": 1, "mgrs:latitude_band": "L", "mgrs:grid_square": "AC"}, "", "MGRS-01LAC"),
        ({"grid:code": "WRS2-034033"}, "x", ""),
        ({"grid:code": "MODIS-h10v05"}, "x", ""),
        ({}, "HLS.S30.T13TDE.2024113T174901.v2.0", "MGRS-13TDE"),
        ({"grid:code": "MGRS-../../x"}, "x", ""),
        ({"grid:code": "../../x"}, "../T13SDD/..", ""),
        ({}, "x", ""),
    ],
)
def test_tiles_are_safe_names(properties: Item, name: str, tile: str) -> None:
    assert items.tile({"id": name, "properties": properties}) == tile


@pytest.mark.parametrize(
    ("properties", "name", "place"),
    [
        ({"grid:code": "MGRS-13SDD"}, "x", "MGRS-13SDD"),
        ({"grid:code": "WRS2-034033"}, "x", "WRS2-034033"),
        ({"landsat:wrs_path": "34", "landsat:wrs_row": 33}, "x", "WRS2-034033"),
        ({"landsat:wrs_path": "034", "landsat:wrs_row": "033", "landsat:wrs_type": "1"}, "x", "WRS1-034033"),
        ({}, "LC08_L2SP_034033_20240807_20240816_02_T1_SR", "WRS2-034033"),
        ({"grid:code": "MODIS-h10v05"}, "x", "MODIS-h10v05"),
        ({}, "x", ""),
    ],
)
def test_places_are_codes_of_any_grid(properties: Item, name: str, place: str) -> None:
    assert items.place({"id": name, "properties": properties}) == place


@pytest.mark.parametrize(
    ("properties", "name", "baseline"),
    [
        ({"s2:processing_baseline": "05.10"}, "x", "05.10"),
        ({"processing:version": "05.00"}, "x", "05.00"),
        ({"processing:version": "2.0"}, "S2A_MSIL2A_20240711T173911_N0510_R098_T1_2", "05.10"),
        ({}, "S2A_MSIL2A_20240711T173911_R098_T13SDD_20240712T025103", ""),
        ({}, "x", ""),
    ],
)
def test_baselines(properties: Item, name: str, baseline: str) -> None:
    assert items.baseline({"id": name, "properties": properties}) == baseline


def test_versions_come_from_the_processing_before_the_catalogue() -> None:
    made = {"s2:generation_time": "2024-01-02T00:00:00Z", "created": "2025-01-01T00:00:00Z"}
    assert items.version({"properties": made}) == "2024-01-02T00:00:00.000"
    later = {"created": "2025-01-01T00:00:00Z", "updated": "2025-01-03T00:00:00Z"}
    assert items.version({"properties": later}) == "2025-01-03T00:00:00.000"
    assert items.version({"properties": {}}) == ""
    usgs = "LT05_L2SP_010067_19860424_20200918_02_T2_SR"
    assert items.version({"id": usgs, "properties": {}}) == "2020-09-18T00:00:00.000"
    assert items.version({"id": usgs, "properties": later}) == "2025-01-03T00:00:00.000"


@pytest.mark.parametrize(
    ("item", "bounds"),
    [
        ({"bbox": [10, 20, 11, 21]}, [(10, 20, 11, 21)]),
        ({"bbox": [10, 20, 0, 11, 21, 99]}, [(10, 20, 11, 21)]),
        ({"bbox": [179, -17, -179, -16]}, [(-180, -17, -179, -16), (179, -17, 180, -16)]),
        (
            {
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[179, -17], [-179, -17], [-179, -16], [179, -16], [179, -17]]],
                }
            },
            [(-180, -17, -179, -16), (179, -17, 180, -16)],
        ),
    ],
)
def test_footprints_are_split_at_the_antimeridian(item: Item, bounds: list[Any]) -> None:
    parts = shapely.get_parts(items.footprint(item))
    assert sorted(tuple(p.bounds) for p in parts) == bounds


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": None, "bbox": None},
        {"geometry": {"type": "Polygon", "coordinates": []}},
        {"geometry": {"type": "Disc"}},
        {"geometry": "POLYGON EMPTY"},
        {"geometry": None, "bbox": [1, 2]},
        {"geometry": None, "bbox": ["a", "b", "c", "d"]},
    ],
)
def test_an_item_that_lies_nowhere(change: Item) -> None:
    assert reason(pc_item() | change) == "no_footprint"


def test_a_missing_band_is_named_with_its_asset() -> None:
    item = pc_item()
    del item["assets"]["B11"]
    got = outcome(item)
    assert isinstance(got, Rejection)
    assert (got.reason, got.detail) == ("missing_band", "has no swir16 (B11)")


def test_hrefs_are_resolved_checked_and_shown_without_signatures() -> None:
    item = pc_item()
    item["assets"]["B04"]["href"] = "../B04.tif"
    got = scene(item, base="https://h.org/c/i.json")
    assert got.assets["red"].href == "https://h.org/B04.tif"
    item["assets"]["B04"]["href"] = "http://127.0.0.1:80/B04.tif?sig=SECRET"
    refused = outcome(item)
    assert isinstance(refused, Rejection)
    assert refused.reason == "href_refused"
    assert "127.0.0.1" in refused.detail
    assert "SECRET" not in refused.detail
    assert scene(item, allow_hosts=("127.0.0.1",)).assets["red"].href.endswith("SECRET")


def test_several_bands_in_one_file_are_not_guessed_at() -> None:
    for key in ("raster:bands", "bands", "eo:bands"):
        item = pc_item()
        item["assets"]["B04"][key] = [{}, {}, {}]
        assert reason(item) == "several_bands"


HLS = ProviderConfig(bands={"red": "B04", "nir": "B08"}, mask=MaskConfig(asset="SCL", bits=(1, 2), nodata=255))


def test_a_configured_provider_takes_what_the_item_declares() -> None:
    item = earth_search_item(offset=-0.3, applied=None)
    item["assets"] |= {"B04": item["assets"]["red"], "B08": item["assets"]["nir"]}
    item["assets"]["SCL"] = item["assets"]["scl"]
    item["assets"]["B04"]["raster:bands"][0]["nodata"] = "nan"
    got = scene(item, provider=HLS).assets
    assert (got["red"].scale, got["red"].offset) == (1e-4, -0.3)
    assert np.isnan(got["red"].nodata or 0.0)
    assert got["scl"].nodata == 255


@pytest.mark.parametrize("scale", [None, 0, -1e-4, "nan", "inf", "much"])
def test_a_configured_provider_without_a_scale(scale: Any) -> None:
    item = pc_item()
    item["assets"]["B04"]["raster:bands"] = [{"scale": scale}]
    assert reason(item, provider=HLS) == "scale_unknown"


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(p for key, value in below for p in _places(value, (*path, key)))]


EXAMPLE = earth_search_item(offset=-0.1, applied=False)
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_places(EXAMPLE)[1:]), JUNK)
def test_whatever_stands_in_an_item_it_becomes_a_scene_or_a_rejection(path: tuple[Any, ...], junk: Any) -> None:
    provider = recognise(EXAMPLE)
    item = copy.deepcopy(EXAMPLE)
    node = item
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = junk
    got = normalise(RawItem(item, "https://h.org/i", None), provider, BANDS, SourceConfig())
    assert isinstance(got, Scene | Rejection)


def test_the_spec_provider_is_named_by_its_collection() -> None:
    assert from_spec(HLS, "hls").name == "hls"
    assert from_spec(HLS, "").name == "configured"
