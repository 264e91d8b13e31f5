"""The configuration: defaults, and one clear error for every mistake."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundbreak.pipeline.core.config import Config, parse_span
from groundbreak.pipeline.core.types import BadInput

SMALLEST: dict[str, Any] = {
    "area": {"bbox": [46.86, 40.03, 46.95, 40.10]},
    "source": {"items": "items.json", "datetime": "2020-01-01/2024-12-31"},
    "output": {"path": "out"},
}


def changed(section: str, **keys: Any) -> dict[str, Any]:
    """Return the smallest configuration with keys of one section set, or removed where None."""
    merged = {**SMALLEST.get(section, {}), **keys}
    return {**SMALLEST, section: {k: v for k, v in merged.items() if v is not None}}


def test_the_smallest_configuration_has_every_other_key_by_default(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        "[area]\nbbox = [46.86, 40.03, 46.95, 40.10]\n"
        '[source]\nitems = "items.json"\ndatetime = "2020-01-01/2024-12-31"\n[output]\npath = "out"\n'
    )
    config = Config.from_toml(file)
    assert config.area.bbox == (46.86, 40.03, 46.95, 40.10)
    assert config.detect.indices == ("ndvi", "bsi", "swir")
    assert config.bands == ("blue", "nir", "red", "swir16")
    assert config.path(config.output.path) == str(tmp_path / "out")
    assert config.path("s3://bucket/x") == "s3://bucket/x"


def test_a_day_stands_for_all_of_it() -> None:
    start, end = parse_span("2020-01-01/2020-01-02")
    assert start == np.datetime64("2020-01-01T00:00:00.000")
    assert end == np.datetime64("2020-01-02T23:59:59.999")
    assert parse_span("2020-01-01T10:00:00Z/2020-01-01T11:00:00Z")[1] == np.datetime64("2020-01-01T11:00:00.000")


def described(mask: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """Return the smallest configuration with a provider: its mask, and further keys."""
    provider = {"bands": {"red": "B04"}, "mask": {"asset": "qa", **(mask or {"clear": [1]})}, **keys}
    return changed("source", provider=provider)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (described({"clear": [-1]}), ["[source.provider.mask]", "clear holds -1", "between 0 and 65535"]),
        (described({"clear": [70000, 4]}), ["clear holds 70000", "between 0 and 65535"]),
        (described({"clear": [4], "snow": [70000]}), ["snow holds 70000"]),
        (described({"bits": [16]}), ["bits holds 16", "between 0 and 15"]),
        (described({"bits": [-1]}), ["bits holds -1"]),
        (described({"bits": [1], "snow_bits": [99]}), ["snow_bits holds 99", "between 0 and 15"]),
        (described({"clear": [4], "bits": [1]}), ["either clear", "has both"]),
        (described({"snow": [11]}), ["either clear"]),
        (described({"clear": [4], "snow_bits": [4]}), ["snow_bits without bits"]),
        (described({"bits": [4], "snow": [4]}), ["snow beside bits"]),
        (described({"clear": [4, 4, 5]}), ["clear holds 4 more than once"]),
        (described({"bits": [1, 1]}), ["bits holds 1 more than once"]),
        (described({"clear": [4, 5], "snow": [5]}), ["5 cannot be clear and snow"]),
        (described({"clear": [0], "nodata": 0}), ["nodata = 0", "clear"]),
        (described({"clear": [4], "snow": [255], "nodata": 255}), ["nodata = 255", "snow"]),
        (described({"clear": [4], "nodata": -1}), ["nodata = -1", "between 0 and 65535"]),
        (described({"clear": [4], "nodata": 65536}), ["nodata = 65536"]),
        (described({"clear": [4], "asset": ""}), ["asset must not be empty"]),
        (described({"clear": [1.5]}), ["[source.provider.mask] clear", "whole number"]),
        (described(scale=0.0), ["[source.provider] scale = 0", "between 1e-06 and 1"]),
        (described(scale=-1e-4), ["scale = -0.0001"]),
        (described(scale=1e-8), ["scale = 1e-08"]),
        (described(scale=100.0), ["scale = 100"]),
        (described(scale=float("nan")), ["scale = nan"]),
        (described(offset=-1000.0), ["offset = -1000", "between -1 and 1"]),
        (described(nodata=float("inf")), ["nodata = inf"]),
        (described(lattice="utm"), ["lattice = 'utm'", "zone"]),
        (described(bands={}), ["at least one band"]),
        (described(bands={"red": 4}), ["[source.provider.bands] red = 4", "key of an asset"]),
        (described(bands={"red": "B04", "qa": "x"}), ["'qa' is a band and the mask at once"]),
        (
            described({"clear": [4, 4], "bits": [77]}, scale=0.0),
            ["scale = 0", "more than once", "bits holds 77", "both"],
        ),
    ],
)
def test_a_provider_that_cannot_be_is_refused_when_it_is_read(data: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        Config.from_dict(data)
    for name in names:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "mask",
    [
        {"clear": [0]},
        {"clear": [21824, 21952, 5440, 5504], "nodata": 1},
        {"bits": [0, 1, 2, 3, 4, 9, 11, 13, 15], "snow_bits": [5], "nodata": 1},
        {"bits": [1, 2, 3], "snow_bits": [4], "nodata": 255},
        {"clear": [65535], "snow": [0]},
        {"asset": "SCL"},
        {"asset": "SCL", "nodata": 0},
    ],
)
def test_masks_that_can_be(mask: dict[str, Any]) -> None:
    bands = {"red": "B04", "nir": "B08", "blue": "B02", "swir16": "B11"}
    provider = {"bands": bands, "mask": {"asset": "qa", **mask}}
    assert Config.from_dict(changed("source", provider=provider)).source.provider is not None


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (changed("detect", indexes=["ndvi"]), ["[detect] indexes", "not a key", "indices"]),
        ({**SMALLEST, "detection": {}}, ["[detection]", "not a key"]),
        ({k: v for k, v in SMALLEST.items() if k != "output"}, ["[output]", "required"]),
        (changed("area", bbox=[1, 2, 3]), ["bbox", "west, south, east, north"]),
        (changed("area", bbox=[10.0, 50.0, 11.0, 50.0]), ["bbox", "hold some area"]),
        (changed("area", bbox=[10.0, 50.0, 10.0, 51.0]), ["bbox", "hold some area"]),
        (changed("area", geometry="aoi.geojson"), ["[area]", "either bbox or geometry"]),
        (changed("source", catalog="https://x"), ["[source]", "either items or catalog"]),
        (changed("source", items=None, catalog="https://x"), ["catalog", "collection"]),
        (changed("source", datetime="2024-01-01/2020-01-01"), ["datetime", "start first"]),
        (changed("source", datetime="yesterday"), ["datetime", "ISO"]),
        (changed("source", datetime=2020), ["datetime", "must be a text"]),
        (changed("detect", indices=["nvdi"]), ["nvdi", "index"]),
        (changed("detect", indices=[]), ["indices", "at least one"]),
        (changed("detect", detector="bfast"), ["bfast", "phases"]),
        (changed("detect", params={"speed": 1}), ["[detect.params] speed", "not a parameter"]),
        (changed("detect", detector="cusum", params={"level": 7}), ["[detect.params]", "level", "between 0 and 1"]),
        (changed("detect", params={"noise_floor": 0}), ["[detect.params]", "noise_floor"]),
        (changed("detect", params={"screen": "high"}), ["[detect.params]", "screen", "finite number"]),
        (changed("detect", history_end="soon"), ["history_end", "ISO date"]),
        (changed("detect", history_end="today"), ["history_end", "ISO date"]),
        (changed("detect", history_end="2031-01-01"), ["history_end", "within [source] datetime"]),
        (changed("detect", indices=["ndvi", "ndvi"]), ["indices", "once"]),
        (changed("detect", params={"belief": float("nan")}), ["[detect.params] belief = nan", "finite"]),
        (changed("detect", params={"spike": 10**400}), ["[detect.params] spike", "finite number"]),
        (changed("detect", min_area_m2=float("inf")), ["min_area_m2", "finite"]),
        (changed("area", bbox=[float("nan"), 50.0, 11.0, 51.0]), ["bbox", "hold some area"]),
        (changed("area", bbox=[-(10**400), 50.0, 11.0, 51.0]), ["bbox", "hold some area"]),
        (changed("source", datetime="2020-01-01/today"), ["datetime", "ISO"]),
        (changed("source", datetime="20200101/20241231"), ["datetime", "ISO"]),
        (changed("source", datetime="2020-02-30/2024-12-31"), ["datetime", "ISO"]),
        (changed("source", items=None, catalog="stac.example", collection="c"), ["catalog", "http"]),
        (changed("source", s3_endpoint="eodata.example"), ["s3_endpoint", "http"]),
        (changed("source", provider={"bands": {"rde": "B04"}}), ["'rde' is not a band", "Did you mean 'red'"]),
        (changed("source", provider={"bands": {"red": 4}}), ["[source.provider.bands] red = 4", "the key of an asset"]),
        (changed("source", provider={"bands": {"red": "B04"}}), ["has no blue, nir, swir16"]),
        (changed("source", provider={"bands": {"red": "B4"}, "scale": 0.0}), ["scale = 0", "must lie between"]),
        (
            changed("source", provider={"bands": {"red": "B4"}, "offset": float("inf")}),
            ["offset = inf", "must lie between"],
        ),
        (changed("source", provider={"bands": {"red": "B4"}, "lattice": "tile"}), ["lattice = 'tile'", '"zone"']),
        (changed("cube", bands=["gren"]), ["[cube] bands = ['gren']", "Did you mean 'green'"]),
        (changed("cube", resolution=float("inf")), ["resolution", "positive"]),
        (changed("cube", region=10**9), ["region", "at most"]),
        (changed("cluster", memory="4 gigs"), ["[cluster] memory = '4 gigs'", "unit", '"4GiB"']),
        (changed("cluster", memory="-4GiB"), ["memory", "unit"]),
        (changed("cluster", memory="4"), ["[cluster] memory = '4'", "too little"]),
        (changed("cluster", kind="address", address="10.0.0.1"), ["[cluster] address", "of a scheduler"]),
        (changed("run", fault_threshold=float("nan")), ["fault_threshold", "between 0 and 1"]),
        (changed("output", path="ftp://host/out"), ["[output] path", "s3://bucket/prefix"]),
        (changed("output", path="s3://"), ["[output] path", "s3://bucket/prefix"]),
        (changed("cube", resolution=-10), ["resolution", "positive"]),
        (changed("cube", region=0), ["region", "positive"]),
        (changed("cube", slab=1.5), ["slab", "whole number"]),
        (changed("cluster", kind="cloud"), ["cloud", "local"]),
        (changed("cluster", kind="address"), ["address", "needs it"]),
        (changed("cluster", kind="local", address="tcp://x:1"), ["[cluster] address", "does not take it"]),
        (changed("cluster", kind="address", address="tcp://x:1", workers=2), ["[cluster] workers", "does not take it"]),
        (changed("run", attempts=0), ["attempts", "positive"]),
        (changed("run", patience=-1), ["patience", "must not be negative"]),
        (changed("run", patience=float("nan")), ["patience", "at most"]),
        (changed("run", patience=1e9), ["patience", "at most"]),
        (changed("run", fault_threshold=2), ["fault_threshold", "between 0 and 1"]),
        (changed("source", allow_hosts="127.0.0.1"), ["allow_hosts", "a list"]),
    ],
)
def test_a_mistake_names_input_rule_and_remedy(data: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        Config.from_dict(data)
    for name in names:
        assert name in str(caught.value)
    assert caught.value.remedy


def test_all_mistakes_are_told_at_once() -> None:
    data = {
        "area": {"bbox": [46.86, 40.03, 46.95, 40.10], "box": 1},
        "source": {"items": "items.json", "datetime": "2020/2019"},
        "cube": {"region": "big", "slab": 1.5},
        "detect": {"detector": "cusum", "params": {"level": 7, "speed": 1}},
        "cluster": {"memory": "4 gigs", "workers": 0},
        "run": {"attempts": 0},
        "running": {},
    }
    with pytest.raises(BadInput) as caught:
        Config.from_dict(data)
    mistakes = caught.value.mistakes
    named = [
        "[running]", "[area] box", "[output]", "[cube] region = 'big'", "[cube] slab = 1.5", "[source] datetime",
        "[detect.params] level = 7", "[detect.params] speed", "[cluster] workers = 0", "[cluster] memory = '4 gigs'",
        "[run] attempts = 0",
    ]  # fmt: skip
    assert [m.what for m in mistakes if any(m.what.startswith(n) for n in named)] == [m.what for m in mistakes]
    assert len(mistakes) == len(named)
    lines = str(caught.value).splitlines()
    assert lines[0] == "11 mistakes"
    assert lines[1:] == [f"  {m.what}: {m.rule}. {m.remedy}." for m in mistakes]
    assert all(m.rule and m.remedy for m in mistakes)
    # An error that comes back from a worker has lost nothing.
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_mistakes_of_python_values_are_told_at_once() -> None:
    with pytest.raises(BadInput, match="2 mistakes"):
        Config(area={"bbox": [0, 0, 1, 1]}, source={"items": "i", "datetime": "x"}, output={"path": ""})
    good = Config.from_dict(SMALLEST)
    with pytest.raises(BadInput, match="attempts = -1"):
        dataclasses.replace(good, run=dataclasses.replace(good.run, attempts=-1))


def test_bands_of_ones_own_are_known_where_they_are_named_twice() -> None:
    bands = {"vv": "VV", "red": "B04", "nir": "B08"}
    source = {**SMALLEST["source"], "provider": {"bands": bands}}
    config = Config.from_dict(
        {**SMALLEST, "source": source, "detect": {"indices": ["ndvi"]}, "cube": {"bands": ["vv"]}}
    )
    assert config.bands == ("nir", "red", "vv")


def test_files_that_are_absent_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must exist"):
        Config.from_toml(tmp_path / "none.toml")
    with pytest.raises(BadInput, match="cannot be read"):
        Config.from_toml(tmp_path)
    (tmp_path / "bad.toml").write_text("[area\n")
    with pytest.raises(BadInput, match="must be TOML"):
        Config.from_toml(tmp_path / "bad.toml")


def test_the_examples_load() -> None:
    folder = Path(__file__).parents[3] / "examples"
    files = sorted(folder.glob("*.toml"))
    assert len(files) >= 2
    for file in files:
        Config.from_toml(file)


def test_a_tilde_is_a_home_folder_unless_it_is_the_name_of_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, base = tmp_path / "home", tmp_path / "base"
    home.mkdir()
    base.mkdir()
    monkeypatch.setenv("HOME", str(home))
    config = Config.from_dict(SMALLEST, base)
    assert config.path("~/out") == str(home / "out")
    assert config.path("~") == str(home)
    assert config.path("~nobody-of-this-name/out") == str(base / "~nobody-of-this-name/out")
    assert config.path("a/~/b") == str(base / "a/~/b")
    assert config.path("https://h.org/~me/items.json") == "https://h.org/~me/items.json"
    (base / "~d").mkdir()
    assert config.path("~d/items.json") == str(base / "~d/items.json")
    (base / "~").mkdir()
    (base / "~/items.json").touch()
    assert config.path("~/items.json") == str(base / "~/items.json")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    config = Config.from_dict(SMALLEST, tmp_path)
    assert config.path("file:///data/My%20Data/items.json") == "/data/My Data/items.json"
