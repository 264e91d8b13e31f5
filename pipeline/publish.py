"""Publishing: from each grid's layers to what other programs and people read."""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from groundbreak.pipeline.compute.index_series import read_numbers
from groundbreak.pipeline.compute.offsets import Step, region_steps
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Fault, Record, Region
from groundbreak.pipeline.planning.planner import GridPlan, Plan
from groundbreak.pipeline.products import geoparquet, mosaic
from groundbreak.pipeline.products.sites import Site, find_sites
from groundbreak.pipeline.report import page
from groundbreak.pipeline.running.ledger import FAULT_COLUMNS, Ledger, now
from groundbreak.pipeline.running.prepared import build_name, cube_key, detect_name
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.layout import STORE_SCHEMA, read_meta
from groundbreak.pipeline.version import __version__

CARDS = 50
"""Sites, largest first, whose series are read for the report."""

WINDOW = 128
"""Side of the window of a cube that a site's series is read from: one inner chunk."""


def publish(
    plan: Plan, output: Output, ledger: Ledger, ignored: dict[str, tuple[str, ...]]
) -> tuple[list[Site], dict[str, list[Step]]]:
    """Mosaic, sites, report, faults and run.json, from the layers of every grid.

    Returns
    -------
    (sites, largest first; region -> the steps on dark pixels that contradict the provider table and were accepted)
    """
    grids = [g.grid for g in plan.grids]
    regions = {g.grid.name: g.regions for g in plan.grids}
    attrs = {"cubes": {g.grid.name: g.cube for g in plan.grids}, "detection": plan.detection}
    epsgs = mosaic.publish_mosaics(output, grids, regions, attrs)
    sites = find_sites(output, epsgs, min_area_m2=plan.config.detect.min_area_m2)
    geoparquet.write_sites(output, sites)
    faults = _faults(plan, ledger)
    write_faults(output, faults)
    statuses: Counter[str] = Counter()
    failed = []
    for region in (r for g in plan.grids for r in g.regions):
        record = ledger.records.get(detect_name(region))
        if record is None or record.state != "done":
            failed.append(region.key)
        if record is not None:
            statuses.update(record.counts)
    times = [o.time for g in plan.grids for o in g.observations]
    summary: dict[str, Any] = {
        "area_km2": round(geo.ground_area(plan.area) / 1e6, 2),
        "uncovered_km2": round(plan.uncovered_km2, 3),
        "first_observation": str(min(times))[:10] if times else "",
        "last_observation": str(max(times))[:10] if times else "",
        "observations": len(times),
        "regions": sum(len(g.regions) for g in plan.grids),
        "failed_regions": len(failed),
        "sites": len(sites),
        "faults": len(faults),
        "rejected_items": len(plan.rejections),
    }
    kept = _kept(plan, ledger)
    series = {s.id: found for s in sites[:CARDS] if (found := site_series(plan, output, s, kept)) is not None}
    title = f"groundbreak: {plan.config.source.collection or 'changes'}, {plan.config.source.datetime}"
    headline = {
        "First observation": summary["first_observation"],
        "Last observation": summary["last_observation"],
        "Observations": summary["observations"],
        "Regions": f"{summary['regions']}, {len(failed)} failed",
        "Items not used": summary["rejected_items"],
        "Ground without images": f"{summary['uncovered_km2']} km²",
    }
    if len(kept) < summary["regions"]:
        headline["Cubes"] = f"kept for {len(kept)} of {summary['regions']} regions; elsewhere sites have no series"
    page.write_report(
        output,
        title=title,
        area=plan.area,
        sites=sites,
        epsgs=epsgs,
        series=series,
        summary=headline,
        faults=faults,
    )
    steps = offset_steps(plan, ledger)
    sizes = [step.size for found in steps.values() for step in found]
    wrong = {key: bad for key, found in steps.items() if (bad := [s for s in found if s.contradicts])}
    run = {
        "schema": STORE_SCHEMA,
        "groundbreak": __version__,
        "published": now(),
        "summary": summary,
        "pixels": dict(statuses),
        "failed_regions": failed,
        "rejected": plan.rejected(),
        "ignored": {k: list(v) for k, v in ignored.items()},
        "offset_steps": {
            "regions": sum(bool(found) for found in steps.values()),
            "median": round(float(np.median(sizes)), 4) if sizes else None,
            "contradicting": {key: [dataclasses.asdict(s) for s in found] for key, found in wrong.items()},
        },
        "digests": {
            **attrs,
            "observations": {
                g.grid.name: read_meta(output.zarr(cube_key(g.grid.name))).get("observation_list") for g in plan.grids
            },
        },
        "detect": dataclasses.asdict(plan.config.detect),
    }
    output.put("run.json", json.dumps(run, indent=1).encode())
    return sites, wrong


