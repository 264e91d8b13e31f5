"""What goes wrong with an archive, a signature or a worker is a fault or a failed region, by name, or is mended."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray as xr
from distributed import Client

from groundbreak.kernels import Quality, Status
from groundbreak.pipeline import api, cli
from groundbreak.pipeline.compute.coverage import unpack
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.runner import Listener
from groundbreak.pipeline.testing import ArchiveServer
from tests.commands import write_config
from tests.stores import zarr_bytes
from tests.world import Sections, Tile, configure, days, item, lonlat_box, write_source, write_tif

WEST = Tile("38TPK", 32638, 600_000, 4_400_000)
EAST = Tile("38TQK", 32638, 600_800, 4_400_000)
BOX = lonlat_box(32638, 600_700, 4_399_500, 601_400, 4_399_700)
"""One region of each tile: they meet at 601 040, half way through their overlap."""
DATES = days("2021-01-03", 36, 15)
SPAN = "2021-01-01/2022-12-31"
ONE = f"38TPK/{DATES[5]}_0/red.tif"
KEYED = {"bands": {b: b for b in ("blue", "red", "nir", "swir16")}, "scale": 1e-4, "offset": 0.0, "nodata": 0.0}
"""[source.provider] of the small source, as a stranger's."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_source(folder, [WEST, EAST], DATES)
    return folder


@pytest.fixture
def server(source: Path) -> Iterator[ArchiveServer]:
    with ArchiveServer(source, slow_s=1.0) as running:
        yield running


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    """Run without faults, and return the output."""
    folder = tmp_path_factory.mktemp("clean")
    with ArchiveServer(source) as running:
        result = api.run(config(folder, running), client)
    assert not result.faults
    assert not result.outcome.failed
    return folder / "out"


def config(folder: Path, server: ArchiveServer, **sections: Unpack[Sections]) -> Config:
    sections["source"] = {"allow_hosts": ["127.0.0.1"], **sections.get("source", {})}
    return configure(folder, BOX, SPAN, items=f"{server.url}/items.json", **sections)


def command(folder: Path, server: ArchiveServer, client: Client) -> str:
    items, own = f"{server.url}/items.json", {"allow_hosts": ["127.0.0.1"]}
    return str(write_config(folder / "run.toml", client, BOX, SPAN, items=items, source=own))


def layers(out: Path, grid: str) -> xr.Dataset:
    store = out / grid / "change.zarr"
    with xr.open_zarr(store, consolidated=False, mask_and_scale=False, decode_times=False) as opened:
        found: xr.Dataset = opened.load()
    return found


def between(call: Callable[[], Any]) -> Listener:
    """Do something after the plan and before the first task."""
    return Listener(lambda *_figures: call(), lambda _record: None)


