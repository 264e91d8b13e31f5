"""Whole runs on sources that are addressed in odd ways, or that want a login: the same stores as from plain files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import obstore
import pyarrow.parquet as pq
import pytest
from distributed import Client
from obstore.store import S3Store

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.access import logins
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.readers import gdal
from groundbreak.pipeline.testing import ArchiveServer
from tests.commands import write_config
from tests.hosts import PAGE, Asked, Reply, host
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, lonlat_box, write_items, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_040, 4_399_500, 600_440, 4_399_800)
DATES = days("2021-01-03", 4, 12)
SPAN = "2021-01-01/2021-12-31"
LOOPBACK = {"allow_hosts": ["127.0.0.1"]}

Href = Callable[[str], str]
""""38TPK/2021-01-03_0/red.tif" -> href."""


def ramp(band: str, _tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
    """Pixels that tell band, date and place: those of a wrong file are seen."""
    if band == "scl":
        return 4 + (number + (x + y) // 160) % 3
    return 500 + 97 * len(band) + 31 * number + (x - 600_000) // 10 + (4_400_000 - y) // 20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_source(folder, [TILE], DATES, ramp)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory, client: Client) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("expected")
    api.run(configure(folder, BOX, SPAN, items=str(source / "items.json")), client)
    return zarr_bytes(folder / "out")


def listed(source: Path, folder: Path, href: Href) -> str:
    """Write the items with other hrefs; return the path of the list."""
    features = json.loads((source / "items.json").read_text())["features"]
    for asset in (a for f in features for a in f["assets"].values()):
        asset["href"] = href(asset["href"].removeprefix("./"))
    folder.mkdir(exist_ok=True, parents=True)
    return str(write_items(folder, features))


@pytest.mark.parametrize("name", ["My Data", "a%20b", "~d", "#1 [é]", "q?file=x", "50% {a}+&='@^"])
def test_a_folder_of_any_name(
    name: str, source: Path, expected: dict[str, str], tmp_path: Path, client: Client
) -> None:
    shutil.copytree(source, tmp_path / name)
    result = api.run(configure(tmp_path, BOX, SPAN, items=f"{name}/items.json"), client)
    assert not result.faults
    assert zarr_bytes(tmp_path / "out") == expected
    with ArchiveServer(tmp_path) as server:
        items = listed(source, tmp_path / "list", lambda path: f"{server.url}/{quote(name, safe='')}/{path}")
        remote = configure(tmp_path, BOX, SPAN, items=items, out="remote", source=LOOPBACK)
        assert not api.run(remote, client).faults
    assert zarr_bytes(tmp_path / "remote") == expected


def test_files_that_their_queries_name(source: Path, expected: dict[str, str], tmp_path: Path, client: Client) -> None:
    def answer(asked: Asked) -> Path | Reply:
        query = parse_qs(urlsplit(asked.path).query)
        return source / query["file"][0] if query.get("key") == ["SECRET"] else (403, {}, b"")

    with host(answer) as server:
        items = listed(source, tmp_path, lambda path: f"{server.url}/data?key=SECRET&file={quote(path, safe='')}")
        result = api.run(configure(tmp_path, BOX, SPAN, items=items, source=LOOPBACK), client)
    assert not result.faults
    assert zarr_bytes(tmp_path / "out") == expected
    for path in (p for p in (tmp_path / "out").rglob("*") if p.is_file()):
        written = str(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else path.read_bytes()
        assert b"SECRET" not in written, path


def guarded(source: Path) -> Callable[[Asked], Path | Reply]:
    def answer(asked: Asked) -> Path | Reply:
        if asked.path.startswith("/login"):
            return 200, {"Content-Type": "text/html"}, PAGE
        if asked.headers.get("authorization") != "Bearer tok":
            return 302, {"Location": f"/login?next={asked.path}"}, b""
        return source / asked.path.lstrip("/")

    return answer


@pytest.mark.parametrize("env", [{"GDAL_HTTP_HEADERS": "Authorization: Bearer tok"}, {"EARTHDATA_TOKEN": "tok"}])
def test_files_behind_a_login(
    env: dict[str, str],
    source: Path,
    expected: dict[str, str],
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with host(guarded(source)) as server:
        items = listed(source, tmp_path, lambda path: f"{server.url}/{path}")
        own = {**LOOPBACK, "login_hosts": ["127.0.0.1"]}
        result = api.run(configure(tmp_path, BOX, SPAN, items=items, source=own), client)
    assert not result.faults
    assert zarr_bytes(tmp_path / "out") == expected
    for path in (p for p in (tmp_path / "out").rglob("*") if p.is_file()):
        assert b"Bearer" not in path.read_bytes(), path


def test_a_plan_says_that_a_login_is_wanted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(logins._logins, "_cookies", {})
    with host(guarded(source)) as server:
        items = listed(source, tmp_path, lambda path: f"{server.url}/{path}")
        file = write_config(tmp_path / "c.toml", None, BOX, SPAN, items=items, source=LOOPBACK)
        assert cli.main(["plan", str(file)]) == 2
    said = capsys.readouterr().err
    assert "127.0.0.1 asks for a login" in said
    assert "EARTHDATA_TOKEN" in said
    assert "[source] login_hosts" in said


def test_a_name_with_a_fragment_is_refused_with_what_helps(source: Path, tmp_path: Path) -> None:
    items = listed(source, tmp_path, lambda path: f"https://h.org/a#b/{path}")
    with pytest.raises(BadInput, match="write %23 for a # in a name"):
        api.plan(configure(tmp_path, BOX, SPAN, items=items))


def test_a_file_outside_the_folder_of_its_list_is_refused_with_what_helps(source: Path, tmp_path: Path) -> None:
    items = listed(source, tmp_path, lambda path: str(source / path))
    with pytest.raises(BadInput, match="move the list of items to a folder that holds its files") as caught:
        api.plan(configure(tmp_path, BOX, SPAN, items=items))
    assert "allow_hosts" not in str(caught.value)


@pytest.mark.parametrize("name", ["My Data/é [1]", "a%20b", "#1?x"])
def test_keys_of_an_object_store_of_any_name(
    name: str, source: Path, expected: dict[str, str], tmp_path: Path, client: Client, endpoint: str
) -> None:
    store = S3Store("archive")
    for path in source.rglob("*.tif"):
        obstore.put(store, f"{name}/{path.relative_to(source)}", path.read_bytes())
    items = listed(source, tmp_path, lambda path: f"s3://archive/{quote(name)}/{path}")
    own = {"s3_endpoint": endpoint, "s3_region": "us-east-1"}
    settings = configure(tmp_path, BOX, SPAN, items=items, source=own)
    result = api.run(settings, client)
    assert not result.faults
    assert zarr_bytes(tmp_path / "out") == expected
    plan = api.plan(settings)
    assert plan.access is not None
    asset = plan.grids[0].observations[0].scenes[0].assets["red"]
    # The values of the first date, by GDAL.
    frame = TILE.frame()
    x, y = frame.centres()
    want = np.rint(ramp("red", TILE, 0, x[None, :], y[:, None]))
    assert (gdal.read(asset, frame, plan.access, nearest=True) == want).all()
