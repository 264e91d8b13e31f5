"""The provider table, its offset rules, and providers described in a configuration."""

from __future__ import annotations

import functools
import pickle

import pytest

from groundbreak.kernels import DEFAULT_INDICES, bands_of
from groundbreak.kernels.indices import BANDS
from groundbreak.pipeline.access.offset_rules import Unusable, baseline_offset
from groundbreak.pipeline.access.provider import Provider
from groundbreak.pipeline.access.providers import PROVIDERS, from_spec, recognise
from groundbreak.pipeline.core.sections import MaskConfig, ProviderConfig, RunConfig, SourceConfig
from groundbreak.pipeline.core.types import BadInput
from tests.stac import earth_search_item, pc_item


def _travelled(provider: Provider) -> Provider:
    """Send a value through pickle, as a worker gets it."""
    copy: Provider = pickle.loads(pickle.dumps(provider))  # noqa: S301 - its own
    return copy


def test_every_entry_names_every_band_once_and_travels_to_a_worker() -> None:
    assert len({p.name for p in PROVIDERS}) == len(PROVIDERS)
    for provider in PROVIDERS:
        assert provider.mask.band in provider.bands
        assert set(provider.bands) - {provider.mask.band} <= set(BANDS)
        assert set(bands_of(DEFAULT_INDICES)) <= set(provider.bands)
        others = {band: keys for band, keys in provider.bands.items() if band != "nir08"}
        assert len(set(others.values())) == len(others)
        if "sentinel-2" in "".join(provider.collections):
            assert set(provider.bands) == {*BANDS, "scl"}
        rule, travelled = provider.offset, _travelled(provider).offset
        if isinstance(rule, functools.partial):
            assert isinstance(travelled, functools.partial)
            assert (travelled.func, travelled.args) == (rule.func, rule.args)
        else:
            assert travelled is rule


def test_look_alikes_of_one_collection_id_are_told_apart() -> None:
    pc, earth = pc_item(), earth_search_item(offset=-0.1, applied=True)
    cdse = pc_item()
    cdse["assets"] = {f"{k}_10m": a for k, a in cdse["assets"].items()}
    plain = earth_search_item(offset=-0.1, applied=None)
    del plain["properties"]["earthsearch:s3_path"], plain["collection"]
    found = [recognise(item).name for item in (pc, earth, cdse, plain)]
    assert found == ["planetary-computer", "earth-search", "cdse", "stactools-sentinel2"]


def test_earth_search_is_told_by_its_host_where_its_properties_are_gone() -> None:
    item = earth_search_item(offset=0, applied=None, host="https://sentinel-cogs.s3.amazonaws.com")
    del item["properties"]["earthsearch:s3_path"]
    assert recognise(item).name == "earth-search"


def test_an_unknown_collection_is_bad_input_that_names_the_known_and_the_way_out() -> None:
    item = earth_search_item(offset=0, applied=None)
    item["collection"] = "modis-09A1-061"
    item["properties"].update(platform="terra", constellation=None)
    with pytest.raises(BadInput) as caught:
        recognise(item)
    text = str(caught.value)
    for part in ("modis-09A1-061", "planetary-computer", "sentinel-2-c1-l2a", "[source.provider]"):
        assert part in text


@pytest.mark.parametrize(
    ("baseline", "offset"),
    [
        ("02.12", 0.0),
        ("03.01", 0.0),
        ("04.00", -0.1),
        ("05.00", -0.1),
        ("05.11", -0.1),
        ("99.99", None),
        ("", None),
        ("5.1", None),
    ],
)
def test_the_offset_of_a_baseline(baseline: str, offset: float | None) -> None:
    assert baseline_offset(baseline) == offset


@pytest.mark.parametrize(
    ("declared", "applied", "baseline", "offset"),
    [
        (-0.1, True, "05.00", 0.0),
        (0.0, False, "02.14", 0.0),
        (-0.1, False, "05.10", -0.1),
        (-0.1, None, "05.10", -0.1),
        (None, None, "05.10", -0.1),
        (None, False, "03.00", 0.0),
        (-0.2, None, "99.99", -0.2),
        (0.0, None, "05.10", "offset_contradicts_baseline"),
        (-0.1, False, "02.14", "offset_contradicts_baseline"),
        (-0.7, None, "04.00", "offset_contradicts_baseline"),
        (None, None, "", "offset_unknown"),
    ],
)
def test_earth_search_offsets(declared: float | None, applied: bool | None, baseline: str, offset: float | str) -> None:
    provider = next(p for p in PROVIDERS if p.name == "earth-search")
    properties = {} if applied is None else {"earthsearch:boa_offset_applied": applied}
    try:
        got: float | str | None = provider.offset(properties, declared, baseline)
    except Unusable as error:
        got = error.reason
    assert got == offset


