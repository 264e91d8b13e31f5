"""From drafts to grids: named, cut around the area, and weighed against each other; what a first plan chose stays.

Where an output has been planned before, its grids keep their names, lattices and pixels, however the items change: an
append must not move them. Scenes that reach further make a grid grow, ground that no grid had goes to whoever reaches
it first, and what a plan made anew would choose otherwise is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core.types import Grid, Notice, Scene
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning.frames import finest
from groundbreak.pipeline.planning.grid import Draft, grow, make_grid, name_grids
from groundbreak.pipeline.planning.supply import NO_OVERLAP, Ground, Supply, weigh, with_sparse


@dataclass
class SettledGrids:
    """The grids of a plan, and what has to be said about them."""

    grids: list[tuple[Grid, list[Scene]]] = field(default_factory=list)
    """Sorted by name."""
    notices: list[Notice] = field(default_factory=list)
    supply: Supply = NO_OVERLAP
    """Where the grids have few observations."""


def settle_anew(drafts: Sequence[Draft], area: BaseGeometry, ground: Ground) -> SettledGrids:
    """Make the grids of a first plan.

    Parameters
    ----------
    drafts : sequence of Draft
        As `pipeline.planning.grid.draft_grids` returns them.
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    ground : mapping
        What each item covers.

    Returns
    -------
    SettledGrids; grids that the area does not reach are left out.
    """
    reached = [draft for draft in drafts if draft.around(area, alone=True) is not None]
    grids = []
    for draft, name in zip(reached, name_grids(reached, ()), strict=True):
        grid = make_grid(draft, name, area, alone=len(reached) == 1)
        if grid is not None:
            grids.append((grid, draft.scenes))
    supply = weigh(grids, area, ground)
    sparse = sorted(((with_sparse(g, supply), s) for g, s in grids), key=lambda pair: pair[0].name)
    return SettledGrids(sparse, supply=supply)


def settle_with(fixed: Sequence[Grid], drafts: Sequence[Draft], area: BaseGeometry, ground: Ground) -> SettledGrids:
    """Make the grids of a later plan: those that are there already, grown where scenes reach further, and new ones.

    Parameters
    ----------
    fixed : sequence of Grid
        The grids of the earlier plan.
    drafts : sequence of Draft
        What today's scenes suggest, on the lattices of ``fixed`` where they may lie on them.
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    ground : mapping
        What each item covers.

    Returns
    -------
    SettledGrids; a grid of which no scene is left keeps its ground.
    """
    out = SettledGrids()
    plan = 1 + max(number for grid in fixed for number, _ in grid.claimed)
    members: dict[str, list[Draft]] = {grid.name: [] for grid in fixed}
    new = []
    for draft in drafts:
        homes = [grid for grid in fixed if _is_home(grid, draft)]
        if not homes:
            new.append(draft)
        for home, scenes in _share_out(draft, homes):
            members[home.name].append(replace(draft, scenes=scenes))
    for grid in fixed:
        grown, scenes = grid, []
        for draft in members[grid.name]:
            grown = grow(grown, draft, plan, area)
            scenes += draft.scenes
        out.grids.append((grown, scenes))
        out.notices += _say_of_growth(grid, grown, scenes, area)
    for draft, name in zip(new, name_grids(new, [grid.name for grid in fixed]), strict=True):
        made = make_grid(draft, name, area, alone=False)
        if made is not None:
            out.grids.append((replace(made, claims=((plan, made.source),)), draft.scenes))
    out.grids.sort(key=lambda pair: pair[0].name)
    out.supply = weigh(out.grids, area, ground)
    return out


def differences(kept: Sequence[Grid], anew: Sequence[Grid]) -> list[Notice]:
    """Say what a plan made anew would choose otherwise than the first one did.

    Parameters
    ----------
    kept, anew : sequence of Grid
        The grids of the first plan as they are kept, and those of a plan made anew.
    """
    fresh = {grid.name: grid for grid in anew}
    remedy = "what the first plan chose is kept; --rebuild decides anew"
    found = []
    for grid in kept:
        other = fresh.pop(grid.name, None)
        if other is None:
            found.append(Notice(grid.name, "plan_kept", f"it would not be a grid of its own; {remedy}"))
            continue
        changed = []
        at = grid.frame.shift(other.frame)
        if at is None or at[0] % grid.region or at[1] % grid.region:
            changed.append("its lattice")
        if (grid.bands, grid.region) != (other.bands, other.region):
            changed.append("its bands or the size of its regions")
        if grid.sparse != other.sparse or len(grid.claimed) > 1:
            changed.append("which ground it owns")
        if changed:
            found.append(Notice(grid.name, "plan_kept", f"{', '.join(changed)} would be chosen otherwise; {remedy}"))
    found += [Notice(name, "plan_kept", f"it would be a grid of its own; {remedy}") for name in sorted(fresh)]
    return found


def _is_home(grid: Grid, draft: Draft) -> bool:
    """Tell whether a draft stands for a grid that is there already: the same lattice, and the same tile."""
    if draft.tile:
        if grid.name.partition("_")[0] != draft.name:
            return False
    elif grid.name[2:5].isalpha():
        return False
    return grid.source.shift(draft.source) is not None


def _share_out(draft: Draft, homes: Sequence[Grid]) -> list[tuple[Grid, list[Scene]]]:
    """Share a draft's scenes out to the grids on its lattice: each to that which it meets most of."""
    if len(homes) < 2:
        return [(home, draft.scenes) for home in homes]
    shares: dict[str, list[Scene]] = {home.name: [] for home in homes}
    bands = tuple(draft.bands)
    for scene in draft.scenes:
        box = shapely.box(*finest(scene, bands).bounds)
        nearest = max(homes, key=lambda home: box.intersection(shapely.box(*home.source.bounds)).area)
        shares[nearest.name].append(scene)
    return [(home, shares[home.name]) for home in homes if shares[home.name]]


def _say_of_growth(grid: Grid, grown: Grid, scenes: Sequence[Scene], area: BaseGeometry) -> list[Notice]:
    """Say what has become of a grid whose scenes changed."""
    if not scenes:
        detail = "no item of it is listed any longer; what was built of it stays as it is"
        return [Notice(grid.name, "grid_without_items", detail)]
    own = areas.project(area, grown.source.epsg)
    reached = own.intersection(shapely.box(*grown.source.bounds))
    lost = reached.difference(shapely.box(*grown.frame.bounds)).area
    if lost >= grown.frame.resolution**2:
        detail = f"{lost / 1e6:.3g} km2 above or left of what the first plan laid out are left out; --rebuild adds them"
        return [Notice(grid.name, "grid_cannot_grow", detail)]
    if grown is grid:
        return []
    return [Notice(grid.name, "grid_grown", "items reach further than those of earlier plans; the store grows")]
