"""Which items are used, which are not, and why: nothing is dropped in silence."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.providers import Provider, recognise
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput, Mask, Rejection, Scene
from groundbreak.pipeline.stac import items
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.scenes import normalise

REASONS: dict[str, str] = {
    "duplicate": "the same processing of the same acquisition, listed twice",
    "href_refused": "an asset lies where the policy lets nothing be read",
    "malformed": "not a STAC item, or one whose metadata cannot be read",
    "missing_band": "it has no asset for a band that is needed",
    "no_datetime": "it does not tell when it was acquired",
    "no_footprint": "it does not tell where it lies",
    "offset_contradicts_baseline": "its reflectance offset is not that of its processing baseline",
    "offset_unknown": "neither it nor its processing baseline tells the reflectance offset",
    "older_baseline": "an older processing baseline of an acquisition that is used",
    "older_version": "an older processing of an acquisition that is used",
    "other_collection": "of another collection than the one asked for",
    "outside_area": "it does not meet the area",
    "outside_dates": "acquired outside the dates",
    "owns_nothing": "other grids own all of the area that it reaches",
    "scale_unknown": "its reflectance scale is not told, or is no scale",
    "several_bands": "a band's asset holds several bands in one file",
    "unknown_format": "an asset is neither GeoTIFF nor JPEG 2000",
}
"""Code of a reason why an item is not used -> what it means."""

_REMEDIES = {
    "href_refused": "The example says what helps",
    "malformed": "Write the items with a STAC tool",
    "missing_band": "Name the assets in [source.provider] bands, or choose indices of other bands",
    "offset_contradicts_baseline": "Mend the items, or set [source.provider] offset",
    "offset_unknown": "Set [source.provider] offset",
    "other_collection": "Check [source] collection",
    "outside_area": "Check [area] against the items' footprints",
    "outside_dates": "Widen [source] datetime",
    "scale_unknown": "Set [source.provider] scale",
    "several_bands": "Give each band an asset of its own",
}

SAME_PASS = np.timedelta64(60, "s")
"""Items of one platform whose overpass only the time tells are of one overpass where no gap is longer."""


@dataclass(frozen=True, slots=True)
class ScreenedItems:
    """What screening makes of a list of items."""

    scenes: tuple[Scene, ...]
    """The scenes that are used, ordered by overpass; within one, in the order of fusing: least nodata first."""
    rejections: tuple[Rejection, ...]
    """First the items that are rejected for themselves, in their order, then those that another item replaces."""
    mask: Mask
    """The mask of every scene."""
    provider: Provider
    """The provider of every scene; where there are several that are read alike, the first."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A scene, and what else it is ordered and chosen by."""

    scene: Scene
    strip: str
    """Sensing start of the strip that it was cut from, or ""."""
    nodata: float
    """Share of the tile without data, 0-1."""
    provider: Provider


def screen_items(
    raws: Iterable[RawItem],
    *,
    area: BaseGeometry,
    span: tuple[np.datetime64, np.datetime64],
    bands: Sequence[str],
    source: SourceConfig,
) -> ScreenedItems:
    """Turn items into scenes, keeping one processing of each acquisition.

    Parameters
    ----------
    raws : iterable of RawItem
    area : Polygon or MultiPolygon
        The area of interest, lon/lat, split at the antimeridian.
    span : tuple of datetime64[ms]
        First and last instant, UTC, both inclusive.
    bands : sequence of str
        Canonical names of the reflectance bands; the mask's band is added.
    source : SourceConfig
        Collection, provider and allowed hosts.

    Raises
    ------
    BadInput
        Nothing is left, an item is of no known provider, or items come from providers that are read in different ways.
    """
    shapely.prepare(area)
    found: list[_Candidate] = []
    rejections: list[Rejection] = []
    for raw in raws:
        outcome = _consider(raw, area, span, bands, source)
        if isinstance(outcome, Rejection):
            rejections.append(outcome)
        else:
            found.append(outcome)
    kept: list[_Candidate] = []
    groups: dict[tuple[str, str], list[_Candidate]] = defaultdict(list)
    for candidate in _join_passes(found):
        groups[candidate.scene.datatake, _place(candidate.scene)].append(candidate)
    for group in groups.values():
        kept += _newest(group, rejections)
    if not kept:
        raise _nothing_left(source, rejections)
    provider = _one_access(kept)
    start: dict[str, np.datetime64] = {}
    for scene in (c.scene for c in kept):
        start[scene.datatake] = min(scene.time, start.get(scene.datatake, scene.time))
    kept.sort(key=lambda c: (start[c.scene.datatake], c.scene.datatake, c.nodata, c.scene.id))
    scenes = tuple(c.scene for c in kept)
    return ScreenedItems(scenes, tuple(rejections), provider.mask, provider)


