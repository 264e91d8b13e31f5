"""Grids made ready for a run: stores laid out or extended, lists of observations settled, tasks named.

Everything that can be refused is checked before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.compute.build import SlabJob
from groundbreak.pipeline.compute.detection import Settings
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput, Grid, Region, Slab, digest
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.planning.planner import GridPlan, Plan, slabs
from groundbreak.pipeline.running import reconcile, tasks
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.reconcile import Reconciled, slab_identity
from groundbreak.pipeline.stores import layout
from groundbreak.pipeline.stores.shards import largest_divisor


@dataclass(frozen=True)
class PreparedGrid:
    """A grid made ready: its store laid out, its list of observations settled."""

    plan: Plan
    planned: GridPlan
    settled: Reconciled
    output: Output

    @property
    def cube_key(self) -> str:
        return cube_key(self.planned.grid.name)

    @cached_property
    def area(self) -> BaseGeometry:
        """In the grid's CRS."""
        return areas.project(self.plan.area, self.planned.grid.frame.epsg)

    @cached_property
    def times(self) -> np.ndarray:
        """(time,) datetime64[ms], of the cube."""
        return np.array([o.time for o in self.settled.observations], "datetime64[ms]")

    @cached_property
    def result(self) -> str:
        """Digest of what the layers depend on."""
        return digest([self.planned.cube, self.settled.digest, self.plan.detection])

    def slabs(self) -> list[Slab]:
        return slabs(len(self.settled.observations), self.plan.depth)

    def build(self, region: Region, slab: Slab) -> tasks.BuildTask:
        part = slice(slab.start, slab.stop)
        observations, known = self.settled.observations[part], self.planned.headers
        job = SlabJob(self.planned.grid, region, observations, self.plan.mask, self.plan.access, known)
        identity = slab_identity(self.planned.cube, region, slab.start, self.settled.versions[part])
        return tasks.BuildTask(build_name(region, slab.index), identity, self.output, self.cube_key, slab, job)

    def fits(self, region: Region) -> bool:
        """Whether a region's whole series may stay in memory, so that it is built and detected on in one task."""
        return budget.fits(self.planned.grid, region.window, len(self.times), self.plan.config.detect.indices)

    def detect(self, region: Region) -> tasks.DetectTask:
        """Not informed yet of what its builds met."""
        grid, config = self.planned.grid, self.plan.config
        detect = config.detect
        rows = budget.strip_rows(grid, region.window, len(self.times), detect.indices)
        return tasks.DetectTask(
            detect_name(region),
            self.result,
            self.output,
            self.cube_key,
            layers_key(grid.name),
            grid,
            region,
            self.planned.others,
            self.area,
            self.plan.mask,
            self.times,
            Settings(detect.detector, detect.indices, detect.history_end, dict(detect.params)),
            rows,
            config.run.fault_threshold,
        )


def cube_key(grid: str) -> str:
    return f"{grid}/cube.zarr"


def layers_key(grid: str) -> str:
    return f"{grid}/change.zarr"


def build_name(region: Region, slab: int) -> str:
    return f"build/{region.key}/s{slab:04d}"


def _slab_number(build: str) -> int:
    """The slab's number in a build's name."""
    return int(build.rpartition("/s")[2])


def detect_name(region: Region) -> str:
    return f"detect/{region.key}"


def prepare(plan: Plan, output: Output, ledger: Ledger, *, rebuild: bool) -> list[PreparedGrid]:
    """Lay out or extend the stores of every grid, after checking that all of them can be.

    Raises
    ------
    BadInput
        The output holds another cube, or there is too little disk. Nothing has been written then.
    """
    stages, metas = [], []
    for planned in plan.grids:
        key = cube_key(planned.grid.name)
        meta = layout.read_meta(output.zarr(key)) if output.holds(key) else {}
        stored = meta.get("observations", [])
        if meta and meta.get("cube", planned.cube) != planned.cube:
            what = f"[output] path = {output.path!r}"
            rule = f"holds another cube of {planned.grid.name} (other grid, bands, source or screening)"
            raise BadInput(what, rule, "Choose another output, or remove that one")
        done = 0 if rebuild else _finished(plan, planned, stored, ledger)
        reconciled = reconcile.reconcile(stored, planned.observations, done)
        stages.append(PreparedGrid(plan, planned, reconciled, output))
        metas.append(meta)
    _check_disk(plan, output, ledger)
    for stage, meta in zip(stages, metas, strict=True):
        _lay_out(stage, meta, ledger)
    return stages


