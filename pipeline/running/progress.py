"""Telling people how a run goes: a bar on a terminal, log lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running.runner import Listener

EVERY_S = 5.0
"""Between two log lines."""


class Tally:
    """The figures of a run so far."""

    def __init__(self) -> None:
        self.total = self.done = self.skipped = self.faults = self.failed = self.pixels = 0
        self.begun = time.monotonic()

    def count(self, record: Record) -> None:
        """Take a finished task into the figures."""
        self.done += 1
        self.faults += len(record.faults)
        self.failed += record.state != "done"
        self.pixels += record.pixels

    @property
    def rate(self) -> float:
        """Pixels (of bands and observations when building, of the area when detecting) per second."""
        return self.pixels / max(time.monotonic() - self.begun, 1e-9)

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest will take if it goes on like this; None before the first task is done."""
        if not self.done:
            return None
        return (time.monotonic() - self.begun) / self.done * max(self.total - self.done, 0)


@contextmanager
def listener(mode: str = "auto") -> Iterator[Listener]:
    """Yield a listener that prints to standard error.

    Parameters
    ----------
    mode : {"auto", "plain", "json", "none"}
        auto: a bar on a terminal, plain lines elsewhere; none: nothing at all.
    """
    if mode == "none":
        yield silent()
        return
    tally = Tally()
    if mode == "auto" and sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[faults]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            item = bar.add_task("tasks", total=None, rate="", faults="")

            def show() -> None:
                faults = f"{tally.faults} faults" if tally.faults else ""
                bar.update(
                    item, total=tally.total, completed=tally.done, rate=f"{tally.rate / 1e6:.2f} Mpx/s", faults=faults
                )

            yield _listener(tally, show, lambda values: bar.console.print(f"dashboard: {values['dashboard']}"))
        return
    last = 0.0

    def say(values: dict[str, Any]) -> None:
        text = json.dumps(values) if mode == "json" else " ".join(f"{k}={v}" for k, v in values.items())
        print(text, file=sys.stderr, flush=True)

    def line() -> None:
        nonlocal last
        if tally.done < tally.total and time.monotonic() - last < EVERY_S:
            return
        last = time.monotonic()
        eta = tally.eta_s
        say(
            {
                "tasks": tally.done,
                "of": tally.total,
                "done_before": tally.skipped,
                "pixels_per_s": round(tally.rate),
                "eta_s": None if eta is None else round(eta),
                "faults": tally.faults,
                "failed": tally.failed,
            }
        )

    yield _listener(tally, line, say)


def _listener(tally: Tally, show: Callable[[], None], say: Callable[[dict[str, Any]], None]) -> Listener:
    def started(total: int, skipped: int, dashboard: str) -> None:
        tally.total, tally.skipped, tally.begun = total, skipped, time.monotonic()
        say({"dashboard": dashboard})
        show()

    def finished(record: Record) -> None:
        tally.count(record)
        show()

    return Listener(started, finished)


def silent() -> Listener:
    """Return a listener that says nothing."""
    return Listener(lambda _total, _skipped, _dashboard: None, lambda _record: None)
