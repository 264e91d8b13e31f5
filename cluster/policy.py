"""How workers behave, whatever starts them: threads, memory, patience, how they leave.

A worker computes with one thread: Dask supplies the parallelism, so numba, GDAL and BLAS must not start threads of
their own. It ends where its scheduler is gone, so that a client that dies leaves no orphans behind.
"""

from __future__ import annotations

from typing import Any

import dask
from dask.utils import parse_bytes, parse_timedelta
from distributed.deploy.cluster import Cluster

from groundbreak.cluster.request import Request

LOOPBACK = "127.0.0.1"

DASHBOARD = f"{LOOPBACK}:0"
"""Where dashboards listen unless told otherwise; on other machines an ssh tunnel leads there."""

ENVIRONMENT = {
    "GDAL_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Variables that a worker is started with."""

DEATH_TIMEOUT_S = 60
"""Seconds that a worker waits for a scheduler which does not answer, before it ends."""

IDLE_TIMEOUT_S = 1800
"""Seconds without a task after which a scheduler on another machine ends: its client is gone."""

STAGGER = 0.1
"""Share of their lifetime by which workers leave at different moments, so that they do not all leave at once."""

SETTINGS = {
    # A worker that dies this often on one task takes the task down with it, as a failed region.
    "distributed.scheduler.allowed-failures": 2,
    # Tasks hold what they were projected to hold; spilling their results (small records) would only cost time.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # A fork of a process with threads may hang.
    "distributed.worker.multiprocessing-method": "spawn",
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ENVIRONMENT.items()},
}
"""Settings of Dask for the clusters that are started here, and for the client of one that runs."""

LEAST_MEMORY = 768 * 2**20
"""Bytes that a worker takes with its kernels compiled, and a little more; with less it would be restarted for ever."""


def packaged() -> dict[str, Any]:
    """Return the settings that come with distributed, without those of the user.

    What a user has set for clusters of his own (a lifetime of workers, fork, limits of memory, variables of the
    environment, preloads) would end or hang the workers of ours, or change what they compute. How Dask logs stays.
    """
    settings: dict[str, Any] = dict(dask.config.merge(*dask.config.defaults)["distributed"])
    return {**settings, "logging": dask.config.get("distributed.logging", {})}


def own_settings() -> dict[str, Any]:
    """Return what `dask.config.set` takes where a cluster is started."""
    return {"distributed": packaged(), **SETTINGS}


def worker_arguments(request: Request) -> list[str]:
    """Return arguments of `dask worker` that say how a worker leaves."""
    if request.lifetime is None:
        return []
    stay = seconds(request.lifetime)
    return ["--lifetime", f"{stay:.0f}s", "--lifetime-stagger", f"{stay * STAGGER:.0f}s"]


def scale(cluster: Cluster, request: Request) -> None:
    """Have a cluster follow its work between the fewest and the most workers, and replace those that leave or die."""
    cluster.adapt(minimum=request.fewest, maximum=request.most)


def memory_bytes(text: str) -> int:
    """Return the bytes that a text such as "4GiB" stands for.

    Raises
    ------
    ValueError
        The text is not a number of bytes with a unit.
    """
    if not text.strip()[:1].isdigit():
        raise ValueError(f"{text!r} does not begin with a number")
    try:
        return int(parse_bytes(text))
    except OverflowError:
        raise ValueError(f"{text!r} is no number of bytes") from None


def seconds(text: str) -> float:
    """Return the seconds that a text such as "50 minutes" stands for.

    Raises
    ------
    ValueError
        The text is not a number of seconds, minutes, hours or days.
    """
    if not text.strip()[:1].isdigit() or text.strip().isdigit():
        raise ValueError(f"{text!r} is not a number with a unit of time")
    try:
        return float(parse_timedelta(text))
    except (KeyError, OverflowError):
        raise ValueError(f"{text!r} is not a number with a unit of time") from None
