"""Which items are used: one processing of each acquisition, and a reason for every other."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import shapely

from groundbreak.pipeline.core.config import parse_span
from groundbreak.pipeline.core.geo import to_lonlat
from groundbreak.pipeline.core.sections import MaskConfig, ProviderConfig, SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.screening import REASONS, ScreenedItems, screen_items
from tests.stac import AREA, earth_search_item, pc_item

Item = dict[str, Any]
BANDS = ("nir", "red")


def screened(
    given: Iterable[Any], area: Any = AREA, datetime: str = "2024-07-01/2024-07-31", **more: Any
) -> ScreenedItems:
    source = SourceConfig(datetime=datetime, items="items.json", **more)
    raws = [RawItem(item, "https://h.org/items.json", None) for item in given]
    return screen_items(raws, area=area, span=parse_span(datetime), bands=BANDS, source=source)


def reasons(got: ScreenedItems) -> dict[str, str]:
    assert {r.reason for r in got.rejections} <= set(REASONS)
    return {r.item: r.reason for r in got.rejections}


def test_area_dates_and_collection() -> None:
    far = pc_item(tile="31UFT", box=(4, 52, 5, 53))
    late = pc_item(take="20240801T000000")
    other = pc_item(take="20240712T173911") | {"collection": "landsat-c2-l2"}
    last = pc_item(take="20240731T235959")
    got = screened([far, late, other, last, pc_item()], collection="sentinel-2-l2a")
    assert [s.id for s in got.scenes] == [pc_item()["id"], last["id"]]
    wanted = {far["id"]: "outside_area", late["id"]: "outside_dates", other["id"]: "other_collection"}
    assert reasons(got) == wanted


def test_what_is_not_wanted_need_not_be_known() -> None:
    strange = pc_item(take="20250101T000000") | {"collection": "landsat-c2-l2", "assets": {}}
    assert len(screened([strange, pc_item()]).scenes) == 1
    with pytest.raises(BadInput, match=r"\[source\.provider\]"):
        screened([strange | {"properties": pc_item()["properties"]}, pc_item()])


@pytest.mark.parametrize(
    "item", [{}, {"id": "x"}, {"id": "", "properties": {}, "assets": {}}, {"id": 3}, {"id": "x", "assets": []}]
)
def test_what_is_no_item(item: Item) -> None:
    got = screened([item, pc_item()])
    assert [r.reason for r in got.rejections] == ["malformed"]


def test_the_newest_baseline_of_an_acquisition_a_millisecond_apart() -> None:
    old = earth_search_item(offset=0, applied=False, baseline="02.14", made="2020-01-01T00:00:00Z")
    new = earth_search_item(offset=-0.1, applied=True, baseline="05.00")
    new["properties"]["datetime"] = "2024-07-11T17:39:11.025Z"
    for given in ([old, new], [new, old]):
        got = screened(given)
        assert [(s.id, s.assets["red"].offset) for s in got.scenes] == [(new["id"], 0.0)]
        assert reasons(got) == {old["id"]: "older_baseline"}


def test_strips_of_one_datatake_are_kept_the_fullest_first() -> None:
    sliver = pc_item(strip="20240711T180317", made="2024-07-12T01:00:00Z", nodata=96.6)
    whole = pc_item(strip="20240711T174608", nodata=0.1)
    got = screened([sliver, whole])
    assert [s.id for s in got.scenes] == [whole["id"], sliver["id"]]
    assert len({s.datatake for s in got.scenes}) == 1
    assert got.rejections == ()


def test_of_one_strip_the_newest_version() -> None:
    old = pc_item(made="2024-07-12T01:00:00Z")
    new = pc_item(made="2024-08-12T01:00:00Z")
    twice = {**new, "id": new["id"] + "_again"}
    got = screened([new, old, twice])
    assert [s.id for s in got.scenes] == [twice["id"]]
    assert reasons(got) == {old["id"]: "older_version", new["id"]: "duplicate"}


def _stripless(name: str, box: tuple[float, ...], nodata: float | None = None, **more: Any) -> Item:
    """Return an item whose tile and datatake are told, and whose strip is not."""
    item = pc_item(box=(box[0], box[1], box[2], box[3]), **more)
    del item["properties"]["s2:datastrip_id"], item["properties"]["s2:nodata_pixel_percentage"]
    if nodata is not None:
        item["properties"]["s2:nodata_pixel_percentage"] = nodata
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace(item["id"], name)
    return item | {"id": name}


TILE_BOX = to_lonlat(shapely.box(399960, 4290240, 509760, 4400040), 32613).bounds


def _part(south: float, north: float, east: float = 1.0) -> tuple[float, float, float, float]:
    """Return a part of the tile's box, in shares of it."""
    west, low, right, top = TILE_BOX
    return west, low + south * (top - low), west + east * (right - west), low + north * (top - low)


