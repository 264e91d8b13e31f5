"""The index series of a site, read from the cube for the report: the median over its pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.compute.index_series import CubeView, read_numbers
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.planning.plans import GridPlan, Plan
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.report.charts import SiteSeries
from groundbreak.pipeline.stores import store

SERIES_WINDOW = 128
"""Side of the window of a cube that a site's series is read from, pixels: one inner chunk."""


@dataclass(frozen=True)
class _Sample:
    """The sampled pixels of a site that lie in one window of one cube."""

    planned: GridPlan
    rows: NDArray[np.int64]
    """(pixel,) rows in the grid's frame."""
    cols: NDArray[np.int64]
    """(pixel,) columns in the grid's frame."""


def site_series(plan: Plan, output: Output, site: Site, kept: Set[str]) -> SiteSeries | None:
    """Read a site's index series: the median over its pixels in the window of a cube that holds most of them.

    Parameters
    ----------
    plan : Plan
    output : Output
    site : Site
    kept : set of str
        Keys of the regions whose cube is there.

    Returns
    -------
    SiteSeries, or None where no cube holds the site, or the cube of that region was not kept.
    """
    sample = _fullest_window(plan, site)
    if sample is None or not _regions_of(sample) <= kept:
        return None
    planned, grid = sample.planned, sample.planned.grid
    coarse = round(max(grid.bands.values()) / grid.frame.resolution)
    rows, cols = (slice(int(v.min()) // coarse * coarse, int(v.max()) + 1) for v in (sample.rows, sample.cols))
    times = np.array([o.time for o in planned.observations], "datetime64[ms]")
    view = CubeView(grid, plan.mask, plan.config.detect.indices, times)
    numbers = read_numbers(output.zarr(places.cube(grid.name)), view, rows, cols)
    days, values, _ = numbers.series(*(slice(0, n) for n in numbers.shape))
    pixels = values[:, :, sample.rows - rows.start, sample.cols - cols.start]
    clear = ~np.isnan(pixels).all(axis=2)
    medians = np.full(pixels.shape[:2], np.nan, np.float32)
    medians[clear] = np.nanmedian(pixels[clear], axis=1)
    return SiteSeries(days, dict(zip(view.indices, medians, strict=True)))


def _fullest_window(plan: Plan, site: Site) -> _Sample | None:
    """Return the window of a cube of the site's zone that holds most of its sampled pixels; None where none holds any.

    Of windows that hold as many, the last of the first grid is taken.
    """
    xy = np.asarray(site.sample)
    best, most = None, 0
    for planned in (g for g in plan.grids if g.grid.frame.epsg == site.epsg):
        rows, cols = _lookup(planned, xy)
        inside = rows >= 0
        if not inside.any():
            continue
        windows = Counter(zip(rows[inside] // SERIES_WINDOW, cols[inside] // SERIES_WINDOW, strict=True))
        (row, col), count = max(windows.items(), key=lambda w: (w[1], w[0]))
        if count > most:
            mine = (rows // SERIES_WINDOW == row) & (cols // SERIES_WINDOW == col)
            best, most = _Sample(planned, rows[mine], cols[mine]), count
    return best


def _regions_of(sample: _Sample) -> set[str]:
    """Return the keys of the regions in which sampled pixels lie."""
    planned, side = sample.planned, sample.planned.grid.region
    keys = {(r.row, r.col): r.key for r in planned.regions}
    return {keys[at] for at in zip(sample.rows // side, sample.cols // side, strict=True)}


def _lookup(planned: GridPlan, xy: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (rows, columns) of points (point, 2) in a grid's cube; -1 where the cube does not hold the point."""
    frame, inside = planned.grid.frame, np.zeros(len(xy), bool)
    cols = np.floor((xy[:, 0] - frame.x0) / frame.resolution).astype(np.int64)
    rows = np.floor((frame.y0 - xy[:, 1]) / frame.resolution).astype(np.int64)
    for region in planned.regions:
        y, x = store.slices(planned.grid, region.window)
        inside |= (y.start <= rows) & (rows < y.stop) & (x.start <= cols) & (cols < x.stop)
    return np.where(inside, rows, -1), np.where(inside, cols, -1)
