"""Which items are used, which are not, and why: nothing is dropped in silence."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.hrefs import is_url, redact
from groundbreak.pipeline.access.provider import Provider
from groundbreak.pipeline.access.providers import recognise
from groundbreak.pipeline.access.scale_rules import is_landsat_scale
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput, Mask, Rejection, Scene
from groundbreak.pipeline.stac import items
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.scenes import declared_offsets, normalise
from groundbreak.pipeline.stac.versions import SAME_MOMENT, Candidate, newest, same_ground

LOG = logging.getLogger(__name__)

REASONS: dict[str, str] = {
    "duplicate": "the same processing of the same acquisition, listed twice",
    "frame_unknown": "neither it nor its file tells where its pixels lie",
    "href_refused": "an asset lies where the policy lets nothing be read",
    "malformed": "not a STAC item, or one whose metadata cannot be read",
    "missing_band": "it has no asset for a band that is needed",
    "no_datetime": "it does not tell when it was acquired",
    "no_footprint": "it does not tell where it lies",
    "offset_contradicts_baseline": "its reflectance offset is not that of its processing baseline",
    "offset_contradicts_product": "its reflectance offset is not that of its product",
    "offset_unknown": "neither it nor its processing baseline tells the reflectance offset",
    "older_baseline": "an older processing baseline of an acquisition that is used",
    "older_version": "an older processing of an acquisition that is used",
    "other_collection": "of another collection than the one asked for",
    "outside_area": "it does not meet the area",
    "outside_dates": "acquired outside the dates",
    "owns_nothing": "other grids own all of the area that it reaches",
    "raster_elsewhere": "its raster does not reach where it says",
    "scale_unknown": "its reflectance scale is not told, or is no scale of reflectance",
    "several_bands": "a band's asset holds several bands in one file",
    "unknown_format": "an asset is neither GeoTIFF nor JPEG 2000",
}
"""Code of a reason why an item is not used -> what it means."""

_REMEDIES = {
    "href_refused": "The example says what helps",
    "malformed": "Write the items with a STAC tool",
    "missing_band": "Name the assets in [source.provider] bands, or choose indices of other bands",
    "offset_contradicts_baseline": "Mend the items, or set [source.provider] offset",
    "offset_contradicts_product": "Mend the items, or describe them in [source.provider]",
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
    ground: Mapping[tuple[str, str], BaseGeometry]
    """(collection, id) of a scene -> the ground that it covers, lon/lat."""


@dataclass(frozen=True, slots=True)
class _Told:
    """An item that can be used, if its offsets are told."""

    candidate: Candidate
    offsets: Mapping[str, float | None]
    """Band of reflectance -> the offset that is told of it, or None."""


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
    found: list[_Told] = []
    rejections: list[Rejection] = []
    for raw in raws:
        outcome = _consider(raw, area, span, bands, source)
        if isinstance(outcome, Rejection):
            rejections.append(outcome)
        else:
            found.append(outcome)
    kept: list[Candidate] = []
    for group in _by_place(_join_passes(_told_offsets(found, rejections))):
        kept += newest(group, rejections)
    if not kept:
        raise nothing_left(source, rejections)
    provider = _one_access(kept)
    if less := sum(c.rank[0] in (0, 1) for c in kept):
        LOG.warning("%d Landsat scenes of tier 2 or real time are used: they may lie off by more than a pixel", less)
    if provider.alternate and not source.requester_pays and any(map(_is_remote, kept)):
        LOG.warning("hrefs of %s may want a login: [source] requester_pays = true reads from S3 instead", provider.name)
    start: dict[str, np.datetime64] = {}
    for scene in (c.scene for c in kept):
        start[scene.datatake] = min(scene.time, start.get(scene.datatake, scene.time))
    kept.sort(key=lambda c: (start[c.scene.datatake], c.scene.datatake, c.nodata or 0.0, c.scene.id))
    scenes = tuple(c.scene for c in kept)
    ground = {(c.scene.collection, c.scene.id): c.ground for c in kept}
    return ScreenedItems(scenes, tuple(rejections), provider.mask, provider, ground)


def _consider(
    raw: RawItem,
    area: BaseGeometry,
    span: tuple[np.datetime64, np.datetime64],
    bands: Sequence[str],
    source: SourceConfig,
) -> _Told | Rejection:
    """Look at one item by itself; area and dates come first, since an item that is not wanted need not be known."""
    item = raw.item
    try:
        items.demand_item(item)
        collection = item.get("collection")
        if source.collection and collection and collection != source.collection:
            return Rejection(item["id"], "other_collection", f"of {collection!r}")
        if not area.intersects(raw.ground):
            return Rejection(item["id"], "outside_area", f"bbox {item.get('bbox')!r}")
        time = items.acquired(item)
        if not span[0] <= time <= span[1]:
            return Rejection(item["id"], "outside_dates", str(time))
        provider = recognise(item, source.provider)
        scene = normalise(raw, provider, (*bands, provider.mask.band), source)
        if isinstance(scene, Rejection):
            return scene
        ground, strip, nodata = raw.ground, items.datastrip(item), items.nodata_share(item)
        candidate = Candidate(scene, provider, ground, items.place(item), strip, nodata, items.rank(item))
        return _Told(candidate, declared_offsets(raw, provider, bands))
    except items.UNREADABLE as error:
        return items.rejection(item, error)


def _join_passes(found: Sequence[Candidate]) -> list[Candidate]:
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


def _by_place(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Group what shows one place in one overpass, in the order of the first of each group."""
    groups: dict[tuple[str, str], list[list[Candidate]]] = defaultdict(list)
    every: list[list[Candidate]] = []
    for c in candidates:
        known = groups[c.scene.datatake, c.place]
        group = next((g for g in known if c.place or _one_place(c, g[0])), None)
        if group is None:
            known.append(group := [])
            every.append(group)
        group.append(c)
    return every