def test_a_missing_asset_is_one_fault_by_name(
    server: ArchiveServer, clean: Path, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail(ONE, status=404)
    path = command(tmp_path, server, client)
    assert cli.main(["run", path]) == 0
    assert "1 faults" in capsys.readouterr().out
    (fault,) = pq.read_table(tmp_path / "out/faults.parquet").to_pylist()
    assert fault["region"] == "38TPK/r000c000"
    assert fault["observation"] == f"S2A_{DATES[5].replace('-', '')}T074700"
    assert fault["item"] == item(WEST, DATES[5])["id"]
    assert fault["band"] == "red"
    assert fault["href"] == f"{server.url}/{ONE}"
    assert "404" in fault["error"]
    assert fault["attempts"] == 1
    west, east = layers(tmp_path / "out", "38TPK"), layers(tmp_path / "out", "38TQK")
    owned = west.status.values != 255
    assert owned.sum() > 600
    assert ((west.quality.values & Quality.FAULTS_IN_REGION) != 0).tolist() == owned.tolist()
    assert not (east.quality.values & Quality.FAULTS_IN_REGION).any()
    assert (west.n_valid.values[owned] == len(DATES) - 1).all()
    # Every other date delivered all owned pixels; what is missing of this one, a failed read took.
    delivered, lost = unpack((tmp_path / "out" / places.coverage("38TPK/r000c000")).read_bytes())
    at_fault = np.arange(len(DATES)) == 5
    assert delivered.tolist() == (~at_fault).tolist()
    assert lost.tolist() == at_fault.tolist()
    assert unpack((tmp_path / "out" / places.coverage("38TQK/r000c000")).read_bytes())[1].max() == 0
    # Mended and done again, nothing tells that it was ever missing.
    server.heal()
    assert cli.main(["run", path]) == 0
    assert pq.read_table(tmp_path / "out/faults.parquet").num_rows == 1
    assert cli.main(["retry", path]) == 0
    assert pq.read_table(tmp_path / "out/faults.parquet").num_rows == 0
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(clean)


@pytest.mark.parametrize("kind", [500, "reset", "truncate", "slow"])
def test_what_passes_is_tried_again(
    kind: Any, server: ArchiveServer, clean: Path, tmp_path: Path, client: Client
) -> None:
    server.fail(ONE, kind, times=2)
    result = api.run(config(tmp_path, server), client)
    assert not result.faults
    assert [r.outcome for r in server.requests if r.path == ONE][:2] == [str(kind)] * 2
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(clean)


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_body_that_never_comes_whole_is_a_fault(
    kind: Any, server: ArchiveServer, clean: Path, tmp_path: Path, client: Client
) -> None:
    server.fail(ONE, kind)
    settings = config(tmp_path, server, run={"attempts": 2})
    result = api.run(settings, client)
    assert [(f.item, f.band, f.attempts) for f in result.faults] == [(item(WEST, DATES[5])["id"], "red", 2)]
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
        assert np.isnan(cube.red[5]).all()
        assert not np.isnan(cube.nir[5, 30:40, 10:20]).any()
    server.heal()
    assert not api.run(settings, client, retry=True).faults
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(clean)


def test_local_files_that_change_before_they_are_read(source: Path, tmp_path: Path, client: Client) -> None:
    shutil.copytree(source, tmp_path / "source")
    gone, cut, replaced = (tmp_path / f"source/38TPK/{date}_0/red.tif" for date in DATES[4:7])

    def change() -> None:
        gone.unlink()
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        with rasterio.open(replaced) as file:
            values = file.read(1)
        # The same pixels, coded in another way: a file that was replaced is never mixed with the one that was planned.
        write_tif(replaced, values, WEST.frame(10), compress="lzw")

    settings = configure(tmp_path, BOX, SPAN, run={"attempts": 2, "fault_threshold": 0.5})
    result = api.run(settings, client, listener=between(change))
    ids = [item(WEST, date)["id"] for date in DATES[4:7]]
    assert [(f.item, f.attempts) for f in result.faults] == [(name, 1) for name in ids]
    assert ["replaced since the plan" in f.error for f in result.faults] == [False, True, True]
    assert not result.outcome.failed
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
        assert np.isnan(cube.red[4:7]).all()
        assert not np.isnan(cube.red[7, 30:40, 10:20]).any()
    # A retry reads what is there now: of the file that was cut, too little.
    again = api.run(settings, client, retry=True)
    assert [f.item for f in again.faults] == ids[:2]
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
        assert not np.isnan(cube.red[6, 30:40, 10:20]).any()


def test_a_slow_archive_is_waited_for(source: Path, clean: Path, tmp_path: Path, client: Client) -> None:
    with ArchiveServer(source, latency_s=0.05) as server:
        result = api.run(config(tmp_path, server), client)
    assert not result.faults
    builds = [r for r in Ledger(result.output).records.values() if r.task.startswith("build/")]
    # The first answers have to be waited for; later ones may be there when they are wanted.
    told = [r.seconds for r in builds]
    assert all(0 <= seconds["read"] <= seconds["total"] for seconds in told), told
    assert max(seconds["read"] for seconds in told) > 0.01, told
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(clean)


def test_an_asset_that_is_no_raster_and_a_threshold_of_none(source: Path, tmp_path: Path, client: Client) -> None:
    own = tmp_path / "source"
    shutil.copytree(source, own)
    (own / ONE).write_bytes(b"<html>Please log in at https://user:pass@login.example.org/?key=SECRET</html>")
    (own / ONE.replace("red", "nir")).write_bytes((own / ONE.replace("red", "nir")).read_bytes()[:300])
    with ArchiveServer(own) as server:
        result = api.run(config(tmp_path, server, run={"attempts": 1, "fault_threshold": 0.0}), client)
    assert sorted(f.band for f in result.faults) == ["nir", "red"]
    assert all("SECRET" not in f.error for f in result.faults)
    assert list(result.outcome.failed) == ["38TPK/r000c000"]


def test_too_many_faults_fail_the_region_and_a_retry_mends_it(
    server: ArchiveServer, clean: Path, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for date in DATES[1:]:
        server.fail(f"38TPK/{date}_0/*.tif", status=404)
    path = command(tmp_path, server, client)
    assert cli.main(["run", path]) == 1
    said = capsys.readouterr().out
    assert "failed: 38TPK/r000c000" in said
    assert "fault_threshold" in said
    west, east = layers(tmp_path / "out", "38TPK"), layers(tmp_path / "out", "38TQK")
    owned = west.status.values != 255
    assert (west.status.values[owned] == Status.FAILED).all()
    assert (west.onset.values == -32768).all()
    assert not (east.status.values == Status.FAILED).any()
    with xr.open_zarr(tmp_path / "out/change/32638.zarr", consolidated=False) as published:
        assert int((published.status == Status.FAILED).sum()) == owned.sum()
    assert json.loads((tmp_path / "out/run.json").read_text())["failed_regions"] == ["38TPK/r000c000"]
    assert pq.read_table(tmp_path / "out/faults.parquet").num_rows == (len(DATES) - 1) * 5
    assert cli.main(["status", path]) == 1
    server.heal()
    assert cli.main(["retry", path]) == 0
    assert cli.main(["status", path]) == 0
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(clean)


def test_an_archive_that_answers_nothing_is_bad_input(server: ArchiveServer, tmp_path: Path, client: Client) -> None:
    server.fail("*.tif", status=404)
    with pytest.raises(BadInput, match="no header of the first scenes can be read"):
        api.run(config(tmp_path, server), client)
    assert not (tmp_path / "out").exists()


def test_signatures_expire_between_plan_and_read(server: ArchiveServer, tmp_path: Path, client: Client) -> None:
    ttl = 2.0
    server.require_signature(ttl_s=ttl)
    server.fail(ONE, status=404)
    provider = {**KEYED, "token_url": f"{server.url}/sas/token/any"}
    settings = config(tmp_path, server, source={"provider": provider}, run={"attempts": 2})
    api.plan(settings)
    before = server.count("sas/token/*")
    assert before > 0
    result = api.run(settings, client, listener=between(lambda: time.sleep(ttl)))
    assert [f.band for f in result.faults] == ["red"]
    assert not result.outcome.failed
    assert server.count("sas/token/*") > before
    with xr.open_zarr(tmp_path / "out/38TQK/change.zarr", consolidated=False) as east:
        assert int(east.n_valid.max()) == len(DATES)
    for path in (p for p in (tmp_path / "out").rglob("*") if p.is_file()):
        written = str(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else path.read_bytes()
        assert b"sig=" not in written, path
        assert b"?se=" not in written, path


def test_without_a_signature_nothing_is_read(server: ArchiveServer, tmp_path: Path, client: Client) -> None:
    server.require_signature(ttl_s=60)
    with pytest.raises(BadInput, match="403"):
        api.run(config(tmp_path, server, run={"attempts": 1}), client)