NORTH, SOUTH, WHOLE, HALF = _part(0.5, 1), _part(0, 0.5), _part(0, 1), _part(0, 1, 0.5)
SPLIT = [
    # footprints of the two parts, and the nodata that each tells, per cent
    pytest.param(NORTH, SOUTH, None, None, id="footprints that touch"),
    pytest.param(_part(0.4, 1), SOUTH, None, None, id="footprints that overlap"),
    pytest.param(_part(0.15, 1), _part(0, 0.2), 15.0, 80.0, id="one part is small"),
    pytest.param(WHOLE, WHOLE, 50.0, 50.0, id="whole footprints, two halves"),
    pytest.param(WHOLE, WHOLE, 3.4, 96.6, id="whole footprints, nearly all and the rest"),
    pytest.param(WHOLE, WHOLE, 45.0, 47.0, id="whole footprints that overlap"),
    pytest.param(WHOLE, _part(0, 0.08), 8.0, 92.0, id="one footprint is whole"),
]


@pytest.mark.parametrize(("one", "other", "less", "more"), SPLIT)
@pytest.mark.parametrize(
    "names", [("S2A_13SDD_20240711_0_L2A", "S2A_13SDD_20240711_1_L2A"), ("x", "x_part2"), ("b", "a")]
)
def test_parts_of_a_tile_without_a_strip_are_all_kept(
    one: Any, other: Any, less: float | None, more: float | None, names: tuple[str, str]
) -> None:
    given = [
        _stripless(names[0], one, less),
        _stripless(names[1], other, more, made="2024-07-12T03:00:00Z"),
    ]
    for order in (given, given[::-1]):
        got = screened(order, area=shapely.box(*WHOLE))
        assert {s.id for s in got.scenes} == set(names)
        assert got.rejections == ()
        assert len({s.datatake for s in got.scenes}) == 1


@pytest.mark.parametrize(
    ("box", "nodata"), [(WHOLE, None), (WHOLE, 0.0), (WHOLE, 2.0), (HALF, None), (HALF, 50.0), (WHOLE, 30.0)]
)
def test_versions_of_a_tile_without_a_strip_are_not_parts(box: Any, nodata: float | None) -> None:
    old = _stripless("S2A_13SDD_20240711_0_L2A", box, nodata)
    moved = (box[0] + 0.004, *box[1:])  # each processing draws its own footprint
    new = _stripless("S2A_13SDD_20240711_1_L2A", moved, nodata, made="2024-08-12T01:00:00Z")
    got = screened([new, old], area=shapely.box(*WHOLE))
    assert [s.id for s in got.scenes] == [new["id"]]
    assert reasons(got) == {old["id"]: "older_version"}
    again = new | {"id": "again"}
    assert reasons(screened([new, again], area=shapely.box(*WHOLE))) in (
        {"again": "duplicate"},
        {new["id"]: "duplicate"},
    )


@pytest.mark.parametrize("nodata", [50.0, 60.0, 96.0])
def test_two_baselines_are_no_parts_however_little_each_holds(nodata: float) -> None:
    old = _stripless("S2A_13SDD_20240711_0_L2A", WHOLE, nodata, baseline="04.00")
    new = _stripless("S2A_13SDD_20240711_1_L2A", WHOLE, nodata)
    for order in ([old, new], [new, old]):
        got = screened(order, area=shapely.box(*WHOLE))
        assert [s.id for s in got.scenes] == [new["id"]]
        assert reasons(got) == {old["id"]: "older_baseline"}


