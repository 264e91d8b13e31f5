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
        (changed("source", provider={"bands": {"red": 4}}), ["[source.provider] bands", "the key of its asset"]),
        (changed("source", provider={"bands": {"red": "B04"}}), ["has no blue, nir, swir16"]),
        (changed("source", provider={"bands": {"red": "B4"}, "scale": 0.0}), ["scale = 0", "no scale"]),
        (changed("source", provider={"bands": {"red": "B4"}, "offset": float("inf")}), ["offset = inf", "finite"]),
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
