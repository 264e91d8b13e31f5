"""What lies in an output before a run: whose it is, and whether the run may add to it.

Data of others is never deleted or written over, and what an earlier run has published is never swapped for the results
of another area in silence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

import shapely

from groundbreak.kernels import DETECTORS
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import DAMAGE, Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import plan_file
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.stores import layout

LOG = logging.getLogger(__name__)

SAME_DEGREES = 1e-9
"""Degrees by which two outlines of one area may differ: a tenth of a millimetre."""


def check_strangers(output: Output) -> None:
    """Raise BadInput where a run would write over files that are not groundbreak's."""
    if output.age(places.PLAN) is not None or output.age(places.LEDGER) is not None or output.holds(places.RECORDS):
        return
    published = (places.SITES, places.REPORT, places.FAULTS, places.RUN, places.HEADERS)
    taken = [key for key in published if output.age(key) is not None]
    if taken:
        rule = f"holds {', '.join(taken)}, but no run of groundbreak: it would be written over"
        raise BadInput(output.label, rule, "Choose another output, or take that away")


def check_stores(output: Output, grids: Iterable[str], epsgs: Iterable[int]) -> None:
    """Raise BadInput where something else than a store of groundbreak lies where a store is to be.

    Parameters
    ----------
    output : Output
    grids : iterable of str
        Names of the grids.
    epsgs : iterable of int
        Zones that will be published.
    """
    keys = [key(grid) for grid in grids for key in (places.cube, places.layers)]
    for key in (*keys, *map(places.mosaic, sorted(set(epsgs)))):
        if output.age(key) is not None:
            what = f"{output.path.rstrip('/')}/{key}"
            raise BadInput(what, "is a file that groundbreak did not write", "Choose another output, or take it away")
        if output.holds(key):
            layout.check_ours(output.zarr(key))


def check_area(config: Config, output: Output) -> None:
    """Raise BadInput where an output holds another area than the one configured."""
    stored = plan_file.read(output)
    if stored is None:
        return
    with output.understood(places.PLAN, plan_file.REMEDY):
        before = shapely.from_wkb(stored["area"])
    now = areas.load_area(config)
    if before.normalize().equals_exact(now.normalize(), SAME_DEGREES) or before.equals(now):
        return
    rule = f"differs from that of the output {output.path!r}, which holds {_outline(before)}"
    remedy = "Choose another output; or replace what is there with `groundbreak run --rebuild`"
    raise BadInput(f"[area] ({_outline(now)})", rule, remedy)


def _outline(area: shapely.Geometry) -> str:
    return f"bbox = [{', '.join(f'{value:.6g}' for value in area.bounds)}]"


def other_source(config: Config, output: Output) -> str:
    """Say that an output was built from items of another place; "" where it was not, or does not tell."""
    before = (plan_file.read(output) or {}).get("source")
    if not isinstance(before, str) or before == config.origin:
        return ""
    return (
        f"the items come from {config.origin}, and what was built before from {before}: items of one id and version "
        "are taken for the same"
    )


def left_behind(plan: Plan, output: Output) -> str:
    """Say what an earlier plan has left that is no part of this one; "" where there is nothing.

    To be asked before the plan of the output is replaced.
    """
    stored = plan_file.read(output)
    if stored is None:
        return ""
    with output.understood(places.PLAN, plan_file.REMEDY):
        grids = {g["grid"]["name"]: int(g["grid"]["frame"]["epsg"]) for g in stored["grids"]}
    mine = {g.grid.name: g.grid.frame.epsg for g in plan.grids}
    zones = sorted(set(grids.values()) - set(mine.values()))
    gone = [*sorted(grids.keys() - mine.keys()), *map(places.mosaic, zones)]
    return f"{', '.join(gone)} of an earlier plan are no part of this one, and stay as they are" if gone else ""


def detection_figures(plan: Plan) -> dict[str, Any]:
    """Return what detection is done with, as run.json keeps it: detector, version, parameters, indices, history."""
    chosen = plan.config.detect
    detector = DETECTORS[chosen.detector]
    return {
        "detector": chosen.detector,
        "version": detector.version,
        "params": {**detector.defaults, **chosen.params},
        "indices": list(chosen.indices),
        "history_end": chosen.history_end,
    }


def replaced_detection(plan: Plan, output: Output) -> str:
    """Say which detection a run replaces in what was published; "" where it is the same, or there is none.

    Parameters
    ----------
    plan : Plan
    output : Output
        Its run.json tells what was done.
    """
    data = output.get(places.RUN)
    if data is None:
        return ""
    try:
        document = json.loads(data)
        if document["digests"]["detection"] == plan.detection:
            return ""
        before, now = {**document["detect"], **document.get("detection", {})}, detection_figures(plan)
        old, new = (f"{d['detector']} v{d.get('version', '?')}" for d in (before, now))
        changed = [f"{k}: {now[k]} for {before[k]}" for k in ("indices", "history_end") if before[k] != now[k]]
        if before["detector"] == now["detector"]:
            params = before["params"]
            changed += [f"{k}: {v} for {params[k]}" for k, v in now["params"].items() if params.get(k, v) != v]
        if old == new and not changed:
            changed = ["another mask, or other owners of pixels"]
        return f"detection of {old} is replaced by {new}" + (f" ({'; '.join(changed)})" if changed else "")
    except DAMAGE as error:
        LOG.warning("%s is damaged (%s) and is written again", places.RUN, type(error).__name__)
        return ""
