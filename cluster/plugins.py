"""What every worker does once when it joins, and the check that it runs the same code as the client."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client, Worker
from distributed.diagnostics.plugin import WorkerPlugin


class Prepare(WorkerPlugin):
    """Compile the kernels while the first slabs are built, and leave Ctrl-C to the client.

    Parameters
    ----------
    warm_up : callable
        Called once in every worker, in a thread of its own.
    begin : callable
        Called first in every worker that is a process of its own; sets up its log.
    """

    name = "groundbreak-prepare"

    def __init__(self, warm_up: Callable[[], Any], begin: Callable[[], Any]) -> None:
        self.warm_up, self.begin = warm_up, begin

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - dask calls it so
        """Make a worker ready; dask calls this when the worker joins."""
        if threading.current_thread() is threading.main_thread():
            self.begin()
            # Ctrl-C reaches the whole process group of a terminal; the client decides what becomes of the workers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        # In a thread: the worker reads and writes meanwhile, and a task that needs a kernel waits for the compiler's
        # own lock.
        threading.Thread(target=self.warm_up, name="warm-up", daemon=True).start()


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
