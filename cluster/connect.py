"""A client of the cluster that the configuration names, and its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster

LOG = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

SETTINGS = {
    # A worker that dies this often on one task takes the task down with it, as a failed region.
    "distributed.scheduler.allowed-failures": 2,
    # Tasks hold what they were projected to hold; spilling their results (small records) would only cost time.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
}


@contextmanager
def connect(
    kind: str, *, address: str | None = None, workers: int | None = None, memory: str | None = None
) -> Iterator[Client]:
    """Yield a connected client; a local cluster ends with it.

    Parameters
    ----------
    kind : {"local", "address"}
    address : str, optional
        The scheduler's, for "address".
    workers : int, optional
        Local worker processes, one thread each; by default one for each core.
    memory : str, optional
        Limit of a local worker ("4GiB"); by default its share of the machine's.

    Raises
    ------
    OSError
        The address does not answer.
    """
    with dask.config.set(SETTINGS):
        if kind == "address":
            LOG.info("connecting to %s", address)
            with Client(address, timeout="20s") as client:
                yield client
            return
        count = workers or len(os.sched_getaffinity(0))
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            memory_limit=memory or "auto",
            dashboard_address=f"{LOOPBACK}:0",
        )
        LOG.info("a local cluster of %d workers; dashboard at %s", count, cluster.dashboard_link)
        with cluster, Client(cluster) as client:
            yield client
