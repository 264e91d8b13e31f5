"""Grids made ready for a run: stores laid out or extended, lists of observations settled, tasks made.

Everything that can be refused is checked before anything is written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from groundbreak.kernels import bands_of
from groundbreak.pipeline.compute.detection import DetectionSettings
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput, Grid, Region, Slab
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.planning.plans import GridPlan, Plan
from groundbreak.pipeline.planning.regions import Ownership
from groundbreak.pipeline.running import reconcile
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import BuildTask
from groundbreak.pipeline.running.reconcile import Reconciled, slab_identity
from groundbreak.pipeline.running.shared import GridShare
from groundbreak.pipeline.stores import layout
from groundbreak.pipeline.stores.shards import largest_divisor

LOG = logging.getLogger(__name__)


STORE_REMEDY = "Put a copy of it back; or delete the whole store, and the next run builds it again"
"""What to do about a damaged root of a store."""


@dataclass(frozen=True)
class PreparedGrid:
    """A grid made ready: its list of observations settled, its stores laid out."""

    plan: Plan
    planned: GridPlan
    settled: Reconciled
    output: Output
    stored: Mapping[str, Any] = field(default_factory=dict)
    """What the cube's metadata said before; empty where there was no cube."""

    def __repr__(self) -> str:
        return f"<PreparedGrid {self.name}: {len(self.settled.observations)} observations>"

    @property
    def name(self) -> str:
        """The grid's name."""
        return self.planned.grid.name

    @cached_property
    def share(self) -> GridShare:
        """What the grid's tasks share."""
        plan, planned, chosen = self.plan, self.planned, self.plan.config.detect
        return GridShare(
            self.output,
            planned.grid,
            plan.mask,
            plan.access,
            plan.depth,
            self.settled.observations,
            self.settled.versions,
            planned.headers,
            planned.cube,
            digest([planned.cube, self.settled.digest, plan.detection]),
            chosen.indices,
            Ownership(planned.grid, planned.others, areas.around(plan.area, planned.grid.frame)),
            DetectionSettings(chosen.detector, chosen.history_end, dict(chosen.params)),
            plan.config.run.fault_threshold,
            plan.config.source.accept_offset_step,
        )

    def slabs(self) -> tuple[Slab, ...]:
        """Cut the settled list of observations into slabs."""
        return self.share.slabs()

    def build_tasks(self, region: Region) -> list[str]:
        """Name the tasks that build a region, slab by slab."""
        return [places.build_task(region.key, slab.index) for slab in self.slabs()]

    def builds(self, region: Region) -> list[BuildTask]:
        """Make the tasks that build a region, slab by slab."""
        return [self.share.build(region, slab) for slab in self.slabs()]

    def fits(self, region: Region) -> bool:
        """Tell whether a region's whole series may stay in memory, so that one task builds it and detects on it."""
        size = budget.mask_size(self.plan.mask)
        count, indices = len(self.settled.observations), self.plan.config.detect.indices
        return budget.fits(self.planned.grid, region.window, count, indices, size)


def prepare(plan: Plan, output: Output, ledger: Ledger, *, rebuild: bool) -> list[PreparedGrid]:
    """Lay out or extend the stores of every grid, after checking that all of them can be.

    Parameters
    ----------
    plan : Plan
    output : Output
    ledger : Ledger
        Records of what can no longer be trusted are taken out of it.
    rebuild : bool
        Also apply what has changed inside finished slabs.

    Raises
    ------
    BadInput
        The output holds another cube, or there is too little disk. Nothing has been written then.
    """
    grids = [_reconciled(plan, planned, output, ledger, rebuild) for planned in plan.grids]
    _check_disk(plan, output, ledger)
    tasks = ledger.records.by_grid()
    for grid in grids:
        _lay_out(grid, ledger, tasks.get(grid.name, ()))
    return grids


