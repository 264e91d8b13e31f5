"""What every worker does when it joins and when it leaves, and the check that it runs the same code as the client."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import Client, Status, Worker
from distributed.diagnostics.plugin import WorkerPlugin

LOG = logging.getLogger(__name__)

FAREWELL_S = 2.0
"""Seconds that a worker which is told to end takes to say so: its nanny kills it after four."""


class Prepare(WorkerPlugin):
    """Compile the kernels while the first slabs are built, refuse other code, leave signals to others, and say goodbye.

    Parameters
    ----------
    warm_up : callable
        Called once in every worker, in a thread of its own.
    begin : callable
        Called first in every worker that is a process of its own; sets up its log.
    digest : callable
        Returns the digest of the code of the process that calls it.
    """

    name = "groundbreak-prepare"

    def __init__(self, warm_up: Callable[[], Any], begin: Callable[[], Any], digest: Callable[[], str]) -> None:
        self.warm_up, self.begin, self.digest = warm_up, begin, digest
        self.expected = digest()

    def setup(self, worker: Worker) -> None:
        """Make a worker ready; dask calls this when the worker joins, however late that is."""
        if self.digest() != self.expected:
            LOG.error("%s runs other code than its client, and leaves", worker.address)
            worker.loop.add_callback(worker.close, reason="groundbreak-other-code")
            return
        if threading.current_thread() is threading.main_thread():
            self.begin()
            # Ctrl-C reaches the whole process group of a terminal; the client decides what becomes of the workers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if worker.nanny:
                # Batch systems signal every process of a job: the nanny ends its worker in good order.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # In a thread: the worker reads and writes meanwhile, and a task that needs a kernel waits for the compiler's
        # own lock.
        threading.Thread(target=self.warm_up, name="warm-up", daemon=True).start()

    async def teardown(self, worker: Worker) -> None:
        """Have the scheduler give a leaving worker's tasks to others, and hold nothing against these tasks.

        Machines that may be taken away send SIGTERM first. To the scheduler a worker that then ends within a task has
        died of it, and the third one takes the task down as a failed region. A worker that stays gets the plugin of the
        next run in place of this one.
        """
        if worker.status != Status.closing or not worker.state.tasks:
            return
        with suppress(Exception):  # a scheduler that is gone needs no farewell
            leave = worker.scheduler.retire_workers(
                workers=[worker.address], close_workers=False, remove=True, stimulus_id="groundbreak-leaving"
            )
            await asyncio.wait_for(leave, FAREWELL_S)


def code_digest(folders: list[str]) -> str:
    """Return the sha256 over the Python sources below some folders, names and bytes."""
    total = hashlib.sha256()
    for folder in folders:
        root = Path(folder)
        for file in sorted(root.rglob("*.py")):
            total.update(str(file.relative_to(root)).encode())
            total.update(file.read_bytes())
    return total.hexdigest()


def differing_workers(client: Client, digest: Callable[[], str]) -> list[str]:
    """Return the addresses of the workers whose code is not the client's.

    Parameters
    ----------
    client : distributed.Client
    digest : callable
        Returns the digest of the code of the process that calls it.
    """
    mine = digest()
    return sorted(address for address, theirs in client.run(digest, on_error="return").items() if theirs != mine)
