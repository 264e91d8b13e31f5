"""The figures of a run as they grow, told to the cluster, whose scheduler shows them to Prometheus."""

from __future__ import annotations

import time
from contextlib import suppress

from distributed import Client

from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running.runner import Listener

TOPIC = "groundbreak"
"""What the figures are told under."""
MEANINGS = {
    "tasks": "Tasks of the run",
    "tasks_done": "Tasks that are done, the failed ones included",
    "tasks_done_before": "Tasks that earlier runs had done",
    "tasks_failed": "Tasks that failed, or are quarantined",
    "faults": "Assets of a region that could not be read",
    "retries": "Attempts to read an asset that were not the first",
    "pixels": "Pixels that were built, of all bands and observations, or detected on",
    "bytes_read": "Bytes of the source's files that came",
    "bytes_written": "Bytes that were written",
    "task_seconds": "Seconds that tasks took",
    "waited_seconds": "Seconds in which tasks waited for hosts in trouble",
}
"""Name of a figure -> what it means."""
EVERY_S = 1.0
"""Seconds between two tellings."""


def telling(client: Client, listener: Listener) -> Listener:
    """Return a listener that tells what it hears to another one, and the figures to the cluster.

    Parameters
    ----------
    client : distributed.Client
        Its scheduler shows them, if it has the plugin (`groundbreak.cluster.metrics`).
    listener : Listener
    """
    figures, told = dict.fromkeys(MEANINGS, 0.0), -EVERY_S

    def tell(*, at_once: bool) -> None:
        nonlocal told
        if at_once or time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            with suppress(Exception):  # a scheduler that is gone is met by whoever waits for tasks
                client.log_event(TOPIC, dict(figures))

    def started(total: int, skipped: int, dashboard: str) -> None:
        figures.update(tasks=total, tasks_done_before=skipped)
        listener.started(total, skipped, dashboard)
        tell(at_once=True)

    def finished(record: Record) -> None:
        figures["tasks_done"] += 1
        figures["tasks_failed"] += record.state != "done"
        figures["faults"] += len(record.faults)
        for name in ("retries", "pixels", "bytes_read", "bytes_written"):
            figures[name] += getattr(record, name)
        figures["task_seconds"] += record.seconds.get("total", 0.0)
        figures["waited_seconds"] += record.seconds.get("waited", 0.0)
        listener.finished(record)
        tell(at_once=figures["tasks_done"] >= figures["tasks"])

    return Listener(started, finished)
