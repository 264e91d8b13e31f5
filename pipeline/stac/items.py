"""What a STAC item says about itself, whichever provider and STAC version wrote it.

Items of STAC 1.0 and 1.1 are read as they are. Nothing is migrated first, because what an item leaves out matters as
much as what it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import shapely
import shapely.geometry
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.addresses import resolve_beside
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.offset_rules import Unusable
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.types import BadInput, Rejection

Json = Mapping[str, Any]
"""A JSON object."""

UNREADABLE = (
    Unusable, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError
)  # fmt: skip
"""The exceptions that reading an item may raise: its writer may have put anything anywhere."""

TIMED = "time-"
"""Start of the key of a datatake that only the time tells: items seconds apart may still be of one overpass."""

MOST_ID = 10_000
"""Characters of an id; a longer one is no name."""

_PRODUCT = re.compile(r"\b(S2[A-Z])_MSIL\d[A-Z]_(\d{8}T\d{6})(?:_N(\d\d)(\d\d))?_")
_TILE = re.compile(r"(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z]{2})")
_PATH_TILE = re.compile(r"[._]T(\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})[._]")
_LANDSAT = re.compile(r"L([COTEM])(\d\d)_L\d[A-Z]{2}_(\d{3})(\d{3})_\d{8}_(?:(\d{8})_)?\d\d_(T1|T2|RT|A1|A2)")
_HLS = re.compile(r"HLS\.([LS]30)\.")
_TIERS = ("RT", "T2", "T1")
"""Landsat's categories, the best last: real time is replaced once the orbit is known, and tier 2 lies less exactly."""


@dataclass(frozen=True)
class RawItem:
    """An item as its source wrote it, and where it was read from."""

    item: Json
    """The item's document."""
    base: str
    """URL or absolute path that relative hrefs start from."""
    root: str | None
    """Folder of the local catalogue, under which local paths must lie; None for a remote catalogue."""
    document: str | None = None
    """The document that it was read from, where that is not ``base``: relative hrefs mean the files beside it first."""

    def resolve(self, href: str) -> str:
        """Make an href of the item absolute."""
        return resolve_beside(href, self.document or self.base, self.base)

    @cached_property
    def ground(self) -> BaseGeometry:
        """The item's `footprint`, which is worked out once."""
        return footprint(self.item)


def demand_item(item: Json) -> None:
    """Raise Unusable unless an item has an id, properties and assets."""
    good = isinstance(item.get("id"), str) and 0 < len(item["id"]) <= MOST_ID
    for part in ("properties", "assets"):
        good = good and isinstance(item.get(part), Mapping)
    if not good:
        raise Unusable("malformed", f"has no id (of at most {MOST_ID:,} characters), properties or assets")


def rejection(item: Json, error: Exception) -> Rejection:
    """Return why an item is not used.

    Parameters
    ----------
    item : mapping
    error : Exception
        What reading the item has raised: one of `UNREADABLE`.
    """
    reason, detail = "malformed", f"{type(error).__name__}: {error}"
    if isinstance(error, Unusable):
        reason, detail = error.reason, error.detail
    return Rejection(str(item.get("id")), reason, redact(detail))


def acquired(item: Json) -> np.datetime64:
    """Return when an item was acquired, datetime64[ms] in UTC; where it tells an interval, the start of it.

    Raises
    ------
    Unusable
        The item tells no time.
    """
    properties = item["properties"]
    text = properties.get("datetime") or properties.get("start_datetime")
    time = _instant(text)
    if time is None:
        raise Unusable("no_datetime", f"datetime and start_datetime give {text!r}")
    return time


def _instant(text: Any) -> np.datetime64 | None:
    """Return the time that a text means, datetime64[ms] in UTC, or None where it is no time."""
    try:
        time = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    # STAC demands a time zone; a time without one is taken as UTC.
    utc = time.astimezone(UTC) if time.tzinfo else time
    return np.datetime64(utc.replace(tzinfo=None), "ms")


def footprint(item: Json) -> BaseGeometry:
    """Return the ground that an item covers, a lon/lat geometry that is split at the antimeridian.

    Raises
    ------
    Unusable
        The item has neither a geometry nor a box, or one that cannot be used.
    """
    box = item.get("bbox")
    try:
        # Coordinates that are not numbers, or are too large, are refused below by the bounds.
        with np.errstate(invalid="ignore", over="ignore"):
            if item.get("geometry"):
                shape = geo.fix_antimeridian(_in_degrees(shapely.geometry.shape(item["geometry"])))
            elif box:
                shape = geo.split_bbox(*(float(n) for n in (box if len(box) == 4 else (*box[:2], *box[3:5]))))
            else:
                raise Unusable("no_footprint", "has neither geometry nor bbox")
    except (TypeError, ValueError, AttributeError, KeyError, ShapelyError, BadInput) as error:
        raise Unusable("no_footprint", f"its geometry cannot be used ({error})") from None
    if shape.is_empty or not np.isfinite(shape.bounds).all():
        raise Unusable("no_footprint", "its geometry is empty")
    return shape


def _in_degrees(shape: BaseGeometry) -> BaseGeometry:
    """Return a geometry as it is, or raise ValueError where its coordinates cannot be degrees."""
    west, south, east, north = shape.bounds if not shape.is_empty else (0, 0, 0, 0)
    if not (west >= -360 and east <= 360 and south >= -90 and north <= 90):
        raise ValueError("its coordinates are not degrees")
    return shape


