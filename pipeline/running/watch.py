"""Watching over a cluster while a run waits for it: tasks without workers would be waited for without end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from distributed import Client, Future

from groundbreak.pipeline.core.types import BadInput

LOG = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""Seconds without any worker after which a run gives up, where nobody has said how long such a cluster may take."""
LOOK_S = 3.0
"""Seconds between two looks at the cluster."""
SAY_S = 30.0
"""Seconds between two warnings of the same."""


@dataclass(frozen=True)
class Expected:
    """What is said of a cluster beforehand."""

    what: str
    """The cluster, as the configuration names it."""
    patience_s: float
    """Seconds that it may be without workers: those of a batch system may all end, and others wait in its queue."""


_EXPECTED: WeakKeyDictionary[Client, Expected] = WeakKeyDictionary()


@dataclass
class Cluster:
    """What is known of a cluster while it is watched."""

    threads: int
    """Threads of all workers; at least one, so that a cluster that grows with its tasks has some."""


@contextmanager
def watched(client: Client, running: Mapping[Future[Any], Any]) -> Iterator[Cluster]:
    """Look after a cluster: count its threads, and cancel what runs once it has had no worker for too long.

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
    patience_s = _expected(client).patience_s

    def look() -> None:
        alive, said = time.monotonic(), -SAY_S
        while not stop.wait(LOOK_S):
            now = time.monotonic()
            if threads := _threads(client):
                alive, cluster.threads = now, threads
                continue
            left = max(alive + patience_s - now, 0.0)
            if now - said >= SAY_S or not left:
                said = now
                LOG.warning("the cluster has no workers; waiting up to %.0f s more", left)
            if not left:
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


def lost(client: Client) -> BadInput:
    """Return the error that says that a cluster went away in the middle of a run.

    Parameters
    ----------
    client : distributed.Client
        It knows whether the scheduler is gone, or workers alone.
    """
    expected = _expected(client)
    rule = f"has no workers any more (waited {expected.patience_s:.0f} s)"
    if client.status != "running":
        rule = "its scheduler is gone, in the middle of the run"
    return BadInput(expected.what, rule, "Start workers or another cluster; the same command then goes on from here")


def _expected(client: Client) -> Expected:
    return _EXPECTED.get(client) or Expected("the client's cluster", PATIENCE_S)


@contextmanager
def unless_lost(client: Client, what: str, patience_s: float) -> Iterator[None]:
    """Turn whatever a scheduler that is gone makes of the work inside into the one error that says so.

    Parameters
    ----------
    client : distributed.Client
    what, patience_s
        What is said of its cluster beforehand (`Expected`).
    """
    _EXPECTED.setdefault(client, Expected(what, patience_s))
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if client.status == "running":
            raise
        LOG.debug("%s", what, exc_info=True)
        raise lost(client) from error
