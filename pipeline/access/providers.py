"""Who publishes what under which names: one table, with an entry for each provider.

To add a provider, add an entry to `PROVIDERS`. A collection that is used once is described in the configuration
instead (``[source.provider]``), and `from_spec` makes such an entry of it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundbreak.pipeline.access.logins import Trust
from groundbreak.pipeline.access.offset_rules import OffsetRule, declared_offset, earth_search_offset, plain_offset
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core.sections import ProviderConfig, SourceConfig
from groundbreak.pipeline.core.types import BadInput, Mask, MaskRule

SCL = Mask(band="scl", clear=(4, 5, 6, 7), snow=(11,), nodata=0)
"""Sentinel-2's scene classification: vegetation, bare ground, water and unclassified pixels are clear."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What one provider's items mean."""

    name: str
    """Name of the provider, as reports show it."""
    collections: tuple[str, ...]
    """Ids of its collections; empty where ``platform`` alone decides."""
    keys: tuple[str, ...]
    """Keys of assets that all of its items have."""
    bands: Mapping[str, tuple[str, ...]]
    """Canonical band name -> keys of the assets that hold the band, the best first."""
    mask: Mask
    """The mask of its items."""
    offset: OffsetRule
    """What decides the offset of an asset."""
    marks: tuple[str, ...] = ()
    """What a property's name or an asset's host may begin with to tell the provider from others like it."""
    platform: str = ""
    """A text that must stand in the item's platform or constellation, in small letters."""
    scale: float | None = None
    """Scale of an asset that declares none."""
    fixed_scale: float | None = None
    """Scale of every asset, whatever the asset declares."""
    nodata: float | None = None
    """Nodata of an asset that declares none."""
    fixed_nodata: float | None = None
    """Nodata of every asset, whatever the asset declares."""
    lattice: str = "source"
    """source: items lie on fixed tiles; zone: they do not, and are warped onto the zone's UTM lattice."""
    token_url: str | None = None
    """Where signatures are fetched; {collection} stands for the collection's id. None where hrefs need none."""
    s3_endpoint: str | None = None
    """URL of the S3 store that holds its assets; None for Amazon's."""

    def access(self, source: SourceConfig, attempts: int) -> Access:
        """Return how this provider's assets are reached; what the configuration says comes first.

        Parameters
        ----------
        source : SourceConfig
            The section [source] of the configuration.
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
            trust=Trust(source.login_hosts, source.allow_hosts),
        )


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
    """Return the entry of a provider of Sentinel-2 level 2A; ``more`` replaces what such providers usually share."""
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
"""The known providers, in the order in which they are tried: of similar ones, the one that asks more comes first."""


def recognise(item: Mapping[str, Any], spec: ProviderConfig | None = None) -> Provider:
    """Find out which provider an item comes from.

    Parameters
    ----------
    item : mapping
        A STAC item with properties and assets.
    spec : ProviderConfig, optional
        The provider that the configuration describes, which is then taken for every item.

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
    """Make a provider from its description in the configuration (``[source.provider]``).

    Parameters
    ----------
    spec : ProviderConfig
    collection : str
        Id of the collection, which is also the provider's name.

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
    """Return the configured mask; an asset named SCL has Sentinel-2's classes, unless the configuration says more."""
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
    """Tell whether an item looks like one of a provider's."""
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
