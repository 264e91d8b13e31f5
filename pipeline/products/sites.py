"""Sites: connected changed ground, dated by quantiles of its pixels.

A site is built piece by piece, so no single pixel dates it. A site begins when a tenth of its changed pixels have begun
(10 % quantile of the onsets), and has stopped when nine tenths of those that halted have halted (90 % quantile of the
halts); a few stray pixels move neither. The intervals of a site are the same quantiles of its pixels' interval ends.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import pyarrow as pa
import shapely
from scipy import sparse
from shapely.geometry.base import BaseGeometry

from groundbreak.kernels import Quality, Status
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.patches import Patch, find_patches, least_ranked

ONSET_QUANTILE = 0.1
"""Quantile of the pixels' onsets that is the onset of their site."""
HALT_QUANTILE = 0.9
"""Quantile of the pixels' halts that is the halt of their site."""
ONGOING_SHARE = 1 / 3
"""A site is not halted while at least this share of its changed pixels is active or resumed.

On simulated works on four land covers, the detector "phases" left 1-9 % of the pixels open where works had halted, and
87-99 % where they went on. A third lies far from both, and lets a site count as ongoing while a sizeable part of it is.
"""
JOIN_PIXELS = 1.5
"""Patches of different zones that are so few pixels apart are one site: two zones' lattices leave such a seam."""
EPOCH = dt.date(1970, 1, 1)
"""The date from which days are counted."""

_GROWTH = pa.list_(pa.struct([("date", pa.date32()), ("area_m2", pa.float64())]))
_POINTS = pa.list_(pa.struct([("x", pa.float64()), ("y", pa.float64())]))


@dataclass(frozen=True)
class Site:
    """Connected changed ground, with its dates: a row of `sites.parquet`.

    The file's columns are these fields, in their order and of the Arrow type that stands beside each.
    """

    id: Annotated[str, pa.string()]
    """"site-0001" is the largest."""
    status: Annotated[str, pa.string()]
    """halted, active, or resumed (active again after a halt)."""
    onset: Annotated[dt.date, pa.date32()]
    """When change began."""
    onset_earliest: Annotated[dt.date, pa.date32()]
    """Begin of the onset's interval."""
    onset_latest: Annotated[dt.date, pa.date32()]
    """End of the onset's interval."""
    halt: Annotated[dt.date | None, pa.date32()]
    """When change stopped; None unless the site is halted."""
    halt_earliest: Annotated[dt.date | None, pa.date32()]
    """Begin of the halt's interval."""
    halt_latest: Annotated[dt.date | None, pa.date32()]
    """End of the halt's interval."""
    area_m2: Annotated[float, pa.float64()]
    """Area of the polygon in UTM metres: changed pixels, the gaps that were closed between them, and enclosed holes
    that are smaller than the least area of a site."""
    n_pixels: Annotated[int, pa.int64()]
    """Changed pixels."""
    confidence: Annotated[int, pa.uint8()]
    """Median of its pixels' confidence, 0-100."""
    n_changes: Annotated[int, pa.uint8()]
    """Number of separate activities of the pixel that has most of them."""
    quality: Annotated[tuple[str, ...], pa.list_(pa.string())]
    """Names of the quality bits that more than half of its pixels carry; faults_in_region where any does."""
    growth: Annotated[tuple[tuple[dt.date, float], ...], _GROWTH]
    """(last day of a month, m2 of pixels changed by then), month by month from the first pixel onset to the last."""
    epsg: Annotated[int, pa.int32()]
    """EPSG code of its main zone, which holds most of its pixels."""
    sample: Annotated[tuple[tuple[float, float], ...], _POINTS] = field(repr=False)
    """(x, y) of the centres of at most 200 changed pixels in its main zone, evenly spread over it, in metres."""
    geometry: Annotated[BaseGeometry, pa.binary()]
    """Polygon or MultiPolygon in lon/lat, valid, split at the antimeridian."""


def find_sites(output: Output, epsgs: Iterable[int], *, min_area_m2: float, apply: Mapper = here) -> list[Site]:
    """Find the sites of the published mosaics.

    Connected ground is followed across blocks, regions, grids and zones. Ground that a site encloses in holes smaller
    than ``min_area_m2`` belongs to the site: it counts as area, though it has no date.

    A site is halted unless at least a third of its changed pixels are active or resumed; it is then active where at
    least as many of these are active, and otherwise resumed. A smaller share does not keep a site open: vegetation that
    settles late, stockpiles and single misread pixels look active on halted sites.

    Parameters
    ----------
    output : Output
        Holds the mosaics.
    epsgs : iterable of int
        EPSG codes of the zones, as `pipeline.products.mosaic.publish_mosaics` returned them.
    min_area_m2 : float
        Least area of a site, m2.
    apply : Mapper
        Does what is done block by block.

    Returns
    -------
    list of Site, the largest first.
    """
    patches = [patch for epsg in sorted(epsgs) for patch in find_patches(output, epsg, min_area_m2, apply)]
    groups = [group for group in _join(patches) if sum(p.polygon.area for p in group) >= min_area_m2]
    found = sorted((_site(group) for group in groups), key=_order)
    return [replace(site, id=f"site-{number:04d}") for number, site in enumerate(found, 1)]