def test_parts_of_one_strip_are_told_by_their_ground() -> None:
    given = [pc_item(box=NORTH), pc_item(box=SOUTH, made="2024-07-12T03:00:00Z")]
    got = screened(given, area=shapely.box(*WHOLE))
    assert (len(got.scenes), got.rejections) == (2, ())


def test_of_each_part_the_newest_version() -> None:
    given = [_stripless(f"{k}-{v}", box, made=f"2024-0{8 + v}-12T01:00:00Z")
             for k, box in (("n", NORTH), ("s", SOUTH)) for v in (0, 1)]  # fmt: skip
    got = screened(given, area=shapely.box(*WHOLE))
    assert {s.id for s in got.scenes} == {"n-1", "s-1"}
    assert reasons(got) == {"n-0": "older_version", "s-0": "older_version"}


def test_an_old_item_without_a_strip_gives_way_to_a_new_one_with_it() -> None:
    old = _stripless("old", WHOLE, baseline="02.14")
    got = screened([old, pc_item(box=WHOLE)])
    assert [s.id for s in got.scenes] == [pc_item()["id"]]
    assert reasons(got) == {"old": "older_baseline"}


def test_tiles_of_one_datatake_are_no_duplicates() -> None:
    assert len(screened([pc_item(), pc_item(tile="13SED")]).scenes) == 2


def test_overpasses_come_in_time_whatever_the_order_of_the_items() -> None:
    given = [pc_item(take=f"202407{d:02d}T173911") for d in (9, 3, 21, 14)]
    got = [s.id for s in screened(given).scenes]
    assert got == [s.id for s in screened(given[::-1]).scenes]
    assert got == sorted(item["id"] for item in given)


def _nameless(time: str, west: float, name: str, platform: str = "landsat-8") -> Item:
    """Return an item that neither tile nor datatake names, as Landsat's are."""
    item = pc_item(box=(west, 39.0, west + 1.0, 39.7))
    properties = {"datetime": time, "platform": platform, "proj:epsg": 32613}
    for asset in item["assets"].values():
        asset["proj:transform"] = [*asset["proj:transform"][:2], west * 1e5, 0, -10, 4400040]
    return item | {"id": name, "properties": properties, "collection": "any"}


SPEC = ProviderConfig(
    bands={"red": "B04", "nir": "B08"}, mask=MaskConfig(asset="SCL", bits=(1, 3), snow_bits=(4,)), scale=1e-4
)


def test_where_only_time_tells_items_of_one_pass_share_a_key() -> None:
    given = [
        _nameless("2024-07-11T17:39:59.9Z", -106.0, "a"),
        _nameless("2024-07-11T17:40:24Z", -105.9, "b"),
        _nameless("2024-07-11T17:40:24Z", -105.9, "b2", platform="landsat-9"),
        _nameless("2024-07-11T17:42:00Z", -105.8, "c"),
    ]
    got = screened(given, provider=SPEC)
    keys = {s.id: s.datatake for s in got.scenes}
    assert keys["a"] == keys["b"]
    assert len(set(keys.values())) == 3
    again = _nameless("2024-07-11T17:40:00Z", -106.0, "a2")
    assert len(screened([given[0], again], provider=SPEC).scenes) == 1


def _cog(day: int, declared: Item | None, **bands: Item | None) -> Item:
    """Return an item of somebody's own COGs, with what its reflectance declares (of single bands: ``bands``)."""
    item = _nameless(f"2024-07-{day:02d}T17:39:59Z", -106.0, f"d{day}")
    for key, told in {"B04": declared, "B08": declared, **bands}.items():
        if told is not None:
            item["assets"][key]["raster:bands"] = [told]
    return item


BARE = ProviderConfig(bands={"red": "B04", "nir": "B08"}, mask=MaskConfig(asset="SCL"))
TOLD = {"scale": 1e-4, "offset": -0.1, "nodata": 0, "data_type": "uint16"}
SILENT = {"scale": 1e-4, "nodata": 0, "data_type": "uint16"}


def _with(spec: ProviderConfig, **more: Any) -> ProviderConfig:
    return dataclasses.replace(spec, **more)


