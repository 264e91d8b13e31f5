"""A host in trouble that ends costs time and no fault; an asset in trouble that does not end is named, and no more.

Delays are scaled: a second stands for a minute of a real outage.
"""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.access import clocks, gates, retries, web_files
from groundbreak.pipeline.testing import ArchiveServer
from tests.faults.test_faults import BOX, DATES, EAST, ONE, SPAN, WEST, between, config
from tests.hosts import Asked, Reply, host, part
from tests.stores import zarr_bytes
from tests.world import configure, item, write_source, write_tif

SCALED = {
    retries: {"FIRST_WAIT_S": 0.05, "LONGEST_WAIT_S": 0.2, "LONGEST_ASKED_S": 1.0},
    clocks: {"ASSET_S": 3.0, "REQUEST_S": 1.0, "QUIET_S": 0.6},
    gates: {"FIRST_PAUSE_S": 0.05, "LONGEST_PAUSE_S": 0.3, "LATELY_S": 0.5, "SHARED_S": 1.0},
    web_files: {"LOOK_S": 0.3},
}


@pytest.fixture(autouse=True)
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, values in SCALED.items():
        for name, seconds in values.items():
            monkeypatch.setattr(module, name, seconds)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_source(folder, [WEST, EAST], DATES[:12], block=128)
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    """Run without faults, and return the output."""
    folder = tmp_path_factory.mktemp("clean")
    with ArchiveServer(source) as running:
        assert not api.run(config(folder, running), client).faults
    return folder / "out"


@pytest.fixture
def server(source: Path) -> Iterator[ArchiveServer]:
    with ArchiveServer(source, drip_s=0.02) as running:
        yield running


def same(out: Path, clean: Path, grid: str = "") -> None:
    """Assert that two outputs, or those of one grid, hold the same bytes."""
    ours, theirs = ({k: v for k, v in zarr_bytes(o).items() if str(k).startswith(grid)} for o in (out, clean))
    assert ours == theirs
    assert ours


@pytest.mark.parametrize("trouble", ["429", "429 at a date", "503", "gone", "stall", "reset"])
def test_a_host_in_trouble_that_ends_costs_no_fault(
    trouble: str, server: ArchiveServer, clean: Path, tmp_path: Path, client: Client
) -> None:
    def begin() -> None:
        match trouble:
            case "429":
                server.fail("*.tif", 429, times=12, retry_after="0.5")
            case "429 at a date":
                server.fail("*.tif", 429, times=20, retry_after=formatdate(time.time() + 2, usegmt=True))
            case "503":
                server.fail("*.tif", 503, times=25)
            case "gone":
                server.away(1.0)
            case "stall":
                server.fail("*.tif", "stall", times=30)
            case "reset":
                server.fail("*.tif", "reset", times=50)

    result = api.run(config(tmp_path, server), client, listener=between(begin))
    assert result.faults == []
    assert not result.outcome.failed
    same(tmp_path / "out", clean)


@pytest.mark.parametrize(
    ("trouble", "attempts", "says"),
    [
        (404, 1, "404"),
        (403, 2, "403"),
        (503, 3, "503"),
        (429, 3, "429"),
        ("stall", 3, "timed out"),
        ("drip", 3, "drip|timed out"),
        ("reset", 3, "reset|closed"),
        ("truncate", 3, "IncompleteRead"),
        ("html", 1, "web page"),
        ("flip", 2, "."),
        ("short", 2, "bytes"),
    ],
)
def test_an_asset_in_trouble_that_does_not_end_is_named(
    trouble: Any, attempts: int, says: str, server: ArchiveServer, clean: Path, tmp_path: Path, client: Client
) -> None:
    began = time.monotonic()
    result = api.run(config(tmp_path, server), client, listener=between(lambda: server.fail(ONE, trouble)))
    assert time.monotonic() - began < 30
    (fault,) = result.faults
    assert (fault.region, fault.item, fault.band) == ("38TPK/r000c000", item(WEST, DATES[5])["id"], "red")
    assert fault.attempts <= attempts
    assert re.search(says, fault.error), fault.error
    same(tmp_path / "out", clean, "38TQK/")
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
        assert np.isnan(cube.red[5]).all()
    assert pq.read_table(tmp_path / "out/faults.parquet").num_rows == 1


@pytest.mark.parametrize("where", ["server", "disk"])
def test_a_file_that_is_replaced_by_one_of_the_same_layout_is_named_and_never_mixed_in(
    where: str, source: Path, clean: Path, tmp_path: Path, client: Client
) -> None:
    own = tmp_path / "source"
    shutil.copytree(source, own)
    path = own / ONE

    def replace() -> None:
        size = path.stat().st_size
        write_tif(path, np.full((128, 128), 4321, np.uint16), WEST.frame(10), block=128)
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        assert path.stat().st_size == size

    with ArchiveServer(own) as server:
        there = config(tmp_path, server) if where == "server" else configure(tmp_path, BOX, SPAN)
        result = api.run(there, client, listener=between(replace))
        (fault,) = result.faults
        assert "was replaced since the plan" in fault.error
        assert fault.attempts == 1
        same(tmp_path / "out", clean, "38TQK/")
        with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
            assert np.isnan(cube.red[5]).all()
        # A retry plans with the file that is there now.
        assert not api.run(there, client, retry=True).faults
        with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
            seen = cube.red[5].values
            assert len(np.unique(seen[~np.isnan(seen)])) == 1


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/x", "http://169.254.169.254/x", "https://r.example.org:{port}/x"]
)
def test_a_redirect_into_a_private_network_is_a_fault_and_nobody_there_is_asked(
    target: str,
    server: ArchiveServer,
    clean: Path,
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = socket.getaddrinfo

    def resolve(name: Any, *args: Any, **kwargs: Any) -> Any:
        return whole("127.0.0.1" if name == "r.example.org" else name, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def answer(asked: Asked) -> Reply:
        return part(b"secret", asked)

    with host(answer) as private:
        to = target.format(port=private.url.rpartition(":")[2])
        result = api.run(config(tmp_path, server), client, listener=between(lambda: server.fail(ONE, 302, to=to)))
        (fault,) = result.faults
        assert re.search("redirects to what|not a public host", fault.error), fault.error
        assert fault.attempts == 1
        assert private.connections == 0
    same(tmp_path / "out", clean, "38TQK/")


def test_signatures_that_are_refused_once_are_made_anew(
    server: ArchiveServer, clean: Path, tmp_path: Path, client: Client
) -> None:
    result = api.run(config(tmp_path, server), client, listener=between(lambda: server.fail("*.tif", 403, times=1)))
    assert result.faults == []
    same(tmp_path / "out", clean)