def _order(site: Site) -> tuple[float, int, float, float]:
    """Return what sites are sorted by: area, then zone and place."""
    west, _, _, north = site.geometry.bounds
    return -site.area_m2, site.epsg, -north, west


def _join(patches: Sequence[Patch]) -> list[list[Patch]]:
    """Group the patches that are one site: those that meet where the ground of two zones meets."""
    edge = [i for i, patch in enumerate(patches) if patch.at_edge]
    reach = [JOIN_PIXELS * patch.resolution for patch in patches]
    outlines = {i: geo.to_lonlat(patches[i].polygon.buffer(2 * reach[i]), patches[i].epsg) for i in edge}
    tree = shapely.STRtree([outlines[i] for i in edge])
    pairs = []
    for i in edge:
        # The halves of a split outline touch the antimeridian from both sides, so one query finds all neighbours.
        for j in (edge[k] for k in tree.query(outlines[i], predicate="intersects").tolist()):
            if i < j:
                a, b = patches[i], patches[j]
                if geo.distance(a.polygon, a.epsg, b.polygon, b.epsg) <= max(reach[i], reach[j]):
                    pairs.append((i, j))
    rows, cols = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(rows), bool), (rows, cols)), shape=(len(patches), len(patches)))
    groups: dict[int, list[Patch]] = {}
    _, numbers = sparse.csgraph.connected_components(graph, directed=False)
    for patch, number in zip(patches, numbers.tolist(), strict=True):
        groups.setdefault(number, []).append(patch)
    return list(groups.values())


def _site(patches: Sequence[Patch]) -> Site:
    """Make a site of the patches that belong to it; its id is still empty."""
    layers = {name: sum((p.counts[name] for p in patches), Counter[int]()) for name in patches[0].counts}
    status, n = layers["status"], layers["status"].total()
    by_zone = Counter[int]()
    for patch in patches:
        by_zone[patch.epsg] += patch.n_pixels
    epsg = max(by_zone, key=lambda zone: (by_zone[zone], -zone))
    active, resumed = status[Status.ACTIVE], status[Status.RESUMED]
    ongoing = active + resumed >= ONGOING_SHARE * n
    halt, halt_earliest, halt_latest = (
        None if ongoing else _quantile(layers[name], HALT_QUANTILE) for name in ("halt", "halt_earliest", "halt_latest")
    )
    bits = {bit: sum(count for value, count in layers["quality"].items() if value & bit) for bit in Quality}
    flags = [bit for bit, count in bits.items() if count > n / 2 or (bit == Quality.FAULTS_IN_REGION and count)]
    sample = least_ranked(np.concatenate([p.sample for p in patches if p.epsg == epsg]))
    onset = _quantile(layers["onset"], ONSET_QUANTILE)
    earliest, latest = (_quantile(layers[f"onset_{end}"], ONSET_QUANTILE) for end in ("earliest", "latest"))
    assert onset is not None
    assert earliest is not None
    assert latest is not None
    return Site(
        id="",
        geometry=shapely.orient_polygons(shapely.union_all([geo.to_lonlat(p.polygon, p.epsg) for p in patches])),
        epsg=epsg,
        status=("active" if active >= resumed else "resumed") if ongoing else "halted",
        onset=onset,
        onset_earliest=earliest,
        onset_latest=latest,
        halt=halt,
        halt_earliest=halt_earliest,
        halt_latest=halt_latest,
        area_m2=float(sum(p.polygon.area for p in patches)),
        n_pixels=n,
        confidence=_value_at(layers["confidence"], 0.5) or 0,
        n_changes=max(layers["n_changes"], default=0),
        growth=_growth(patches),
        quality=tuple(str(bit.name).lower() for bit in flags),
        sample=tuple((x, y) for _, x, y in sample[np.lexsort((sample[:, 1], -sample[:, 2]))].tolist()),
    )


def _value_at(counts: Counter[int], quantile: float) -> int | None:
    """Return the least value that a share of the counted pixels do not exceed; None where no pixel is counted."""
    # A little less than the share, so that rounding leaves 0.1 x 30 pixels at three.
    needed, seen = quantile * counts.total() - 1e-6, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= needed:
            return value
    return None


def _quantile(counts: Counter[int], quantile: float) -> dt.date | None:
    """Return a quantile of counted days as a date."""
    day = _value_at(counts, quantile)
    return None if day is None else EPOCH + dt.timedelta(days=day)


def _growth(patches: Iterable[Patch]) -> tuple[tuple[dt.date, float], ...]:
    """Return (last day of a month, m2 of pixels changed by then) for each month."""
    area: dict[np.datetime64, float] = {}
    for patch in patches:
        for day, count in patch.counts["onset"].items():
            month = np.datetime64(day, "D").astype("datetime64[M]")
            area[month] = area.get(month, 0.0) + count * patch.resolution**2
    months = np.arange(min(area), max(area) + np.timedelta64(1, "M"))
    total = np.cumsum([area.get(month, 0.0) for month in months])
    ends = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    return tuple(zip(ends.tolist(), total.tolist(), strict=True))