@pytest.mark.parametrize("silent", [SILENT, None, {"nodata": 0}, {"scale": 1.0, "offset": 0.0, "data_type": "uint16"}])
def test_an_offset_that_other_items_tell_is_not_guessed(silent: Item | None) -> None:
    given = [_cog(1, TOLD), _cog(2, silent), _cog(3, TOLD)]
    got = screened(given, provider=_with(BARE, scale=1e-4))
    assert [s.id for s in got.scenes] == ["d1", "d3"]
    assert reasons(got) == {"d2": "offset_unknown"}
    both = screened(given, provider=_with(BARE, scale=1e-4, offset=-0.1))
    assert {s.assets["red"].offset for s in both.scenes} == {-0.1}
    assert len(both.scenes) == 3


def test_an_offset_that_one_band_alone_does_not_tell() -> None:
    got = screened([_cog(1, TOLD), _cog(2, TOLD, B08=SILENT)], provider=BARE)
    assert reasons(got) == {"d2": "offset_unknown"}
    assert "nir" in got.rejections[0].detail
    assert "red" not in got.rejections[0].detail


def test_an_offset_of_0_that_is_told_is_no_reason_to_guess_it() -> None:
    given = [_cog(1, TOLD | {"offset": 0}), _cog(2, SILENT)]
    assert reasons(screened(given, provider=BARE)) == {"d2": "offset_unknown"}


def test_offsets_that_are_told_may_differ() -> None:
    got = screened([_cog(1, TOLD), _cog(2, TOLD | {"offset": 0.0})], provider=BARE)
    assert [s.assets["red"].offset for s in got.scenes] == [-0.1, 0.0]


def test_where_nobody_tells_an_offset_it_is_0_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        got = screened([_cog(1, None), _cog(2, None)], provider=_with(BARE, scale=1e-4))
    assert {s.assets["red"].offset for s in got.scenes} == {0.0}
    assert "0 is taken for nir, red" in caplog.text
    caplog.clear()
    with caplog.at_level("WARNING"):
        screened([_cog(1, None)], provider=_with(BARE, scale=1e-4, offset=0.0))
    assert caplog.text == ""


def test_landsats_scale_has_an_offset() -> None:
    with pytest.raises(BadInput, match=r"offset_unknown.*\[source.provider\] offset"):
        screened([_cog(1, None)], provider=_with(BARE, scale=2.75e-5))
    assert len(screened([_cog(1, None)], provider=_with(BARE, scale=2.75e-5, offset=-0.2)).scenes) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"scale": 1.0, "offset": 0.0, "data_type": "uint16", "nodata": 0},
        {"scale": 1, "data_type": "int16"},
        {"scale": 1.0, "offset": 0.0, "data_type": "uint8"},
        {"scale": 1e-8, "data_type": "uint16"},
        {"scale": 100, "data_type": "uint16"},
        {"scale": 100, "data_type": "float32"},
        {"scale": 0.5, "data_type": "uint16"},
        {"offset": 0.0, "data_type": "uint16"},
        {"data_type": "float32"},
    ],
)
def test_scales_that_nobody_can_believe(told: Item) -> None:
    got = screened([_cog(1, TOLD), _cog(2, told)], provider=BARE)
    assert reasons(got) == {"d2": "scale_unknown"}
    with pytest.raises(BadInput, match=r"scale_unknown.*Set \[source\.provider\] scale"):
        screened([_cog(1, told)], provider=BARE)
    assert len(screened([_cog(1, told)], provider=_with(BARE, scale=1e-4, offset=0.0)).scenes) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"scale": 1.0, "offset": 0.0, "data_type": "float32"},
        {"scale": 0.01, "offset": 0.0, "data_type": "float64"},
        {"scale": 0.004, "offset": 0.0, "data_type": "uint8"},
        {"scale": 1 / 65535, "offset": 0.0, "data_type": "uint16"},
        {"scale": 1.0, "offset": 0.0},  # of an untold kind: the file's header decides
    ],
)
def test_scales_that_can_be(told: Item) -> None:
    (scene,) = screened([_cog(1, told)], provider=BARE).scenes
    assert scene.assets["red"].scale == told["scale"]


@pytest.mark.parametrize("offset", [-1000, 2.5, "inf"])
def test_an_offset_in_digital_numbers_is_none_of_reflectance(offset: Any) -> None:
    got = screened([_cog(1, TOLD), _cog(2, TOLD | {"offset": offset})], provider=BARE)
    assert reasons(got) == {"d2": "offset_unknown"}


