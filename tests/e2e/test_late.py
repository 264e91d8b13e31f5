"""Two runs on one output: a run that was killed, whose task writes late from another cluster, and the run after it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import contest
from groundbreak.pipeline.running.ledger import Ledger
from tests.commands import write_config
from tests.soak.cluster import Processes, kill
from tests.soak.trials import command
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, item, lonlat_box, write_items, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)
DATES = days("2021-01-03", 50, 14)
SPAN = "2021-01-01/2022-12-31"
CUBE = {"slab": 60}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    folder = tmp_path_factory.mktemp("late")
    write_source(folder / "source", [TILE], DATES)
    api.run(configure(folder, BOX, SPAN, out="peace", cube=CUBE), client)
    return folder


@pytest.fixture
def other(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Leave a run with another detector, killed, whose task stands before its first write; yield what talks with it."""
    monkeypatch.setenv("LATE", str(tmp_path))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", "tests.soak.late")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    cluster = Processes(tmp_path, workers=1)
    try:
        cluster.mend()
        at = {"kind": "address", "address": cluster.address}
        detect = {"detector": "cusum", "history_end": "2021-06-30"}
        out, items = str(tmp_path / "out"), str(world / "source/items.json")
        write_config(tmp_path / "old.toml", None, BOX, SPAN, items=items, out=out, cube=CUBE, detect=detect, cluster=at)
        run = command(tmp_path, "old")
        wait_for(tmp_path / "waiting")
        kill(run)
        yield tmp_path
    finally:
        cluster.close()


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Show what is logged, where a command of another test has sent it to standard error alone, or nowhere."""
    caplog.set_level(logging.WARNING, "groundbreak")
    monkeypatch.setattr(logging.getLogger("groundbreak"), "propagate", True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def later(world: Path, folder: Path) -> Config:
    """Return the configuration of the run that comes after the one that was killed."""
    return configure(world, BOX, SPAN, out=str(folder / "out"), cube=CUBE)


def test_a_late_task_of_a_dead_run_writes_nothing(world: Path, other: Path, client: Client) -> None:
    result = api.run(later(world, other), client)
    assert result.good
    expected = zarr_bytes(world / "peace")
    assert zarr_bytes(other / "out") == expected
    records = Ledger(Output(str(other / "out"))).records
    (other / "go").touch()
    wait_for(other / "gone")
    time.sleep(1)
    assert zarr_bytes(other / "out") == expected
    assert Ledger(Output(str(other / "out"))).records == records
    assert {task.partition("/")[0]: record.lease for task, record in records.items()} == {"build": 1, "detect": 2}


def test_what_a_put_on_its_way_overwrites_is_mended(
    world: Path, other: Path, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (other / "blind").touch()
    whole = contest.overwritten
    seen: list[list[str]] = []

    def overwritten(*arguments: Any, **options: Any) -> list[str]:
        if len(seen) == 1:  # everything is done, and nothing is published
            (other / "go").touch()
            wait_for(other / "gone")
            assert zarr_bytes(other / "out").items() - zarr_bytes(world / "peace").items()
        seen.append(whole(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(contest, "overwritten", overwritten)
    result = api.run(later(world, other), client)
    assert result.good
    assert seen == [[], ["detect/38TPK/r000c000"], []]
    assert "was overwritten by a task of an earlier run, and is done again" in caplog.text
    assert zarr_bytes(other / "out") == zarr_bytes(world / "peace")


def test_publishing_alone_finds_it_too(world: Path, client: Client, tmp_path: Path) -> None:
    settings = configure(world, BOX, SPAN, out=str(tmp_path / "out"), cube=CUBE)
    api.run(settings, client)
    output = Output(str(tmp_path / "out"))
    kept = zarr_bytes(tmp_path / "out")
    end_badly(output)
    assert api.republish(settings).good
    output.put(next(key for key in kept if "38TPK/change.zarr/status/c/" in key), b"late")
    with pytest.raises(BadInput, match="holds 1 regions and slabs that were overwritten"):
        api.republish(settings)
    assert api.run(settings, client).outcome.done == 1
    assert zarr_bytes(tmp_path / "out") == kept


@pytest.mark.parametrize("name", ["run", "detect"])
def test_a_slab_that_was_overwritten_is_built_of_what_the_source_has_now(
    name: str, client: Client, tmp_path: Path
) -> None:
    """Its items were processed again since: what a finished slab holds of them cannot be read any more."""
    settings = configure(tmp_path, BOX, SPAN, cube=CUBE | {"slab": 12})
    write_source(tmp_path / "source", [TILE], DATES)
    api.run(settings, client)
    again = [item(TILE, date, properties={"s2:generation_time": "2023-01-01T00:00:00Z"}) for date in DATES]
    write_items(tmp_path / "source", again)
    assert api.run(settings, client).outcome.done == 2  # the tail, which is no finished slab, and the layers
    output = Output(str(tmp_path / "out"))
    end_badly(output)
    slabs = sorted(key for key in zarr_bytes(tmp_path / "out") if "/red/c/1/" in key)
    output.put(slabs[0], b"late")
    if name == "detect":
        with pytest.raises(BadInput, match="1 slabs are not built yet"):
            api.redetect(settings, client)
    result = api.run(settings, client)
    assert not result.faults
    assert result.good
    write_items(tmp_path / "source", again)
    fresh = configure(tmp_path, BOX, SPAN, out="fresh", cube=CUBE | {"slab": 12})
    api.run(fresh, client)
    built = Path(slabs[0])
    assert (tmp_path / "out" / built).read_bytes() == (tmp_path / "fresh" / built).read_bytes()


def end_badly(output: Output) -> None:
    """Leave the lease of an output as a run leaves it whose tasks may still be at work."""
    number = output.newest_lease()
    lease = json.loads(output.get(places.lease(number)) or b"")
    output.put(places.lease(number), json.dumps({**lease, "loose": True}).encode())


def test_objects_of_nobody_are_taken_away_and_copies_are_no_contest(
    world: Path, client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = configure(world, BOX, SPAN, out=str(tmp_path / "out"), cube=CUBE)
    api.run(settings, client)
    output = Output(str(tmp_path / "out"))
    kept = zarr_bytes(tmp_path / "out")
    layer = next(k for k in kept if "38TPK/change.zarr/status/c/" in k)
    output.put(layer, output.get(layer) or b"")  # the same bytes, written again: as a copy of the output would have it
    output.put("38TPK/change.zarr/halt/c/7/7", b"late")
    end_badly(output)
    result = api.run(settings, client)
    assert result.outcome.done == 0
    assert "38TPK/change.zarr/halt/c/7/7 is no object of any task" in caplog.text
    assert zarr_bytes(tmp_path / "out") == kept
