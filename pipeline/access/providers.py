"""Who publishes what under which names: one table, with an entry for each provider.

To add a provider, add an entry to `PROVIDERS`. A collection that is used once is described in the configuration
instead (``[source.provider]``), and `from_spec` makes such an entry of it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from groundbreak.pipeline.access.offset_rules import (
    declared_offset,
    earth_search_offset,
    plain_offset,
    product_offset,
)
from groundbreak.pipeline.access.provider import Provider
from groundbreak.pipeline.core.provider_rules import is_scl, mask_band, mask_type, provider_mistakes, unclear_value
from groundbreak.pipeline.core.sections import MaskConfig, ProviderConfig
from groundbreak.pipeline.core.types import BadInput, Mask, MaskRule

SCL = Mask(band="scl", clear=(4, 5, 6, 7), snow=(11,), nodata=0)
"""Sentinel-2's scene classification: vegetation, bare ground, water and unclassified pixels are clear."""

QA_PIXEL = Mask(band="qa_pixel", bits=(0, 1, 2, 3, 4, 5), snow_bits=(5,), nodata=1, dtype="uint16")
"""Landsat's: fill, dilated cloud, cirrus, cloud, cloud shadow and snow are not clear; 1 is the fill's bit alone."""

FMASK = Mask(band="fmask", bits=(1, 2, 3, 4), snow_bits=(4,), nodata=255)
"""HLS': cloud, what lies next to it, cloud shadow and snow are not clear. Bit 0 is not used."""


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


# Landsat's near infrared is one band, narrow on OLI and broad on TM; catalogues call it nir08.
_OLI = ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22")
_LANDSAT = {band: (band,) for band in (*_OLI, "qa_pixel")} | {"nir": ("nir08",)}
# USGS' first items name assets by files. One name is two bands: the numbers of TM and ETM+ begin at blue.
_OLI_FILES = {
    band: (f"SR_B{n}.TIF",) for n, band in zip((1, 2, 3, 4, 5, 5, 6, 7), (*_OLI[:4], "nir", *_OLI[4:]), strict=True)
}
_TM_FILES = {
    band: (f"SR_B{n}.TIF",) for n, band in zip((1, 2, 3, 4, 4, 5, 7), (*_OLI[1:4], "nir", *_OLI[4:]), strict=True)
}
_QA_FILE = {"qa_pixel": ("QA_PIXEL.TIF",)}

# Of HLS' bands the narrow near infrared is the one that L30 and S30 share: B8A is adjusted to OLI's B05, B08 is not.
# The same key is another band in each: B05, B06 and B07 are red edge in S30.
_HLS_L30 = dict(zip(("coastal", "blue", "green", "red", "nir", "swir16", "swir22"), _ESA, strict=False)) | {
    "nir08": "B05"
}
_HLS_S30 = dict(zip(("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3"), _ESA, strict=False)) | {
    "nir": "B8A", "nir08": "B8A", "swir16": "B11", "swir22": "B12"
}  # fmt: skip
_HLS_STACTOOLS = {
    "coastal": "coastal_aerosol", "blue": "blue", "green": "green", "red": "red", "rededge1": "red_edge_1",
    "rededge2": "red_edge_2", "rededge3": "red_edge_3", "nir": "nir_narrow", "nir08": "nir_narrow",
    "swir16": "swir_1", "swir22": "swir_2",
}  # fmt: skip


def _landsat(name: str, keys: tuple[str, ...], bands: Mapping[str, tuple[str, ...]], **more: Any) -> Provider:
    """Return the entry of a provider of Landsat's Collection 2, level 2; its scenes move, so they lie on no tiles."""
    usual: dict[str, Any] = {
        "collections": ("landsat-c2-l2",),
        "mask": QA_PIXEL,
        "offset": functools.partial(product_offset, -0.2, "Landsat Collection 2"),
        "scale": 2.75e-5,
        "nodata": 0.0,
        "lattice": "zone",
        "s3_region": "us-west-2",
    }
    return Provider(name=name, keys=keys, bands=bands, **(usual | more))


def _usgs(name: str, keys: tuple[str, ...], bands: Mapping[str, tuple[str, ...]], **more: Any) -> Provider:
    """Return an entry of USGS' own catalogue, whose https hrefs want a login, and whose S3 hrefs want to be paid."""
    return _landsat(name, keys, bands, collections=("landsat-c2l2-sr",), alternate="s3", **more)


def _hls(name: str, collections: tuple[str, ...], bands: Mapping[str, str], **more: Any) -> Provider:
    """Return the entry of a provider of HLS, version 2: on Sentinel-2's tiles, in pixels of 30 m."""
    usual: dict[str, Any] = {
        "keys": ("B04", "Fmask"),
        "mask": FMASK,
        "offset": functools.partial(product_offset, 0.0, "HLS"),
        "scale": 1e-4,
        "nodata": -9999.0,
    }
    given = usual | more
    keys = {band: (key,) for band, key in bands.items()} | {"fmask": (given["keys"][-1],)}
    return Provider(name=name, collections=collections, bands=keys, **given)


