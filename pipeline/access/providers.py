"""Who publishes what under which names: one table, one entry a provider.

Adding a provider is adding an entry to `PROVIDERS`. A collection that is used once is
described in the configuration instead (``[source.provider]``) and becomes the same kind of value
through `from_spec`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core.sections import ProviderConfig, SourceConfig
from groundbreak.pipeline.core.types import BadInput, Mask, MaskRule

SCL = Mask(band="scl", clear=(4, 5, 6, 7), snow=(11,), nodata=0)
"""Sentinel-2 scene classes: vegetation, bare, water, unclassified are clear."""

OffsetRule = Callable[[Mapping[str, Any], float | None, str], float]
"""(item properties, offset that the asset declares, baseline) -> what is added to scale x DN."""


class Unusable(Exception):
    """An item that cannot be used: a reason of screen.REASONS, and what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Provider:
    """What one provider's items mean."""

    name: str
    collections: tuple[str, ...]
    """Collection ids; empty for any collection of `platform`."""
    keys: tuple[str, ...]
    """Asset keys that all of its items have."""
    bands: Mapping[str, tuple[str, ...]]
    """Canonical band name -> asset keys, the best first."""
    mask: Mask
    offset: OffsetRule
    marks: tuple[str, ...] = ()
    """Starts of a property's name or of an asset's host, any of which tells it from look-alikes."""
    platform: str = ""
    """Must stand in the item's platform or constellation, in small letters."""
    scale: float | None = None
    """Where the asset declares none."""
    fixed_scale: float | None = None
    """Whatever the asset declares."""
    nodata: float | None = None
    """Where the asset declares none."""
    fixed_nodata: float | None = None
    lattice: str = "source"
    token_url: str | None = None
    """Where signatures come from; {collection} stands for the collection's id."""
    s3_endpoint: str | None = None

    def access(self, source: SourceConfig, attempts: int) -> Access:
        """Return how this provider's assets are reached: the configuration's word comes before the provider's own.

        Parameters
        ----------
        source : Source
            The configuration's section.
        attempts : int
            How often an asset is read before it is a fault.
        """
        collection = source.collection or next(iter(self.collections), "")
        return Access(
            s3_endpoint=source.s3_endpoint or self.s3_endpoint,
            s3_region=source.s3_region,
            requester_pays=source.requester_pays,
            token_url=self.token_url and self.token_url.replace("{collection}", collection),
            attempts=attempts,
        )


def baseline_offset(baseline: str) -> float | None:
    """ESA's reflectance offset of a Sentinel-2 baseline ("05.10"); None where it cannot be told.

    Baseline 04.00 (25 January 2022; and all reprocessing since, 05.xx) moved DN by +1000, so that
    dark pixels stay positive. 99.99 marks products of somebody's own Sen2Cor, which says nothing of
    the offset.
    """
    match = re.fullmatch(r"(\d\d)\.(\d\d)", baseline)
    if match is None or int(match[1]) >= 90:
        return None
    return -0.1 if int(match[1]) >= 4 else 0.0


def declared_offset(properties: Mapping[str, Any], declared: float | None, baseline: str) -> float:
    """What the asset declares, if its baseline agrees; what the baseline says if it declares none.

    A declared offset that contradicts ESA's table is refused, neither believed nor mended: the
    metadata of that item is wrong in one of two ways, and the wrong guess would put a false step of
    0.1 or more into every series.
    """
    expected = baseline_offset(baseline)
    if expected is None:
        if declared is None:
            detail = f"no declared offset, and processing baseline {baseline!r}"
            raise Unusable("offset_unknown", detail)
        return declared
    if declared is not None and abs(declared - expected) > 1e-9:
        detail = f"declares offset {declared:g}, but baseline {baseline} has {expected:g}"
        raise Unusable("offset_contradicts_baseline", detail)
    return expected


def earth_search_offset(properties: Mapping[str, Any], declared: float | None, baseline: str) -> float:
    """Earth Search took the offset out of the pixels where it says so, but not of raster:bands."""
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0.0
    return declared_offset(properties, declared, baseline)


def plain_offset(fixed: float | None, properties: Mapping[str, Any], declared: float | None, baseline: str) -> float:
    """For a configured provider: the configuration's offset, else the asset's, else none."""
    return next((o for o in (fixed, declared) if o is not None), 0.0)


_COMMON = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3",
    "nir", "nir08", "nir09", "swir16", "swir22",
)  # fmt: skip
_ESA = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_NATIVE = (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 20, 20)

_BY_COMMON = {band: (band,) for band in (*_COMMON, "scl")}
_BY_ESA = {band: (key,) for band, key in zip((*_COMMON, "scl"), (*_ESA, "SCL"), strict=True)}
_BY_CDSE = {
    band: (f"{key}_{metres}m",)
    for band, key, metres in zip((*_COMMON, "scl"), (*_ESA, "SCL"), (*_NATIVE, 20), strict=True)
}


