"""Real services on loopback: a Slurm of one node, an sshd, a dask-gateway, a scheduler with workers by TLS.

Each starts without systemd, in folders and on ports of its own, and ends with its block. A test that needs a program
which is not there skips; where `GROUNDBREAK_NO_SKIPS` is set it fails (tests/conftest.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import pytest

from groundbreak.cluster import tls

PATIENCE_S = 120.0
"""Seconds within which a service must be up: two cores may be busy with other tests."""


def needed(*programs: str) -> dict[str, str]:
    """Return the paths of programs, or skip the test; those of daemons lie outside of a user's path."""
    found = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for name in programs}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")
    return {name: str(path) for name, path in found.items()}


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until[T](found: Callable[[], T], what: str) -> T:
    """Ask again and again until something is found."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def process(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a program with its output in a file; it is asked to end, and then made to."""
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(env or {})})
    try:
        yield
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait(20)


def port_open(port: int) -> bool:
    """Whether somebody listens at a port of loopback."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Service:
    """A service that runs."""

    cluster: dict[str, Any] = field(default_factory=dict)
    """The section ``[cluster]`` that leads to it."""
    run: Callable[..., str] = lambda *_: ""
    """Runs one of its commands, and returns what it printed."""


SLURM = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}/socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def munged(program: str) -> Iterator[Path]:
    """Start a munged with a key of its own; everybody must be able to enter its folder, and pytest's are private."""
    with tempfile.TemporaryDirectory(prefix="munge-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = [f"--{kind}-file={folder}/{kind}" for kind in ("key", "pid", "log", "seed")]
        with process([program, "--foreground", f"--socket={folder}/socket", *files], folder / "output"):
            until((folder / "socket").exists, "munged does not start")
            yield folder


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Service]:
    """Start munged, slurmctld and slurmd as the only node of a cluster; needs to be root, as slurmd does."""
    programs = needed("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
    if os.geteuid() != 0:
        pytest.skip("slurmd needs to be root")
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    conf = folder / "slurm.conf"
    env = {"SLURM_CONF": str(conf)}

    def run(*command: str) -> str:
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
        return done.stdout

    with munged(programs["munged"]) as munge:
        conf.write_text(SLURM.format(host=host, folder=folder, munge=munge, ports=free_ports(2)))
        with (
            process([programs["slurmctld"], "-D"], folder / "slurmctld.out", env),
            process([programs["slurmd"], "-D"], folder / "slurmd.out", env),
        ):
            until(lambda: "idle" in run("sinfo", "-h", "-o", "%T"), "the node does not come up")
            yield Service(run=run)


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[Service]:
    """Start an sshd of this user's own, with new keys; its section names this host twice."""
    programs = needed("sshd", "ssh-keygen")
    (port,) = free_ports(1)
    for name in ("host", "user"):
        subprocess.run([programs["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"PidFile {folder}/pid",
        f"AuthorizedKeysFile {folder}/user.pub",
        "UsePAM no",
        "StrictModes no",
        "PermitRootLogin prohibit-password",
    ]
    (folder / "sshd.conf").write_text("\n".join(lines) + "\n")
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    connect = {"port": port, "client_keys": [str(folder / "user")], "known_hosts": str(folder / "known")}
    options = {"hosts": ["127.0.0.1"] * 2, "connect_options": connect, "remote_python": sys.executable}
    with process([programs["sshd"], "-D", "-e", "-f", str(folder / "sshd.conf")], folder / "sshd.log"):
        until(lambda: port_open(port), "sshd does not start")
        yield Service({"kind": "ssh", "options": options})


GATEWAY = """\
import sys
from dask_gateway_server.options import Mapping, Options
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = "secret"
c.DaskGateway.address = "127.0.0.1:{ports[0]}"
c.Proxy.address = "127.0.0.1:{ports[1]}"
c.Proxy.api_url = "http://127.0.0.1:{ports[0]}/api"
c.UnsafeLocalBackend.clusters_directory = "{folder}/clusters"
c.LocalClusterConfig.scheduler_cmd = ["{bin}/dask", "scheduler"]
c.LocalClusterConfig.worker_cmd = ["{bin}/dask", "worker", "--host", "127.0.0.1"]
c.LocalClusterConfig.adaptive_period = 0.5
c.Backend.cluster_options = Options(Mapping("environment", {{}}))
"""


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[Service]:
    """Start a dask-gateway whose clusters are processes of this user; its password stands in Dask's settings."""
    pytest.importorskip("dask_gateway_server")
    programs = Path(sys.executable).parent
    ports = free_ports(2)
    (folder / "clusters").mkdir()
    (folder / "config.py").write_text(GATEWAY.format(ports=ports, folder=folder, bin=programs))
    command = [str(programs / "dask-gateway-server"), "-f", str(folder / "config.py")]
    auth = {"type": "basic", "kwargs": {"username": "tester", "password": "secret"}}
    with process(command, folder / "gateway.log"), dask.config.set({"gateway.auth": auth}):
        url = f"http://127.0.0.1:{ports[1]}"
        until(lambda: _healthy(f"{url}/api/health"), "the gateway does not start")
        yield Service({"kind": "gateway", "address": url, "workers": 1})


def _healthy(url: str) -> bool:
    """Whether a server answers, and not only the proxy before it."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


@contextlib.contextmanager
def scheduler_and_workers(folder: Path) -> Iterator[Service]:
    """Start ``dask scheduler`` and two of ``dask worker`` by hand, with certificates."""
    files = tls.create(folder)
    members = ["--tls-ca-file", files.ca_file, "--tls-cert", files.cert, "--tls-key", files.key]
    loopback = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    dask = str(Path(sys.executable).parent / "dask")
    log = folder / "scheduler.log"

    def address() -> str:
        found = re.search(r"Scheduler at:\s+(tls://\S+)", log.read_text())
        return found[1] if found else ""

    with contextlib.ExitStack() as stack:
        command = [dask, "scheduler", "--protocol", "tls", "--port", "0", *loopback, *members]
        stack.enter_context(process(command, log))
        scheduler = until(address, "no scheduler")
        for number in range(2):
            command = [dask, "worker", scheduler, "--nthreads", "1", *loopback, *members]
            stack.enter_context(process(command, folder / f"worker-{number}.log"))
        named = {"tls_ca_file": files.ca_file, "tls_cert": files.cert, "tls_key": files.key}
        yield Service({"kind": "address", "address": scheduler, **named})
