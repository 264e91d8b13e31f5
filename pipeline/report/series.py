"""The index series of sites, read from the cubes for the report: the median over a site's pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.compute.index_series import CubeView, read_numbers
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Grid, Mask, Region
from groundbreak.pipeline.planning.plans import GridPlan, Plan
from groundbreak.pipeline.products.mosaic import REMEDY
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.report.charts import SiteSeries
from groundbreak.pipeline.stores import store

SERIES_WINDOW = 128
"""Side of the window of a cube that a site's series is read from, pixels: one inner chunk."""


@dataclass(frozen=True)
class SeriesJob:
    """A job: read the sampled pixels of a site that lie in one window of one cube."""

    output: Output
    grid: Grid
    """The cube's grid, without what only ownership asks for."""
    mask: Mask
    indices: tuple[str, ...]
    rows: tuple[int, ...]
    """(pixel,) rows in the grid's frame."""
    cols: tuple[int, ...]
    """(pixel,) columns in the grid's frame."""


def sites_series(
    plan: Plan, output: Output, sites: Sequence[Site], kept: Set[str], apply: Mapper = here
) -> dict[str, SiteSeries]:
    """Read the index series of sites: the median over a site's pixels in the window of a cube that holds most of them.

    Parameters
    ----------
    plan : Plan
    output : Output
        Holds the cubes.
    sites : sequence of Site
    kept : set of str
        Keys of the regions whose cube is there.
    apply : Mapper
        Does the reading, site by site.

    Returns
    -------
    dict: id of a site -> its series; without the sites that no cube holds, or whose region's cube was not kept.
    """
    jobs = {site.id: job for site in sites if (job := _job(plan, output, site, kept)) is not None}
    return dict(zip(jobs, apply(read_series, jobs.values()), strict=True))


def read_series(job: SeriesJob) -> SiteSeries:
    """Read the median index series of the pixels of a job.

    Raises
    ------
    BadInput
        The cube is damaged.
    """
    grid, sampled = job.grid, (np.array(job.rows), np.array(job.cols))
    coarse = round(max(grid.bands.values()) / grid.frame.resolution)
    rows, cols = (slice(int(v.min()) // coarse * coarse, int(v.max()) + 1) for v in sampled)
    with job.output.understood(places.cube(grid.name), REMEDY):
        cube = job.output.zarr(places.cube(grid.name))
        view = CubeView(grid, job.mask, job.indices, store.read_times(cube, grid))
        numbers = read_numbers(cube, view, rows, cols)
    days, values, _ = numbers.series(*(slice(0, n) for n in numbers.shape))
    pixels = values[:, :, sampled[0] - rows.start, sampled[1] - cols.start]
    clear = ~np.isnan(pixels).all(axis=2)
    medians = np.full(pixels.shape[:2], np.nan, np.float32)
    medians[clear] = np.nanmedian(pixels[clear], axis=1)
    return SiteSeries(days, dict(zip(view.indices, medians, strict=True)))


def _job(plan: Plan, output: Output, site: Site, kept: Set[str]) -> SeriesJob | None:
    """Choose the window of a cube of the site's zone that holds most of its sampled pixels; None where none holds any.

    Of windows that hold as many, the last of the first grid is taken.
    """
    xy = np.asarray(site.sample)
    best, most, regions = None, 0, set[str]()
    for planned in (g for g in plan.grids if g.grid.frame.epsg == site.epsg):
        rows, cols, keys = _lookup(planned, xy)
        inside = rows >= 0
        if not inside.any():
            continue
        windows = Counter(zip(rows[inside] // SERIES_WINDOW, cols[inside] // SERIES_WINDOW, strict=True))
        (row, col), count = max(windows.items(), key=lambda w: (w[1], w[0]))
        if count > most:
            mine = (rows // SERIES_WINDOW == row) & (cols // SERIES_WINDOW == col)
            grid = replace(planned.grid, claims=(), sparse="")
            at = tuple(rows[mine].tolist()), tuple(cols[mine].tolist())
            best, most = SeriesJob(output, grid, plan.mask, plan.config.detect.indices, *at), count
            regions = {keys[n] for n in np.flatnonzero(mine).tolist()}
    return best if regions <= kept else None


def _lookup(planned: GridPlan, xy: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return (rows, columns, keys of regions) of points (point, 2) in a grid's cube; -1 where no cube holds a point."""
    frame, side = planned.grid.frame, planned.grid.region
    cols = np.floor((xy[:, 0] - frame.x0) / frame.resolution).astype(np.int64)
    rows = np.floor((frame.y0 - xy[:, 1]) / frame.resolution).astype(np.int64)
    near = set(zip((rows // side).tolist(), (cols // side).tolist(), strict=True))
    regions = {(r.row, r.col): r for r in planned.regions if (r.row, r.col) in near}
    keys = [_holding(planned, regions.get((r // side, c // side)), r, c) for r, c in zip(rows, cols, strict=True)]
    inside = np.array([key != "" for key in keys], bool)
    return np.where(inside, rows, -1), np.where(inside, cols, -1), keys


def _holding(planned: GridPlan, region: Region | None, row: int, col: int) -> str:
    """Return the key of a region whose window of the cube holds a pixel; "" where it does not."""
    if region is None:
        return ""
    y, x = store.slices(planned.grid, region.window)
    return region.key if y.start <= row < y.stop and x.start <= col < x.stop else ""
