"""From one STAC item to one scene: providers say the same things in many ways, and a scene says them in one.

Here are the assets: which of them holds which band, what its numbers mean, and where they lie. What the item says about
itself is in `pipeline.stac.items`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.offset_rules import Unusable
from groundbreak.pipeline.access.provider import Provider
from groundbreak.pipeline.access.scale_rules import reflectance_scale
from groundbreak.pipeline.core.frame import MAX_SIDE, Frame
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.show import clean
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
"""Media type or suffix -> GDAL driver."""


def normalise(raw: RawItem, provider: Provider, bands: Sequence[str], source: SourceConfig) -> Scene | Rejection:
    """Make a scene of an item, with the assets of some bands.

    Parameters
    ----------
    raw : RawItem
        An item with id, properties, assets and a footprint.
    provider : Provider
        The item's provider (`pipeline.access.providers.recognise`).
    bands : sequence of str
        Canonical names, the mask's band included; an item that lacks one of them is rejected.
    source : SourceConfig
        The hosts that assets may be read from.

    Returns
    -------
    Scene, or Rejection where the item cannot be used.
    """
    item = raw.item
    try:
        return Scene(
            id=clean(str(item["id"]), items.MOST_ID),
            collection=clean(str(item.get("collection") or ""), items.MOST_ID),
            provider=provider.name,
            time=items.acquired(item),
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
    """Yield an item's asset of each band, or raise Unusable."""
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
    """Return the asset of a band, its numbers' meaning worked out, or raise Unusable."""
    written = _href(provider, asset, source)
    if not written:
        raise Unusable("malformed", f"{band}: its asset has no href")
    href = raw.resolve(written)
    refused = hrefs.check(href, root=raw.root, allow_hosts=source.allow_hosts)
    if refused:
        raise Unusable("href_refused", f"{band}: {href} {refused}")
    metadata, driver = _AssetMetadata(raw.item, asset, band), _driver(asset, href, band)
    if band == provider.mask.band:
        rule = provider.mask_rule
        told = provider.mask.nodata if rule is None else rule.nodata
        nodata = metadata.number("nodata") if told is None else float(told)
        return Asset(band, href, driver, 1.0, 0.0, nodata, metadata.frame())
    scale = reflectance_scale(provider, band, metadata.number("scale"), metadata.kind)
    offset = provider.offset(raw.item["properties"], metadata.offset, items.baseline(raw.item))
    if offset is not None and not abs(offset) <= 1:
        raise Unusable("offset_unknown", f"{band} declares offset {offset:g}, which no reflectance has")
    fills = (provider.fixed_nodata, metadata.number("nodata"), provider.nodata)
    nodata = next((n for n in fills if n is not None), None)
    return Asset(band, href, driver, scale, 0.0 if offset is None else offset, nodata, metadata.frame())


def _href(provider: Provider, asset: Json, source: SourceConfig) -> str:
    """Return the href of an asset, or the alternate one of a provider whose readers pay, where they agree to."""
    alternate = asset.get("alternate")
    if provider.alternate and source.requester_pays and isinstance(alternate, Mapping):
        other = alternate.get(provider.alternate)
        if isinstance(other, Mapping) and other.get("href"):
            return str(other["href"])
    return str(asset.get("href") or "")


def declared_offsets(raw: RawItem, provider: Provider, bands: Sequence[str]) -> dict[str, float | None]:
    """Return the offset of reflectance that an item or the configuration tells of each band; None where neither does.

    Parameters
    ----------
    raw : RawItem
        An item that `normalise` has made a scene of.
    provider : Provider
    bands : sequence of str
        Canonical names, without the mask's.
    """
    properties, known = raw.item["properties"], items.baseline(raw.item)
    found = {}
    for band in bands:
        key = next(k for k in provider.bands[band] if k in raw.item["assets"])
        asset = raw.item["assets"][key]
        found[band] = provider.offset(properties, _AssetMetadata(raw.item, asset, band).offset, known)
    return found


class _AssetMetadata:
    """What an item declares about one of its assets, whichever way its STAC version does so."""

    def __init__(self, item: Json, asset: Json, band: str) -> None:
        lists = [asset.get(key) or [{}] for key in ("raster:bands", "bands", "eo:bands")]
        count = max(len(parts) for parts in lists)
        if count > 1:
            raise Unusable("several_bands", f"{band}: its asset holds {count} bands in one file")
        # The first items of USGS number bands where others describe them.
        lists = [parts if isinstance(parts[0], Mapping) else [{}] for parts in lists]
        # STAC 1.1: what a band leaves out its asset may declare, and what the asset leaves out the item may.
        self.levels: tuple[Json, ...] = (*(p[0] for p in lists), asset, item["properties"])

    def get(self, *keys: str) -> Any:
        """Return the value of the first of some keys that is there, or None."""
        return next((v for level in self.levels for k in keys if (v := level.get(k)) is not None), None)

    def number(self, name: str) -> float | None:
        """Return the declared scale, offset or nodata, or None; in raster:bands their names have no prefix."""
        keys = (name,) if name == "nodata" else (f"raster:{name}", name)
        return number(self.get(*keys))

    @property
    def offset(self) -> float | None:
        """The declared offset, or None; 0 beside scale 1 is what tools write of whole numbers they know not."""
        offset = self.number("offset")
        copied = offset == 0 and self.number("scale") == 1 and self.kind != "float"
        return None if copied else offset

    @property
    def kind(self) -> str:
        """The kind of the asset's numbers, as the item tells: integer, float or ""; its format may be told wrongly."""
        told = str(self.get("data_type") or "").lower()
        if told.startswith("float"):
            return "float"
        return "integer" if told.startswith(("int", "uint")) else ""

    def frame(self) -> Frame | None:
        """Return the frame that the item declares; None where it declares none that is north up with square pixels."""
        code = str(self.get("proj:code") or f"EPSG:{self.get('proj:epsg')}")
        match = re.fullmatch(r"EPSG:(\d+)", code)
        numbers = [number(n) for n in self.get("proj:transform") or ()][:6]
        shape = [number(n) for n in self.get("proj:shape") or ()]
        finite = [n for n in (*numbers, *shape) if n is not None and math.isfinite(n)]
        if match is None or len(numbers) != 6 or len(shape) != 2 or len(finite) != 8:
            return None
        a, b, x0, d, e, y0, height, width = finite
        if b or d or a <= 0 or e != -a or not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            return None
        return Frame(int(match[1]), x0, y0, a, int(height), int(width))


def _driver(asset: Json, href: str, band: str) -> str:
    """Return the driver that a media type names, or else the suffix of the href."""
    kind = str(asset.get("type") or "").partition(";")[0].strip().lower()
    if kind in _DRIVERS:
        return _DRIVERS[kind]
    parts = urlsplit(href)
    # The name may stand in the query; and a ? in a local name begins no query.
    names = [parts.path, *(value for _, value in parse_qsl(parts.query))] if hrefs.is_url(href) else [href]
    suffix, *others = (PurePosixPath(name).suffix.lower() for name in names)
    driver = next((_DRIVERS[s] for s in (suffix, *others) if s in _DRIVERS), None)
    if driver is None:
        detail = f"{band}: of type {kind or 'untold'!r} and name *{suffix}; must be GeoTIFF or JPEG 2000"
        raise Unusable("unknown_format", detail)
    return driver
