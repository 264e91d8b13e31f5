"""A client of the cluster that the configuration names, and its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import dask
from dask.system import CPU_COUNT
from dask.utils import parse_bytes
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


LEAST_MEMORY = 256 * 2**20
"""Bytes that a worker takes before it has done anything; with less it would be started again for ever."""


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
