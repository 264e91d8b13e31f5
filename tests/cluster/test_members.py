"""Members of a cluster: who is let in, where they listen, and how they leave."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client

from groundbreak.cluster import tls
from groundbreak.cluster.connect import NotOpened, connect, demand_workers
from groundbreak.cluster.connectors import address
from groundbreak.cluster.plugins import Prepare
from groundbreak.pipeline import workers
from groundbreak.pipeline.core.types import BadInput
from tests.cluster import services
from tests.world import configure

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Start a scheduler and two workers by TLS; the section that leads to them."""
    with services.scheduler_and_workers(tmp_path_factory.mktemp("running")) as service:
        yield service.cluster


@pytest.fixture
def client(running: dict[str, Any]) -> Iterator[Client]:
    with connect(**running) as connected:
        connected.wait_for_workers(2, timeout=services.PATIENCE_S)
        yield connected


def listening(pids: list[int]) -> set[str]:
    """Return the addresses that processes listen at."""
    processes = [psutil.Process(pid) for pid in pids]
    return {c.laddr.ip for p in processes for c in p.net_connections("tcp") if c.status == "LISTEN"}


def test_members_listen_on_loopback_alone(client: Client) -> None:
    pids = [*client.run(os.getpid).values(), *client.run(os.getppid).values(), client.run_on_scheduler(os.getpid)]
    assert listening(pids) == {"127.0.0.1"}


@pytest.mark.parametrize("who", ["a member of another cluster", "nobody"])
def test_others_are_not_let_in(
    running: dict[str, Any], who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "ANSWER_S", 2)
    asked = {"kind": "address", "address": running["address"].replace("tls://", "tcp://")}
    if who != "nobody":
        files = tls.create(tmp_path)
        named = {"tls_ca_file": files.ca_file, "tls_cert": files.cert, "tls_key": files.key}
        asked = {"kind": "address", "address": running["address"], **named}
    with pytest.raises(NotOpened), connect(**asked):
        pass


def test_a_key_is_for_its_owner(tmp_path: Path) -> None:
    files = tls.create(tmp_path)
    assert stat.S_IMODE(Path(files.key).stat().st_mode) == 0o600
    assert "PRIVATE KEY" in Path(files.key).read_text()
    # That of the authority is forgotten: nobody can make a member afterwards.
    assert sum("PRIVATE KEY" in file.read_text() for file in tmp_path.iterdir()) == 1


def test_certificates_are_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    named = {"tls_ca_file": "tls/ca.pem", "tls_cert": "tls/cert.pem"}
    config = configure(
        tmp_path, (0, 0, 1, 1), "2020/2021", cluster={"kind": "address", "address": "tls://h:1", **named}
    )
    with pytest.raises(BadInput, match=r"tls_ca_file = '/.*/tls/ca\.pem': the file must exist"):
        workers._asked(config)
    (tmp_path / "tls").mkdir()
    tls.create(tmp_path / "tls")
    assert workers._asked(config)["tls_cert"] == str(tmp_path / "tls/cert.pem")


def test_a_worker_that_holds_results_of_others_stays_when_the_next_run_comes(client: Client) -> None:
    """A new plugin takes the old one's place, which says no goodbye then."""
    held = client.submit(bytes, b"of somebody else", pure=False, workers=list(client.nthreads())[:1])
    assert held.result(timeout=services.PATIENCE_S) == b"of somebody else"
    before = set(client.nthreads())
    for _ in range(2):
        client.register_plugin(Prepare(str, str, str))
    assert set(client.nthreads()) == before
    assert not [event for _, event in client.get_events("all") if event.get("action") == "remove-worker"]
    assert held.result(timeout=services.PATIENCE_S) == b"of somebody else"


def test_a_worker_that_is_told_to_go_is_not_held_against_its_task(client: Client) -> None:
    """As Slurm and spot machines tell it: SIGTERM to all of its processes. The task is done by another worker."""
    demand_workers(client)
    client.register_plugin(Prepare(str, str, str))
    future = client.submit(time.sleep, 5, key="slow")
    place = services.until(lambda: [w for w, tasks in client.processing().items() if tasks], "it does not begin")[0]
    time.sleep(0.5)
    (worker,), (nanny,) = (client.run(call, workers=[place]).values() for call in (os.getpid, os.getppid))
    for pid in (worker, nanny):
        os.kill(pid, signal.SIGTERM)
    future.result(timeout=services.PATIENCE_S)
    left = [event for _, event in client.get_events("all") if event.get("action") == "remove-worker"]
    assert [event["expected"] for event in left if event["worker"] == place] == [True]
