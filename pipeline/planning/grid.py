"""Grids: the lattice on which each pixel of the area lies.

Where items lie on fixed tiles (Sentinel-2, HLS), a grid is one tile's own lattice, and nothing is resampled. Otherwise
it is the UTM lattice of the zone, onto which items are warped.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset, BadInput, Grid, Observation, Scene
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.readers.cog import Cog
from groundbreak.pipeline.readers.gdal import read_info
from groundbreak.pipeline.readers.headers import Headers, header_key

MAX_LATTICE_M = 40_960
"""Metres; blocks (strips, huge tiles) that would make regions wider than this do not decide the size of regions."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides the grids, beside the scenes and the area."""

    bands: tuple[str, ...]
    """Bands of the cube, the mask's last."""
    lattice: str
    """source: scenes lie on fixed tiles; zone: they are warped onto the zone's UTM lattice."""
    resolution: float | None
    """Metres, or None for the source's own resolution."""
    region: int
    """Least side of a region, in the finest pixels."""


def build_grids(
    scenes: Sequence[Scene], rule: Rule, area: BaseGeometry, access: Access, known: Headers
) -> list[tuple[Grid, list[Scene]]]:
    """Group scenes into grids, each as large as whole regions around the area.

    Parameters
    ----------
    scenes : sequence of Scene
    rule : Rule
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    access : Access
        How headers are reached that have to be read.
    known : Headers
        The headers that are known already.

    Returns
    -------
    list of (Grid, list of Scene), sorted by the name of the grid. Grids that the area does not reach are left out.

    Raises
    ------
    BadInput
        It cannot be found out where the pixels of a scene lie.
    """
    tiles: dict[Frame, list[Scene]] = defaultdict(list)
    loose: list[tuple[Frame, Scene]] = []
    for scene in (_framed(s, rule.bands, access, known) for s in scenes):
        frame = _finest(scene, rule.bands)
        if rule.lattice == "source" and rule.resolution in (None, frame.resolution) and _is_metric(frame.epsg):
            tiles[frame].append(scene)
        else:
            loose.append((_zone_frame(frame, rule.resolution, area), scene))
    drafts = [_on_tile(frame, members, rule, access, known) for frame, members in tiles.items()]
    drafts += _on_zones(loose, rule, area)
    names = [d.name for d in drafts]
    grids = []
    for draft in sorted(drafts, key=lambda d: (d.name, d.source.x0, d.source.y0)):
        source = draft.source
        name = draft.name if names.count(draft.name) == 1 else f"{draft.name}_{source.x0:.0f}_{source.y0:.0f}"
        frame_around = _around(areas.project(area, source.epsg), source, draft.side)
        if frame_around is not None:
            grids.append((Grid(name, frame_around, source, draft.bands, draft.side), draft.scenes))
    return grids


class _Draft(NamedTuple):
    """A grid before it is cut around the area."""

    name: str
    source: Frame
    """All that the scenes can fill, in the finest pixels."""
    bands: dict[str, float]
    """Band -> resolution, metres."""
    side: int
    """Side of a region, in the finest pixels."""
    scenes: list[Scene]


def _on_tile(frame: Frame, scenes: list[Scene], rule: Rule, access: Access, known: Headers) -> _Draft:
    """Draft the grid of one tile of the source, on the tile's own lattice."""
    bands = {b: _frame(scenes[0].assets[b]).resolution for b in rule.bands}
    side = _lattice(scenes, rule, access, known, frame.resolution)
    return _Draft(_tile_name(scenes[0]), frame, bands, side, scenes)


def _on_zones(loose: Sequence[tuple[Frame, Scene]], rule: Rule, area: BaseGeometry) -> list[_Draft]:
    """Draft a grid for each UTM zone; ``loose`` are scenes that lie on no tile, and their frames on the zone."""
    zones = sorted({(frame.epsg, frame.resolution) for frame, _ in loose})
    drafts = []
    for epsg, resolution in zones:
        extents = [f.bounds for f, _ in loose if f.epsg == epsg]
        if len(zones) == 1:
            # No other zone competes for the ground: scenes that come later must not move the lattice's edge.
            extents = [areas.project(area, epsg).bounds]
        whole = _lattice_frame(extents, epsg, resolution, rule.region)
        bands = dict.fromkeys(rule.bands, resolution)
        drafts.append(
            _Draft(f"{epsg}_{resolution:g}m", whole, bands, rule.region, [s for f, s in loose if f.epsg == epsg])
        )
    return drafts


def observations(scenes: Iterable[Scene]) -> list[Observation]:
    """Group the scenes of one grid into observations, in the order of time.

    All scenes of one datatake are one observation, so the parts of a datatake that was split are together again.
    """
    takes: dict[str, list[Scene]] = defaultdict(list)
    for scene in scenes:
        takes[scene.datatake].append(scene)
    found = [Observation(key, min(s.time for s in parts), tuple(parts)) for key, parts in takes.items()]
    return sorted(found, key=lambda o: (o.time, o.id))


def _framed(scene: Scene, bands: Sequence[str], access: Access, known: Headers) -> Scene:
    """Return a scene whose assets all have their frames: from the item, or else from their headers."""
    if all(scene.assets[b].frame is not None for b in bands):
        return scene
    assets = dict(scene.assets)
    for band in bands:
        if assets[band].frame is None:
            try:
                assets[band] = replace(assets[band], frame=_shape(scene, band, access, known)[0])
            except ReadError as error:
                rule = f"has no proj:transform, and its header cannot be read ({error.message})"
                raise BadInput(f"item {scene.id}, asset {band}", rule, "Mend or leave out the item") from None
    return replace(scene, assets=assets)


