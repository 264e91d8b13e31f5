"""Clusters: where they listen, what runs on them, and what happens when they do not answer."""

from __future__ import annotations

import functools
import threading
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client

from groundbreak.cluster.connect import connect
from groundbreak.cluster.plugins import Prepare, code_digest, differing_workers
from groundbreak.pipeline import api, workers
from groundbreak.pipeline.core.types import BadInput
from tests.world import Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)


def elsewhere() -> str:
    """Return a digest that no two threads share: a worker seems to run other code than its client."""
    return str(threading.get_ident())


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", [TILE], days("2021-01-03", 3, 10))
    return tmp_path


# distributed starts its event loop with calls that the standard library has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_local_cluster_listens_on_loopback_alone_and_ends() -> None:
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    # The cluster that the tests share may listen already, in this process.
    earlier = {c.laddr for c in me.net_connections("tcp") if c.status == "LISTEN"}
    with connect("local", workers=1, memory="1GiB") as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["nthreads"] == 1
        assert worker["memory_limit"] == 2**30
        # multiprocessing's own helper stays for the next cluster.
        children = [c for c in me.children(recursive=True) if c.pid not in before]
        started = [c for c in children if "resource_tracker" not in " ".join(c.cmdline())]
        assert started
        listening = {c.laddr for p in (me, *started) for c in p.net_connections("tcp") if c.status == "LISTEN"}
        assert {address.ip for address in listening - earlier} == {"127.0.0.1"}
        assert client.dashboard_link.startswith("http://127.0.0.1:")
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive


def test_a_running_cluster_outlives_its_client(client: Client) -> None:
    assert client.scheduler is not None
    with connect("address", address=client.scheduler.address) as other:
        assert other.submit(sum, [1, 2]).result(timeout=60) == 3
    assert client.submit(sum, [3, 4]).result(timeout=60) == 7


def test_an_address_that_does_not_answer_is_bad_input(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(address: str, **_: object) -> Client:
        return Client(address, timeout="1s")

    monkeypatch.setattr("groundbreak.cluster.connectors.address.Client", hasty)
    settings = configure(
        world, BOX, "2021-01-01/2021-12-31", cluster={"kind": "address", "address": "tcp://127.0.0.1:9"}
    )
    with pytest.raises(BadInput, match=r"\[cluster\] address = 'tcp://127.0.0.1:9': must answer"):
        api.run(settings)
    assert not (world / "out/report.html").exists()
    assert not (world / "out/ledger/lock.json").exists()


def test_workers_that_run_other_code_are_refused(world: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configure(world, BOX, "2021-01-01/2021-12-31")
    with monkeypatch.context() as patched:
        patched.setattr(workers, "source_digest", elsewhere)
        with pytest.raises(BadInput, match="run other code than this client"):
            api.run(settings, client)
    # Nothing of that is left in the way of the next run.
    assert not api.run(settings, client).outcome.failed


def test_the_digest_is_of_names_and_bytes(tmp_path: Path, client: Client) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    one = code_digest([str(tmp_path)])
    (tmp_path / "notes.txt").write_text("no code")
    assert code_digest([str(tmp_path)]) == one
    (tmp_path / "a.py").write_text("x = 2\n")
    two = code_digest([str(tmp_path)])
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({one, two, code_digest([str(tmp_path)])}) == 3
    assert differing_workers(client, functools.partial(code_digest, [str(tmp_path)])) == []
    assert differing_workers(client, elsewhere) == list(client.scheduler_info()["workers"])
    assert workers.source_digest() == workers.source_digest()


def test_workers_are_prepared_when_they_join(client: Client, tmp_path: Path) -> None:
    plugin = Prepare(functools.partial(Path.touch, tmp_path / "warm"), lambda: None, str)
    plugin.name = "test-prepare"  # beside the one that earlier runs have left
    client.register_plugin(plugin)
    deadline = time.monotonic() + 10
    while not (tmp_path / "warm").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
