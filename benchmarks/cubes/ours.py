"""Our builder, as a run calls it: plan (headers are read there), stores laid out, every slab of every region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cubes.job import BANDS, Job
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.planning import planner
from groundbreak.pipeline.readers import assets
from groundbreak.pipeline.running import prepared, tasks
from groundbreak.pipeline.running.ledger import Ledger


def warm_up() -> None:
    """Compile."""
    assets.warm_up()


def run(job: Job) -> dict[str, Any]:
    """Build the cubes of a job below its folder."""
    config = Config.from_dict(
        {
            "area": {"geometry": job.area},
            "source": {"items": job.items, "datetime": job.span, "allow_hosts": ["127.0.0.1"]},
            "output": {"path": job.out},
            "cube": {"region": job.region, "slab": 60, "bands": list(BANDS)},
            # Two of the bands; no other than these is read.
            "detect": {"indices": ["ndvi"]},
        },
        Path(job.out),
    )
    plan = planner.plan(config)
    output = Output(job.out)
    for ready in prepared.prepare(plan, output, Ledger(output), rebuild=False):
        for region in ready.planned.regions:
            for task in ready.builds(region):
                record = tasks.build(ready.share, task)
                if record.state != "done" or record.faults:
                    raise RuntimeError(record.error or record.faults[0].error)
    return {"regions": sum(len(g.regions) for g in plan.grids)}
