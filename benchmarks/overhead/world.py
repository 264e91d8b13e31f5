"""A plan of as many regions as asked for, made without a source, and its grid laid out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import shapely

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Grid, Mask, Observation, Region
from groundbreak.pipeline.planning.plans import GridPlan, Plan
from groundbreak.pipeline.running import reconcile
from groundbreak.pipeline.running.prepared import PreparedGrid

SIDE = 64
"""Side of a region, pixels of 10 m: so many that a whole one fits in memory."""
TILE = 10_000
"""Regions of a grid, at most: a tile of Sentinel-2 has 121, and a country some thousand of them."""
MASK = Mask(band="scl", clear=(4, 5))
BANDS = {"blue": 10.0, "red": 10.0, "nir": 10.0, "swir16": 20.0, "scl": 20.0}


def make(folder: Path, regions: int, dates: int) -> tuple[Plan, list[PreparedGrid]]:
    """Return a plan, and its grids made ready; nothing is written."""
    (folder / "run.toml").write_text(
        '[area]\nbbox = [44, 40, 45, 41]\n[source]\nitems = "items.json"\ndatetime = "2021-01-01/2021-12-31"\n'
        '[output]\npath = "out"\n[detect]\ndetector = "cusum"\nhistory_end = "2021-06-30"\n'
    )
    config = Config.from_toml(folder / "run.toml")
    days = np.datetime64("2021-01-03") + np.arange(dates) * np.timedelta64(10, "D")
    observations = tuple(Observation(f"take{n}", day.astype("datetime64[ms]"), ()) for n, day in enumerate(days))
    counts = [min(TILE, regions - first) for first in range(0, regions, TILE)]
    grids = tuple(_grid(number, count, observations) for number, count in enumerate(counts))
    area = geo.to_lonlat(shapely.box(*grids[0].grid.frame.bounds), grids[0].grid.frame.epsg)
    plan = Plan(config, area, MASK, None, grids, (), 0.0)
    versions = tuple(o.version for o in observations)
    settled = reconcile.Reconciled(observations, versions, ())
    return plan, [PreparedGrid(plan, planned, settled, Output(config.path("out"))) for planned in grids]


def _grid(number: int, count: int, observations: tuple[Observation, ...]) -> GridPlan:
    across = math.ceil(math.sqrt(count))
    frame = Frame(32638, 300_000.0 + 1000 * number, 4_500_000.0, 10.0, SIDE * across, SIDE * across)
    grid = Grid(f"t{number:03d}", frame, frame, BANDS, SIDE)
    places = (divmod(n, across) for n in range(count))
    regions = tuple(_region(grid, row, col) for row, col in places)
    return GridPlan(grid, observations, regions, (), "cube", {})


def _region(grid: Grid, row: int, col: int) -> Region:
    frame = grid.frame.window(row * SIDE, col * SIDE, SIDE, SIDE)
    return Region(grid.name, row, col, frame, SIDE * SIDE, frame)
