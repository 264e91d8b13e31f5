"""Spreading jobs over a cluster in a bounded window, for work that leaves no completion records: publishing."""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from distributed import Client, Future, KilledWorker

from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.opaque import call_bytes
from groundbreak.pipeline.running.watch import lost, watched

LOG = logging.getLogger(__name__)

JOBS_PER_THREAD = 4
"""Jobs for each thread of the workers that are submitted and not yet taken back: none waits while others are joined."""


def mapper(client: Client | None) -> Mapper:
    """Return what does jobs on a cluster, or in this process where there is no client."""
    return here if client is None else Spread(client)


@dataclass(frozen=True)
class Spread:
    """Does jobs on the workers of a client; a `Mapper`."""

    client: Client

    def __call__[Job, Result](self, function: Callable[[Job], Result], jobs: Iterable[Job], /) -> Iterator[Result]:
        """Yield the results in the order of the jobs; the window follows the workers that are there.

        Raises
        ------
        BadInput
            The cluster has gone away, or its workers die of a job.
        """
        waiting: dict[Future[Result], None] = {}
        order: deque[Future[Result]] = deque()
        queue = iter(jobs)
        with watched(self.client, waiting) as cluster:
            try:
                while True:
                    for job in islice(queue, max(JOBS_PER_THREAD * cluster.threads - len(order), 0)):
                        call = call_bytes(function, job)
                        order.append(self.client.submit(pickle.loads, call, key=self._key(function), pure=False))
                        waiting[order[-1]] = None
                    if not order:
                        return
                    future = order.popleft()
                    yield self._result(future)
                    del waiting[future]
                    future.release()
            finally:
                with suppress(OSError, RuntimeError):  # a scheduler that is gone has cancelled them
                    self.client.cancel(list(order))

    def _key(self, function: Callable[..., object]) -> tuple[str, str]:
        """Return a key of its own: one prefix for each kind of job, since the scheduler keeps every prefix for ever."""
        return getattr(function, "__name__", "job"), os.urandom(8).hex()

    def _result[Result](self, future: Future[Result]) -> Result:
        """Wait for a result; a job's own error is raised as it is."""
        error = future.exception()
        if future.cancelled():
            raise lost(self.client)
        if isinstance(error, KilledWorker):
            LOG.debug("publishing", exc_info=error)
            rule = "its workers die while they publish, which may be for want of memory"
            raise BadInput(
                "[cluster]", rule, "Give workers more memory; `groundbreak publish` then publishes"
            ) from error
        return future.result()
