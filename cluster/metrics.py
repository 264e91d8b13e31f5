"""Figures on the scheduler's own Prometheus endpoint, `/metrics` of its dashboard's address, beside those of Dask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin


def plugin(topic: str, meanings: Mapping[str, str]) -> SchedulerPlugin:
    """Return a plugin of schedulers that shows the figures which clients log last under a topic.

    It travels whole: its scheduler need not have groundbreak. Where that has no prometheus-client, nothing is shown.

    Parameters
    ----------
    topic : str
        Of `distributed.Client.log_event`; its events are mappings of names to numbers.
    meanings : mapping
        Name of a figure -> what it means. The name on the endpoint begins with the topic.
    """
    explained = dict(meanings)

    # A class that no module holds is not looked for in one, but is sent as it is.
    class Figures(SchedulerPlugin):
        name = f"{topic}-metrics"
        idempotent = True

        def __init__(self) -> None:
            self.last: dict[str, float] = {}

        async def start(self, scheduler: Scheduler) -> None:  # noqa: ARG002 - Dask's signature
            with suppress(ImportError):
                from prometheus_client import REGISTRY

                REGISTRY.register(self)

        async def close(self) -> None:
            with suppress(ImportError, KeyError):
                from prometheus_client import REGISTRY

                REGISTRY.unregister(self)

        def log_event(self, told: str, msg: Any) -> None:
            if told == topic:
                self.last = dict(msg)

        def describe(self) -> list[Any]:
            return []  # so that nothing is collected before there is anything

        def collect(self) -> Iterator[Any]:
            from prometheus_client.core import GaugeMetricFamily

            for name, value in self.last.items():
                yield GaugeMetricFamily(f"{topic}_{name}", explained.get(name, name), value=value)

    return Figures()
