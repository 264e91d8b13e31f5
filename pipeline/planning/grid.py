"""Grids: the lattice on which each pixel of the area lies.

Scenes that lie on tiles (Sentinel-2, HLS) make a grid of each tile, on the tile's own lattice, and nothing is
resampled. Other scenes of one lattice make one grid, however far each of them reaches. Scenes that are to share a UTM
zone's lattice are warped onto it, unless they lie on it already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput, Grid, Scene
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning.frames import finest, frame_of
from groundbreak.pipeline.planning.lattices import Lattice, group, lay_bands, region_side
from groundbreak.pipeline.planning.zones import zone_lattices
from groundbreak.pipeline.readers.cog import Cog
from groundbreak.pipeline.readers.gdal import read_info
from groundbreak.pipeline.readers.headers import Headers, header_key

LOG = logging.getLogger(__name__)

MAX_LATTICE_M = 40_960
"""Metres; blocks (strips, huge tiles) that would make regions wider than this do not decide the size of regions."""

UNREAD_BLOCK = (512, 512)
"""Rows and columns that a block is taken to have where no header of a grid can be read, though those of others can."""

BlocksOf = Callable[[Sequence[Scene], str, str], tuple[Frame, tuple[int, int]]]
"""(scenes, name of their grid, band) -> the frame of one scene, and the (rows, columns) of its blocks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides the grids, beside the scenes and the area."""

    bands: tuple[str, ...]
    """Bands of the cube, the mask's last."""
    lattice: str
    """source: scenes keep their own lattice; zone: they are warped onto the zone's UTM lattice."""
    resolution: float | None
    """Metres, or None for the source's own resolution."""
    region: int
    """Least side of a region, in the finest pixels."""
    zones: tuple[Frame, ...] = ()
    """Frames on the zone's lattices that an earlier plan chose."""


