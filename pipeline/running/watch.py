"""Watching over a cluster while a run waits for it: tasks without workers would be waited for without end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future

from groundbreak.pipeline.core.types import BadInput

LOG = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""Seconds without any worker after which a run gives up."""
LOOK_S = 3.0
"""Seconds between two looks at the cluster."""


@dataclass
class Cluster:
    """What is known of a cluster while it is watched."""

    threads: int
    """Threads of all workers; at least one, so that a cluster that grows with its tasks has some."""


@contextmanager
def watched(client: Client, running: Mapping[Future[Any], Any]) -> Iterator[Cluster]:
    """Look after a cluster: count its threads, and cancel what runs once it has had no worker for `PATIENCE_S`.

    Parameters
    ----------
    client : distributed.Client
    running : mapping
        Its keys are the futures that are waited for.

    Yields
    ------
    Cluster, whose figures follow the workers that come and go.
    """
    stop, cluster = threading.Event(), Cluster(max(_threads(client), 1))

    def look() -> None:
        alive = time.monotonic()
        while not stop.wait(LOOK_S):
            if threads := _threads(client):
                alive, cluster.threads = time.monotonic(), threads
                continue
            gone = time.monotonic() - alive
            LOG.warning("the cluster has no workers; waiting up to %.0f s more", max(PATIENCE_S - gone, 0.0))
            if gone >= PATIENCE_S:
                with suppress(Exception):  # a scheduler that is gone cancels its futures itself
                    client.cancel(list(running), force=True)
                return

    thread = threading.Thread(target=look, name="cluster-watch", daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        stop.set()
        thread.join(LOOK_S)


def _threads(client: Client) -> int:
    """Return the threads of all workers; 0 where there is none, or the scheduler does not answer."""
    try:
        return sum(client.nthreads().values())
    except Exception:
        return 0


def give_up(client: Client, running: Iterable[Future[Any]]) -> None:
    """Cancel what runs, unless the scheduler is gone and has cancelled it."""
    if client.status == "running":
        with suppress(OSError, RuntimeError):
            client.cancel(list(running))


def lost(what: str, client: Client) -> BadInput:
    """Return the error that says that a cluster went away in the middle of a run.

    Parameters
    ----------
    what : str
        The cluster, as the configuration names it.
    client : distributed.Client
        It knows whether the scheduler is gone, or workers alone.
    """
    rule = f"has no workers any more (waited {PATIENCE_S:.0f} s)"
    if client.status != "running":
        rule = "its scheduler is gone, in the middle of the run"
    return BadInput(what, rule, "Start workers or another cluster; the same command then goes on from here")


@contextmanager
def unless_lost(what: str, client: Client) -> Iterator[None]:
    """Turn whatever a scheduler that is gone makes of the work inside into the one error that says so."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if client.status == "running":
            raise
        LOG.debug("%s", what, exc_info=True)
        raise lost(what, client) from error
