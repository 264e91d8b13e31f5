"""Masks of two bytes, of bits, and those in which 0 is clear: from files to layers, every pixel known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import prepared
from tests.world import Tile, configure, days, lonlat_box, write_items, write_raster, write_source, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, size=64)
BOX = lonlat_box(32638, 600_050, 4_399_450, 600_600, 4_399_950)
DATES = days("2021-01-03", 14, 20)
BANDS = {band: band for band in ("blue", "red", "nir", "swir16")}
QA = np.array([21824, 21952, 5440, 5504, 1, 22280, 23888, 30048, 54596, 21826, 22336, 65535, 0])
"""Values of Landsat's QA_PIXEL, most of them clear or cloud; 22336 is thin cloud, told by the high byte alone."""

CASES: dict[str, tuple[str, Any, dict[str, Any], dict[str, Any], Any]] = {
    # type of the files; values; how they are written; the rule; value -> whether it is clear
    "bits": (
        "uint16", QA, {"nodata": 1}, {"bits": [0, 1, 2, 3, 4], "snow_bits": [5], "nodata": 1},
        lambda v: v in (21824, 21952, 5440, 5504, 22336, 0),
    ),
    "bits of the high byte": (
        "uint16", QA, {"nodata": 1}, {"bits": [1, 2, 3, 4, 5, 9]},
        lambda v: v in (21824, 21952, 5440, 5504, 0),
    ),
    "values": ("uint16", QA, {"nodata": 1}, {"clear": [21824, 21952]}, lambda v: v in (21824, 21952)),
    "values, by GDAL": ("int32", QA, {"nodata": 1}, {"clear": [21824, 21952]}, lambda v: v in (21824, 21952)),
    "values and an internal mask": (
        "uint16", QA, {"nodata": None, "mask": True}, {"clear": [21824, 5440]}, lambda v: v in (21824, 5440)
    ),
    "big-endian strips": (
        "uint16", QA, {"nodata": 1, "endianness": "BIG", "tiled": False, "blockysize": 8},
        {"clear": [21824, 21952]}, lambda v: v in (21824, 21952),
    ),
    "0 is clear": ("uint8", np.array([0, 1, 2, 3]), {"nodata": None}, {"clear": [0]}, lambda v: v == 0),
    "no bit is clear": ("uint8", np.array([0, 1, 2, 3, 4]), {"nodata": 255}, {"bits": [0]}, lambda v: v in (0, 2, 4)),
    "signed": ("int16", np.array([-9999, 0, 1, 2]), {"nodata": -9999}, {"clear": [0, 1]}, lambda v: v in (0, 1)),
}  # fmt: skip


def write(folder: Path, dtype: str, values: Any, creation: dict[str, Any]) -> np.ndarray:
    """Write a source whose masks are random choices of values, and return them, (time, y, x)."""
    write_source(folder / "source", [TILE], DATES)
    items = json.loads((folder / "source/items.json").read_text())["features"]
    rng, frame = np.random.default_rng(5), TILE.frame(20)
    options = dict(creation)
    masked = options.pop("mask", False)
    every = []
    for item in items:
        item["collection"] = "mine"
        item["assets"]["qa"] = item["assets"].pop("scl")
        del item["assets"]["qa"]["raster:bands"]
        qa = rng.choice(values, (frame.height, frame.width), p=_weights(len(values))).astype(dtype)
        path = folder / "source" / item["assets"]["qa"]["href"]
        if masked:
            write_raster(path, qa, frame, mask=np.where(qa == 1, 0, 255).astype(np.uint8), **options)
        else:
            write_tif(path, qa, frame, **options)
        every.append(qa)
    write_items(folder / "source", items)
    return np.stack(every)


def _weights(count: int) -> np.ndarray:
    """Return shares of values, so that half of the pixels have the first two."""
    return np.array([0.25, 0.25, *[0.5 / (count - 2)] * (count - 2)])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("in_memory", [True, False])
def test_every_pixel_of_a_mask(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, name: str, in_memory: bool
) -> None:
    dtype, values, creation, rule, is_clear = CASES[name]
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _stage, _region: in_memory)
    monkeypatch.setattr("groundbreak.pipeline.running.runner.IDLE", 0.5)
    raw = write(tmp_path, dtype, values, creation)
    spec = {"bands": BANDS, "scale": 1e-4, "offset": 0.0, "mask": {"asset": "qa", **rule}}
    result = api.run(configure(tmp_path, BOX, "2021-01-01/2021-12-31", source={"provider": spec}), client)
    assert not result.outcome.failed
    assert not result.faults
    gone = creation["nodata"] if creation["nodata"] is not None else (1 if "mask" in creation else None)
    clear = np.vectorize(is_clear)(raw)
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr", group="20m", mask_and_scale=False, consolidated=False) as cube:
        assert cube.qa.dtype == ("uint8" if dtype == "uint8" else "uint16")
        fill = cube.qa.encoding.get("fill_value", cube.qa.values.max())
        wanted = np.where((raw == gone) | (raw < 0), fill, raw) if gone is not None else raw
        window = _window(cube, TILE.frame(20))
        np.testing.assert_array_equal(cube.qa.values, wanted[(slice(None), *window)])
    with xr.open_zarr(tmp_path / "out/38TPK/change.zarr", mask_and_scale=False, consolidated=False) as layers:
        fine = clear.repeat(2, axis=1).repeat(2, axis=2)[(slice(None), *_window(layers, TILE.frame(10)))].sum(axis=0)
        owned = layers.status.values != 255
        assert owned.sum() > 1000
        np.testing.assert_array_equal(layers.n_valid.values[owned], fine[owned])


def _window(opened: xr.Dataset, frame: Any) -> tuple[slice, slice]:
    """Return the rows and columns of a tile's frame that a store holds."""
    x, y = frame.centres()
    row, col = int(np.abs(y - float(opened.y[0])).argmin()), int(np.abs(x - float(opened.x[0])).argmin())
    return slice(row, row + opened.sizes["y"]), slice(col, col + opened.sizes["x"])


@pytest.mark.parametrize(
    ("scale", "offset", "says"),
    [
        (1e-3, 0.0, "above 1.6"),
        (2e-2, 0.0, "above 1.6"),
        (1e-4, -0.5, "below -0.1"),
        (1e-6, 0.0, "brightest pixels lie below 0.05"),
        (1e-5, 0.0, "brightest pixels lie below 0.05"),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_reflectance_that_no_ground_has_stops_the_run(
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    scale: float,
    offset: float,
    says: str,
    in_memory: bool,
) -> None:
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _stage, _region: in_memory)
    monkeypatch.setattr("groundbreak.pipeline.running.runner.IDLE", 0.5)
    write_source(tmp_path / "source", [TILE], DATES)
    spec = {"bands": BANDS, "scale": scale, "offset": offset, "mask": {"asset": "scl"}}
    source: dict[str, Any] = {"provider": spec}
    with pytest.raises(BadInput) as stopped:
        api.run(configure(tmp_path, BOX, "2021-01-01/2021-12-31", source=source), client)
    text = str(stopped.value)
    for part in (
        says,
        "14 of 14 observations",
        "38TPK/r000c000",
        "S2A_38TPK_20210103_0_L2A",
        "[source.provider] scale",
    ):
        assert part in text
    assert not (tmp_path / "out/sites.parquet").exists()
    accepted = configure(tmp_path, BOX, "2021-01-01/2021-12-31", source=source | {"accept_offset_step": True})
    assert not api.run(accepted, client).outcome.failed
