"""Runs, on sources whose every pixel is known: resuming, appending, redoing, refusing; what other readers see."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Unpack

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from distributed import Client

import groundbreak
from groundbreak.pipeline import api, status, upkeep
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.progress import silent
from groundbreak.pipeline.running.runner import Listener
from tests.stores import zarr_bytes
from tests.world import Sections, Tile, configure, days, item, lonlat_box, works, write_items, write_source

WEST = Tile("38TPK", 32638, 600_000, 4_400_000)
EAST = Tile("38TQK", 32638, 600_800, 4_400_200)
BOX = lonlat_box(32638, 600_300, 4_399_000, 601_700, 4_399_700)
DATES = days("2021-01-03", 75, 10)
ONSET, HALT = "2022-01-18", "2022-05-18"
SITE = 600_950, 4_399_350, 150, 100
"""Centre x and y, half the width and half the height of the works, over the tiles' seam; metres."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_source(folder / "source", [WEST, EAST], DATES, works(DATES, SITE, ONSET, HALT))
    return folder


@pytest.fixture(scope="module")
def whole(world: Path, client: Client) -> Path:
    """Run without interruption, and return the output."""
    result = api.run(config(world, "whole"), client)
    assert not result.outcome.failed
    assert not result.faults
    return world / "whole"


def config(world: Path, out: str, datetime: str = "2021-01-01/2023-12-31", **sections: Unpack[Sections]) -> Config:
    return configure(world, BOX, datetime, out=out, **sections)


def test_the_site_is_found_across_the_tiles_seam(whole: Path) -> None:
    sites = pq.read_table(whole / "sites.parquet").to_pylist()
    assert len(sites) == 1
    assert sites[0]["area_m2"] == pytest.approx(60_000, rel=0.05)
    onset, halt = np.datetime64(sites[0]["onset"]), np.datetime64(sites[0]["halt"])
    assert abs(onset - np.datetime64(ONSET)) <= np.timedelta64(20, "D")
    assert abs(halt - np.datetime64(HALT)) <= np.timedelta64(30, "D")
    assert sites[0]["status"] == "halted"


def test_a_run_again_does_nothing(world: Path, whole: Path, client: Client) -> None:
    before = zarr_bytes(whole)
    result = api.run(config(world, "whole"), client)
    assert result.outcome.done == 0
    assert result.outcome.skipped == result.outcome.planned
    assert zarr_bytes(whole) == before


def test_the_published_store_opens_everywhere(whole: Path) -> None:
    store = whole / "change/32638.zarr"
    with xr.open_zarr(store, consolidated=False) as opened:
        assert opened.onset.dtype == np.dtype("datetime64[ns]") or opened.onset.dtype.kind == "M"
        assert opened.status.dtype == np.uint8
        assert opened.rio.crs.to_epsg() == 32638
        transform = opened.rio.transform()
        first = opened.onset.values[~np.isnat(opened.onset.values)]
        assert abs(np.median(first.astype("int64")) - np.datetime64(ONSET, "ns").astype("int64")) < 30 * 86400e9
    with xr.open_zarr(store, consolidated=False, mask_and_scale=False, decode_times=False) as raw:
        assert raw.onset.dtype == np.int16
        assert raw.onset.attrs["units"] == "days since 1970-01-01"
        values = raw.onset.values
    with rasterio.open(f'ZARR:"{store}":/onset') as seen:
        assert seen.crs.to_epsg() == 32638
        assert seen.nodata == -32768
        assert seen.transform.almost_equals(transform)
        np.testing.assert_array_equal(seen.read(1), values)


def test_each_pixel_is_published_once(whole: Path) -> None:
    with xr.open_zarr(whole / "change/32638.zarr", consolidated=False) as opened:
        owned = int((opened.status != 255).sum())
    plan = json.loads((whole / "plan.json").read_text())
    assert owned == sum(r["owned"] for g in plan["grids"] for r in g["regions"])


def test_other_detection_parameters_redo_detection_alone(world: Path, whole: Path, client: Client) -> None:
    shutil.copytree(whole, world / "copied")
    done: list[Record] = []
    listener = Listener(lambda _total, _skipped, _dashboard: None, done.append)
    api.run(
        config(world, "copied", cube={"bands": ["blue"]}, detect={"indices": ["ndvi", "swir"]}),
        client,
        listener=listener,
    )
    assert done
    assert {r.task.split("/")[0] for r in done} == {"detect"}
    cubes = {k: v for k, v in zarr_bytes(whole).items() if "cube.zarr" in k}
    assert cubes == {k: v for k, v in zarr_bytes(world / "copied").items() if "cube.zarr" in k}


def test_detect_needs_no_source(world: Path, whole: Path, client: Client) -> None:
    shutil.copytree(whole, world / "alone")
    gone = dataclasses.replace(
        config(world, "alone"), source=dataclasses.replace(config(world, "alone").source, items="no such file.json")
    )
    result = api.redetect(gone, client)
    assert result.outcome.done == len([t for t in Ledger(result.output).records if t.startswith("detect/")])
    assert zarr_bytes(world / "alone") == zarr_bytes(whole)
    assert len(api.republish(gone).sites) == 1


