"""Sending tasks to the cluster, small, and opaque to its scheduler.

What the tasks of a grid share is a task of its own that they depend on: it goes to each worker once, and is made again
where the only worker that had it dies.
"""

from __future__ import annotations

import os
import pickle

from distributed import Client, Future

from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running import tasks
from groundbreak.pipeline.running.opaque import call_bytes
from groundbreak.pipeline.running.orders import BuildTask, DetectTask, Task
from groundbreak.pipeline.running.prepared import PreparedGrid
from groundbreak.pipeline.running.shared import Parcel, pack


def _perform(parcel: str, data: bytes, task: Task) -> bytes:
    return pickle.dumps(tasks.run(Parcel(parcel, data).open(), task))


def records_of(future: Future[bytes]) -> list[Record]:
    """Return the records that a task has left, which travel as bytes: Dask would look into a list, and weigh it."""
    found: list[Record] = pickle.loads(future.result())  # noqa: S301 - from a worker of this run
    return found


def calling(parcel: str, task: Task) -> bytes:
    """Return what a task travels as: unpickled beside the bytes of its grid's shared part, it is done.

    Parameters
    ----------
    parcel : str
        Name of the shared part's parcel.
    task : Task
    """
    return call_bytes(_perform, parcel, pickle.PickleBuffer(b""), task)


class Dispatcher:
    """Submits the tasks of grids.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        # A scheduler may hold tasks of the same names: of other outputs, or of a run that failed.
        self._run = os.urandom(4).hex()
        self._shares: dict[str, tuple[str, Future[bytes]]] = {}

    def submit(self, grid: PreparedGrid, task: Task) -> Future[bytes]:
        """Submit a task of a grid, after what the grid's tasks share."""
        if grid.name not in self._shares:
            parcel = pack(grid.share)
            future = self._client.submit(bytes, parcel.data, key=("share", f"{parcel.name}#{self._run}"), pure=False)
            self._shares[grid.name] = parcel.name, future
        parcel_name, shared = self._shares[grid.name]
        call = calling(parcel_name, task)
        kind = "build" if isinstance(task, BuildTask) else "detect" if isinstance(task, DetectTask) else "region"
        # One prefix for each kind: the scheduler keeps every prefix for ever.
        key = kind, f"{task.name}#{task.identity}#{task.attempts}#{self._run}"
        return self._client.submit(pickle.loads, call, buffers=[shared], key=key, pure=False)

    def release(self, grid: PreparedGrid) -> None:
        """Let the cluster forget what the tasks of a grid share: there will be no more of them."""
        found = self._shares.pop(grid.name, None)
        if found is not None:
            found[1].release()
