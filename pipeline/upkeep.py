"""Looking after an output: whether its bytes are still those that were written."""

from __future__ import annotations

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output, checksum
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.planning import plan_file
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.running.lease import locked
from groundbreak.pipeline.running.ledger import Ledger


def verify(config: Config, output: Output) -> dict[str, list[str]]:
    """Hash every object that a finished task wrote, and make the tasks of damaged ones be done again.

    Returns
    -------
    dict
        Task -> objects of it that are missing or differ; empty where all is well.

    Raises
    ------
    BadInput
        Nothing has been run there, or a run is writing.
    """
    plan = plan_file.load(config, output)
    damaged = {}
    with locked(output) as lease:
        ledger = Ledger(lease.output)
        for name in _names(plan):
            record = ledger.records.get(name)
            if record is not None and record.state == "done" and (bad := _damage(output, record)):
                damaged[name] = bad
                ledger.forget(name)
        ledger.compact()
    return damaged


def _damage(output: Output, record: Record) -> list[str]:
    found = {key: output.get(key) for key in record.checksums}
    return [key for key, data in found.items() if data is None or checksum(data) != record.checksums[key]]


def _names(plan: Plan) -> list[str]:
    """Name every task of a plan."""
    regions = ((planned, region) for planned in plan.grids for region in planned.regions)
    return [name for g, r in regions for name in (*g.build_tasks(r, plan.depth), places.detect_task(r.key))]
