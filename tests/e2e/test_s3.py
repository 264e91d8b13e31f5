"""The whole job on an object store: a real S3 API on loopback, reached as the environment says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Unpack

import obstore
import pyarrow.parquet as pq
import pytest
from distributed import Client
from obstore.store import S3Store

from groundbreak.pipeline import api, status, upkeep
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.runner import Listener
from tests.stores import output_bytes, zarr_bytes
from tests.world import Sections, Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_500, 4_399_500, 600_800, 4_399_700)
"""An area in two regions."""
DATES = days("2021-01-03", 18, 10)
SPAN = "2021-01-01/2021-12-31"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_source(folder / "source", [TILE], DATES)
    return folder


@pytest.fixture(scope="module")
def on_disk(world: Path, client: Client) -> dict[str, str]:
    api.run(config(world, "disk"), client)
    return zarr_bytes(world / "disk")


def config(world: Path, out: str, datetime: str = SPAN, **sections: Unpack[Sections]) -> Config:
    return configure(world, BOX, datetime, out=out, **sections)


def objects(output: Output) -> dict[str, str]:
    """Return key -> sha256 of every object of every Zarr store of an output."""
    return {key: digest for key, digest in output_bytes(output).items() if ".zarr" in key}


@pytest.mark.usefixtures("endpoint")
def test_a_run_on_s3_leaves_the_same_bytes(world: Path, on_disk: dict[str, str], client: Client) -> None:
    settings = config(world, "s3://results/a/run")
    result = api.run(settings, client)
    assert not result.outcome.failed
    output = result.output
    assert objects(output) == on_disk
    assert {k for k in output.list("") if "/" not in k} == {
        "faults.parquet",
        "headers.parquet",
        "plan.json",
        "report.html",
        "run.json",
        "sites.parquet",
    }
    assert sorted(output.list("ledger")) == ["ledger/leases/00000001.json", "ledger/ledger.parquet"]
    assert not any(b"SECRET" in (output.get(k) or b"") for k in output.list(""))
    again = api.run(settings, client)
    assert again.outcome.done == 0
    assert again.outcome.skipped == again.outcome.planned
    assert status.status(settings, output)["tasks"] == {"build": {"done": 4}, "detect": {"done": 2}}
    assert upkeep.verify(settings, output) == {}
    # A lost object and a damaged one are found, and mended by the next run.
    chunks = [k for k in output.list("38TPK") if "/c/" in k]
    output.delete(next(k for k in chunks if "cube.zarr/10m/red" in k))
    output.put(next(k for k in chunks if "change.zarr/status" in k), b"damaged")
    damaged = upkeep.verify(settings, output)
    assert sorted(t.split("/")[0] for t in damaged) == ["build", "detect"]
    assert api.run(settings, client).outcome.done >= 2
    assert objects(output) == on_disk
    assert len(api.republish(settings).sites) == len(result.sites)


@pytest.mark.usefixtures("endpoint")
def test_an_interrupted_run_goes_on(world: Path, on_disk: dict[str, str], client: Client) -> None:
    seen: list[Record] = []

    def stop(record: Record) -> None:
        seen.append(record)
        if len(seen) == 2:
            raise KeyboardInterrupt

    settings = config(world, "s3://results/stopped")
    with pytest.raises(KeyboardInterrupt):
        api.run(settings, client, listener=Listener(lambda *_figures: None, stop))
    output = api.output_of(settings)
    assert json.loads(output.get(places.lease(1)) or b"")["released"]
    result = api.run(settings, client)
    assert result.outcome.skipped >= 2
    assert objects(output) == on_disk


@pytest.mark.usefixtures("endpoint")
def test_a_longer_list_appends(world: Path, on_disk: dict[str, str], client: Client) -> None:
    api.run(config(world, "s3://results/grown", f"2021-01-01/{DATES[14]}"), client)
    result = api.run(config(world, "s3://results/grown"), client)
    assert result.outcome.skipped > 0
    assert objects(result.output) == on_disk


def test_assets_on_s3(endpoint: str, world: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # A few dates: with boto3 beside it, rasterio makes a new session of it at every opening.
    few = f"2021-01-01/{DATES[4]}"
    assert not api.run(config(world, "few", few), client).outcome.failed
    store = S3Store("archive")
    for path in (p for p in (world / "source").rglob("*") if p.is_file()):
        obstore.put(store, f"sentinel/{path.relative_to(world / 'source')}", path.read_bytes())
    missing = f"sentinel/38TPK/{DATES[2]}_0/nir.tif"
    kept = bytes(obstore.get(store, missing).bytes())
    obstore.delete(store, missing)
    # The source's endpoint is the configuration's: the output's environment says nothing of it.
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    source = {"s3_endpoint": endpoint, "s3_region": "us-east-1"}
    settings = configure(
        world,
        BOX,
        few,
        items="s3://archive/sentinel/items.json",
        source=source,
        output={"path": "from_s3"},
        run={"fault_threshold": 0.2},
    )
    result = api.run(settings, client)
    assert {(f.band, f.href) for f in result.faults} == {("nir", f"s3://archive/{missing}")}
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    obstore.put(S3Store("archive"), missing, kept)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    mended = api.run(settings, client, retry=True)
    assert not mended.faults
    assert not mended.outcome.failed
    assert zarr_bytes(world / "from_s3") == zarr_bytes(world / "few")
    assert pq.read_table(world / "from_s3/faults.parquet").num_rows == 0


@pytest.mark.usefixtures("endpoint")
def test_a_bucket_that_is_not_there_is_bad_input(world: Path, client: Client) -> None:
    with pytest.raises(BadInput, match="s3://nowhere/out"):
        api.run(config(world, "s3://nowhere/out"), client)


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(
    ("out", "change"),
    [
        ("s3://nowhere/out", {}),
        ("s3://results/out", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}),
        ("s3://results/out", {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}),
    ],
)
def test_an_output_out_of_reach_is_named_before_the_source_is_read(
    out: str, change: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in change.items():
        if value is None:
            monkeypatch.delenv(name)
            # Where there are no keys, the machine's own service is asked for them: not that of a real cloud here.
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(BadInput) as caught:
        api.run(configure(tmp_path, BOX, SPAN, items="none.json", out=out))
    assert caught.value.what == f"[output] path = '{out}'"
    assert "cannot be written" in caught.value.rule
    assert "keys" in caught.value.remedy
