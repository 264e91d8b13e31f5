"""The plan as it is kept beside its output, so that detection, publishing and verifying need no source.

The file holds grids, regions, area and mask, and where the items came from. Observations come from the cubes.
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
from groundbreak.pipeline.planning.planner import GridPlan, Plan
from groundbreak.pipeline.stores.layout import STORE_SCHEMA, read_meta

REMEDY = "Put a copy of it back or choose another output; where it is groundbreak's, delete it and `run` writes it anew"
"""What to do about a damaged plan."""


def save(plan: Plan, output: Output) -> None:
    """Write a plan beside its output, in place of an earlier one."""
    value = {
        "schema": STORE_SCHEMA,
        "source": plan.config.origin,
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
        Nothing has been run there, or by another version; or the plan, or a cube that it names, is damaged.
    """
    value = read(output)
    if value is None:
        raise BadInput(output.label, "holds no run yet", "Run `groundbreak run` first")
    with output.understood(places.PLAN, REMEDY):
        return _plan(config, output, value)


def read(output: Output) -> dict[str, Any] | None:
    """Read the plan of an output's last run as it is stored; None where there is none.

    Raises
    ------
    BadInput
        The file is damaged.
    """
    data = output.get(places.PLAN)
    if data is None:
        return None
    with output.understood(places.PLAN, REMEDY):
        value = json.loads(data)
        if not isinstance(value, dict) or "schema" not in value:
            raise ValueError("it is no plan of groundbreak")
        return value


def _plan(config: Config, output: Output, value: dict[str, Any]) -> Plan:
    """Return the plan that a value of the file stands for."""
    if value["schema"] != STORE_SCHEMA:
        rule = f"holds a plan of schema {value['schema']}, and this version reads {STORE_SCHEMA}"
        raise BadInput(f"[output] path = {output.path!r}", rule, "Use the groundbreak that wrote it")
    grids = []
    for g in value["grids"]:
        grid = _grid(g["grid"])
        meta = read_meta(output.zarr(places.cube(grid.name)))
        if "observations" not in meta:
            what = f"{output.path.rstrip('/')}/{places.cube(grid.name)}"
            raise BadInput(what, "is gone, or was never laid out whole", "`groundbreak run` lays it out again")
        observations = tuple(Observation(o["id"], np.datetime64(o["time"]), ()) for o in meta["observations"])
        regions = tuple(
            Region(**{**r, "frame": Frame(**r["frame"]), "window": Frame(**r["window"])}) for r in g["regions"]
        )
        grids.append(GridPlan(grid, observations, regions, tuple(_grid(o) for o in g["others"]), g["cube"], g["ways"]))
    mask_fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value["mask"].items()}
    mask = Mask(**mask_fields)
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
