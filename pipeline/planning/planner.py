"""The plan: regions x slabs x observations, fixed and digested before a pixel is read.

Everything that a run does follows from the plan, and planning again from the same input gives the same plan. Headers
may be read, but no pixels.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput, Grid, Mask, Notice, Observation, Rejection, Scene
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.planning import grid as grids
from groundbreak.pipeline.planning.frames import FrameReader, frame_scenes
from groundbreak.pipeline.planning.masks import demand_scales, settle_mask
from groundbreak.pipeline.planning.plans import GridPlan, Plan, cube_digest, slab_depth
from groundbreak.pipeline.planning.regions import Ownership, build_regions, grown_regions, rivals
from groundbreak.pipeline.planning.settle import differences, settle_anew, settle_with
from groundbreak.pipeline.planning.supply import Supply
from groundbreak.pipeline.planning.ways import way_to_read
from groundbreak.pipeline.readers import headers
from groundbreak.pipeline.readers.headers import Headers
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.screening import nothing_left, screen_items


def plan(config: Config, kept: Headers | None = None, first: Plan | None = None, *, anew: bool = False) -> Plan:
    """Make the plan of a run: read items, screen them, read headers, and lay out grids, regions and observations.

    Parameters
    ----------
    config : Config
    kept : Headers, optional
        Headers that need not be read again.
    first : Plan, optional
        The plan that the output was laid out by, whose grids are kept.
    anew : bool
        Decide anew what the first plan has fixed.

    Raises
    ------
    BadInput
        The items cannot be read, or none of them can be used for the area.
    """
    area = areas.load_area(config)
    screened = screen_items(
        read_items(config.source, area, config.path, config.run.patience),
        area=area,
        span=config.span,
        bands=config.bands,
        source=config.source,
    )
    provider = screened.provider
    access = provider.access(config.source, config.run)
    bands = (*config.bands, screened.mask.band)
    if first is not None and not _is_of(first, None if anew else area, bands):
        first = None  # what is asked for is another output, and is refused where it would be written
    known, unread = headers.read_headers(screened.scenes, bands, access, kept or {})
    mask, mask_notices = _kept_mask(settle_mask(screened, known, access), config, first)
    demand_scales(screened.scenes, config.bands, known)
    framed = frame_scenes(screened.scenes, area, FrameReader(bands, access, known, unread, screened.ground))
    rejections = [*screened.rejections, *framed.rejections]
    if not framed.scenes:
        raise nothing_left(config.source, rejections)
    rule = grids.Rule(bands, provider.lattice, config.cube.resolution, config.cube.region)
    drafts = grids.draft_grids(framed.scenes, rule, area, access, known)
    settled = fresh = settle_anew(drafts, area, screened.ground)
    if first is not None and not anew:
        fixed = [g.grid for g in first.grids]
        if rule.lattice == "zone" or rule.resolution is not None:
            rule = dataclasses.replace(rule, zones=tuple(g.frame for g in fixed))
            drafts = grids.draft_grids(framed.scenes, rule, area, access, known)
        settled = settle_with(fixed, drafts, area, screened.ground)
        settled.notices += differences([g for g, _ in settled.grids], [g for g, _ in fresh.grids])
        if kept and {g.name: g.frame for g in fixed} != {g.name: g.frame for g, _ in settled.grids}:
            # Headers are kept with the blocks of the ground that a grid had. They lack those of what it has gained.
            known, unread = headers.read_headers(framed.scenes, bands, access, {})
    others = rivals([grid for grid, _ in settled.grids])
    made = _Maker(config, first, anew, area, mask, bands, known, unread, others)
    planned = [found for grid, scenes in settled.grids if (found := made.grid_plan(grid, scenes)) is not None]
    if not planned:
        raise BadInput("[area]", "no pixel of it lies on the items' rasters", "Check the area against the items")
    used = {(s.collection, s.id) for g in planned for o in g.observations for s in o.scenes}
    unused = [s for s in framed.scenes if (s.collection, s.id) not in used]
    rejections += [Rejection(s.id, "owns_nothing", "other grids own all of the area that it reaches") for s in unused]
    return Plan(
        config,
        area,
        mask,
        access,
        tuple(planned),
        tuple(rejections),
        areas.uncovered_km2(area, [g.grid.source for g in planned]),
        (*mask_notices, *framed.notices, *settled.notices),
        sum(made.short_pixels(g, settled.supply) for g in planned),
    )


def _is_of(first: Plan, area: BaseGeometry | None, bands: Sequence[str]) -> bool:
    """Tell whether an earlier plan is one of the same bands, and of the same area where one is given."""
    return (area is None or first.area.equals(area)) and all({*g.grid.bands} == {*bands} for g in first.grids)


def _kept_mask(mask: Mask, config: Config, first: Plan | None) -> tuple[Mask, list[Notice]]:
    """Return the mask, as the cubes that are there have it where the configuration leaves that open."""
    provider = config.source.provider
    if first is None or provider is None or provider.mask.nodata is not None or first.mask.identity == mask.identity:
        return mask, []
    if dataclasses.replace(first.mask, nodata=mask.nodata, dtype=mask.dtype).identity != mask.identity:
        return mask, []
    kept = f"{first.mask.dtype} with {first.mask.nodata} for no observation"
    wanted = f"{mask.dtype} with {mask.nodata} would be chosen today; another output would have it"
    return first.mask, [Notice(mask.band, "mask_kept", f"the cubes hold {kept}; {wanted}")]


@dataclass(frozen=True)
class _Maker:
    """Makes the plan of a grid."""

    config: Config
    first: Plan | None
    anew: bool
    area: BaseGeometry
    mask: Mask
    bands: tuple[str, ...]
    known: Headers
    unread: Mapping[headers.HeaderKey, str]
    others: Mapping[str, tuple[Grid, ...]]
    """Name of a grid -> the grids that compete with it for ground."""

    def grid_plan(self, grid: Grid, scenes: Sequence[Scene]) -> GridPlan | None:
        """Make the plan of one grid; None where it owns nothing."""
        before = next((g for g in self.first.grids if g.grid.name == grid.name), None) if self.first else None
        others = self.others[grid.name]
        regions = build_regions(grid, others, self.area)
        if not regions:
            return None
        own = {
            key: headers.cut(self.known[key], grid.band_frame(band))
            for scene in scenes
            for band in self.bands
            if (key := headers.header_key(scene.assets[band], scene)) in self.known
        }
        ways = Counter(way_to_read(scene, band, grid, own, self.unread) for scene in scenes for band in self.bands)
        source = sorted({(s.provider, s.collection) for s in scenes})
        depth = slab_depth(self.config.cube.slab)
        founded, replaces = grid, ""
        if before is not None:
            earlier = before.founded or before.grid
            on_earlier = cube_digest(earlier, depth, source, self.mask) if scenes else before.cube
            if self.anew:
                replaces = on_earlier
            else:
                founded = earlier
                regions = grown_regions(regions, before.regions, len(before.observations), depth)
        cube = on_earlier if founded is not grid else cube_digest(founded, depth, source, self.mask)
        return GridPlan(
            grid,
            tuple(observations(scenes)),
            tuple(regions),
            others,
            cube,
            dict(ways),
            own,
            founded,
            replaces,
            budget.mask_size(self.mask),
        )

    def short_pixels(self, planned: GridPlan, supply: Supply) -> int:
        """Count the pixels of a grid that get fewer than half of the observations that meet them."""
        ground = supply.short.get(planned.grid.name)
        if ground is None:
            return 0
        epsg = planned.grid.frame.epsg
        ownership = Ownership(planned.grid, planned.others, areas.around(self.area, planned.grid.frame))
        short = areas.project(ground, epsg)
        return sum(int((ownership.of(r.window) & areas.inside(short, r.window)).sum()) for r in planned.regions)


def observations(scenes: Iterable[Scene]) -> list[Observation]:
    """Group the scenes of one grid into observations, in the order of time.

    All scenes of one datatake are one observation, so the parts of a datatake that was split are together again.
    """
    takes: dict[str, list[Scene]] = defaultdict(list)
    for scene in scenes:
        takes[scene.datatake].append(scene)
    found = [Observation(key, min(s.time for s in parts), tuple(parts)) for key, parts in takes.items()]
    return sorted(found, key=lambda o: (o.time, o.id))