def test_a_late_item_in_a_finished_slab_is_reported_and_rebuild_applies_it(
    world: Path, whole: Path, client: Client, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    shutil.copytree(world / "source", tmp_path / "source")
    features = json.loads((tmp_path / "source/items.json").read_text())["features"]
    late = item(WEST, "2021-02-05")
    for asset in late["assets"].values():
        asset["href"] = asset["href"].replace("2021-02-05", "2021-02-02")
    write_items(tmp_path / "source", [*features, late])
    settings = configure(tmp_path, BOX, "2021-01-01/2023-12-31")
    result = api.run(settings, client)
    assert result.outcome.done == 0
    assert "late" in result.outcome.ignored["38TPK"][0]
    assert json.loads((tmp_path / "out/run.json").read_text())["ignored"]["38TPK"]
    assert {k: v for k, v in zarr_bytes(tmp_path / "out").items() if "/c/" in k} == {
        k: v for k, v in zarr_bytes(whole).items() if "/c/" in k
    }
    rebuilt = api.run(settings, client, rebuild=True)
    assert rebuilt.outcome.done > 0
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
        assert cube.sizes["time"] == len(DATES) + 1


def test_an_output_of_another_cube_is_refused(world: Path, whole: Path, client: Client) -> None:
    before = zarr_bytes(whole)
    with pytest.raises(BadInput, match="another cube"):
        api.run(config(world, "whole", cube={"slab": 24}), client)
    with pytest.raises(BadInput, match="another cube"):
        api.run(config(world, "whole", cube={"bands": ["blue"]}, detect={"indices": ["ndvi"]}), client)
    assert zarr_bytes(whole) == before


def test_a_strangers_store_is_not_overwritten(world: Path, client: Client, tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(tmp_path / "38TPK/cube.zarr", consolidated=False)
    with pytest.raises(BadInput, match="not written by groundbreak"):
        api.run(config(world, str(tmp_path)), client)


def test_damage_is_found_and_mended(world: Path, whole: Path, client: Client, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    settings = config(world, str(out))
    assert upkeep.verify(settings, Output(str(out))) == {}
    shard = next(p for p in sorted(out.glob("38TPK/cube.zarr/10m/red/c/*/*/*")) if p.is_file())
    shard.write_bytes(shard.read_bytes()[:-1])
    layer = next(p for p in sorted(out.glob("38TQK/change.zarr/onset/c/*/*")) if p.is_file())
    layer.unlink()
    damaged = upkeep.verify(settings, Output(str(out)))
    assert sorted(t.split("/")[0] for t in damaged) == ["build", "detect"]
    assert api.run(settings, client).outcome.done >= 2
    assert zarr_bytes(out) == zarr_bytes(whole)
    found = status.status(settings, Output(str(out)))
    assert found["tasks"]["build"].keys() == {"done"}
    assert sum(found["pixels"].values()) > 0


def test_too_little_disk_is_refused_before_anything_is_written(
    world: Path, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "free_bytes", lambda _self: 1000)
    with pytest.raises(BadInput, match="are free"):
        api.run(config(world, str(tmp_path / "new")), client)
    assert not list((tmp_path / "new").rglob("*.zarr"))


def test_python_detection_on_ones_own_cube(whole: Path) -> None:
    with xr.open_zarr(whole / "38TPK/cube.zarr/10m", consolidated=False) as cube:
        part = cube.isel(x=slice(60, 110), y=slice(40, 90)).load()
    clear = [i for i in range(len(DATES)) if i % 4 != 3]
    ndvi = ((part.nir - part.red) / (part.nir + part.red)).isel(time=clear).astype("float32")
    layers = groundbreak.detect(ndvi)
    lazy = groundbreak.detect(ndvi.chunk({"y": 20, "x": 25}))
    xr.testing.assert_equal(layers, lazy.compute())
    changed = layers.onset.values[~np.isnat(layers.onset.values)].astype("datetime64[D]").astype(int)
    assert abs(np.median(changed) - np.datetime64(ONSET).astype(int)) <= 20
    with pytest.raises(BadInput, match="must be"):
        groundbreak.detect(ndvi.rename(x="longitude"))


def test_ctrl_c_and_again_equals_an_uninterrupted_run(world: Path, whole: Path, client: Client) -> None:
    """The command line on a cluster of processes, stopped in the middle by Ctrl-C."""
    file = world / "stopped.toml"
    file.write_text(
        f"[area]\nbbox = {list(BOX)}\n[source]\nitems = 'source/items.json'\ndatetime = '2021-01-01/2023-12-31'\n"
        "[output]\npath = 'stopped'\n[cube]\nregion = 64\nslab = 12\n[cluster]\nworkers = 2\n"
    )
    # Whoever starts the tests in the background has them ignore Ctrl-C, and processes inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    main = f"{heed}; from groundbreak.pipeline.cli import program; raise SystemExit(program())"
    command = [sys.executable, "-c", main, "run", str(file), "--log", "json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    records = world / "stopped/ledger/records"
    deadline = time.monotonic() + 240
    while len(list(records.rglob("*.json"))) < 5:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # As a terminal does it: the whole process group.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert not (world / "stopped/ledger/lock.json").exists()
    result = api.run(config(world, "stopped"), client, listener=silent())
    assert result.outcome.skipped >= 5
    assert result.outcome.done + result.outcome.skipped == result.outcome.planned
    assert zarr_bytes(world / "stopped") == zarr_bytes(whole)