def test_bit_flags_reach_the_outcome() -> None:
    got = screened([_nameless("2024-07-11T17:39:59Z", -106.0, "a")], provider=SPEC)
    assert (got.mask.bits, got.mask.snow_bits, got.mask.clear) == ((1, 3), (4,), ())
    assert got.provider.name == "any"


def test_an_area_on_both_sides_of_the_antimeridian() -> None:
    area = shapely.union_all([shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -179.8, -16)])
    east = pc_item(tile="01LAC", box=(-180, -17, -179, -16)) | {"bbox": None}
    ring = [[179, -17], [-179.9, -17], [-179.9, -16], [179, -16], [179, -17]]
    both = pc_item(tile="60KZG", box=(-180, -17, 180, -16))
    both["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    elsewhere = pc_item(tile="31NAA", box=(0, -17, 1, -16))
    got = screened([east, both, elsewhere], area=area)
    assert {s.tile for s in got.scenes} == {"MGRS-01LAC", "MGRS-60KZG"}
    assert reasons(got) == {elsewhere["id"]: "outside_area"}


def test_providers_that_are_read_alike_may_be_mixed_others_not() -> None:
    earth = earth_search_item(offset=-0.1, applied=True)
    first = earth_search_item(offset=-0.1, applied=None, take="20240712T173911")
    first["collection"] = "sentinel-2-c1-l2a"
    got = screened([earth, first])
    assert [s.provider for s in got.scenes] == ["earth-search", "earth-search-c1"]
    with pytest.raises(BadInput, match="read in different ways"):
        screened([earth, pc_item(take="20240712T173911")])


def test_a_span_that_selects_nothing_tells_the_dates_there_are() -> None:
    given = [pc_item(), pc_item(take="20240801T173911")]
    with pytest.raises(BadInput) as caught:
        screened(given, datetime="2019-01-01/2019-12-31")
    text = str(caught.value)
    for part in ("2 items", "2 outside_dates", "2024-07-11", "2024-08-01", "Widen [source] datetime"):
        assert part in text


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"geometry": None, "bbox": [4, 52, 5, 53]}, ("outside_area", "Check [area]")),
        ({"assets": {"B04": pc_item()["assets"]["B04"]}}, ("missing_band", "nir (B08)", "indices")),
        ({"geometry": None, "bbox": None}, ("no_footprint",)),
    ],
)
def test_nothing_left_tells_why_and_what_to_do(change: Item, parts: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        screened([pc_item() | change])
    for part in ("none of 1 items", *parts):
        assert part in str(caught.value)


def test_refused_hrefs_are_counted_and_allowed_by_name() -> None:
    given = [pc_item(take=f"202407{d:02d}T173911", host="http://127.0.0.1:9") for d in (1, 2, 3)]
    with pytest.raises(BadInput, match=r"3 href_refused.*allow_hosts"):
        screened(given)
    assert len(screened(given, allow_hosts=("127.0.0.1",)).scenes) == 3


def test_every_item_is_accounted_for() -> None:
    given = [pc_item(take=f"202407{d:02d}T173911", baseline=b) for d in range(1, 9) for b in ("05.00", "05.10")]
    given += [{"id": "x"}, pc_item(take="20230101T000000")]
    got = screened(given)
    assert len(got.scenes) + len(got.rejections) == len(given)
    assert Counter(r.reason for r in got.rejections)["older_baseline"] == 8


def test_versions_without_a_tile_whose_metadata_differ_by_noise() -> None:
    old, new = _nameless("2024-07-11T17:39:59Z", -106.0, "old"), _nameless("2024-07-11T17:39:59Z", -106.0, "new")
    old["properties"]["created"], new["properties"]["created"] = "2024-07-12T00:00:00Z", "2025-07-12T00:00:00Z"
    for n, asset in enumerate(old["assets"].values()):
        asset["href"] += ".old.tif"
        asset["proj:transform"] = [x + 1e-9 * n for x in asset["proj:transform"]]
    got = screened([old, new], provider=SPEC)
    assert [s.id for s in got.scenes] == ["new"]
    assert reasons(got) == {"old": "older_version"}