@dataclass(frozen=True)
class Draft:
    """A grid as the scenes suggest it, before names are settled and it is cut around the area."""

    name: str
    """The name that it would have if no other grid had it."""
    anchor: Frame
    """A frame on its lattice; regions are counted from its upper left corner."""
    source: Frame
    """All that the scenes can fill, in the finest pixels."""
    bands: dict[str, float]
    """Band -> resolution, metres."""
    side: int
    """Side of a region, in the finest pixels."""
    tile: bool
    """Whether it is a tile: its edge then cuts the cube; any other grid has room for scenes that reach further."""
    scenes: list[Scene]

    def around(self, area: BaseGeometry, *, alone: bool) -> Frame | None:
        """Return the frame of its cube: whole regions around the area; None where the area does not reach it.

        Parameters
        ----------
        area : Polygon or MultiPolygon
            Lon/lat.
        alone : bool
            Whether no other grid competes for the area.
        """
        size, side, source = self.anchor.resolution, self.side, self.source
        # Of a country, what lies near a tile will do; other grids may have room for all of it.
        own = areas.around(area, source) if self.tile else areas.project(area, source.epsg)
        part = own.intersection(shapely.box(*source.bounds))
        if part.is_empty or part.area == 0:
            return None
        if not self.tile:
            # Scenes that come later may reach further, and must find room: a store cannot grow to the left.
            room = max(finest(scene, tuple(self.bands)).height for scene in self.scenes) * size
            part = own if alone else own.intersection(shapely.box(*source.bounds).buffer(room, join_style="mitre"))
        first = self.anchor.shift(source)
        assert first is not None
        top, left = (side * (n // side) for n in first)
        row0, col0, row1, col1 = self.anchor.steps_around(part.bounds, side)
        if self.tile:
            row0, col0 = max(row0, top), max(col0, left)
            row1, col1 = min(row1, first[0] + source.height), min(col1, first[1] + source.width)
        return self.anchor.window(row0, col0, row1 - row0, col1 - col0)


def draft_grids(scenes: Sequence[Scene], rule: Rule, area: BaseGeometry, access: Access, known: Headers) -> list[Draft]:
    """Group scenes into grids.

    Parameters
    ----------
    scenes : sequence of Scene
        Whose frames are known.
    rule : Rule
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    access : Access
        How headers are reached that have to be read.
    known : Headers
        The headers that are known already.

    Returns
    -------
    list of Draft, sorted by name, that of most scenes first.

    Raises
    ------
    BadInput
        No header of any grid can be read, or the source is in degrees and no resolution is given.
    """
    own: list[Scene] = []
    loose: list[Scene] = []
    for scene in scenes:
        frame = finest(scene, rule.bands)
        keeps = rule.lattice == "source" and rule.resolution in (None, frame.resolution) and crs.is_metric(frame.epsg)
        (own if keeps else loose).append(scene)
    drafts: list[Draft] = []
    unread: list[tuple[Lattice, BadInput]] = []
    for lattice in group(own, rule.bands):
        try:
            drafts.append(_draft(lattice, rule, lambda scenes, name, band: _blocks(scenes, name, band, access, known)))
        except BadInput as error:
            unread.append((lattice, error))
    if unread and not (drafts or loose):
        raise unread[0][1]
    for lattice, why in unread:
        LOG.warning("%s; its regions are laid out as if its blocks were usual ones", why)
        drafts.append(_draft(lattice, rule, lambda scenes, _, band: (frame_of(scenes[0], band), UNREAD_BLOCK)))
    for zone in zone_lattices(loose, rule.bands, rule.resolution, area, rule.zones):
        bands = dict.fromkeys(rule.bands, zone.frame.resolution)
        side = rule.region
        drafts.append(
            Draft(_zone_name(zone.frame), zone.anchor, zone.frame, bands, side, tile=False, scenes=zone.scenes)
        )
    return sorted(drafts, key=lambda d: (d.name, -len(d.scenes), d.source.x0, d.source.y0))


def name_grids(drafts: Sequence[Draft], taken: Sequence[str]) -> list[str]:
    """Choose a name for each draft, each another one: "38TPK", "38TPK_2"; names in ``taken`` are used already."""
    names: list[str] = []
    used = {name.lower() for name in taken}
    for draft in drafts:
        name, number = draft.name, 1
        while name.lower() in used:
            number += 1
            name = f"{draft.name}_{number}"
        used.add(name.lower())
        names.append(name)
    return names


def _draft(lattice: Lattice, rule: Rule, blocks_of: BlocksOf) -> Draft:
    """Draft the grid of a lattice of the source's own."""
    layout = lay_bands(lattice, rule.bands)
    name = lattice.tile or _zone_name(lattice.frame)
    blocks = [(band, *blocks_of(lattice.scenes, name, band)) for band in rule.bands]
    side = region_side(layout, blocks, rule.region, MAX_LATTICE_M)
    return Draft(name, layout.anchor, lattice.frame, layout.bands, side, bool(lattice.tile), lattice.scenes)


def _blocks(
    scenes: Sequence[Scene], name: str, band: str, access: Access, known: Headers
) -> tuple[Frame, tuple[int, int]]:
    """Return the frame and the (rows, columns) of a block of a band: of the first scene whose header can be read."""
    error, ordered = None, sorted(scenes, key=lambda s: (s.time, s.id))
    for header in (known.get(header_key(scene.assets[band], scene)) for scene in ordered):
        if isinstance(header, Cog):
            return header.frame, header.blocks.shape
    for scene in ordered[:5]:
        try:
            return frame_of(scene, band), read_info(scene.assets[band], access).block
        except ReadError as caught:
            error = caught
    rule = f"no header of the first scenes can be read ({error.message if error else ''})"
    raise BadInput(f"band {band} of {name}", rule, "Check the hrefs, keys and network; see [source]")


def _zone_name(frame: Frame) -> str:
    """Return the name of a grid that is no tile: "32638_10m"."""
    return f"{frame.epsg}_{frame.resolution:g}m"


def make_grid(draft: Draft, name: str, area: BaseGeometry, *, alone: bool) -> Grid | None:
    """Make a grid of a draft; None where the area does not reach it."""
    frame = draft.around(area, alone=alone)
    return None if frame is None else Grid(name, frame, draft.source, draft.bands, draft.side)


def grow(grid: Grid, draft: Draft, plan: int, area: BaseGeometry) -> Grid:
    """Return a grid of an earlier plan that has room for wider scenes; what it owned stays its own.

    Parameters
    ----------
    grid : Grid
    draft : Draft
        The grid as today's scenes suggest it, on the same lattice.
    plan : int
        Number of this plan among those that have changed what grids claim.
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    """
    wider = grid.source.union(draft.source)
    own = areas.project(area, grid.source.epsg)
    gained = own.intersection(shapely.box(*wider.bounds)).difference(shapely.box(*grid.source.bounds))
    if gained.area < grid.frame.resolution**2:
        return grid
    wanted = replace(draft, anchor=grid.frame, source=wider, side=grid.region).around(area, alone=False)
    assert wanted is not None
    at = grid.frame.shift(wanted)
    assert at is not None
    # Regions are counted from the frame's corner, so a store grows to the right and down only.
    bottom, right = max(at[0] + wanted.height, grid.frame.height), max(at[1] + wanted.width, grid.frame.width)
    frame = grid.frame.window(0, 0, bottom, right)
    return replace(grid, frame=frame, source=wider, claims=(*grid.claimed, (plan, wider)))
