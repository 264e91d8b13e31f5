"""The plan: regions x slabs x observations, fixed and digested before a pixel is read.

Everything that a run does follows from the plan, and planning again from the same input gives the same plan. Headers
may be read, but no pixels.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from dask.system import CPU_COUNT
from shapely.geometry.base import BaseGeometry

from groundbreak.kernels import DETECTORS
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core import places, show
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import (
    BadInput,
    Grid,
    Mask,
    Notice,
    Observation,
    Region,
    Rejection,
    Scene,
    Slab,
    digest,
)
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.planning import grid as grids
from groundbreak.pipeline.planning.frames import FrameReader, frame_scenes
from groundbreak.pipeline.planning.masks import demand_scales, settle_mask
from groundbreak.pipeline.planning.regions import Ownership, build_regions, grown_regions
from groundbreak.pipeline.planning.settle import differences, settle_anew, settle_with
from groundbreak.pipeline.planning.supply import Supply, weigh
from groundbreak.pipeline.planning.ways import way_to_read
from groundbreak.pipeline.readers import headers
from groundbreak.pipeline.readers.cog import BlockLayout, Cog
from groundbreak.pipeline.readers.headers import Headers
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.screening import nothing_left, screen_items
from groundbreak.pipeline.stores.layout import STORE_SCHEMA
from groundbreak.pipeline.stores.shards import TIME_CHUNK


@dataclass(frozen=True)
class GridPlan:
    """What a run will do on one grid."""

    grid: Grid
    """The grid."""
    observations: tuple[Observation, ...]
    """All observations of the grid, in the order of time."""
    regions: tuple[Region, ...]
    """The regions that own some of the area."""
    others: tuple[Grid, ...]
    """The grids that compete with this one for ground."""
    cube: str
    """Digest of the cube's identity: grid, bands, source, screening."""
    ways: Mapping[str, int]
    """How assets are read, and why -> how many of the grid's assets are read so."""
    headers: Headers = field(default_factory=dict)
    """The headers of the grid's files, with the blocks of the area; empty for a plan that was loaded."""
    founded: Grid | None = None
    """The grid as its first plan made it, which the cube's digest is made of; None where it has not changed since."""
    replaces: str = ""
    """Digest that the cube would have on the grid of an earlier plan, where this plan was made anew; else ""."""
    mask_size: int = 1
    """Bytes of a pixel of the mask."""

    def slabs(self, depth: int) -> list[Slab]:
        """Cut the grid's observations into slabs of ``depth`` observations; the last one may be shorter."""
        return slabs(len(self.observations), depth)

    def build_tasks(self, region: Region, depth: int) -> list[str]:
        """Name the tasks that build a region, slab by slab of ``depth`` observations."""
        return [places.build_task(region.key, slab.index) for slab in self.slabs(depth)]

    @property
    def cube_bytes(self) -> int:
        """Bytes of all pixels of the cube, uncompressed."""
        return budget.cube_bytes(self.grid, self.regions, len(self.observations), self.mask_size)

    @property
    def figures(self) -> dict[str, int | str]:
        """A few figures that describe the grid: label -> figure."""
        return {
            "EPSG": str(self.grid.frame.epsg),
            "regions": len(self.regions),
            "region px": self.grid.region,
            "observations": len(self.observations),
            "bytes decoded": self.cube_bytes,
        }

    def __repr__(self) -> str:
        """Return the grid's figures in one line."""
        return show.line(f"GridPlan {self.grid.name}", self.figures)


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    config: Config
    """The configuration that it was made from."""
    area: BaseGeometry
    """The area of interest, lon/lat, split where it crosses the antimeridian."""
    mask: Mask
    """The mask of all items."""
    access: Access | None
    """How assets are reached; None for a plan that was loaded, from which nothing is built."""
    grids: tuple[GridPlan, ...]
    """At least one grid, sorted by name."""
    rejections: tuple[Rejection, ...]
    """The items that are not used."""
    uncovered_km2: float
    """Ground of the area that no grid reaches, square kilometres."""
    notices: tuple[Notice, ...] = ()
    """What is done otherwise than items and files say, and what else must be known."""
    short_pixels: int = 0
    """Owned pixels that get fewer than half of the observations that meet them."""

    @property
    def depth(self) -> int:
        """Observations of a full slab."""
        return slab_depth(self.config.cube.slab)

    @cached_property
    def detection(self) -> str:
        """Digest of what detection depends on beside the cube: parameters, masks, who owns which pixel."""
        detect = self.config.detect
        detector = DETECTORS[detect.detector]
        params = {**detector.defaults, **detect.params}
        who = [
            shapely.to_wkb(self.area, hex=True),
            [[g.grid.name, dataclasses.astuple(g.grid.claimed[0][1]), *_later_claims(g.grid)] for g in self.grids],
        ]
        return digest(
            [
                STORE_SCHEMA,
                detect.detector,
                detector.version,
                params,
                detect.indices,
                detect.history_end,
                self.mask.identity,
                who,
            ]
        )

    @property
    def headers(self) -> Headers:
        """The headers of all files; of a file that several grids read, one that lists all of its blocks if there is."""
        found: dict[headers.HeaderKey, BlockLayout] = {}
        for key, header in (entry for g in self.grids for entry in g.headers.items()):
            if key not in found or (isinstance(header, Cog) and header.blocks.numbers is None):
                found[key] = header
        return found

    def summary(self) -> dict[str, int | float | str]:
        """Return the figures that describe the plan, as the command `plan` prints them: label -> figure."""
        slabs_all = sum(len(g.regions) * len(g.slabs(self.depth)) for g in self.grids)
        regions = [r for g in self.grids for r in g.regions]
        raw = sum(g.cube_bytes for g in self.grids)
        return {
            "grids": len(self.grids),
            "regions": len(regions),
            "observations": sum(len(g.observations) for g in self.grids),
            "scenes": sum(len(o.scenes) for g in self.grids for o in g.observations),
            "rejected items": len(self.rejections),
            "tasks": slabs_all + len(regions),
            "pixels of the area": sum(r.owned for r in regions),
            "pixels short of observations": self.short_pixels,
            "uncovered km2": round(self.uncovered_km2, 3),
            "bytes decoded": raw,
            "bytes on disk (estimated)": self.disk_bytes(),
            **self.memory(),
        }

    def __repr__(self) -> str:
        """Return the plan's main figures in one line."""
        names = ("grids", "regions", "observations", "scenes", "rejected items", "tasks", "bytes decoded")
        summary = self.summary()
        return show.line("Plan", {name: summary[name] for name in names})

    def _repr_html_(self) -> str:
        rows = [(g.grid.name, *(show.figure(k, v) for k, v in g.figures.items())) for g in self.grids]
        grids = show.listing(("grid", *self.grids[0].figures), rows)
        rejected = show.listing(("rejected items", "reason"), ((n, reason) for reason, n in self.rejected().items()))
        return show.table("Plan", self.summary()) + grids + rejected

    def memory(self) -> dict[str, int]:
        """Estimate the most memory that each kind of task takes: label -> bytes, beside what an idle worker holds."""
        indices, depth, size = self.config.detect.indices, self.depth, budget.mask_size(self.mask)
        most: Counter[str] = Counter()
        for g in self.grids:
            count, window = len(g.observations), budget.largest(g.regions)
            kinds = {
                "building task": budget.build_memory(g.grid, window, min(depth, count), g.ways, size),
                "detection task": budget.detect_memory(g.grid, window, count, indices, size),
            }
            if budget.fits(g.grid, window, count, indices, size):
                whole = budget.region_memory(g.grid, window, depth, count, indices, g.ways, size)
                kinds["task of a whole region"] = whole
            for kind, size in kinds.items():
                most[f"memory per {kind}"] = max(most[f"memory per {kind}"], size)
        return dict(most)

    def disk_bytes(self) -> int:
        """Estimate the disk space of stores and mosaics, bytes; of cubes that are not kept, those in flight count."""
        layers = budget.layer_bytes([r.frame for g in self.grids for r in g.regions])
        cubes = sorted(
            budget.cube_bytes(g.grid, [r], len(g.observations), g.mask_size) for g in self.grids for r in g.regions
        )
        if not self.config.cube.keep:
            cubes = cubes[-budget.TASKS_PER_THREAD * (self.config.cluster.workers or CPU_COUNT) :]
        return int(sum(cubes) / budget.COMPRESSION) + layers * 2

    def rejected(self) -> dict[str, int]:
        """Count the rejected items by reason, the commonest first."""
        return dict(Counter(r.reason for r in self.rejections).most_common())


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
        read_items(config.source, area, config.path),
        area=area,
        span=config.span,
        bands=config.bands,
        source=config.source,
    )
    provider = screened.provider
    access = provider.access(config.source, config.run.attempts)
    bands = (*config.bands, screened.mask.band)
    if first is not None and not _is_of(first, None if anew else area, bands):
        first = None  # what is asked for is another output, and is refused where it would be written
    known, unread = headers.read_headers(screened.scenes, bands, access, kept or {})
    mask, mask_notices = _kept_mask(settle_mask(screened, known, access), config, first)
    demand_scales(screened.scenes, config.bands, known)
    framed = frame_scenes(screened.scenes, area, FrameReader(bands, access, known, unread))
    rejections = [*screened.rejections, *framed.rejections]
    if not framed.scenes:
        raise nothing_left(config.source, rejections)
    rule = grids.Rule(bands, provider.lattice, config.cube.resolution, config.cube.region)
    fresh = settle_anew(grids.draft_grids(framed.scenes, rule, area, access, known), area, screened.ground)
    settled = fresh
    if first is not None and not anew:
        fixed = [g.grid for g in first.grids]
        zones = tuple(g.frame for g in fixed if rule.lattice == "zone" or rule.resolution is not None)
        drafts = grids.draft_grids(framed.scenes, dataclasses.replace(rule, zones=zones), area, access, known)
        settled = settle_with(fixed, drafts, area)
        settled.notices += differences([g for g, _ in settled.grids], [g for g, _ in fresh.grids])
        if kept and {g.name: g.frame for g in fixed} != {g.name: g.frame for g, _ in settled.grids}:
            # Headers are kept with the blocks of the ground that a grid had. They lack those of what it has gained.
            known, unread = headers.read_headers(framed.scenes, bands, access, {})
    supply = weigh(settled.grids, area, screened.ground)
    every = [grid for grid, _ in settled.grids]
    made = _Maker(config, first, anew, area, mask, bands, known, unread, every)
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
        sum(made.short_pixels(g, supply) for g in planned),
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
    every: list[Grid]
    """All grids, which compete for ground."""

    def grid_plan(self, grid: Grid, scenes: Sequence[Scene]) -> GridPlan | None:
        """Make the plan of one grid; None where it owns nothing."""
        before = next((g for g in self.first.grids if g.grid.name == grid.name), None) if self.first else None
        regions = build_regions(grid, self.every, self.area)
        if not regions:
            return None
        own = {
            key: headers.cut(self.known[key], grid.band_frame(band))
            for scene in scenes
            for band in self.bands
            if (key := headers.header_key(scene.assets[band], scene)) in self.known
        }
        ways = Counter(way_to_read(scene, band, grid, own, self.unread) for scene in scenes for band in self.bands)
        others = tuple(g for g in self.every if g.name != grid.name)
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
        ownership = Ownership(planned.grid, planned.others, areas.project(self.area, epsg))
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


