"""The plan as it is kept beside its output, so that detection, publishing and verifying need no source.

The file holds grids, regions, area and mask. Observations come from the cubes themselves.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import shapely

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput, Grid, Mask, Observation, Region, Rejection
from groundbreak.pipeline.planning.budget import mask_size
from groundbreak.pipeline.planning.planner import GridPlan, Plan
from groundbreak.pipeline.stores.layout import STORE_SCHEMA, read_meta


def save(plan: Plan, output: Output) -> None:
    """Write a plan beside its output, in place of an earlier one."""
    value = {
        "schema": STORE_SCHEMA,
        "area": shapely.to_wkb(plan.area, hex=True),
        "mask": asdict(plan.mask),
        "uncovered_km2": plan.uncovered_km2,
        "rejections": [asdict(r) for r in plan.rejections],
        "grids": [
            {
                "grid": asdict(g.grid),
                "regions": [asdict(r) for r in g.regions],
                "others": [asdict(o) for o in g.others],
                "cube": g.cube,
                "ways": dict(g.ways),
            }
            for g in plan.grids
        ],
    }
    output.put(places.PLAN, json.dumps(value, indent=1).encode())


def load(config: Config, output: Output) -> Plan:
    """Load the plan of an output's last run.

    Parameters
    ----------
    config : Config
        The configuration of the plan that is returned: detection follows it, building does not.
    output : Output

    Returns
    -------
    Plan, whose observations have no scenes, so that nothing can be built from it.

    Raises
    ------
    BadInput
        Nothing has been run there, or by another version.
    """
    data = output.get(places.PLAN)
    if data is None:
        raise BadInput(f"[output] path = {output.path!r}", "holds no run yet", "Run `groundbreak run` first")
    value = json.loads(data)
    if value["schema"] != STORE_SCHEMA:
        rule = f"holds a plan of schema {value['schema']}, and this version reads {STORE_SCHEMA}"
        raise BadInput(f"[output] path = {output.path!r}", rule, "Use the groundbreak that wrote it")
    mask_fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value["mask"].items()}
    mask = Mask(**mask_fields)
    grids = []
    for g in value["grids"]:
        grid = _grid(g["grid"])
        meta = read_meta(output.zarr(places.cube(grid.name)))
        observations = tuple(Observation(o["id"], np.datetime64(o["time"]), ()) for o in meta["observations"])
        regions = tuple(
            Region(**{**r, "frame": Frame(**r["frame"]), "window": Frame(**r["window"])}) for r in g["regions"]
        )
        others = tuple(_grid(o) for o in g["others"])
        grids.append(GridPlan(grid, observations, regions, others, g["cube"], g["ways"], mask_size=mask_size(mask)))
    return Plan(
        config,
        shapely.from_wkb(value["area"]),
        mask,
        None,
        tuple(grids),
        tuple(Rejection(**r) for r in value["rejections"]),
        value["uncovered_km2"],
    )


def _grid(value: dict[str, Any]) -> Grid:
    """Return the grid that a value of the file stands for."""
    return Grid(**{**value, "frame": Frame(**value["frame"]), "source": Frame(**value["source"])})