def datatake(item: Json) -> str:
    """Return the key of an item's overpass, equal for all its tiles, parts and processings: "S2A_20240711T173911".

    It is taken from the datatake's id or the product's name; else from the satellite's absolute orbit, of which a place
    sees one pass; else from platform and time, and begins with `TIMED`.
    """
    take = _text(item, "s2:datatake_id", "eopf:datatake_id")
    if match := re.match(r"G(S2[A-Z])_(\d{8}T\d{6})_", take):
        return f"{match[1]}_{match[2]}"
    if match := _product(item):
        return f"{match[1]}_{match[2]}"
    granule = f"{_text(item, 's2:tile_id', 's2:granule_id')} {item.get('id')}"
    if match := re.search(r"\b(S2[A-Z])_.*?_A(\d{6})_", granule):
        return f"{match[1]}_A{match[2]}"
    platform = re.sub(r"[^a-z0-9]+", "", _platform(item).lower())
    stamp = re.sub(r"[-:]", "", str(acquired(item).astype("datetime64[s]")))
    return f"{TIMED}{platform or 'any'}-{stamp}"


def _platform(item: Json) -> str:
    """Return the satellite of an item, or its product where that names the satellites, or ""."""
    if told := _text(item, "platform", "eo:platform"):
        return told
    name = str(item.get("id"))
    if match := _LANDSAT.match(name):
        return f"landsat-{int(match[2])}"
    # L30 and S30 may see a tile in the same minute, and are two overpasses then.
    match = _HLS.match(name)
    return f"hls-{match[1]}" if match else ""


def datastrip(item: Json) -> str:
    """Return the sensing start of the strip that an item was cut from, or ""; it tells parts of a datatake apart."""
    match = re.search(r"_S(\d{8}T\d{6})", _text(item, "s2:datastrip_id", "eopf:datastrip_id"))
    return match[1] if match else ""


def tile(item: Json) -> str:
    """Return the MGRS tile of an item, as STAC's grid extension writes it ("MGRS-13SDD"), or "".

    Other codes of a grid, such as Landsat's paths and rows, name no lattice: where their scenes lie moves by date.
    """
    p = item["properties"]
    code = _text(item, "grid:code")
    square = f"{p.get('mgrs:utm_zone')}{p.get('mgrs:latitude_band')}{p.get('mgrs:grid_square')}"
    for text in (code.removeprefix("MGRS-"), _text(item, "s2:mgrs_tile"), square):
        if match := _TILE.fullmatch(text.upper()):
            return f"MGRS-{int(match[1]):02d}{match[2]}"
    match = _PATH_TILE.search(f"_{item.get('id')}_")
    return f"MGRS-{match[1]}" if match else ""


def place(item: Json) -> str:
    """Return the code of an item's place in the grid of its source ("MGRS-13SDD", "WRS2-034033"), or "".

    Items of one place and one overpass are versions or parts of one acquisition, wherever their pixels lie.
    """
    if mgrs := tile(item):
        return mgrs
    p, match = item["properties"], _LANDSAT.match(str(item.get("id")))
    path, row = p.get("landsat:wrs_path"), p.get("landsat:wrs_row")
    if path is not None and row is not None:
        return f"WRS{p.get('landsat:wrs_type') or 2}-{str(path).zfill(3)}{str(row).zfill(3)}"
    return f"WRS2-{match[3]}{match[4]}" if match else _text(item, "grid:code")


def baseline(item: Json) -> str:
    """Return the processing baseline of an item ("05.10"), or ""."""
    for text in (_text(item, "s2:processing_baseline"), _text(item, "processing:version")):
        if re.fullmatch(r"\d\d\.\d\d", text):
            return text
    match = _product(item)
    return f"{match[3]}.{match[4]}" if match and match[3] else ""


def version(item: Json) -> str:
    """Return when an item was processed, else when it was last written, as UTC; "" where it tells neither."""
    keys = ("s2:generation_time", "processing:datetime", "updated", "created")
    times = (_instant(item["properties"].get(key)) for key in keys)
    return next((str(time) for time in times if time is not None), _processed(item))


def rank(item: Json) -> tuple[int, str]:
    """Return what decides between versions of an acquisition before `version`, the best last: Landsat's tier and date.

    Surface reflectance is the same in Landsat's L2SR and L2SP, so they are of one rank.
    """
    match = _LANDSAT.match(str(item.get("id")))
    tier = _text(item, "landsat:collection_category") or (match[6] if match else "")
    return (_TIERS.index(tier) if tier in _TIERS else -1), _processed(item)


def _processed(item: Json) -> str:
    """Return when a Landsat scene was processed, as its metadata or its product's name tell, or ""."""
    match = _LANDSAT.match(str(item.get("id")))
    times = (_instant(item["properties"].get("landsat:product_generated")), _instant(match[5]) if match else None)
    return next((str(time) for time in times if time is not None), "")


def nodata_share(item: Json) -> float | None:
    """Return the share of the tile without data that an item declares, 0-1; None where it declares none."""
    properties = item["properties"]
    statistics = properties.get("statistics")
    declared = properties.get("s2:nodata_pixel_percentage")
    if declared is None and isinstance(statistics, Mapping):
        declared = statistics.get("nodata")
    percentage = number(declared)
    return None if percentage is None or math.isnan(percentage) else percentage / 100


def _product(item: Json) -> re.Match[str] | None:
    """Find the name of the Sentinel-2 product that an item stands for."""
    texts = (_text(item, "s2:product_uri"), str(item.get("id")))
    return next((m for m in map(_PRODUCT.search, texts) if m), None)


def _text(item: Json, *keys: str) -> str:
    """Return the first of some properties that is there, as text, or ""."""
    return next((str(v) for k in keys if (v := item["properties"].get(k))), "")


def number(value: Any) -> float | None:
    """Return a value as a number, also where JSON had to write it as text ("nan"); None where it is no number."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