def _one_place(a: Candidate, b: Candidate) -> bool:
    """Tell whether two items without a code of their place show one, by their frames or footprints."""
    frames = [next((x.frame for x in c.scene.assets.values() if x.frame is not None), None) for c in (a, b)]
    if frames[0] is not None and frames[1] is not None and frames[0].same(frames[1]):
        return True
    return bool(abs(a.scene.time - b.scene.time) <= SAME_MOMENT) and same_ground(a.ground, b.ground)


def _told_offsets(found: Sequence[_Told], rejections: list[Rejection]) -> list[Candidate]:
    """Keep the items whose offsets are told, band by band; of a band whose offset no item tells, it is 0.

    Of the items of one source some may leave out what others tell. Their offset would be a guess.
    """
    told = {band for item in found for band, offset in item.offsets.items() if offset is not None}
    kept, silent = [], set()
    for c, offsets in ((item.candidate, item.offsets) for item in found):
        untold = [band for band, offset in offsets.items() if offset is None]
        if lacking := [band for band in untold if band in told]:
            detail = f"tells no offset of {', '.join(lacking)}, and other items of its source do"
        elif lacking := [band for band in untold if is_landsat_scale(c.scene.assets[band].scale)]:
            detail = f"tells no offset of {', '.join(lacking)}, and the scale is that of Landsat, which has an offset"
        else:
            silent.update(untold)
            kept.append(c)
            continue
        rejections.append(Rejection(c.scene.id, "offset_unknown", detail))
    if silent:
        bands = ", ".join(sorted(silent))
        LOG.warning("neither the items nor [source.provider] tell an offset of reflectance: 0 is taken for %s", bands)
    return kept


def _is_remote(candidate: Candidate) -> bool:
    return any(is_url(asset.href) for asset in candidate.scene.assets.values())


def _one_access(kept: Sequence[Candidate]) -> Provider:
    """Return the provider of all scenes, or the first of several that are read in the same way."""
    ways: dict[tuple[object, ...], Provider] = {}
    for p in (c.provider for c in kept):
        ways.setdefault((p.mask, p.lattice, p.token_url, p.s3_endpoint, p.s3_region, p.requester_pays), p)
    if len(ways) > 1:
        names = " and ".join(p.name for p in ways.values())
        rule = f"holds items of {names}, which are read in different ways"
        raise BadInput("[source]", rule, "Name one collection with [source] collection, or split it")
    return next(iter(ways.values()))


def nothing_left(source: SourceConfig, rejections: Sequence[Rejection]) -> BadInput:
    """Return the error that says why no item is left: the reasons, and what to do about the commonest.

    Parameters
    ----------
    source : SourceConfig
    rejections : sequence of Rejection
        All items, and why each is not used.
    """
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