def write_faults(output: Output, faults: Sequence[Fault]) -> None:
    """OUT/faults.parquet; without faults, a table of no rows."""
    table = pa.Table.from_pylist([dataclasses.asdict(f) for f in faults], pa.schema(list(FAULT_COLUMNS)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    output.put("faults.parquet", buffer.getvalue())


def offset_steps(plan: Plan, ledger: Ledger) -> dict[str, list[Step]]:
    """What dark pixels say of the offsets that the provider table tells: region -> its steps."""
    return {
        region.key: region_steps(np.array([o.time for o in g.observations], "datetime64[ms]"), records)
        for g in plan.grids
        for region in g.regions
        if (records := _builds(plan, g, region, ledger)) is not None
    }


def _builds(plan: Plan, planned: GridPlan, region: Region, ledger: Ledger) -> list[Record] | None:
    """The records of a region's builds, in order; None where one is absent."""
    records = [ledger.records.get(build_name(region, slab.index)) for slab in planned.slabs(plan.depth)]
    found = [r for r in records if r is not None]
    return found if len(found) == len(records) else None


def _kept(plan: Plan, ledger: Ledger) -> set[str]:
    """Regions whose cube is there."""
    return {
        region.key
        for g in plan.grids
        for region in g.regions
        if all(r.state != "dropped" for r in _builds(plan, g, region, ledger) or [])
    }


def site_series(plan: Plan, output: Output, site: Site, kept: set[str]) -> page.SiteSeries | None:
    """A site's index series: the median over its pixels in the window of a cube that holds most of them; None where the
    cube of that region was not kept."""
    xy = np.asarray(site.sample)
    best: tuple[int, GridPlan, int, int] | None = None
    for planned in (g for g in plan.grids if g.grid.frame.epsg == site.epsg):
        rows, cols = _lookup(planned, xy)
        inside = rows >= 0
        if inside.any():
            windows = Counter(zip(rows[inside] // WINDOW, cols[inside] // WINDOW, strict=True))
            (row, col), count = max(windows.items(), key=lambda w: (w[1], w[0]))
            if best is None or count > best[0]:
                best = (count, planned, int(row), int(col))
    if best is None:
        return None
    _, planned, row, col = best
    grid = planned.grid
    rows, cols = _lookup(planned, xy)
    mine = (rows // WINDOW == row) & (cols // WINDOW == col)
    rows, cols = rows[mine], cols[mine]
    keys = {(r.row, r.col): r.key for r in planned.regions}
    if not {keys[at] for at in zip(rows // grid.region, cols // grid.region, strict=True)} <= kept:
        return None
    coarse = round(max(grid.bands.values()) / grid.frame.resolution)
    window = [slice(int(v.min()) // coarse * coarse, int(v.max()) + 1) for v in (rows, cols)]
    times = np.array([o.time for o in planned.observations], "datetime64[ms]")
    indices = plan.config.detect.indices
    cube = output.zarr(cube_key(grid.name))
    numbers = read_numbers(cube, grid, plan.mask, indices, times, window[0], window[1])
    days, values, _ = numbers.series(indices, *(slice(0, n) for n in numbers.shape))
    pixels = values[:, :, rows - window[0].start, cols - window[1].start]
    clear = ~np.isnan(pixels).all(axis=2)
    medians = np.full(pixels.shape[:2], np.nan, np.float32)
    medians[clear] = np.nanmedian(pixels[clear], axis=1)
    return page.SiteSeries(days, dict(zip(indices, medians, strict=True)))


def _lookup(planned: GridPlan, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) of points in a grid's cube; -1 where the cube does not hold the point."""
    frame, inside = planned.grid.frame, np.zeros(len(xy), bool)
    cols = np.floor((xy[:, 0] - frame.x0) / frame.resolution).astype(int)
    rows = np.floor((frame.y0 - xy[:, 1]) / frame.resolution).astype(int)
    for region in planned.regions:
        y, x = store.slices(planned.grid, region.window)
        inside |= (y.start <= rows) & (rows < y.stop) & (x.start <= cols) & (cols < x.stop)
    return np.where(inside, rows, -1), np.where(inside, cols, -1)


def _faults(plan: Plan, ledger: Ledger) -> list[Fault]:
    """The faults of this plan's builds, in order; those of older plans are history."""
    regions = {r.key for g in plan.grids for r in g.regions}
    tasks = {
        t for t in ledger.records if t.startswith("build/") and t.removeprefix("build/").rsplit("/", 1)[0] in regions
    }
    return ledger.faults(tasks)
