"""What travels to a cluster: tasks that stay small however much their grid holds, and that a scheduler cannot open."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from distributed import Client
from prometheus_client.parser import text_string_to_metric_families

from groundbreak.pipeline import api
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.planning import planner
from groundbreak.pipeline.running import prepared, tasks
from groundbreak.pipeline.running.dispatch import calling
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import RegionTask, Task
from groundbreak.pipeline.running.prepared import PreparedGrid
from groundbreak.pipeline.running.shared import pack
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_040, 4_399_500, 600_440, 4_399_800)
SPAN = "2021-01-01/2022-12-31"
TASK_BYTES = 4096
"""Bytes that a task may have at most."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_source(folder, [TILE], days("2021-01-03", 40, 12))
    return folder


@pytest.fixture(scope="module")
def ready(source: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedGrid:
    settings = configure(
        tmp_path_factory.mktemp("ready"), BOX, SPAN, items=str(source / "items.json"), cube={"slab": 4}
    )
    output = Output(settings.path(settings.output.path))
    (grid,) = prepared.prepare(planner.plan(settings), output, Ledger(output), rebuild=False)
    return grid


def test_a_task_is_small_and_does_not_grow_with_its_grid(ready: PreparedGrid) -> None:
    (region,) = ready.planned.regions
    builds = ready.builds(region)
    assert len(builds) == 10
    failed = ready.share.detect(region)
    every: list[Task] = [*builds, RegionTask(region, tuple(builds)), failed]
    for task in every:
        assert len(calling("name", task)) < TASK_BYTES, task
    parcel = pack(ready.share)
    assert len(parcel.data) > 5 * TASK_BYTES
    assert len(calling(parcel.name, builds[0])) < 1200


def test_unpickling_a_call_does_the_task(ready: PreparedGrid) -> None:
    (region,) = ready.planned.regions
    build = ready.builds(region)[3]
    parcel = pack(ready.share)
    (there,) = pickle.loads(pickle.loads(calling(parcel.name, build), buffers=[parcel.data]))  # noqa: S301 - made here
    here = tasks.build(ready.share, build)
    assert there.checksums == here.checksums
    assert there.state == "done"
    assert parcel.open() is parcel.open()


def test_why_a_region_has_failed_is_cut(ready: PreparedGrid) -> None:
    (region,) = ready.planned.regions
    record = tasks.build(ready.share, ready.builds(region)[0])
    asked = ready.share.detect(region, [dataclasses.replace(record, error="\u00fc" * 100_000)])
    assert asked.failure
    assert len(calling("name", asked)) < TASK_BYTES


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Start a scheduler and a worker, a process each, as people start them; return the address."""
    file = tmp_path / "scheduler.json"
    own = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    own += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "2"]
    worker += ["--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(tmp_path)]
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    processes = [subprocess.Popen(c, env=env, stderr=subprocess.DEVNULL) for c in (own, worker)]
    try:
        with Client(scheduler_file=str(file), timeout="60s") as client:
            client.wait_for_workers(1, timeout=60)
        yield str(file)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)


def test_the_scheduler_never_imports_groundbreak(scheduler: str, source: Path, tmp_path: Path, client: Client) -> None:
    items = str(source / "items.json")
    expected = configure(tmp_path, BOX, SPAN, items=items, out="here", cube={"slab": 4})
    api.run(expected, client)
    with Client(scheduler_file=scheduler) as there:
        result = api.run(configure(tmp_path, BOX, SPAN, items=items, out="there", cube={"slab": 4}), there)
        assert not result.outcome.failed
        assert "groundbreak" not in there.run_on_scheduler(lambda: list(sys.modules))
        assert "numba" not in there.run_on_scheduler(lambda: list(sys.modules))
        port = there.scheduler_info()["services"]["dashboard"]
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
        again = api.run(configure(tmp_path, BOX, SPAN, items=items, out="there", cube={"slab": 4}), there)
    told = {m.name: m.samples[0].value for m in text_string_to_metric_families(answer.text) if m.samples}
    records = list(Ledger(result.output).records.values())
    assert told["groundbreak_tasks"] == told["groundbreak_tasks_done"] == len(records)
    assert told["groundbreak_bytes_written"] == sum(r.bytes_written for r in records) > 0
    assert told["groundbreak_bytes_read"] == sum(r.bytes_read for r in records) > 0
    assert told["groundbreak_tasks_failed"] == told["groundbreak_faults"] == 0
    assert told["dask_scheduler_clients"] >= 1, "beside those of Dask"
    assert again.outcome.skipped == len(records)
    assert zarr_bytes(tmp_path / "there") == zarr_bytes(tmp_path / "here")
