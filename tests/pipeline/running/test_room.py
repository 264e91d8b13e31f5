"""Tasks within a worker's memory: what does not fit is split, and what cannot be split is refused with the figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from groundbreak.pipeline import api, cli, execution
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import room as rooms
from groundbreak.pipeline.running import tasks
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import DetectTask, RegionTask, Task
from groundbreak.pipeline.running.room import IDLE, TERMINATED, Room
from groundbreak.pipeline.running.shared import GridShare
from tests.commands import write_config
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_300, 4_399_100, 601_000, 4_399_700)
DATES = days("2021-01-03", 18, 10)
SPAN = "2021-01-01/2021-12-31"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    folder = tmp_path_factory.mktemp("room")
    write_source(folder / "source", [TILE], DATES)
    api.run(configure(folder, BOX, SPAN, out="peace"), client)
    return folder


def limit(size: float) -> int:
    """Return the memory limit of a worker on which a task may take a size."""
    return int((IDLE + size) / TERMINATED) + 1


SEEN: list[Task] = []
"""The tasks that `spied` was called with."""

_run = tasks.run


def spied(share: GridShare, task: Task) -> list[Record]:
    """Run a task, and take note of it. Dask sends this function by its name."""
    SEEN.append(task)
    return _run(share, task)


def test_what_fits_is_left_as_it_is(world: Path) -> None:
    plan = api.plan(configure(world, BOX, SPAN))
    most = max(plan.memory().values())
    for size in (0, limit(most)):
        assert Room(plan, size).ample
        Room(plan, size).demand()
    assert not Room(plan, limit(most - 10)).ample


def test_a_third_of_the_projection_is_split_and_leaves_the_same_bytes(
    world: Path, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(world, BOX, SPAN, out=str(tmp_path / "out"))
    memory = api.plan(config).memory()
    third = limit(memory["memory per detection task"] - 200_000)
    assert third < limit(memory["memory per task of a whole region"])
    for module in (api, execution):
        monkeypatch.setattr(module, "memory_limit", lambda _config, _client=None: third)
    SEEN.clear()
    monkeypatch.setattr(tasks, "run", spied)
    assert not api.run(config, client).outcome.failed
    assert not any(isinstance(task, RegionTask) for task in SEEN)
    assert any(isinstance(task, DetectTask) and task.rows_per_strip < 64 for task in SEEN)
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(world / "peace")


def test_what_cannot_be_split_is_refused_with_the_figure_before_anything_is_written(
    world: Path, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rooms, "IDLE", 760 * 2**20)
    cluster = {"kind": "local", "memory": "800MiB", "workers": 1}
    config = configure(world, BOX, SPAN, out=str(tmp_path / "out"), cluster=cluster)
    for call in (api.plan, api.run):
        with pytest.raises(BadInput) as caught:
            call(config)
        assert caught.value.what == "a worker's memory of 839 MB"
        assert "takes about" in caught.value.rule
        assert "MB beside the 797 MB of an idle worker" in caught.value.rule
    assert not (tmp_path / "out").exists()
    # Of a running cluster it is known when it has answered.
    items = str(world / "source/items.json")
    path = write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, out=str(tmp_path / "out"))
    monkeypatch.setattr("groundbreak.pipeline.workers._limit", _small)
    assert cli.main(["run", str(path), "-q"]) == 2
    assert "a worker's memory of 839 MB" in capsys.readouterr().err
    assert not Ledger(Output(str(tmp_path / "out"))).records


def _small(dask_worker: object) -> int:  # noqa: ARG001 - dask passes it by this name
    return 800 * 2**20
