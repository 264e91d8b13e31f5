"""Settings of Dask that a user has made for something else: a run of ours neither breaks nor hangs on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
import yaml
from distributed import Client, LocalCluster

from groundbreak.cluster import policy
from groundbreak.cluster.connect import connect, demand_workers
from groundbreak.pipeline import api, workers
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import watch
from tests.world import Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)
SPAN = "2021-01-01/2022-12-31"

HOSTILE = {
    "distributed": {
        "comm": {"default-scheme": "tls", "require-encryption": True, "timeouts": {"connect": "1ms"}},
        "dashboard": {"link": "http://{NO_SUCH_VARIABLE}/status"},
        "nanny": {
            "environ": {"OMP_NUM_THREADS": "64", "PYTHONPATH": "/nowhere"},
            "pre-spawn-environ": {"NUMBA_DISABLE_JIT": "1"},
            "preload": ["no_such_module"],
        },
        "scheduler": {"allowed-failures": 0, "idle-timeout": "1s", "preload": ["no_such_module"], "worker-ttl": "1s"},
        "worker": {
            "lifetime": {"duration": "2 seconds", "restart": True},
            "memory": {"pause": 0.01, "target": 0.01, "terminate": 0.02, "spill": 0.01},
            "multiprocessing-method": "fork",
            "preload": ["no_such_module"],
            "resources": {"GPU": 1},
        },
    }
}

SCRIPT = """\
import json
import groundbreak
result = groundbreak.run("run.toml")
print(json.dumps({"failed": result.outcome.failed, "done": result.outcome.done, "judged": result.verdict.judged}))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_source(folder / "source", [TILE], days("2021-01-03", 50, 14))
    (folder / "run.toml").write_text(
        f"[area]\nbbox = {list(BOX)}\n[source]\nitems = 'source/items.json'\ndatetime = '{SPAN}'\n"
        "[output]\npath = 'out'\n[cluster]\nworkers = 1\n"
    )
    (folder / "script.py").write_text(SCRIPT)
    (folder / "dask").mkdir()
    (folder / "dask/hostile.yaml").write_text(yaml.safe_dump(HOSTILE))
    return folder


def test_a_run_under_hostile_settings_is_as_any_other(world: Path) -> None:
    """From a file of settings and from variables; in a script without a guard, which fork and spawn treat unlike."""
    env = {
        **os.environ,
        "DASK_CONFIG": str(world / "dask"),
        "DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION": "1 second",
        "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "0.01",
    }
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=world, env=env, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"failed": {}, "done": 2, "judged": 100}


def test_no_setting_of_a_user_reaches_a_local_worker() -> None:
    packaged = dask.config.merge(*dask.config.defaults)["distributed"]
    with dask.config.set({"distributed": dask.config.merge(packaged, HOSTILE["distributed"])}):
        settings = policy.packaged()
        assert dask.config.get("distributed.worker.multiprocessing-method") == "fork"
    assert {k: v for k, v in settings.items() if k != "logging"} == {
        k: v for k, v in packaged.items() if k != "logging"
    }


@pytest.fixture
def empty() -> Iterator[LocalCluster]:
    """Start a scheduler without workers."""
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp://", dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_address_without_workers_is_refused_after_a_stated_time(
    world: Path, tmp_path: Path, empty: LocalCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("groundbreak.pipeline.workers.demand_workers", lambda client, _: demand_workers(client, 1.5))
    address = empty.scheduler_address
    caplog.set_level("WARNING", "groundbreak")
    settings = configure(world, BOX, SPAN, out=str(tmp_path / "out"), cluster={"kind": "address", "address": address})
    with pytest.raises(BadInput) as caught:
        api.run(settings)
    assert f"[cluster] address = '{address}'" in caught.value.what
    assert "has no workers (waited up to 2 s)" in caught.value.rule
    assert "Start workers" in caught.value.remedy
    assert "has no workers yet; waiting up to 2 s" in caplog.text
    # And with a client of the caller's.
    with Client(address) as client, pytest.raises(BadInput, match="has no workers"):
        api.run(settings, client)
    assert not (tmp_path / "out/ledger/lock.json").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_that_grows_when_asked_is_waited_for(empty: LocalCluster) -> None:
    empty.adapt(minimum=0, maximum=1, interval="100ms")
    with connect("address", address=empty.scheduler_address) as client:
        demand_workers(client, 60)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_that_die_midway_end_the_run(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE_S", 1.0)
    monkeypatch.setattr(watch, "LOOK_S", 0.2)
    caplog.set_level("WARNING", "groundbreak")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        settings = configure(world, BOX, SPAN, out=str(tmp_path / "out"), cube={"slab": 12, "region": 64})
        gone = watch.watched

        def without(*arguments: object) -> object:
            cluster.scale(0)
            return gone(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr("groundbreak.pipeline.running.runner.watched", without)
        with pytest.raises(BadInput, match="has no workers any more"):
            api.run(settings, client)
        assert "the cluster has no workers" in caplog.text
        monkeypatch.undo()
        cluster.scale(1)
        client.wait_for_workers(1, timeout=30)
        assert not api.run(settings, client).outcome.failed