def reopen(plan: Plan, output: Output, ledger: Ledger) -> list[PreparedGrid]:
    """Take the grids of an output as they stand, for detection alone.

    Raises
    ------
    BadInput
        A slab is not finished.
    """
    grids, tasks = [], ledger.records.by_grid()
    for planned in plan.grids:
        key = places.cube(planned.grid.name)
        stored = layout.read_meta(output.zarr(key))
        with output.understood(f"{key}/{layout.ROOT}", STORE_REMEDY):
            versions = tuple(o["version"] for o in stored["observations"])
        _check_bands(plan, planned)
        layout.mend_cube(output.zarr(key), planned.grid, plan.mask, plan.depth, planned.observations)
        grid = PreparedGrid(plan, planned, Reconciled(planned.observations, versions, ()), output, stored)
        builds = (build for region in planned.regions for build in grid.builds(region))
        missing = [build for build in builds if not ledger.finished(build.name, build.identity)]
        if missing:
            dropped = sum(ledger.built(build.name, build.identity) for build in missing)
            rule = f"{len(missing)} slabs are not built yet"
            if dropped:
                rule = f"{dropped} slabs were built and not kept ([cube] keep = false)"
            what = f"[output] path = {output.path!r}"
            raise BadInput(what, rule, "`groundbreak run` builds what is missing, and detects")
        _lay_out_layers(grid, ledger, tasks.get(grid.name, ()))
        grids.append(grid)
    return grids


def settled_plan(grids: Sequence[PreparedGrid]) -> Plan:
    """Return the plan with the lists of observations that the cubes really hold."""
    settled = tuple(replace(g.planned, observations=g.settled.observations) for g in grids)
    return replace(grids[0].plan, grids=settled)


def _reconciled(plan: Plan, planned: GridPlan, output: Output, ledger: Ledger, rebuild: bool) -> PreparedGrid:
    """Set a grid's observations against those that its cube holds; nothing is written."""
    key = places.cube(planned.grid.name)
    stored = layout.read_meta(output.zarr(key)) if output.holds(key) else {}
    if stored and planned.replaces and stored.get("cube") == planned.replaces != planned.cube:
        # Only its lattice is chosen otherwise, and that was asked for (--rebuild): the cube is made anew.
        stored = {}
    if stored and stored.get("cube", planned.cube) != planned.cube:
        what = f"[output] path = {output.path!r}"
        rule = f"holds another cube of {planned.grid.name} (other grid, bands, source or screening)"
        raise BadInput(what, rule, "Choose another output, or remove that one")
    with output.understood(f"{key}/{layout.ROOT}", STORE_REMEDY):
        listed = stored.get("observations", [])
        finished = 0 if rebuild else _finished(plan, planned, listed, ledger)
        settled = reconcile.reconcile(listed, planned.observations, finished)
    grid = PreparedGrid(plan, planned, settled, output, stored)
    LOG.info(
        "%s: the cube holds %d observations, %d of them finished; the plan has %d; %d changes are not applied",
        *(grid.name, len(listed), finished, len(planned.observations), len(settled.ignored)),
    )
    return grid


def _finished(plan: Plan, planned: GridPlan, stored: list[dict[str, Any]], ledger: Ledger) -> int:
    """Count the stored observations, from the first, that lie in full slabs that every region has finished."""
    versions = [entry["version"] for entry in stored]
    # A region that has just come to the plan has nothing to keep, and must not undo what the others have finished.
    count = len(stored) // plan.depth
    regions = [r for r in planned.regions if _is_known(r, count, ledger)]
    for slab in range(count):
        start = slab * plan.depth
        part = versions[start : start + plan.depth]
        wanted = ((places.build_task(r.key, slab), slab_identity(planned.cube, r, start, part)) for r in regions)
        if not regions or not all(ledger.finished(*task) for task in wanted):
            return start
    return count * plan.depth


