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
"""Why an item is not used: code -> meaning."""

_REMEDIES = {
    "href_refused": "Name the hosts that you trust in [source] allow_hosts",
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

PASS = np.timedelta64(60, "s")
"""Items of one platform that only time groups are of one overpass when no gap is longer."""


@dataclass(frozen=True, slots=True)
class ScreenedItems:
    """The outcome."""

    scenes: tuple[Scene, ...]
    """By time of the overpass; within one, in fusing order: least nodata first."""
    rejections: tuple[Rejection, ...]
    """Items by themselves, in their order, then those that another replaces."""
    mask: Mask
    provider: Provider
    """How every scene is read; of several that are read alike, the first."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A scene, and what ordering it needs besides."""

    scene: Scene
    strip: str
    nodata: float
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
    area : Polygon or MultiPolygon, lon/lat, split at the antimeridian
    span : (first, last) datetime64[ms], UTC, both inclusive
    bands : sequence of str
        Canonical reflectance bands; the mask's band is added.
    source : Source
        Collection, provider and allowed hosts.

    Raises
    ------
    BadInput
        Nothing is left, an item is of no known provider, or providers are mixed that are read
        differently.
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
    """One item by itself; area and dates come first: what is not wanted need not be known."""
    item = raw.item
    try:
        items.demand_item(item)
        collection = item.get("collection")
        if source.collection and collection and collection != source.collection:
            return Rejection(item["id"], "other_collection", f"of {collection!r}")
        if not area.intersects(raw.ground):
            return Rejection(item["id"], "outside_area", f"bbox {item.get('bbox')}")
        time = items.when(item)
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
    """Where only time tells overpasses apart, one key for all items of a pass."""
    timed = [c for c in found if c.scene.datatake.startswith(items.TIMED)]
    timed.sort(key=lambda c: (c.scene.datatake.rpartition("-")[0], c.scene.time))
    joined = [c for c in found if not c.scene.datatake.startswith(items.TIMED)]
    last: Scene | None = None
    for candidate in timed:
        scene = candidate.scene
        if last is not None and scene.time - last.time <= PASS:
            platform = scene.datatake.rpartition("-")[0]
            if last.datatake.rpartition("-")[0] == platform:
                scene = dataclasses.replace(scene, datatake=last.datatake)
        joined.append(dataclasses.replace(candidate, scene=scene))
        last = scene
    return joined


def _place(scene: Scene) -> str:
    """The tile, or where there is none the lattice, or the footprint to about a kilometre."""
    if scene.tile:
        return scene.tile
    frame = next((a.frame for a in scene.assets.values() if a.frame is not None), None)
    if frame is not None:
        return str((frame.epsg, frame.bounds))
    return str([round(float(x), 2) for x in scene.bounds])


def _newest(group: list[_Candidate], rejections: list[Rejection]) -> list[_Candidate]:
    """Of one datatake and tile: the newest baseline, and of each strip of it the newest version.

    Strips of one baseline are parts of a datatake that was cut on its way down: they are merged
    later, not chosen from.
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
    """The provider of all scenes, or the first of several that are read in the same way."""
    ways: dict[tuple[object, ...], Provider] = {}
    for p in (c.provider for c in kept):
        ways.setdefault((p.mask, p.lattice, p.token_url, p.s3_endpoint), p)
    if len(ways) > 1:
        names = " and ".join(p.name for p in ways.values())
        rule = f"holds items of {names}, which are read in different ways"
        raise BadInput("[source]", rule, "Name one collection with [source] collection, or split it")
    return next(iter(ways.values()))


def _nothing_left(source: SourceConfig, rejections: Sequence[Rejection]) -> BadInput:
    counts = Counter(r.reason for r in rejections).most_common()
    told = ", ".join(f"{n} {reason} ({REASONS[reason]})" for reason, n in counts)
    first = next(r for r in rejections if r.reason == counts[0][0])
    times = sorted(r.detail for r in rejections if r.reason == "outside_dates")
    dates = f"; the items' dates go from {times[0]} to {times[-1]}" if times else ""
    rule = f"leaves none of {len(rejections)} items: {told}{dates}"
    remedy = _REMEDIES.get(first.reason, "Check the items")
    example = f"For instance {first.item}: {first.detail}"
    return BadInput(f"[source] {_name(source)}", rule, f"{remedy}. {example}")


def _name(source: SourceConfig) -> str:
    text = f"items = {source.items!r}" if source.items else f"catalog = {source.catalog!r}"
    return redact(text)