_PC_TOKENS = "https://planetarycomputer.microsoft.com/api/sas/v1/token/"

PROVIDERS: tuple[Provider, ...] = (
    _sentinel2(
        "earth-search", ("red",), _BY_COMMON, marks=("earthsearch:", "sentinel-cogs"), offset=earth_search_offset
    ),
    _sentinel2("earth-search-c1", ("red",), _BY_COMMON, collections=("sentinel-2-c1-l2a",), offset=earth_search_offset),
    _sentinel2("planetary-computer", ("B04",), _BY_ESA, token_url=_PC_TOKENS + "{collection}"),
    _sentinel2("cdse", ("B04_10m",), _BY_CDSE, s3_endpoint="https://eodata.dataspace.copernicus.eu"),
    _landsat(
        "earth-search-landsat", ("red", "qa_pixel"), _LANDSAT, marks=("usgs-landsat",), requester_pays="usgs-landsat"
    ),
    _landsat("planetary-computer-landsat", ("red", "qa_pixel"), _LANDSAT, token_url=_PC_TOKENS + "{collection}"),
    _usgs("usgs-landsat", ("red", "qa_pixel"), _LANDSAT),
    _usgs("usgs-landsat-oli", ("SR_B4.TIF",), _OLI_FILES | _QA_FILE, ids="L[CO]0[89]_"),
    _usgs("usgs-landsat-tm", ("SR_B4.TIF",), _TM_FILES | _QA_FILE, ids="L[ET]0[457]_"),
    _hls("lp-daac-hls-l30", ("HLSL30_2.0", "HLSL30.v2.0"), _HLS_L30),
    _hls("lp-daac-hls-s30", ("HLSS30_2.0", "HLSS30.v2.0"), _HLS_S30),
    # Both collections lie in one container, so one signature serves a source that holds both.
    _hls("planetary-computer-hls-l30", ("hls2-l30",), _HLS_L30, token_url=_PC_TOKENS + "hls2euwest/hls2"),
    _hls("planetary-computer-hls-s30", ("hls2-s30",), _HLS_S30, token_url=_PC_TOKENS + "hls2euwest/hls2"),
    _hls("stactools-hls", (), _HLS_STACTOOLS, keys=("red", "fmask"), ids=r"HLS\."),
    _sentinel2("stactools-sentinel2", ("red",), _BY_COMMON, collections=(), platform="sentinel"),
)
"""The known providers, in the order in which they are tried: of similar ones, the one that asks more comes first."""

ONE_OFFSET = frozenset(p.name for p in PROVIDERS if getattr(p.offset, "func", None) is product_offset)
"""Names of the providers whose reflectance has had one offset always: nothing of theirs changed in January 2022."""


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
        The section says what cannot be (`pipeline.core.provider_rules`).
    """
    if mistakes := provider_mistakes(spec):
        raise BadInput(*mistakes[0], "Correct the configuration")
    mask = _mask(spec.mask)
    bands = {band: (str(key),) for band, key in spec.bands.items()} | {mask.band: (spec.mask.asset,)}
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
        mask_rule=None if is_scl(spec.mask) else spec.mask,
    )


def _mask(rule: MaskConfig) -> Mask:
    """Return the configured mask as far as it is known; one named SCL has Sentinel-2's classes."""
    given: dict[str, Any] = {f.name: getattr(rule, f.name) for f in dataclasses.fields(MaskRule)}
    if is_scl(rule):
        nodata = SCL.nodata if rule.nodata is None else rule.nodata
        return dataclasses.replace(SCL, nodata=nodata, snow=rule.snow or SCL.snow)
    dtype = mask_type(rule)
    nodata = unclear_value(rule, dtype) if rule.nodata is None else rule.nodata
    return Mask(band=mask_band(rule), nodata=nodata, dtype=dtype, **given)


def _fits(provider: Provider, item: Mapping[str, Any], collection: str) -> bool:
    """Tell whether an item looks like one of a provider's."""
    properties, assets = item["properties"], item["assets"]
    if provider.collections and collection not in provider.collections:
        return False
    if any(key not in assets for key in provider.keys) or not re.match(provider.ids, str(item.get("id"))):
        return False
    platform = f"{properties.get('platform')} {properties.get('constellation')}".lower()
    if provider.platform not in platform:
        return False
    if not provider.marks:
        return True
    hosts = str(assets[provider.keys[0]].get("href", "")).split("/")[2:3]
    seen = [*properties, *hosts]
    return any(text.startswith(mark) for text in seen for mark in provider.marks)
