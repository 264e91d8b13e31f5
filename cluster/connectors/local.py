"""Worker processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster

from groundbreak.cluster import policy
from groundbreak.cluster.request import Request

LOG = logging.getLogger(__name__)

WORKER_PROCESS = "Dask Worker process"
"""How the names of the processes begin that Dask starts as workers."""


@contextmanager
def opened(request: Request) -> Iterator[Client]:
    """Start worker processes of one thread each, one for each core if not told; they end with the block."""
    ranged = isinstance(request.workers, tuple)
    count = request.fewest if ranged else request.workers or CPU_COUNT
    with dask.config.set(policy.own_settings()), _without_main():
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            protocol="tcp://",
            host=policy.LOOPBACK,
            memory_limit=request.memory or "auto",
            dashboard_address=policy.DASHBOARD,
        )
        LOG.info("a local cluster of %d workers; dashboard at %s", count, cluster.dashboard_link)
        with cluster, Client(cluster) as client:
            if ranged:
                policy.scale(cluster, request)
            yield client


@contextmanager
def _without_main() -> Iterator[None]:
    """Have worker processes leave the user's script alone.

    multiprocessing imports the main script in every process that it spawns: a script that calls `run` outside of
    ``if __name__ == "__main__":`` would start a run in each worker. Nothing of the script is needed there.
    """
    whole = spawn.get_preparation_data

    def data(name: str) -> dict[str, Any]:
        found: dict[str, Any] = whole(name)
        kept = ("init_main_from_name", "init_main_from_path") if name.startswith(WORKER_PROCESS) else ()
        return {key: value for key, value in found.items() if key not in kept}

    spawn.get_preparation_data = data
    try:
        yield
    finally:
        spawn.get_preparation_data = whole