def _is_known(region: Region, slabs: int, ledger: Ledger) -> bool:
    """Tell whether a region was there before: one whose record of a slab is lost has others."""
    names = (places.detect_task(region.key), *(places.build_task(region.key, slab) for slab in range(slabs)))
    return any(name in ledger.records for name in names)


def _check_disk(plan: Plan, output: Output, ledger: Ledger) -> None:
    """Raise BadInput where the output's disk has too little room for what is left to write."""
    free = output.free_bytes()
    need = plan.disk_bytes() - ledger.records.bytes_written
    if free is not None and need > free:
        rule = f"needs about {need / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free"
        raise BadInput(f"[output] path = {output.path!r}", rule, "Free some space or choose another disk")


def _lay_out(grid: PreparedGrid, ledger: Ledger, tasks: Sequence[str]) -> None:
    """Write the documents of a grid's two stores, where they are not as they should be.

    Parameters
    ----------
    grid : PreparedGrid
    ledger : Ledger
    tasks : sequence of str
        Tasks of the grid that have a record.
    """
    plan, lattice = grid.plan, grid.planned.grid
    cube = grid.output.zarr(places.cube(grid.name))
    # Forget the records of dropped slabs first, or a later, longer list would take the slabs for built.
    # Of a store that is gone (or was never finished being laid out) no record proves anything.
    stay = len(grid.slabs()) if "cube" in grid.stored else 0
    _forget(ledger, (t for t in tasks if places.kind_of(t) == places.BUILD and places.slab_of(t) >= stay))
    listed = {"observations": _entries(grid), "observation_list": grid.settled.digest}
    named = {"cube": grid.planned.cube, "grid": grid.name, **_extent(lattice)}
    layout.lay_out_cube(cube, lattice, plan.mask, plan.depth, grid.settled.observations, {**named, **listed})
    _lay_out_layers(grid, ledger, tasks)


def _extent(lattice: Grid) -> dict[str, Any]:
    """Return what the metadata keep of a grid that has grown, so that its documents are written again."""
    return {"extent": [lattice.frame.height, lattice.frame.width]} if lattice.claims else {}


def _lay_out_layers(grid: PreparedGrid, ledger: Ledger, tasks: Sequence[str]) -> None:
    """Write the documents of a grid's layers, where they are not as they should be."""
    lattice, layers = grid.planned.grid, grid.output.zarr(places.layers(grid.name))
    chunk = largest_divisor(lattice.region, layout.LAYER_CHUNK)
    meta, extent = layout.check_ours(layers), _extent(lattice)
    anew = meta.get("cube") != grid.planned.cube
    if not anew and meta.get("extent") == extent.get("extent"):
        layout.mend_layers(layers, lattice.frame, chunk)
        return
    if anew:
        _forget(ledger, (t for t in tasks if places.kind_of(t) == places.DETECT))
    attrs = {"cube": grid.planned.cube, "grid": grid.name, **extent}
    layout.lay_out_layers(layers, lattice.frame, chunk, attrs, anew=anew)


def _check_bands(plan: Plan, planned: GridPlan) -> None:
    """Raise BadInput where the indices need a band that a cube does not hold."""
    indices = plan.config.detect.indices
    missing = [band for band in bands_of(indices) if band not in planned.grid.bands]
    if missing:
        rule = f"need {', '.join(missing)}, which the cube of {planned.grid.name} does not hold"
        remedy = "Choose indices of its bands, or build another output with `groundbreak run`"
        raise BadInput(f"[detect] indices = {list(indices)}", rule, remedy)


def _forget(ledger: Ledger, names: Iterable[str]) -> None:
    for task in names:
        LOG.debug("the record of %s counts no longer", task)
        ledger.forget(task)


def _entries(grid: PreparedGrid) -> list[dict[str, Any]]:
    """List the observations for the metadata; one that is no longer offered keeps its old entry."""
    old = {e["id"]: e for e in grid.stored.get("observations", [])}
    return [e if e["items"] else old[e["id"]] for e in reconcile.stored_list(grid.settled.observations)]
