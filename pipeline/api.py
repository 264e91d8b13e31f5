"""The whole job as Python calls; the command line is a thin layer over these."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed import Client

from groundbreak.pipeline import execution
from groundbreak.pipeline.compute.offsets import Step
from groundbreak.pipeline.core import places, show
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.own_cube.cube import detect
from groundbreak.pipeline.planning import plan_file, planner
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.publish import publish
from groundbreak.pipeline.readers import headers
from groundbreak.pipeline.running import contest, place, prepared
from groundbreak.pipeline.running.due import Outcome
from groundbreak.pipeline.running.lease import Lease, locked
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.progress import silent
from groundbreak.pipeline.running.room import Room
from groundbreak.pipeline.running.runner import Listener
from groundbreak.pipeline.summary import Summary
from groundbreak.pipeline.verdict import Verdict
from groundbreak.pipeline.workers import memory_limit

__all__ = ["Result", "detect", "output_of", "plan", "redetect", "republish", "run"]

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
    verdict: Verdict
    """How many pixels were judged, what was not used and why."""
    notes: tuple[str, ...] = ()
    """What the run replaced in the output, and what it took on trust there; in sentences."""

    @property
    def good(self) -> bool:
        """Whether every region is done and some pixel could be judged: exit code 0 of the command line."""
        return not self.outcome.failed and self.verdict.good

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
            "pixels judged": self.verdict.judged,
            "pixels with too few observations": self.verdict.statuses.get("too_few_observations", 0),
            "% of the area provisional": round(100 * self.verdict.provisional_share, 3),
            "items not used": len(self.verdict.rejections),
        }

    def __repr__(self) -> str:
        return show.line("Result", self.figures)

    def _repr_html_(self) -> str:
        rows = ((s.id, s.status, s.onset, s.halt or "-", f"{s.area_m2:,.0f}") for s in self.sites)
        found = show.listing(("site", "status", "onset", "halt", "m²"), rows)
        why = show.listing(("what stands behind it",), ((line,) for line in (*self.verdict.lines, *self.notes)))
        return show.table("Result", self.figures) + f"<p>{html.escape(self.verdict.sentence)}</p>" + found + why


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
    config = _config(config)
    planned = planner.plan(config, first=plan_file.load_first(config, output_of(config)))
    Room(planned, memory_limit(config)).demand()
    return planned


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
    output.check()  # before the source: nobody should wait for a plan that cannot be written down
    place.check_strangers(output)
    with locked(output) as lease:
        output = lease.output
        if not rebuild:
            place.check_area(config, output)
        said = [place.other_source(config, output)]
        ledger = Ledger(output)
        first = plan_file.load_first(config, output)
        faults = [fault for record in ledger.records.troubled() for fault in record.faults]
        kept = headers.without_replaced(headers.load(output), faults)
        planned = planner.plan(config, kept, first, anew=rebuild)
        LOG.info("%r", planned)
        Room(planned, memory_limit(config)).demand()
        said += [place.left_behind(planned, output), place.replaced_detection(planned, output)]
        place.check_stores(output, [g.grid.name for g in planned.grids], [g.grid.frame.epsg for g in planned.grids])
        with output.named():
            if retry:
                for task in ledger.records.unsettled():
                    ledger.forget(task)
            # Before it is settled what the cubes hold: what must be built again is built of what the source has now.
            contest.overwritten(lease, ledger, planned, clear=False)
            ready = prepared.prepare(planned, output, ledger, rebuild=rebuild)
            plan_file.save(planned, output)
            headers.save(planned.headers, output)
        return _execute(config, lease, ledger, ready, client, listener or silent(), _notes(said))


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
    output.check()
    place.check_area(config, output)
    with locked(output) as lease:
        output = lease.output
        ledger = Ledger(output)
        replaced = place.replaced_detection(planned, output)
        with output.named():
            contest.overwritten(lease, ledger, planned, clear=False)
            ready = prepared.reopen(planned, output, ledger)
            for grid in ready:
                for region in grid.planned.regions:
                    ledger.forget(places.detect_task(region.key))
        return _execute(config, lease, ledger, ready, client, listener or silent(), _notes([replaced]))


def republish(config: Config | str | Path, client: Client | None = None) -> Result:
    """Publish again from the layers that are there.

    Parameters
    ----------
    config : Config or path of a configuration file
    client : distributed.Client, optional
        Left out, this process publishes a small area, and the cluster that the configuration names a large one.

    Raises
    ------
    BadInput
        Nothing has been run there, or a run is writing.
    """
    config = _config(config)
    output = output_of(config)
    planned = plan_file.load(config, output)
    output.check()
    place.check_area(config, output)
    with locked(output) as lease:
        output = lease.output
        ledger = Ledger(output)
        if again := contest.overwritten(lease, ledger, planned, clear=False):
            rule = f"holds {len(again)} regions and slabs that were overwritten by tasks of a run that was killed"
            raise BadInput(output.label, rule, "`groundbreak run` does them again, and publishes")
        with execution.workers_for(config, client, planned) as workers, output.named():
            summary = publish(planned, output, ledger, {}, workers)
    return _result(output, Outcome(failed=dict(summary.failed)), summary)


def output_of(config: Config) -> Output:
    """Return where a configuration's results go."""
    return Output(config.path(config.output.path))


def _config(config: Config | str | Path) -> Config:
    return config if isinstance(config, Config) else Config.from_toml(config)


def _execute(
    config: Config,
    lease: Lease,
    ledger: Ledger,
    ready: list[prepared.PreparedGrid],
    client: Client | None,
    listener: Listener,
    notes: tuple[str, ...],
) -> Result:
    outcome, summary = execution.carry_out(config, lease, ledger, ready, client, listener)
    return _result(lease.output, outcome, summary, notes)


def _result(output: Output, outcome: Outcome, summary: Summary, notes: tuple[str, ...] = ()) -> Result:
    """Put together what a run left behind; its output is free of the run's lease."""
    sites, faults = list(summary.sites), list(summary.faults)
    return Result(replace(output, lease=0), outcome, sites, faults, summary.contradicting, summary.verdict, notes)


def _notes(said: Iterable[str]) -> tuple[str, ...]:
    """Say in the log what a run replaces and takes on trust, and return what there was to say."""
    for text in (notes := tuple(filter(None, said))):
        LOG.warning("%s", text)
    return notes
