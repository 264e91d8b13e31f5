"""Workers as jobs of a batch system: Slurm, PBS, LSF or SGE, through dask-jobqueue.

The scheduler runs in the client's process, and the workers come to it by TLS.
"""

from __future__ import annotations

import inspect
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.utils import get_ip, get_ip_interface

from groundbreak.cluster import policy, tls
from groundbreak.cluster.request import Request

CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
"""Kind -> class of dask-jobqueue."""

OURS = {
    "cores": "a worker has one thread",
    "memory": "say [cluster] memory",
    "n_workers": "say [cluster] workers",
    "nanny": "every worker has one",
    "security": "certificates are made for each cluster",
    "protocol": "it is TLS",
}
"""Option of dask-jobqueue that the policy of workers decides -> how."""

UNSAID = {"asynchronous", "job_cls", "loop", "scheduler", "scheduler_cls", "name", "self", "silence_logs"}
"""Parameters of its classes that no configuration can give."""

RENAMED = {"env_extra", "extra", "header_skip", "job_extra", "host", "dashboard_address"}
"""Parameters that it takes only to refuse them, or to say that they have another name."""


def option_names(kind: str) -> frozenset[str]:
    """Return the options that the batch system's classes take, as the installed dask-jobqueue has them."""
    import dask_jobqueue

    cluster = getattr(dask_jobqueue, CLASSES[kind])
    classes = (*cluster.__mro__, *cluster.job_cls.__mro__)
    found = {name for c in classes if c.__module__.startswith("dask_jobqueue.") for name in _parameters(c)}
    return frozenset(found - set(OURS) - UNSAID - RENAMED)


def _parameters(kind: type) -> list[str]:
    named = inspect.signature(vars(kind)["__init__"]).parameters.values() if "__init__" in vars(kind) else ()
    return [p.name for p in named if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


@contextmanager
def opened(request: Request, kind: str) -> Iterator[Client]:
    """Submit jobs of one or more workers each, as many as are asked for; they are cancelled when the block ends."""
    import dask_jobqueue

    shared = request.options.get("shared_temp_directory") or Path.home()
    shared = Path(str(shared)).expanduser()
    with (
        tempfile.TemporaryDirectory(prefix=".groundbreak-tls-", dir=shared) as folder,
        dask.config.set(policy.own_settings()),
    ):
        security = tls.create(Path(folder)).security()
        cluster = getattr(dask_jobqueue, CLASSES[kind])(security=security, **_arguments(request))
        with cluster, Client(cluster) as client:
            policy.scale(cluster, request)
            yield client


def _arguments(request: Request) -> dict[str, Any]:
    """Return what dask-jobqueue is told: the options as they were given, and the policy of workers."""
    options = dict(request.options)
    processes = options.get("processes", 1)
    assert request.memory is not None  # `kinds` demands it
    scheduler = {"port": 0, "dashboard_address": policy.DASHBOARD, **options.pop("scheduler_options", {})}
    if not {"host", "interface"} & scheduler.keys():
        scheduler["host"] = _own_address(options.get("interface"))
    workers = [*policy.worker_arguments(request), "--dashboard-address", policy.DASHBOARD]
    prologue = _environment()
    if "interface" not in options:  # which would say where workers listen
        python = shlex.quote(options.get("python") or sys.executable)
        prologue.append(_listening(python, scheduler.get("host") or get_ip_interface(scheduler["interface"])))
        workers += ["--host", '"$GROUNDBREAK_HOST"']
    return {
        "death_timeout": policy.DEATH_TIMEOUT_S,
        **options,
        "cores": processes,
        "processes": processes,
        "memory": f"{policy.memory_bytes(request.memory) * processes} B",
        "scheduler_options": scheduler,
        "worker_extra_args": [*workers, *options.get("worker_extra_args", [])],
        "job_script_prologue": [*prologue, *options.get("job_script_prologue", [])],
    }


def _own_address(interface: str | None) -> str:
    """Return the address of this machine that others reach it by; never all addresses at once."""
    return str(get_ip_interface(interface) if interface else get_ip())


def _environment() -> list[str]:
    """Return the lines of a job that set the variables of workers, and our settings of Dask above the user's."""
    settings: Mapping[str, Any] = {"distributed": dask.config.get("distributed")}
    variables = {**policy.ENVIRONMENT, "DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(settings)}
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _listening(python: str, scheduler: str) -> str:
    """Return the line of a job that finds the address by which its machine reaches the scheduler."""
    code = f"from distributed.utils import get_ip; print(get_ip({scheduler!r}))"
    return f"GROUNDBREAK_HOST=$({python} -c {shlex.quote(code)})"