def _sentinel2(name: str, keys: tuple[str, ...], bands: Mapping[str, tuple[str, ...]], **more: Any) -> Provider:
    """Return the entry of a provider of Sentinel-2 level 2A: what all of them share, and what is its own."""
    usual: dict[str, Any] = {
        "collections": ("sentinel-2-l2a",),
        "mask": SCL,
        "offset": declared_offset,
        "scale": 1e-4,
        "nodata": 0.0,
    }
    return Provider(name=name, keys=keys, bands=bands, **(usual | more))


PROVIDERS: tuple[Provider, ...] = (
    _sentinel2(
        "earth-search", ("red",), _BY_COMMON, marks=("earthsearch:", "sentinel-cogs"), offset=earth_search_offset
    ),
    _sentinel2("earth-search-c1", ("red",), _BY_COMMON, collections=("sentinel-2-c1-l2a",), offset=earth_search_offset),
    _sentinel2(
        "planetary-computer",
        ("B04",),
        _BY_ESA,
        token_url="https://planetarycomputer.microsoft.com/api/sas/v1/token/{collection}",  # noqa: S106 - an address
    ),
    _sentinel2("cdse", ("B04_10m",), _BY_CDSE, s3_endpoint="https://eodata.dataspace.copernicus.eu"),
    _sentinel2("stactools-sentinel2", ("red",), _BY_COMMON, collections=(), platform="sentinel"),
)
"""In the order in which they are tried: of look-alikes, the one that asks more comes first."""


def recognise(item: Mapping[str, Any], spec: ProviderConfig | None = None) -> Provider:
    """The provider of an item.

    Raises
    ------
    BadInput
        No entry fits, and the configuration describes none.
    """
    collection = str(item.get("collection") or "")
    if spec is not None:
        return from_spec(spec, collection)
    found = next((p for p in PROVIDERS if _fits(p, item, collection)), None)
    if found is None:
        known = ", ".join(f"{p.name} ({', '.join(p.collections) or 'any'})" for p in PROVIDERS)
        raise BadInput(
            f"collection {collection!r}, item {item.get('id')!r}",
            f"is of no known provider; known are {known}",
            "Describe its bands and mask in [source.provider], or name a known [source] collection",
        )
    return found


def from_spec(spec: ProviderConfig, collection: str) -> Provider:
    """The provider that ``[source.provider]`` describes; its name is the collection's.

    Raises
    ------
    BadInput
        The section names no bands, or does not say which pixels are clear.
    """
    if not spec.bands:
        raise BadInput(
            "[source.provider] bands",
            "must name at least one band",
            'Write for instance red = "B04"',
        )
    bands = {band: (str(key),) for band, key in spec.bands.items()}
    mask = _mask(spec)
    if bands.setdefault(mask.band, (spec.mask.asset,)) != (spec.mask.asset,):
        rule = f"{mask.band!r} is a band and the mask at once"
        raise BadInput("[source.provider.mask] asset", rule, "Name the band otherwise")
    if spec.lattice not in ("source", "zone"):
        what = f"[source.provider] lattice = {spec.lattice!r}"
        raise BadInput(what, 'must be "source" or "zone"', "Correct its value")
    return Provider(
        name=collection or "configured",
        collections=(collection,),
        keys=(),
        bands=bands,
        mask=mask,
        offset=functools.partial(plain_offset, spec.offset),
        fixed_scale=spec.scale,
        fixed_nodata=spec.nodata,
        lattice=spec.lattice,
        token_url=spec.token_url,
    )


def _mask(spec: ProviderConfig) -> Mask:
    """The configured mask; an asset named SCL has Sentinel-2's classes unless it says otherwise."""
    rule = spec.mask
    scl = "scl" in rule.asset.lower()
    band = "scl" if scl else re.sub(r"\W+", "_", rule.asset.lower()).strip("_")
    if scl and not rule.clear and not rule.bits:
        return SCL
    if bool(rule.clear) == bool(rule.bits):
        raise BadInput(
            "[source.provider.mask]",
            "needs either clear (classes that are clear) or bits (bits that are not)",
            "Write for instance bits = [1, 2, 3]",
        )
    return Mask(band=band, **{f.name: getattr(rule, f.name) for f in dataclasses.fields(MaskRule)})


def _fits(provider: Provider, item: Mapping[str, Any], collection: str) -> bool:
    properties, assets = item["properties"], item["assets"]
    if provider.collections and collection not in provider.collections:
        return False
    if any(key not in assets for key in provider.keys):
        return False
    platform = f"{properties.get('platform')} {properties.get('constellation')}".lower()
    if provider.platform not in platform:
        return False
    if not provider.marks:
        return True
    hosts = str(assets[provider.keys[0]].get("href", "")).split("/")[2:3]
    seen = [*properties, *hosts]
    return any(text.startswith(mark) for text in seen for mark in provider.marks)