def test_only_planetary_computer_signs() -> None:
    urls = {p.name: p.access(SourceConfig(requester_pays=True), RunConfig()).token_url for p in PROVIDERS}
    address = "https://planetarycomputer.microsoft.com/api/sas/v1/token/"
    assert {k: v.removeprefix(address) for k, v in urls.items() if v} == {
        "planetary-computer": "sentinel-2-l2a",
        "planetary-computer-landsat": "landsat-c2-l2",
        "planetary-computer-hls-l30": "hls2euwest/hls2",
        "planetary-computer-hls-s30": "hls2euwest/hls2",
    }


def test_only_who_agrees_to_it_pays() -> None:
    paid = {p.name for p in PROVIDERS if p.requester_pays}
    assert paid == {"earth-search-landsat"}
    provider = next(p for p in PROVIDERS if p.name == "earth-search-landsat")
    with pytest.raises(BadInput, match=r"\[source\] requester_pays: must be true"):
        provider.access(SourceConfig(), RunConfig())
    access = provider.access(SourceConfig(requester_pays=True), RunConfig())
    assert (access.requester_pays, access.s3_region) == (True, "us-west-2")
    assert provider.access(SourceConfig(requester_pays=True, s3_region="x"), RunConfig()).s3_region == "x"
    elsewhere = SourceConfig(requester_pays=True, s3_endpoint="http://127.0.0.1:9000")
    assert provider.access(elsewhere, RunConfig()).s3_region is None


def test_bit_flags_from_a_configuration() -> None:
    spec = ProviderConfig(
        bands={"red": "B04", "nir": "B8A"},
        mask=MaskConfig(asset="Fmask", bits=(1, 2, 3), snow_bits=(4,), nodata=255),
        scale=1e-4,
        offset=0.0,
        nodata=-9999.0,
        token_url="https://example.com/{collection}",  # noqa: S106 - an address
    )
    provider = recognise({"collection": "HLSS30_2.0"}, spec)
    assert provider.mask.band == "fmask"
    assert provider.mask.bits == (1, 2, 3)
    assert provider.bands == {"red": ("B04",), "nir": ("B8A",), "fmask": ("Fmask",)}
    assert provider.offset({}, -0.5, "05.10") == 0.0
    assert provider.access(SourceConfig(), RunConfig()).token_url == "https://example.com/HLSS30_2.0"  # noqa: S105 - an address
    assert _travelled(provider).name == "HLSS30_2.0"


def test_what_a_configuration_leaves_out_the_item_says() -> None:
    provider = from_spec(ProviderConfig(bands={"red": "b1"}, mask=MaskConfig(clear=(1,))), "x")
    assert provider.offset({}, -0.3, "") == -0.3
    assert provider.offset({}, None, "") is None
    assert (provider.fixed_scale, provider.scale) == (None, None)


def test_an_scl_asset_has_sentinel_2_classes_unless_told_otherwise() -> None:
    default = from_spec(ProviderConfig(bands={"red": "r"}, mask=MaskConfig(asset="SCL_20m")), "x")
    assert default.mask.clear == (4, 5, 6, 7)
    assert default.bands["scl"] == ("SCL_20m",)
    own = from_spec(ProviderConfig(bands={"red": "r"}, mask=MaskConfig(asset="SCL", clear=(4,))), "x")
    assert own.mask.clear == (4,)


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (ProviderConfig(), "at least one band"),
        (ProviderConfig(bands={"red": "r"}, mask=MaskConfig(asset="qa")), "clear"),
        (ProviderConfig(bands={"red": "r"}, mask=MaskConfig(asset="qa", clear=(1,), bits=(1,))), "either"),
        (ProviderConfig(bands={"red": "r", "qa": "x"}, mask=MaskConfig(asset="qa", clear=(1,))), "at once"),
        (ProviderConfig(bands={"red": "r"}, lattice="utm"), "zone"),
    ],
)
def test_a_wrong_description_is_bad_input(spec: ProviderConfig, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        from_spec(spec, "x")
