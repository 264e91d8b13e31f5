"""The plan as a value: what a run will do, grid by grid, with the figures that describe it and the digests of it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import shapely
from dask.system import CPU_COUNT
from shapely.geometry.base import BaseGeometry

from groundbreak.kernels import DETECTORS
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core import places, show
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.types import Grid, Mask, Notice, Observation, Region, Rejection, Slab
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.readers.cog import BlockLayout, Cog
from groundbreak.pipeline.readers.headers import HeaderKey, Headers
from groundbreak.pipeline.stores.layout import STORE_SCHEMA
from groundbreak.pipeline.stores.shards import TIME_CHUNK

NOTICES: dict[str, str] = {
    "frame_contradicts_file": "the item is wrong about where its pixels lie; the file is believed",
    "grid_cannot_grow": "items reach ground for which the first plan left no room",
    "grid_grown": "items reach further than those of earlier plans",
    "grid_without_items": "the source lists no item of it any longer",
    "mask_kept": "the cubes that are there have the mask otherwise than it would be chosen today",
    "plan_kept": "a plan made anew would choose otherwise",
}
"""Kind of a notice -> what it means."""


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

    def slabs(self, depth: int) -> tuple[Slab, ...]:
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
        found: dict[HeaderKey, BlockLayout] = {}
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
        indices, depth = self.config.detect.indices, self.depth
        most: Counter[str] = Counter()
        for g in self.grids:
            count, window = len(g.observations), budget.largest(g.regions)
            kinds = {
                "building task": budget.build_memory(g.grid, window, min(depth, count), g.ways, g.mask_size),
                "detection task": budget.detect_memory(g.grid, window, count, indices, g.mask_size),
            }
            if budget.fits(g.grid, window, count, indices, g.mask_size):
                whole = budget.region_memory(g.grid, window, depth, count, indices, g.ways, g.mask_size)
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
            cubes = cubes[-budget.TASKS_PER_THREAD * (self.config.cluster.most_workers or CPU_COUNT) :]
        return int(sum(cubes) / budget.COMPRESSION) + layers * 2

    def rejected(self) -> dict[str, int]:
        """Count the rejected items by reason, the commonest first."""
        return dict(Counter(r.reason for r in self.rejections).most_common())


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


@lru_cache(maxsize=64)  # asked for by each of a country's regions
def slabs(count: int, depth: int) -> tuple[Slab, ...]:
    """Cut ``count`` observations into slabs of ``depth``; the last one may be shorter."""
    return tuple(Slab(i, start, min(start + depth, count), depth) for i, start in enumerate(range(0, count, depth)))


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
