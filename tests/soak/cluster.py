"""A cluster of processes that can be killed one by one: a scheduler and workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@dataclass
class Processes:
    """A scheduler and its workers, one thread each."""

    folder: Path
    """Where their logs go."""
    workers: int = 2
    restarted: bool = False
    """Whether a nanny restarts each worker that dies."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its processes."""
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen[bytes] | None = None
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return f"tcp://{LOOPBACK}:{self.port}"

    def mend(self) -> None:
        """Start whatever does not run, and wait until all workers are there."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            for worker in self.running:
                kill(worker)
            options = ["--host", LOOPBACK, "--port", str(self.port), "--no-dashboard"]
            # On a busy machine a scheduler that imports us with the first task loses its client meanwhile.
            options += ["--preload", "groundbreak.pipeline.running.tasks"]
            self.scheduler = self._start("scheduler", *options)
        self.running = [worker for worker in self.running if worker.poll() is None]
        while len(self.running) < self.workers:
            options = ["--nthreads", "1", "--host", LOOPBACK, "--no-dashboard", "--death-timeout", "60"]
            options.append("--nanny" if self.restarted else "--no-nanny")
            self.running.append(self._start("worker", self.address, *options))
        with Client(self.address, timeout="60s") as client:
            client.wait_for_workers(self.workers, timeout=120)

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{kind}.log").open("ab") as log:
            command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *options]
            own = {"DASK_TEMPORARY_DIRECTORY": str(self.folder), **self.environment}
            return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own}, cwd=self.folder)

    def close(self) -> None:
        """End all of them."""
        for process in (*self.running, self.scheduler):
            if process is not None:
                kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process as nothing can prevent, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    if process.stdout is not None:
        process.stdout.close()
