"""The whole job as Python calls; the command line is a thin layer over these."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client

from groundbreak import cluster, kernels, pipeline
from groundbreak.cluster.connect import connect
from groundbreak.cluster.plugins import Prepare, code_digest, differing_workers
from groundbreak.pipeline import logs
from groundbreak.pipeline.compute.offsets import Step
from groundbreak.pipeline.core import places, show
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput, Fault
from groundbreak.pipeline.own_cube.cube import detect
from groundbreak.pipeline.planning import plan_file, planner
from groundbreak.pipeline.planning.planner import Plan
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.publish import publish
from groundbreak.pipeline.readers import headers
from groundbreak.pipeline.running import prepared, runner, tasks
from groundbreak.pipeline.running.ledger import Ledger, locked
from groundbreak.pipeline.running.progress import silent
from groundbreak.pipeline.running.runner import Listener, Outcome

__all__ = ["Result", "detect", "output_of", "plan", "redetect", "republish", "run", "source_digest"]

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Result:
    """What a run left behind."""

    output: Output
    """Where it wrote."""
    outcome: Outcome
    """Which tasks were done, done before, or failed."""
    sites: list[Site]
    """The sites, largest first."""
    faults: list[Fault]
    """What could not be read, by name."""
    steps: dict[str, list[Step]]
    """Region -> steps on dark pixels that contradict the provider table, and were accepted."""

    @property
    def figures(self) -> dict[str, Any]:
        """What it came to: label -> figure."""
        outcome = self.outcome
        return {
            "output": self.output.path,
            "tasks done": outcome.done,
            "tasks done before": outcome.skipped,
            "regions failed": len(outcome.failed),
            "faults": len(self.faults),
            "sites": len(self.sites),
        }

    def __repr__(self) -> str:
        return show.line("Result", self.figures)

    def _repr_html_(self) -> str:
        rows = ((s.id, s.status, s.onset, s.halt or "-", f"{s.area_m2:,.0f}") for s in self.sites)
        return show.table("Result", self.figures) + show.listing(("site", "status", "onset", "halt", "m²"), rows)


def plan(config: Config | str | Path) -> Plan:
    """Plan a run without reading a pixel; headers of files are read.

    Parameters
    ----------
    config : Config or path of a configuration file

    Raises
    ------
    BadInput
        The configuration, the items or the area cannot be used.
    """
    return planner.plan(_config(config))


def run(
    config: Config | str | Path,
    client: Client | None = None,
    *,
    rebuild: bool = False,
    retry: bool = False,
    listener: Listener | None = None,
) -> Result:
    """Plan, build, detect and publish; what an earlier run has finished is not done again.

    Parameters
    ----------
    config : Config or path of a configuration file
    client : distributed.Client, optional
        Left out, the cluster that the configuration names.
    rebuild : bool
        Also apply what has changed inside finished slabs.
    retry : bool
        Also do again the tasks that met faults.
    listener : Listener, optional
        Told of each finished task.

    Returns
    -------
    Result

    Raises
    ------
    BadInput
        The configuration, the items or the output cannot be used; nothing has been written then. Or dark pixels
        contradict the metadata: what was built stays, and nothing is dated.
    """
    config = _config(config)
    output = output_of(config)
    planned = planner.plan(config, headers.load(output))
    LOG.info("%r", planned)
    with locked(output):
        ledger = Ledger(output)
        if retry:
            for task in [t for t, r in ledger.records.items() if r.faults or r.state not in ("done", "dropped")]:
                ledger.forget(task)
        ready = prepared.prepare(planned, output, ledger, rebuild=rebuild)
        plan_file.save(planned, output)
        headers.save({k: header for g in planned.grids for k, header in g.headers.items()}, output)
        return _execute(config, output, ledger, ready, client, listener or silent())


def redetect(config: Config | str | Path, client: Client | None = None, *, listener: Listener | None = None) -> Result:
    """Detect again on every finished region, from the cube alone, and publish.

    Raises
    ------
    BadInput
        Nothing has been run there, or the cube is not finished.
    """
    config = _config(config)
    output = output_of(config)
    planned = plan_file.load(config, output)
    with locked(output):
        ledger = Ledger(output)
        ready = prepared.reopen(planned, output, ledger)
        for grid in ready:
            for region in grid.planned.regions:
                ledger.forget(places.detect_task(region.key))
        return _execute(config, output, ledger, ready, client, listener or silent())


def republish(config: Config | str | Path) -> Result:
    """Publish again from the layers that are there.

    Raises
    ------
    BadInput
        Nothing has been run there, or a run is writing.
    """
    config = _config(config)
    output = output_of(config)
    planned = plan_file.load(config, output)
    with locked(output):
        ledger = Ledger(output)
        summary = publish(planned, output, ledger, {})
    return Result(output, Outcome(), list(summary.sites), ledger.faults(set(ledger.records)), summary.contradicting)


def output_of(config: Config) -> Output:
    """Return where a configuration's results go."""
    return Output(config.path(config.output.path))


def source_digest() -> str:
    """Return the digest of the code that this process runs."""
    return code_digest([str(Path(str(package.__file__)).parent) for package in (kernels, pipeline, cluster)])


def _config(config: Config | str | Path) -> Config:
    return config if isinstance(config, Config) else Config.from_toml(config)


def _execute(
    config: Config,
    output: Output,
    ledger: Ledger,
    ready: list[prepared.PreparedGrid],
    client: Client | None,
    listener: Listener,
) -> Result:
    work = runner.due(ready, ledger)
    try:
        if work.regions:
            with _client(config, client) as connected:
                runner.execute(work, connected, ledger, listener)
    finally:
        ledger.compact()
    outcome = work.outcome
    summary = publish(prepared.settled_plan(ready), output, ledger, outcome.ignored)
    return Result(output, outcome, list(summary.sites), ledger.faults(outcome.tasks), summary.contradicting)


@contextmanager
def _client(config: Config, client: Client | None) -> Iterator[Client]:
    """Yield a client whose workers are ready and run this very code."""
    if client is not None:
        _prepare_workers(config, client, lambda: None)
        yield client
        return
    c = config.cluster
    try:
        with connect(c.kind, **c.options) as own:
            # The log of workers that belong to somebody else is theirs to set up.
            _prepare_workers(config, own, partial(logs.log_to_stderr, logs.LOGGER.getEffectiveLevel()))
            yield own
    except OSError as error:
        if c.kind != "address":
            raise
        rule = f"must answer ({error})"
        raise BadInput(f"[cluster] address = {c.address!r}", rule, "Start the scheduler, or mend it") from None


def _prepare_workers(config: Config, client: Client, begin: Callable[[], None]) -> None:
    """Have workers compile what they will need, after making sure that they run this very code.

    Raises
    ------
    BadInput
        A worker runs other code.
    """
    different = differing_workers(client, source_digest)
    if different:
        rule = f"run other code than this client: {', '.join(different)}"
        raise BadInput("[cluster] workers", rule, "Install the same version of groundbreak on all of them")
    client.register_plugin(Prepare(partial(tasks.warm_up, config.detect.detector), begin))