def _shape(scene: Scene, band: str, access: Access, known: Headers) -> tuple[Frame, tuple[int, int]]:
    """Return where an asset's pixels lie, and (rows, columns) of a block, by its header."""
    asset = scene.assets[band]
    cog = known.get(header_key(asset, scene))
    if isinstance(cog, Cog):
        return cog.frame, cog.blocks.shape
    head = read_info(asset, access)
    return head.frame, head.block


def _frame(asset: Asset) -> Frame:
    """Return an asset's frame, which is known."""
    assert asset.frame is not None
    return asset.frame


def _finest(scene: Scene, bands: Sequence[str]) -> Frame:
    """Return the frame of the asset with the finest pixels."""
    return min((_frame(scene.assets[b]) for b in bands), key=lambda f: f.resolution)


def _lattice(scenes: Sequence[Scene], rule: Rule, access: Access, known: Headers, resolution: float) -> int:
    """Return the side of a region: the least multiple of every band's pixels and blocks, of at least ``rule.region``.

    One header of each band is read: that of the earliest scene whose header can be read.
    """
    found: list[tuple[Frame, tuple[int, int]]] = []
    for band in rule.bands:
        error = None
        for scene in sorted(scenes, key=lambda s: (s.time, s.id))[:5]:
            try:
                found.append(_shape(scene, band, access, known))
            except ReadError as caught:
                error = caught
                continue
            break
        else:
            rule_text = f"no header of the first scenes can be read ({error.message if error else ''})"
            what = f"band {band} of {_tile_name(scenes[0])}"
            raise BadInput(what, rule_text, "Check the hrefs, keys and network; see [source]")
    # Pixels come first: a region must not cut a coarse pixel in two, or it would not lie on that band's lattice.
    metres = math.lcm(round(resolution), *(round(frame.resolution) for frame, _ in found))
    for frame, block_shape in found:
        for size, whole in zip(block_shape, (frame.height, frame.width), strict=True):
            block = round(size * frame.resolution)
            if 1 < size < whole and math.lcm(metres, block) <= MAX_LATTICE_M:
                metres = math.lcm(metres, block)
    lattice = metres // round(resolution)
    return lattice * -(-rule.region // lattice)


def _around(area: BaseGeometry, source: Frame, side: int) -> Frame | None:
    """Return the frame of a cube: whole regions around the area, cut at the source's edge; None outside the area."""
    part = area.intersection(shapely.box(*source.bounds))
    if part.is_empty or part.area == 0:
        return None
    left, bottom, right, top = part.bounds
    step = side * source.resolution
    col0, row0 = math.floor((left - source.x0) / step) * side, math.floor((source.y0 - top) / step) * side
    col1, row1 = math.ceil((right - source.x0) / step) * side, math.ceil((source.y0 - bottom) / step) * side
    row0, col0 = max(row0, 0), max(col0, 0)
    return source.window(row0, col0, min(row1, source.height) - row0, min(col1, source.width) - col0)


def _is_metric(epsg: int) -> bool:
    """Tell whether a CRS is projected, and so has metres."""
    return bool(pyproj.CRS.from_epsg(epsg).is_projected)


def _zone_frame(frame: Frame, resolution: float | None, area: BaseGeometry) -> Frame:
    """Return the frame on a UTM zone's lattice that covers a source's frame; the area tells the zone of other CRSs."""
    if 32601 <= frame.epsg <= 32660 or 32701 <= frame.epsg <= 32760:
        epsg, bounds = frame.epsg, frame.bounds
    else:
        point = shapely.get_parts(area)[0].centroid
        epsg = (32600 if point.y >= 0 else 32700) + int((point.x + 180) // 6) % 60 + 1
        bounds = geo.transformer(frame.epsg, epsg).transform_bounds(*frame.bounds)
    if resolution is None and not _is_metric(frame.epsg):
        raise BadInput("[cube] resolution", f"is needed: the source is in EPSG:{frame.epsg}", "Set it, in metres")
    step = resolution or frame.resolution
    left, bottom, right, top = (
        math.floor(bounds[0] / step),
        math.floor(bounds[1] / step),
        math.ceil(bounds[2] / step),
        math.ceil(bounds[3] / step),
    )
    return Frame(epsg, left * step, top * step, step, top - bottom, right - left)


def _lattice_frame(extents: Sequence[tuple[float, ...]], epsg: int, resolution: float, region: int) -> Frame:
    """Return the frame of the whole regions of a zone's lattice that cover all extents (left, bottom, right, top)."""
    step = resolution * region
    left, bottom = (math.floor(min(e[i] for e in extents) / step) for i in (0, 1))
    right, top = (math.ceil(max(e[i] for e in extents) / step) for i in (2, 3))
    return Frame(epsg, left * step, top * step, resolution, (top - bottom) * region, (right - left) * region)


def _tile_name(scene: Scene) -> str:
    """Return a safe name of a folder: the tile's, or that of the corner where the tile has none, or a hostile one."""
    tile = scene.tile.removeprefix("MGRS-")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", tile):
        return tile
    frame = next(a.frame for a in scene.assets.values() if a.frame is not None)
    return f"{frame.epsg}_{frame.x0:.0f}_{frame.y0:.0f}"
