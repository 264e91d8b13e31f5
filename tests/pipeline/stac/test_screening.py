"""Which items are used: one processing of each acquisition, and a reason for every other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import shapely

from groundbreak.pipeline.core.config import parse_span
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
