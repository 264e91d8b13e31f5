"""What a run came to: the figures of run.json and of the report's head, from the plan and the ledger."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from groundbreak.pipeline.compute.offsets import Step, region_steps
from groundbreak.pipeline.core import geo, places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.running.ledger import Ledger, now
from groundbreak.pipeline.running.place import detection_figures
from groundbreak.pipeline.stores.layout import STORE_SCHEMA, read_meta
from groundbreak.pipeline.verdict import Verdict
from groundbreak.pipeline.version import __version__


@dataclass(frozen=True)
class Summary:
    """A finished run, as far as plan and ledger tell it; what is published beside the layers."""

    plan: Plan
    sites: Sequence[Site]
    faults: Sequence[Fault]
    """The faults of this plan's builds, in order; those of older plans are history."""
    failed: Mapping[str, str]
    """Region -> why it failed, or that it has no record."""
    statuses: Mapping[str, int]
    """Status -> pixels."""
    kept: frozenset[str]
    """Keys of the regions whose cube is there."""
    steps: Mapping[str, list[Step]]
    """Region -> steps on dark pixels, where its builds can be compared."""

    @property
    def contradicting(self) -> dict[str, list[Step]]:
        """Region -> the steps that contradict the provider table, and were accepted."""
        found = {key: [step for step in steps if step.contradicts] for key, steps in self.steps.items()}
        return {key: steps for key, steps in found.items() if steps}

    @cached_property
    def verdict(self) -> Verdict:
        """What the run may claim."""
        plan, figures = self.plan, self.figures
        record = f"{figures['observations']:,} observations"
        if figures["observations"]:
            record += f" from {figures['first_observation']} to {figures['last_observation']}"
        owned = sum(r.owned for g in plan.grids for r in g.regions)
        return Verdict(
            owned,
            self.statuses,
            self.sites,
            plan.rejections,
            self.faults,
            self.failed,
            record,
            plan.notices,
            plan.short_pixels,
        )

    @property
    def figures(self) -> dict[str, int | float | str]:
        """The figures of run.json, by name."""
        plan = self.plan
        times = [o.time for g in plan.grids for o in g.observations]
        return {
            "area_km2": round(geo.ground_area(plan.area) / 1e6, 2),
            "uncovered_km2": round(plan.uncovered_km2, 3),
            "first_observation": str(min(times))[:10] if times else "",
            "last_observation": str(max(times))[:10] if times else "",
            "observations": len(times),
            "regions": sum(len(g.regions) for g in plan.grids),
            "failed_regions": len(self.failed),
            "sites": len(self.sites),
            "faults": len(self.faults),
            "rejected_items": len(plan.rejections),
        }

    @property
    def headline(self) -> dict[str, int | float | str]:
        """Label -> figure: what the report's head shows beside the figures that the page works out itself."""
        figures, regions = self.figures, sum(len(g.regions) for g in self.plan.grids)
        found = {
            "First observation": figures["first_observation"],
            "Last observation": figures["last_observation"],
            "Observations": figures["observations"],
            "Regions": f"{regions}, {len(self.failed)} failed",
            "Pixels judged": f"{self.verdict.judged:,} of {self.verdict.owned:,}",
            "Too few observations": f"{self.statuses.get('too_few_observations', 0):,} pixels",
            "Provisional": f"{100 * self.verdict.provisional_share:.3g} % of the area",
            "Items not used": figures["rejected_items"],
            "Ground without images": f"{figures['uncovered_km2']} km²",
        }
        if len(self.kept) < regions:
            found["Cubes"] = f"kept for {len(self.kept)} of {regions} regions; elsewhere sites have no series"
        return found

    def to_json(
        self, output: Output, digests: Mapping[str, Any], ignored: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        """Return the content of run.json.

        Parameters
        ----------
        output : Output
            Whose cubes tell their list of observations.
        digests : mapping
            What the published stores say of cubes and detection.
        ignored : mapping
            Grid -> items found inside finished slabs, not applied.
        """
        plan = self.plan
        sizes = [step.size for found in self.steps.values() for step in found]
        lists = {g.grid.name: read_meta(output.zarr(places.cube(g.grid.name))) for g in plan.grids}
        return {
            "schema": STORE_SCHEMA,
            "groundbreak": __version__,
            "published": now(),
            "summary": self.figures,
            "verdict": self.verdict.to_json(),
            "pixels": dict(self.statuses),
            "failed_regions": list(self.failed),
            "rejected": plan.rejected(),
            "ignored": {k: list(v) for k, v in ignored.items()},
            "offset_steps": {
                "regions": sum(bool(found) for found in self.steps.values()),
                "median": round(float(np.median(sizes)), 4) if sizes else None,
                "contradicting": {
                    key: [dataclasses.asdict(s) for s in found] for key, found in self.contradicting.items()
                },
            },
            "digests": {
                **digests,
                "observations": {name: meta.get("observation_list") for name, meta in lists.items()},
            },
            "source": plan.config.origin,
            "detect": dataclasses.asdict(plan.config.detect),
            "detection": detection_figures(plan),
        }


def summarise(plan: Plan, ledger: Ledger, sites: Sequence[Site]) -> Summary:
    """Take from the ledger what a finished run came to, region by region."""
    statuses: Counter[str] = Counter()
    failed, steps, kept = {}, {}, set()
    for planned in plan.grids:
        times = np.array([o.time for o in planned.observations], "datetime64[ms]")
        for region in planned.regions:
            record = ledger.records.get(places.detect_task(region.key))
            if record is None or record.state != "done":
                failed[region.key] = (record and record.error) or "it has not been detected on"
            if record is not None:
                statuses.update(record.counts)
            builds = [ledger.records.get(name) for name in planned.build_tasks(region, plan.depth)]
            there = [build for build in builds if build is not None]
            if len(there) == len(builds):
                steps[region.key] = region_steps(times, there)
            if len(there) < len(builds) or all(build.state != "dropped" for build in there):
                kept.add(region.key)
    return Summary(plan, sites, _faults(plan, ledger), failed, dict(statuses), frozenset(kept), steps)


def _faults(plan: Plan, ledger: Ledger) -> list[Fault]:
    """Return the faults of a plan's builds, in order."""
    regions = {region.key for planned in plan.grids for region in planned.regions}
    records = (r for r in ledger.records.troubled() if places.kind_of(r.task) == places.BUILD)
    mine = {r.task: r.faults for r in records if places.region_of(r.task) in regions}
    return [fault for task in sorted(mine) for fault in mine[task]]
