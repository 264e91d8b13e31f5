"""A client of the cluster that the configuration names, and its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import spawn
from typing import Any

import dask
from dask.system import CPU_COUNT
from dask.utils import parse_bytes
from distributed import Client, LocalCluster

LOG = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

PATIENCE_S = 60.0
"""Seconds that a cluster may be without workers before a run refuses it."""

WORKER_PROCESS = "Dask Worker process"
"""How the names of the processes begin that Dask starts as workers."""

SETTINGS = {
    # A worker that dies this often on one task takes the task down with it, as a failed region.
    "distributed.scheduler.allowed-failures": 2,
    # Tasks hold what they were projected to hold; spilling their results (small records) would only cost time.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # A fork of a process with threads may hang.
    "distributed.worker.multiprocessing-method": "spawn",
}


LEAST_MEMORY = 768 * 2**20
"""Bytes that a worker takes with its kernels compiled, and a little more; with less it would be restarted for ever."""


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


@contextmanager
def _local(workers: int | None = None, memory: str | None = None) -> Iterator[Client]:
    """Start worker processes of one thread each on this machine, one for each core if not told; they end with it."""
    count = workers or CPU_COUNT
    with dask.config.set({"distributed": _packaged(), **SETTINGS}), _without_main():
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            protocol="tcp://",
            host=LOOPBACK,
            memory_limit=memory or "auto",
            dashboard_address=f"{LOOPBACK}:0",
        )
        LOG.info("a local cluster of %d workers; dashboard at %s", count, cluster.dashboard_link)
        with cluster, Client(cluster) as client:
            yield client


def _packaged() -> dict[str, Any]:
    """Return the settings that come with distributed, without those of the user.

    What a user has set for clusters of his own (a lifetime of workers, fork, limits of memory, variables of the
    environment, preloads) would end or hang the workers of ours, or change what they compute. How Dask logs stays.
    """
    settings: dict[str, Any] = dict(dask.config.merge(*dask.config.defaults)["distributed"])
    return {**settings, "logging": dask.config.get("distributed.logging", {})}


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


@contextmanager
def _at_address(address: str) -> Iterator[Client]:
    """Connect to a scheduler that runs already, and outlives its client."""
    LOG.info("connecting to %s", address)
    with Client(address, timeout="20s") as client:
        yield client


@dataclass(frozen=True)
class Kind:
    """A way to get a cluster."""

    open: Callable[..., AbstractContextManager[Client]]
    """Gives a connected client for the options of the kind, and ends what it has started."""
    needs: tuple[str, ...] = ()
    """Options that must be given."""
    takes: tuple[str, ...] = ()
    """Options that may be given."""


KINDS: dict[str, Kind] = {
    "local": Kind(_local, takes=("workers", "memory")),
    "address": Kind(_at_address, needs=("address",)),
}
"""Name, as ``[cluster] kind`` gives it -> the kind."""


class NoWorkers(Exception):
    """A cluster has no worker that answers."""


def demand_workers(client: Client, patience_s: float = PATIENCE_S) -> None:
    """Return once a worker answers.

    A small task asks for it, so that a cluster that grows with its tasks starts a worker.

    Parameters
    ----------
    client : distributed.Client
    patience_s : float
        Seconds to wait.

    Raises
    ------
    NoWorkers
        No worker has answered in that time.
    """
    if client.nthreads():
        return
    LOG.warning("the cluster has no workers yet; waiting up to %.0f s for one", patience_s)
    future = client.submit(os.getpid, pure=False)
    try:
        future.result(timeout=patience_s)
    except Exception as error:  # no worker in time, or the scheduler's own patience has ended
        raise NoWorkers(f"has no workers (waited up to {patience_s:.0f} s)") from error
    finally:
        future.cancel()


@contextmanager
def connect(kind: str, **options: Any) -> Iterator[Client]:
    """Yield a connected client of a cluster; what was started for it ends with it.

    Parameters
    ----------
    kind : str
        An entry of `KINDS`.
    **options
        Those that the kind needs, and of those that it takes the ones that are not None:
        ``address`` is the scheduler's; ``workers`` are local processes of one thread each, by default one for each
        core; ``memory`` limits each of them ("4GiB"), by default to its share of the machine's.

    Raises
    ------
    OSError
        The cluster does not answer.
    """
    with dask.config.set(SETTINGS), KINDS[kind].open(**options) as client:
        yield client
