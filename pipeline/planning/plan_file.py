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
from groundbreak.pipeline.core.types import BadInput, Grid, Mask, Notice, Observation, Region, Rejection
from groundbreak.pipeline.planning.budget import mask_size
from groundbreak.pipeline.planning.plans import GridPlan, Plan
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
        "notices": [asdict(n) for n in plan.notices],
        "short_pixels": plan.short_pixels,
        "grids": [
            {
                "grid": asdict(g.grid),
                "regions": [asdict(r) for r in g.regions],
                "others": [asdict(o) for o in g.others],
                "cube": g.cube,
                "founded": None if g.founded in (None, g.grid) else asdict(g.founded),
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


def _plan(config: Config, output: Output, value: dict[str, Any], *, whole: bool = True) -> Plan:
    """Return the plan that a value of the file stands for; ``whole`` demands that all of its cubes are there."""
    if value["schema"] != STORE_SCHEMA:
        rule = f"holds a plan of schema {value['schema']}, and this version reads {STORE_SCHEMA}"
        raise BadInput(f"[output] path = {output.path!r}", rule, "Use the groundbreak that wrote it")
    mask_fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value["mask"].items()}
    mask = Mask(**mask_fields)
    grids = []
    for g in value["grids"]:
        grid = _grid(g["grid"])
        meta = read_meta(output.zarr(places.cube(grid.name)))
        listed = meta.get("observations")
        if listed is None and whole:
            what = f"{output.path.rstrip('/')}/{places.cube(grid.name)}"
            raise BadInput(what, "is gone, or was never laid out whole", "`groundbreak run` lays it out again")
        observations = tuple(Observation(o["id"], np.datetime64(o["time"]), ()) for o in listed or ())
        others = tuple(_grid(o) for o in g["others"])
        founded = _grid(g["founded"]) if g.get("founded") else None
        regions = tuple(_region(r) for r in g["regions"])
        size = mask_size(mask)
        grids.append(
            GridPlan(grid, observations, regions, others, g["cube"], g["ways"], founded=founded, mask_size=size)
        )
    return Plan(
        config,
        shapely.from_wkb(value["area"]),
        mask,
        None,
        tuple(grids),
        tuple(Rejection(**r) for r in value["rejections"]),
        value["uncovered_km2"],
        # Plans of earlier versions tell none of what follows.
        tuple(Notice(**n) for n in value.get("notices", ())),
        value.get("short_pixels", 0),
    )


def load_first(config: Config, output: Output) -> Plan | None:
    """Load the plan that an output was laid out by, to plan again by it; None before its first run."""
    value = read(output)
    if value is None:
        return None
    with output.understood(places.PLAN, REMEDY):
        return _plan(config, output, value, whole=False)


def _grid(value: dict[str, Any]) -> Grid:
    """Return the grid that a value of the file stands for."""
    frames = {key: Frame(**value[key]) for key in ("frame", "source")}
    return Grid(**{**value, **frames, "claims": tuple((n, Frame(**f)) for n, f in value.get("claims", ()))})


def _region(value: dict[str, Any]) -> Region:
    """Return the region that a value of the file stands for."""
    frames = {key: Frame(**value[key]) for key in ("frame", "window")}
    return Region(**{**value, **frames, "grown": tuple((n, Frame(**f)) for n, f in value.get("grown", ()))})
