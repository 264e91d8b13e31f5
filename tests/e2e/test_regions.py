"""Whole regions in memory, and cubes that are not kept: the same layers, and nothing left behind unsaid."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import pytest
from distributed import Client

from groundbreak.pipeline import api, status, upkeep
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import prepared, runner
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import RegionTask, Task
from tests.stores import zarr_bytes
from tests.world import SIDES, Sections, Tile, configure, days, lonlat_box, works, write_source

WEST = Tile("38TPK", 32638, 600_000, 4_400_000, size=64)
EAST = Tile("38TQK", 32638, 600_400, 4_400_000, size=64)
BOX = lonlat_box(32638, 600_200, 4_399_500, 600_900, 4_399_800)
DATES = days("2021-01-03", 54, 14)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    site = 600_520, 4_399_650, 160, 100
    write_source(folder / "source", [WEST, EAST], DATES, works(DATES, site, "2022-01-20", "2022-06-15"))
    return folder


def config(folder: Path, out: str, count: int = len(DATES), **sections: Unpack[Sections]) -> Config:
    return configure(folder, BOX, f"{DATES[0]}/{DATES[count - 1]}", out=out, **sections)


@pytest.fixture(scope="module")
def kept(folder: Path, client: Client) -> Path:
    """Build an output slab by slab, and keep its cubes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prepared.PreparedGrid, "fits", lambda _stage, _region: False)
        api.run(config(folder, "kept"), client)
    return folder / "kept"


def layers(out: Path) -> dict[str, str]:
    """Every object of the layers' stores."""
    return {k: v for k, v in zarr_bytes(out).items() if "cube.zarr" not in k}


def shards(out: Path) -> list[Path]:
    """Every object that holds pixels of a cube."""
    return [p for band in SIDES for p in out.glob(f"*/cube.zarr/*/{band}/c/*/*/*")]


def test_regions_in_memory_leave_the_same_bytes(
    folder: Path, kept: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Task] = []
    whole = runner._Flow.queue

    def queue(*given: Any) -> Iterator[Task]:
        for task in whole(*given):
            seen.append(task)
            yield task

    monkeypatch.setattr(runner._Flow, "queue", queue)
    result = api.run(config(folder, "memory"), client)
    assert [type(task) for task in seen] == [RegionTask] * 2
    assert result.outcome.done == result.outcome.planned
    assert zarr_bytes(folder / "memory") == zarr_bytes(kept)
    assert (folder / "memory/sites.parquet").read_bytes() == (kept / "sites.parquet").read_bytes()
    assert upkeep.verify(config(folder, "memory"), Output(str(folder / "memory"))) == {}


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_cube_that_is_not_kept(
    in_memory: bool, folder: Path, kept: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _stage, _region: in_memory)
    out = folder / f"dropped-{in_memory}"
    mine = config(folder, out.name, cube={"keep": False})
    api.run(mine, client)
    assert shards(out) == []
    assert layers(out) == layers(kept)
    assert (out / "sites.parquet").read_bytes() == (kept / "sites.parquet").read_bytes()
    assert upkeep.verify(mine, Output(str(out))) == {}
    assert status.status(mine, Output(str(out)))["tasks"] == {"build": {"dropped": 10}, "detect": {"done": 2}}
    assert "kept for 0 of 2 regions" in (out / "report.html").read_text()
    again = api.run(mine, client)
    assert (again.outcome.done, again.outcome.skipped) == (0, again.outcome.planned)
    with pytest.raises(BadInput, match="not kept"):
        api.redetect(mine, client)


def test_a_plan_asks_for_less_disk_where_cubes_are_not_kept(folder: Path) -> None:
    kept, dropped = (
        api.plan(config(folder, "planned", cube={"keep": k}, cluster={"workers": 1})) for k in (True, False)
    )
    assert dropped.disk_bytes() == kept.disk_bytes()  # both regions are in flight at once
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("groundbreak.pipeline.planning.budget.TASKS_PER_THREAD", 1)
        assert dropped.disk_bytes() < kept.disk_bytes()


def test_later_observations_build_a_dropped_cube_anew(folder: Path, kept: Path, client: Client) -> None:
    api.run(config(folder, "grown", 40, cube={"keep": False}), client)
    result = api.run(config(folder, "grown", cube={"keep": False}), client)
    assert result.outcome.done == result.outcome.planned
    assert layers(folder / "grown") == layers(kept)
    assert shards(folder / "grown") == []


def test_what_a_crash_leaves_is_dropped_by_the_next_run(folder: Path, client: Client) -> None:
    out = folder / "crashed"
    api.run(config(folder, "crashed"), client)
    # As if the client had died after it said that one slab was dropped, and before it deleted anything.
    ledger = Ledger(Output(str(out)))
    name = next(t for t in ledger.records if t.startswith("build/"))
    ledger.add(dataclasses.replace(ledger.records[name], state="dropped"))
    (out / "ledger/records" / name).parent.mkdir(parents=True, exist_ok=True)
    (out / f"ledger/records/{name}.json").write_text(json.dumps(dataclasses.asdict(ledger.records[name])))
    assert shards(out)
    result = api.run(config(folder, "crashed", cube={"keep": False}), client)
    assert result.outcome.done == 0
    assert shards(out) == []
