"""From one STAC item to one scene: the many ways of saying the same thing, made one.

Here its assets: which one is which band, what its numbers mean, where they lie. What the item says
of itself is in `pipeline.stac.items`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.offset_rules import Unusable
from groundbreak.pipeline.access.providers import Provider
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import Asset, Rejection, Scene
from groundbreak.pipeline.stac import items
from groundbreak.pipeline.stac.items import Json, RawItem, number

_DRIVERS = {
    "image/tiff": "GTiff",
    "image/geotiff": "GTiff",
    "image/vnd.stac.geotiff": "GTiff",
    "image/jp2": "JP2OpenJPEG",
    ".tif": "GTiff",
    ".tiff": "GTiff",
    ".jp2": "JP2OpenJPEG",
}


def normalise(raw: RawItem, provider: Provider, bands: Sequence[str], source: SourceConfig) -> Scene | Rejection:
    """The scene that an item is, with the assets of the named bands.

    Parameters
    ----------
    raw : RawItem
        With id, properties, assets and a footprint.
    provider : Provider
        Its own (`pipeline.access.providers.recognise`).
    bands : sequence of str
        Canonical names, the mask's band included; an item that lacks one is rejected.
    source : Source
        For the hosts that it allows.
    """
    item = raw.item
    try:
        return Scene(
            id=str(item["id"]),
            collection=str(item.get("collection") or ""),
            provider=provider.name,
            time=items.when(item),
            datatake=items.datatake(item),
            tile=items.tile(item),
            baseline=items.baseline(item),
            version=items.version(item),
            bounds=raw.ground.bounds,
            assets={a.band: a for a in _assets(raw, provider, bands, source)},
        )
    except items.UNREADABLE as error:
        return items.rejection(item, error)


def _assets(raw: RawItem, provider: Provider, bands: Sequence[str], source: SourceConfig) -> Iterator[Asset]:
    found: dict[str, Json] = {}
    for band in bands:
        keys = [k for k in provider.bands.get(band, ()) if k in raw.item["assets"]]
        if keys:
            found[band] = raw.item["assets"][keys[0]]
    if missing := [b for b in bands if b not in found]:
        keys = [" or ".join(provider.bands.get(b, ())) or "a name for it in the provider" for b in missing]
        wanted = ", ".join(f"{band} ({key})" for band, key in zip(missing, keys, strict=True))
        raise Unusable("missing_band", f"has no {wanted}")
    for band, asset in found.items():
        yield _asset(raw, provider, band, asset, source)


def _asset(raw: RawItem, provider: Provider, band: str, asset: Json, source: SourceConfig) -> Asset:
    href = hrefs.resolve(str(asset.get("href") or ""), raw.base)
    refused = hrefs.check(href, root=raw.root, allow_hosts=source.allow_hosts)
    if refused:
        raise Unusable("href_refused", f"{band}: {href} {refused}")
    says = _Says(raw.item, asset, band)
    if band == provider.mask.band:
        scale, offset = 1.0, 0.0
        nodata: float | None = float(provider.mask.nodata)
    else:
        declared = says.number("scale"), says.number("offset")
        scale = next((s for s in (provider.fixed_scale, declared[0], provider.scale) if s is not None), 0.0)
        offset = provider.offset(raw.item["properties"], declared[1], items.baseline(raw.item))
        if not (scale > 0 and math.isfinite(scale) and math.isfinite(offset)):
            detail = f"{band} declares scale {declared[0]} and offset {declared[1]}"
            raise Unusable("scale_unknown", f"{detail}; {provider.name} has no other")
        fills = (provider.fixed_nodata, says.number("nodata"), provider.nodata)
        nodata = next((n for n in fills if n is not None), None)
    return Asset(band, href, _driver(asset, href, band), scale, offset, nodata, says.frame())


class _Says:
    """What an item says of one asset, whichever way its STAC version says it."""

    def __init__(self, item: Json, asset: Json, band: str) -> None:
        lists = [asset.get(key) or [{}] for key in ("raster:bands", "bands", "eo:bands")]
        count = max(len(parts) for parts in lists)
        if count > 1:
            raise Unusable("several_bands", f"{band}: its asset holds {count} bands in one file")
        # STAC 1.1: what a band leaves out its asset says, and what that leaves out the item says.
        self.levels: tuple[Json, ...] = (*(p[0] for p in lists), asset, item["properties"])

    def get(self, *keys: str) -> Any:
        return next((v for level in self.levels for k in keys if (v := level.get(k)) is not None), None)

    def number(self, name: str) -> float | None:
        """scale, offset or nodata; raster:bands writes them bare."""
        keys = (name,) if name == "nodata" else (f"raster:{name}", name)
        return number(self.get(*keys))

    def frame(self) -> Frame | None:
        """The asset's lattice, if the item says it, north up and square; else its header will."""
        code = str(self.get("proj:code") or f"EPSG:{self.get('proj:epsg')}")
        match = re.fullmatch(r"EPSG:(\d+)", code)
        numbers = [number(n) for n in self.get("proj:transform") or ()][:6]
        shape = [number(n) for n in self.get("proj:shape") or ()]
        finite = [n for n in (*numbers, *shape) if n is not None and math.isfinite(n)]
        if match is None or len(numbers) != 6 or len(shape) != 2 or len(finite) != 8:
            return None
        a, b, x0, d, e, y0, height, width = finite
        if b or d or a <= 0 or e != -a or height <= 0 or width <= 0:
            return None
        return Frame(int(match[1]), x0, y0, a, int(height), int(width))


def _driver(asset: Json, href: str, band: str) -> str:
    kind = str(asset.get("type") or "").partition(";")[0].strip().lower()
    if kind in _DRIVERS:
        return _DRIVERS[kind]
    suffix = PurePosixPath(urlsplit(href).path).suffix.lower()
    driver = _DRIVERS.get(suffix)
    if driver is None:
        detail = f"{band}: of type {kind or 'untold'!r} and name *{suffix}; must be GeoTIFF or JPEG 2000"
        raise Unusable("unknown_format", detail)
    return driver
