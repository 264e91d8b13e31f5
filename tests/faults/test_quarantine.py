"""Regions that kill their workers: tried by themselves and in smaller pieces, then left out by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from distributed.scheduler import KilledWorker

from groundbreak.kernels import Status
from groundbreak.pipeline import cli
from groundbreak.pipeline.compute import detection
from groundbreak.pipeline.compute.build import build_slab
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.running import prepared, tasks
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import BuildTask, DetectTask, RegionTask, Task
from groundbreak.pipeline.running.quarantine import gentler
from groundbreak.pipeline.running.shared import GridShare
from tests.commands import write_config
from tests.stores import zarr_bytes
from tests.world import Tile, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_500, 4_399_500, 600_800, 4_399_700)
"""An area in two regions, r000c000 and r000c001."""
DATES = days("2021-01-03", 50, 14)
SPAN = "2021-01-01/2022-12-31"
CUBE = {"slab": 36}
DEADLY = "38TPK/r000c001"
TILE_GRID = Grid("38TPK", TILE.frame(), TILE.frame(), {"red": 10.0, "scl": 20.0}, 64)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    folder = tmp_path_factory.mktemp("quarantine")
    write_source(folder / "source", [TILE], DATES)
    assert (
        cli.main(["run", str(write_config(folder / "peace.toml", client, BOX, SPAN, out="peace", cube=CUBE)), "-q"])
        == 0
    )
    return folder


SEEN: list[Task] = []
"""The tasks that `spied` was called with."""
DEADLY_TASKS: list[Callable[[Task], bool]] = []
"""Tells the tasks of the deadly region that kill their workers."""

_run = tasks.run


def spied(share: GridShare, task: Task) -> list[Record]:
    """Run a task, or report what Dask does when three workers have died of it. Dask sends this function by its name."""
    SEEN.append(task)
    if task.region.key == DEADLY and not getattr(task, "failure", "") and DEADLY_TASKS[0](task):
        worker: Any = SimpleNamespace(address="tcp://127.0.0.1:1")
        raise KilledWorker(task.name, worker, 2)
    return _run(share, task)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setattr(tasks, "run", spied)


@pytest.mark.usefixtures("spy")
@pytest.mark.parametrize("kind", [BuildTask, DetectTask])
@pytest.mark.parametrize("whole_regions", [True, False])
def test_a_region_that_always_kills_is_left_out_until_it_is_asked_for(
    kind: type[Task],
    whole_regions: bool,
    world: Path,
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = str(world / "source/items.json")
    path = str(write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, cube=CUBE))
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _grid, _region: whole_regions)
    DEADLY_TASKS[:] = [lambda task: isinstance(task, (kind, RegionTask))]
    assert cli.main(["run", path]) == 1
    said = capsys.readouterr().out
    assert "1 regions failed" in said
    assert f"failed: {DEADLY}: quarantined: its workers died, even when it was tried by itself" in said
    with xr.open_zarr(tmp_path / "out/38TPK/change.zarr", consolidated=False) as layers:
        assert set(np.unique(layers.status.values[:64, 64:128])) == {255, Status.FAILED}
        assert not (layers.status.values[:64, :64] == Status.FAILED).any()
    # A run leaves it alone, and says so again; what else is there is not done again.
    assert cli.main(["run", path]) == 1
    said = capsys.readouterr().out
    assert said.startswith("0 tasks done,")
    assert "groundbreak retry" in said
    assert cli.main(["status", path]) == 1
    assert f"failed   detect/{DEADLY}: quarantined" in capsys.readouterr().out
    SEEN.clear()
    DEADLY_TASKS[:] = [lambda _task: False]
    assert cli.main(["retry", path]) == 0
    assert {task.region.key for task in SEEN} == {DEADLY}
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(world / "peace")


@pytest.mark.usefixtures("spy")
@pytest.mark.parametrize("whole_regions", [True, False])
def test_what_kills_at_full_size_is_done_in_smaller_pieces(
    whole_regions: bool, world: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = str(world / "source/items.json")
    path = str(write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, cube=CUBE))
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _grid, _region: whole_regions)

    def large(task: Task) -> bool:
        if isinstance(task, DetectTask):
            return task.rows_per_strip > 16
        return isinstance(task, RegionTask) or task.ahead > 1

    DEADLY_TASKS[:] = [large]
    assert cli.main(["run", path, "-q"]) == 0
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(world / "peace")
    records = Ledger(Output(str(tmp_path / "out"))).records
    assert {r.attempts for t, r in records.items() if DEADLY in t} == {2}
    assert {r.attempts for t, r in records.items() if DEADLY not in t} == {1}
    # A suspect is tried when nothing else is left.
    first = next(number for number, task in enumerate(SEEN) if task.attempts > 1)
    assert {task.region.key for task in SEEN[first:]} == {DEADLY}
    build = next(task for task in SEEN if isinstance(task, BuildTask) and task.attempts > 1)
    (again,) = gentler(build, TILE_GRID)
    assert again.identity == build.identity


@pytest.mark.parametrize("whole_regions", [True, False])
def test_a_task_that_has_a_record_is_not_done_again(
    whole_regions: bool, world: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a worker dies after it has finished: Dask has the task run again."""
    items = str(world / "source/items.json")
    path = str(write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, cube=CUBE))
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _grid, _region: whole_regions)
    run, done = tasks.run, Counter[str]()

    def counted(name: str, whole: Callable[..., Any], *arguments: Any) -> Any:
        done[name] += 1
        return whole(*arguments)

    for module, name in ((tasks, "build_slab"), (detection, "detect_region")):
        monkeypatch.setattr(module, name, partial(counted, name, getattr(module, name)))

    def twice(share: GridShare, task: Task) -> list[Record]:
        first = run(share, task)
        assert run(share, task) == first
        return first

    monkeypatch.setattr(tasks, "run", twice)
    assert cli.main(["run", path, "-q"]) == 0
    assert done == {"build_slab": 4, "detect_region": 2}
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(world / "peace")


def test_a_whole_region_goes_on_behind_the_slabs_that_it_has_built(
    world: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = str(world / "source/items.json")
    path = str(write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, cube=CUBE))
    run, built = tasks.run, Counter[str]()

    def counted(job: Any, *arguments: Any, whole: Callable[..., Any] = build_slab) -> Any:
        built[f"{job.region.key} {job.observations[0].id}"] += 1
        return whole(job, *arguments)

    def after_one_slab(share: GridShare, task: Task) -> list[Record]:
        if isinstance(task, RegionTask):
            tasks.build(share, task.builds[0])
        return run(share, task)

    monkeypatch.setattr(tasks, "build_slab", counted)
    monkeypatch.setattr(tasks, "run", after_one_slab)
    assert cli.main(["run", path, "-q"]) == 0
    assert set(built.values()) == {1}
    assert len(built) == 4
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(world / "peace")
