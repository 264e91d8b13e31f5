"""The same bytes on every kind of cluster: each is a real one, started here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from groundbreak.pipeline import api
from tests.cluster import services
from tests.cluster.kube.kubelet import IMAGE
from tests.cluster.kube.service import kubernetes
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, lonlat_box, works, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 128)
BOX = lonlat_box(32638, 600_050, 4_398_800, 601_200, 4_399_950)
DATES = days("2020-01-03", 48, 20)
SPAN = "2020-01-01/2022-12-31"
SITE = (600_640, 4_399_360, 200, 150)

pytestmark = [
    # distributed, asyncssh and dask-jobqueue start event loops with calls that the standard library has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    write_source(folder / "source", [TILE], DATES, works(DATES, SITE, "2021-03-01", "2021-09-01"))
    return folder


def outcome(world: Path, out: Path, cluster: dict[str, Any]) -> dict[str, str]:
    """Run on a cluster; return key -> sha256 of all objects of the stores."""
    settings = configure(world, BOX, SPAN, out=str(out), cluster=cluster, detect={"detector": "cusum"})
    result = api.run(settings)
    assert not result.outcome.failed
    assert not result.faults
    return zarr_bytes(out)


@pytest.fixture(scope="module")
def expected(world: Path) -> dict[str, str]:
    """Run on a local cluster."""
    found = outcome(world, world / "local", {"kind": "local", "workers": 1})
    assert len([key for key in found if key.startswith("38TPK/cube.zarr")]) > 10
    return found


def started_since(before: set[int]) -> list[psutil.Process]:
    """Return the processes of Dask that run now and did not before."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["pid"] not in before and ("dask" in line or "distributed" in line):
            found.append(process)
    return found


def test_a_scheduler_and_two_workers_by_tls(world: Path, expected: dict[str, str], tmp_path: Path) -> None:
    with services.scheduler_and_workers(tmp_path) as service:
        assert outcome(world, tmp_path / "out", service.cluster) == expected


def test_a_slurm_of_one_node(world: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    with services.slurm(tmp_path) as service:
        monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
        options = {
            "queue": "debug",
            "walltime": "00:20:00",
            "shared_temp_directory": str(tmp_path),
            "log_directory": str(tmp_path / "logs"),
            "local_directory": str(tmp_path),
            "scheduler_options": {"host": "127.0.0.1"},
        }
        cluster = {"kind": "slurm", "workers": 2, "memory": "1GiB", "options": options}
        assert outcome(world, tmp_path / "out", cluster) == expected
        services.until(lambda: not service.run("squeue", "-h", "-t", "R,PD").strip(), "jobs are left")
        assert not list(tmp_path.glob(".groundbreak-tls-*"))


def test_hosts_by_ssh(world: Path, expected: dict[str, str], tmp_path: Path) -> None:
    before = {process.pid for process in psutil.process_iter()}
    with services.sshd(tmp_path) as service:
        assert outcome(world, tmp_path / "out", service.cluster) == expected
        services.until(lambda: not [p for p in started_since(before) if "dask_spec" in str(p.cmdline())], "left")
    assert not list(Path(tempfile.gettempdir()).glob("groundbreak-*/key.pem"))


def test_a_gateway(world: Path, expected: dict[str, str], tmp_path: Path) -> None:
    with services.gateway(tmp_path) as service:
        assert outcome(world, tmp_path / "out", service.cluster) == expected


def test_pods(world: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    """The server and the nodes of this Kubernetes are simulated; operator, scheduler and workers are real."""
    with kubernetes(tmp_path / "kube") as service:
        monkeypatch.setenv("KUBECONFIG", str(service.config))
        cluster = {"kind": "kubernetes", "workers": 1, "memory": "1GiB", "options": {"image": IMAGE}}
        assert outcome(world, tmp_path / "out", cluster) == expected
        services.until(lambda: not service.found("api/v1", "pods"), "pods are left")