def cube_digest(founded: Grid, depth: int, source: Sequence[tuple[str, str]], mask: Mask) -> str:
    """Return the digest of a cube's identity.

    Parameters
    ----------
    founded : Grid
        As its first plan made it.
    depth : int
        Observations of a full slab.
    source : sequence of (provider, collection), sorted
    mask : Mask
    """
    frames = dataclasses.astuple(founded.frame), dataclasses.astuple(founded.source)
    return digest([STORE_SCHEMA, [founded.name, *frames, founded.bands, founded.region], depth, source, mask.identity])


def _later_claims(grid: Grid) -> list[object]:
    """Return what decides a grid's ground beside its first claim; nothing where that alone does."""
    (number, _), *later = grid.claimed
    if not (later or grid.sparse or number):
        return []
    return [number, [[n, dataclasses.astuple(frame)] for n, frame in later], grid.sparse]


def slab_depth(wanted: int) -> int:
    """Return the observations of a full slab: the wanted number, rounded up to whole time chunks above one of them."""
    return wanted if wanted < TIME_CHUNK else -(-wanted // TIME_CHUNK) * TIME_CHUNK


def slabs(count: int, depth: int) -> list[Slab]:
    """Cut ``count`` observations into slabs of ``depth``; the last one may be shorter."""
    return [Slab(i, start, min(start + depth, count), depth) for i, start in enumerate(range(0, count, depth))]


def to_json(planned: Plan) -> str:
    """Write the figures, ways and rejections of a plan as JSON, for programs."""
    return json.dumps(
        {
            "summary": planned.summary(),
            "grids": [
                {
                    "name": g.grid.name,
                    "epsg": g.grid.frame.epsg,
                    "regions": len(g.regions),
                    "observations": len(g.observations),
                    "first": str(min((o.time for o in g.observations), default=np.datetime64("NaT", "ms"))),
                    "ways": dict(g.ways),
                }
                for g in planned.grids
            ],
            "rejected": [dataclasses.asdict(r) for r in planned.rejections],
            "notices": [dataclasses.asdict(n) for n in planned.notices],
        },
        indent=2,
    )
