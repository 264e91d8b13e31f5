"""A client of the cluster that the configuration names, and its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
from distributed import Client

from groundbreak.cluster import policy
from groundbreak.cluster.kinds import AT_ONCE_S, KINDS
from groundbreak.cluster.request import Request

LOG = logging.getLogger(__name__)


class NotOpened(Exception):
    """A cluster could not be started, or does not answer; the text says why in one line."""


class NoWorkers(Exception):
    """A cluster has no worker that answers."""


@contextmanager
def connect(kind: str, **asked: Any) -> Iterator[Client]:
    """Yield a connected client of a cluster; what was started for it ends with it.

    Parameters
    ----------
    kind : str
        An entry of `kinds.KINDS`.
    **asked
        Fields of a `Request`: those that the kind needs, and of those that it takes any.

    Raises
    ------
    NotOpened
        The cluster cannot be started, or does not answer.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(dask.config.set(policy.SETTINGS))
            client = stack.enter_context(KINDS[kind].open(Request(**asked)))
        except Exception as error:  # every library has errors of its own
            raise NotOpened(_in_one_line(error)) from error
        yield client


def _in_one_line(error: BaseException) -> str:
    """Return what an error says first; a cluster that failed to start keeps the reason as its cause."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [""])[0] or type(error).__name__


def demand_workers(client: Client, patience_s: float = AT_ONCE_S) -> None:
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
