"""A scheduler and workers on machines that are reached by ssh; the first host has the scheduler.

Certificates travel through the ssh connection into a folder that only its owner may enter, and are removed at the end.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.deploy import ssh
from distributed.deploy.spec import SpecCluster

from groundbreak.cluster import policy, tls
from groundbreak.cluster.request import Request

OURS = {"worker_class": "every worker has a nanny"}
"""Option of SSHCluster that the policy of workers decides -> how."""


def option_names() -> frozenset[str]:
    """Return the options that distributed's SSHCluster takes."""
    return frozenset(inspect.signature(ssh.SSHCluster).parameters) - {"kwargs", *OURS}


@dataclass(frozen=True)
class Host:
    """A machine as it is reached."""

    name: str
    """As the configuration names it."""
    connect: Mapping[str, Any]
    """What asyncssh is told beside."""
    python: str | None
    """Path of Python there; None: the same as here."""
    address: str
    """The address by which this machine reaches it."""


@contextmanager
def opened(request: Request) -> Iterator[Client]:
    """Start a scheduler on the first host and workers on the others; they end with the block."""
    remote = f"/tmp/groundbreak-{secrets.token_hex(8)}"  # noqa: S108 - made by mkdir, which fails where it is
    with tempfile.TemporaryDirectory(prefix="groundbreak-tls-") as folder:
        local = tls.create(Path(folder))
        members = local.within(remote)
        hosts = asyncio.run(_prepared(request.options, local, remote))
        try:
            with dask.config.set({**policy.own_settings(), **members.settings()}):
                cluster = SpecCluster(
                    workers={i: _worker(host, request) for i, host in enumerate(hosts[1:])},
                    scheduler=_scheduler(hosts[0], request),
                    security=local.security(),
                    name="groundbreak",
                    silence_logs=logging.WARNING,
                )
            with cluster, Client(cluster) as client:
                yield client
        finally:
            asyncio.run(_removed(hosts, remote))


def _scheduler(host: Host, request: Request) -> dict[str, Any]:
    options = {
        "host": host.address,
        "port": 0,
        "dashboard_address": policy.DASHBOARD,
        "idle_timeout": policy.IDLE_TIMEOUT_S,
        **request.options.get("scheduler_options", {}),
        "protocol": tls.PROTOCOL,
    }
    return {"cls": ssh.Scheduler, "options": {**_reached(host), "kwargs": options}}


def _worker(host: Host, request: Request) -> dict[str, Any]:
    options = {
        "host": host.address,
        "dashboard_address": policy.DASHBOARD,
        "death_timeout": policy.DEATH_TIMEOUT_S,
        **request.options.get("worker_options", {}),
        "n_workers": request.workers or 1,
        "nthreads": 1,
        "protocol": tls.PROTOCOL,
    }
    if request.memory is not None:
        options["memory_limit"] = policy.memory_bytes(request.memory)
    return {"cls": ssh.Worker, "options": {**_reached(host), "kwargs": options, "worker_class": "distributed.Nanny"}}


def _reached(host: Host) -> dict[str, Any]:
    return {"address": host.name, "connect_options": dict(host.connect), "remote_python": host.python}


async def _prepared(options: Mapping[str, Any], local: tls.Credentials, remote: str) -> list[Host]:
    """Put the certificates on every machine, and return the hosts, each with its address."""
    names = list(options["hosts"])
    connects = _each(options.get("connect_options") or {}, len(names))
    pythons = _each(options.get("remote_python"), len(names))
    hosts = []
    try:
        for name, connect, python in zip(names, connects, pythons, strict=True):
            address = await _place(name, connect, local, remote)
            hosts.append(Host(name, connect, python, address))
    except BaseException:
        await _removed(hosts, remote)
        raise
    return hosts


def _each(value: Any, count: int) -> Sequence[Any]:
    """Return a value for each host: one for all, or a list with one for each."""
    return value if isinstance(value, list) else [value] * count


async def _place(name: str, connect: Mapping[str, Any], local: tls.Credentials, remote: str) -> str:
    """Write the certificates into a folder of a machine; return the machine's address."""
    import asyncssh

    async with asyncssh.connect(name, **connect) as connection:
        folder = shlex.quote(remote)
        # A host that is named twice has the folder already.
        await connection.run(f"umask 077; mkdir {folder} || test -O {folder}", check=True)
        for file in (local.ca_file, local.cert, local.key):
            target = shlex.quote(f"{remote}/{Path(file).name}")
            await connection.run(f"umask 077; cat > {target}", input=Path(file).read_text(), check=True)
        return str(connection.get_extra_info("peername")[0])


async def _removed(hosts: Sequence[Host], remote: str) -> None:
    """Remove the certificates from the machines that still answer."""
    import asyncssh

    for host in {h.name: h for h in hosts}.values():
        with suppress(OSError, asyncssh.Error):
            async with asyncssh.connect(host.name, **host.connect) as connection:
                await connection.run(f"rm -rf {shlex.quote(remote)}")
