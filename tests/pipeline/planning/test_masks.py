"""Masks of the configuration, on real files of every type: what is read is what is written, or one clear refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundbreak.pipeline import api
from groundbreak.pipeline.core.types import BadInput, Mask
from groundbreak.pipeline.planning.plans import Plan
from tests.world import Tile, configure, days, lonlat_box, write_items, write_source, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_300, 4_399_000, 601_000, 4_399_700)
DATES = days("2021-01-03", 3, 10)
BANDS = {band: band for band in ("blue", "red", "nir", "swir16")}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write reflectance of three dates, whose items are of nobody's."""
    folder = tmp_path_factory.mktemp("bare")
    write_source(folder / "source", [TILE], DATES)
    return folder


def source(
    folder: Path, bare: Path, values: Any, *, nodata: float | None = None, says: dict[str, Any] | None = None,
    **creation: Any,
) -> None:  # fmt: skip
    """Write a source with masks of these values; ``says`` is what the items tell of them."""
    items = json.loads((bare / "source/items.json").read_text())["features"]
    frame = TILE.frame(20)
    for number, item in enumerate(items):
        item["collection"] = "mine"
        qa = item["assets"].pop("scl") | {"href": f"./{number}.tif"}
        del qa["raster:bands"]
        for asset in item["assets"].values():
            target = folder / "source" / asset["href"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(bare / "source" / asset["href"])
        item["assets"]["qa"] = qa | ({"raster:bands": [says]} if says else {})
        filled = np.broadcast_to(np.asarray(values), (frame.height, frame.width))
        write_tif(folder / f"source/{number}.tif", filled.copy(), frame, nodata=nodata, **creation)
    write_items(folder / "source", items)


def planned(folder: Path, mask: dict[str, Any], **more: Any) -> Plan:
    spec = {"bands": BANDS, "scale": 1e-4, "offset": 0.0, "mask": {"asset": "qa", **mask}, **more}
    return api.plan(configure(folder, BOX, "2021-01-01/2021-12-31", source={"provider": spec}))


@pytest.mark.parametrize(
    ("dtype", "mask", "told", "cube", "fill"),
    [
        # what is written; what the configuration says; the file's nodata; the cube's type; its nodata
        ("uint16", {"clear": [21824, 21952]}, 1, "uint16", 0),
        ("uint16", {"clear": [21824, 21952]}, None, "uint16", 0),
        ("uint16", {"clear": [21824], "nodata": 65535}, 1, "uint16", 65535),
        ("uint16", {"bits": [3, 4, 9, 15]}, 1, "uint16", 65535),
        ("uint16", {"bits": [3, 4], "nodata": 1}, None, "uint16", 1),
        ("uint16", {"clear": [4, 5]}, 0, "uint16", 0),
        ("int16", {"clear": [4, 5]}, -9999, "uint16", 0),
        ("int32", {"clear": [4, 5]}, None, "uint16", 0),
        ("int8", {"clear": [4, 5]}, None, "uint8", 0),
        ("uint8", {"clear": [4, 5]}, 0, "uint8", 0),
        ("uint8", {"clear": [0]}, None, "uint8", 255),
        ("uint8", {"clear": [0], "snow": [255]}, None, "uint8", 254),
        ("uint8", {"clear": [0], "nodata": 3}, None, "uint8", 3),
        ("uint8", {"bits": [0]}, None, "uint8", 255),
        ("uint8", {"bits": [0]}, 255, "uint8", 255),
        ("uint8", {"bits": [1, 2], "nodata": 0}, 0, "uint8", 0),
        ("uint8", {"clear": [*range(200)], "snow": [*range(200, 256)]}, None, "uint16", 65535),
    ],
)
def test_the_type_of_a_mask_and_its_nodata(
    tmp_path: Path, bare: Path, dtype: str, mask: dict[str, Any], told: float | None, cube: str, fill: int
) -> None:
    options: dict[str, Any] = {"predictor": 1} if dtype == "int8" else {}
    source(tmp_path, bare, np.array(4, dtype), nodata=told, **options)
    got = planned(tmp_path, mask)
    assert (got.mask.dtype, got.mask.nodata) == (cube, fill)
    size = {"uint8": 1, "uint16": 2}[cube]
    (grid,) = got.grids
    windows = sum(r.window.height * r.window.width for r in grid.regions)
    assert got.summary()["bytes decoded"] == 3 * windows * (3 * 2 + 2 / 4 + size / 4)


@pytest.mark.parametrize(
    ("dtype", "mask", "nodata", "says", "parts"),
    [
        ("uint8", {"clear": [21824]}, None, None, ["clear = [21824]", "uint8", "qa"]),
        ("uint8", {"clear": [4], "snow": [300]}, None, None, ["snow = [300]", "uint8"]),
        ("uint8", {"bits": [3, 9]}, None, None, ["bits = [9]", "uint8"]),
        ("uint8", {"bits": [3], "snow_bits": [12]}, None, None, ["snow_bits = [12]"]),
        ("int16", {"clear": [40000]}, None, None, ["clear = [40000]", "int16"]),
        ("int16", {"bits": [15]}, None, None, ["bits = [15]", "int16"]),
        ("float32", {"clear": [1]}, None, None, ["float32", "whole numbers", "S2A_38TPK", "'qa'"]),
        ("float64", {"clear": [1]}, None, None, ["float64", "whole numbers"]),
        ("int32", {"bits": [1]}, None, None, ["int32", "one or two bytes"]),
        ("uint8", {"clear": [0]}, 0, None, ["its file says that 0", "unsetnodata"]),
        ("uint8", {"clear": [0]}, None, {"nodata": 0}, ["its item says that 0", "nodata"]),
        ("uint8", {"clear": [4], "snow": [11]}, 11, None, ["its file says that 11"]),
        ("uint8", {"bits": [0]}, 0, None, ["its file says that 0"]),
        ("uint16", {"clear": [21824, 1]}, 1, None, ["its file says that 1"]),
    ],
)
def test_what_the_files_cannot_hold_is_refused_by_the_plan(
    tmp_path: Path, bare: Path, dtype: str, mask: dict[str, Any], nodata: float | None, says: Any, parts: list[str]
) -> None:
    options: dict[str, Any] = {"predictor": 1} if dtype == "float64" else {}
    source(tmp_path, bare, np.array(4, dtype), nodata=nodata, says=says, **options)
    with pytest.raises(BadInput) as caught:
        planned(tmp_path, mask)
    for part in parts:
        assert part in str(caught.value)


def test_nodata_that_the_configuration_tells_comes_before_the_items(tmp_path: Path, bare: Path) -> None:
    source(tmp_path, bare, np.array(0, "uint8"), says={"nodata": 0, "data_type": "uint8"})
    got = planned(tmp_path, {"clear": [0], "nodata": 255})
    assets = [s.assets["qa"] for g in got.grids for o in g.observations for s in o.scenes]
    assert [a.nodata for a in assets] == [255.0] * 3


def test_an_identity_of_one_byte_is_what_it_was() -> None:
    # These values were written by the version before, which knew no other type.
    assert Mask(band="scl", clear=(4, 5, 6, 7), snow=(11,), nodata=0).identity == (
        "scl",
        (4, 5, 6, 7),
        (11,),
        (),
        (),
        0,
    )
    wide = Mask(band="qa", bits=(1,), nodata=1, dtype="uint16")
    assert wide.identity == ("qa", (), (), (1,), (), 1, "uint16")


def test_whole_numbers_whose_kind_no_item_tells(tmp_path: Path, bare: Path) -> None:
    source(tmp_path, bare, np.array(4, "uint8"))
    path = tmp_path / "source/items.json"
    items = json.loads(path.read_text())["features"]
    for told in ({"scale": 1.0, "offset": 0.0}, {"scale": 1.0, "offset": 0.0, "data_type": "float32"}):
        for item in items:
            for band in BANDS:
                item["assets"][band]["raster:bands"] = [told]
        write_items(tmp_path / "source", items)
        with pytest.raises(BadInput) as caught:
            planned(tmp_path, {"clear": [4]}, scale=None, offset=None)
        for part in ("scale 1 on whole numbers", "S2A_38TPK", "[source.provider] scale"):
            assert part in str(caught.value)
    with pytest.raises(BadInput, match="scale 1 on whole numbers"):
        planned(tmp_path, {"clear": [4]}, scale=1.0)


def test_masks_that_nobody_can_read_now(tmp_path: Path, bare: Path) -> None:
    source(tmp_path, bare, np.array(4, "uint8"))
    for path in (tmp_path / "source").glob("*.tif"):
        path.unlink()
    with pytest.raises(BadInput, match=r"asset 'qa': no header of 3 masks can be read"):
        planned(tmp_path, {"clear": [4]})


def test_one_wide_mask_makes_all_wide(tmp_path: Path, bare: Path) -> None:
    source(tmp_path, bare, np.array(4, "uint8"))
    frame = TILE.frame(20)
    write_tif(tmp_path / "source/1.tif", np.full((frame.height, frame.width), 21824, "uint16"), frame, nodata=None)
    got = planned(tmp_path, {"clear": [4, 21824]})
    assert (got.mask.dtype, got.mask.nodata) == ("uint16", 0)