def reopen(plan: Plan, output: Output, ledger: Ledger) -> list[PreparedGrid]:
    """The stages of an output as it stands, for detection alone.

    Raises
    ------
    BadInput
        A slab is not finished.
    """
    stages = []
    for planned in plan.grids:
        meta = layout.read_meta(output.zarr(cube_key(planned.grid.name)))
        versions = tuple(o["version"] for o in meta["observations"])
        stage = PreparedGrid(plan, planned, Reconciled(planned.observations, versions, ()), output)
        tasks_due = [
            b
            for r in planned.regions
            for s in stage.slabs()
            if not ledger.finished((b := stage.build(r, s)).name, b.identity)
        ]
        if tasks_due:
            dropped = sum(ledger.built(b.name, b.identity) for b in tasks_due)
            rule = f"{len(tasks_due)} slabs are not built yet"
            if dropped:
                rule = f"{dropped} slabs were built and not kept ([cube] keep = false)"
            what = f"[output] path = {output.path!r}"
            raise BadInput(what, rule, "`groundbreak run` builds what is missing, and detects")
        stages.append(stage)
    return stages


def settled_plan(stages: list[PreparedGrid]) -> Plan:
    """The plan with the lists of observations that the cubes really hold."""
    grids = tuple(replace(s.planned, observations=s.settled.observations) for s in stages)
    return replace(stages[0].plan, grids=grids)


def _finished(plan: Plan, planned: GridPlan, stored: list[dict[str, Any]], ledger: Ledger) -> int:
    """How many stored observations, from the first, lie in full slabs that every region has finished."""
    versions = [entry["version"] for entry in stored]
    for slab in range(len(stored) // plan.depth):
        start = slab * plan.depth
        part = versions[start : start + plan.depth]
        wanted = ((build_name(r, slab), slab_identity(planned.cube, r, start, part)) for r in planned.regions)
        if not all(ledger.finished(*task) for task in wanted):
            return start
    return len(stored) // plan.depth * plan.depth


def _check_disk(plan: Plan, output: Output, ledger: Ledger) -> None:
    free = output.free_bytes()
    need = plan.disk_bytes() - sum(r.bytes_written for r in ledger.records.values())
    if free is not None and need > free:
        rule = f"needs about {need / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free"
        raise BadInput(f"[output] path = {output.path!r}", rule, "Free some space or choose another disk")


def _lay_out(stage: PreparedGrid, meta: Mapping[str, Any], ledger: Ledger) -> None:
    plan, planned, output = stage.plan, stage.planned, stage.output
    grid, named = planned.grid, {"cube": planned.cube, "grid": planned.grid.name}
    cube, layers = output.zarr(stage.cube_key), output.zarr(layers_key(grid.name))
    # Slabs that a shorter list drops go with their records, before they do, or a longer one would take them for there.
    # Of a store that is gone (or was never finished being laid out) no record proves anything.
    stay = len(stage.slabs()) if "cube" in meta else 0
    _forget(ledger, [t for t in _records(ledger, "build", grid) if _slab_number(t) >= stay])
    listed = {"observations": _entries(stage, meta), "observation_list": stage.settled.digest}
    layout.lay_out_cube(cube, grid, plan.mask, plan.depth, stage.settled.observations, {**named, **listed})
    if "cube" not in layout.read_meta(layers):
        _forget(ledger, _records(ledger, "detect", grid))
        layout.lay_out_layers(layers, grid.frame, largest_divisor(grid.region, layout.LAYER_CHUNK), named)


def _records(ledger: Ledger, kind: str, grid: Grid) -> list[str]:
    return [task for task in ledger.records if task.startswith(f"{kind}/{grid.name}/")]


def _forget(ledger: Ledger, names: list[str]) -> None:
    for task in names:
        ledger.forget(task)


def _entries(stage: PreparedGrid, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list for the metadata; an observation that is no longer offered keeps its old entry."""
    old = {e["id"]: e for e in meta.get("observations", [])}
    return [e if e["items"] else old[e["id"]] for e in reconcile.stored_list(stage.settled.observations)]