def _consider(
    raw: RawItem,
    area: BaseGeometry,
    span: tuple[np.datetime64, np.datetime64],
    bands: Sequence[str],
    source: SourceConfig,
) -> _Candidate | Rejection:
    """Look at one item by itself; area and dates come first, since an item that is not wanted need not be known."""
    item = raw.item
    try:
        items.demand_item(item)
        collection = item.get("collection")
        if source.collection and collection and collection != source.collection:
            return Rejection(item["id"], "other_collection", f"of {collection!r}")
        if not area.intersects(raw.ground):
            return Rejection(item["id"], "outside_area", f"bbox {item.get('bbox')}")
        time = items.acquired(item)
        if not span[0] <= time <= span[1]:
            return Rejection(item["id"], "outside_dates", str(time))
        provider = recognise(item, source.provider)
        scene = normalise(raw, provider, (*bands, provider.mask.band), source)
        if isinstance(scene, Rejection):
            return scene
        return _Candidate(scene, items.datastrip(item), items.nodata_share(item), provider)
    except items.UNREADABLE as error:
        return items.rejection(item, error)


def _join_passes(found: Sequence[_Candidate]) -> list[_Candidate]:
    """Give all items of an overpass one datatake, where only the time tells overpasses apart."""
    timed = [c for c in found if c.scene.datatake.startswith(items.TIMED)]
    timed.sort(key=lambda c: (c.scene.datatake.rpartition("-")[0], c.scene.time))
    joined = [c for c in found if not c.scene.datatake.startswith(items.TIMED)]
    last: Scene | None = None
    for candidate in timed:
        scene = candidate.scene
        if last is not None and scene.time - last.time <= SAME_PASS:
            platform = scene.datatake.rpartition("-")[0]
            if last.datatake.rpartition("-")[0] == platform:
                scene = dataclasses.replace(scene, datatake=last.datatake)
        joined.append(dataclasses.replace(candidate, scene=scene))
        last = scene
    return joined


def _place(scene: Scene) -> str:
    """Return what tells scenes of one place: the tile, else the lattice, else the footprint to about a kilometre."""
    if scene.tile:
        return scene.tile
    frame = next((a.frame for a in scene.assets.values() if a.frame is not None), None)
    if frame is not None:
        return str((frame.epsg, frame.bounds))
    return str([round(float(x), 2) for x in scene.bounds])


def _newest(group: list[_Candidate], rejections: list[Rejection]) -> list[_Candidate]:
    """Choose among the scenes of one datatake and tile: the newest baseline, and of each strip the newest version.

    Strips of one baseline are the parts of a datatake that was cut on its way to the ground: they are merged later, so
    none of them is dropped here.
    """
    newest = max(c.scene.baseline for c in group)
    strips: dict[str, list[_Candidate]] = defaultdict(list)
    for c in group:
        if c.scene.baseline == newest:
            strips[c.strip].append(c)
        else:
            detail = f"{c.scene.baseline or 'none'}; {newest} is used"
            rejections.append(Rejection(c.scene.id, "older_baseline", detail))
    kept = []
    for strip in strips.values():
        *older, best = sorted(strip, key=lambda c: (c.scene.version, c.scene.id))
        kept.append(best)
        for c in older:
            same = c.scene.version == best.scene.version
            reason = "duplicate" if same else "older_version"
            rejections.append(Rejection(c.scene.id, reason, f"{best.scene.id} is used"))
    return kept


def _one_access(kept: Sequence[_Candidate]) -> Provider:
    """Return the provider of all scenes, or the first of several that are read in the same way."""
    ways: dict[tuple[object, ...], Provider] = {}
    for p in (c.provider for c in kept):
        ways.setdefault((p.mask, p.lattice, p.token_url, p.s3_endpoint), p)
    if len(ways) > 1:
        names = " and ".join(p.name for p in ways.values())
        rule = f"holds items of {names}, which are read in different ways"
        raise BadInput("[source]", rule, "Name one collection with [source] collection, or split it")
    return next(iter(ways.values()))


def _nothing_left(source: SourceConfig, rejections: Sequence[Rejection]) -> BadInput:
    """Return the error that says why no item is left: the reasons, and what to do about the commonest."""
    counts = Counter(r.reason for r in rejections).most_common()
    reasons = ", ".join(f"{n} {reason} ({REASONS[reason]})" for reason, n in counts)
    first = next(r for r in rejections if r.reason == counts[0][0])
    times = sorted(r.detail for r in rejections if r.reason == "outside_dates")
    dates = f"; the items' dates go from {times[0]} to {times[-1]}" if times else ""
    rule = f"leaves none of {len(rejections)} items: {reasons}{dates}"
    remedy = _REMEDIES.get(first.reason, "Check the items")
    example = f"For instance {first.item}: {first.detail}"
    key = f"items = {source.items!r}" if source.items else f"catalog = {source.catalog!r}"
    return BadInput(f"[source] {redact(key)}", rule, f"{remedy}. {example}")
