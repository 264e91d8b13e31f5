"""What an item says of itself, whichever provider and STAC version wrote it.

Items of STAC 1.0 and 1.1 are read as they are; nothing is migrated first, because what an item
leaves out matters as much as what it says.
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

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.offset_rules import Unusable
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.types import BadInput, Rejection

Json = Mapping[str, Any]

UNREADABLE = (
    Unusable, TypeError, ValueError, AttributeError, LookupError, ArithmeticError
)  # fmt: skip
"""What reading an item may raise: its writer may have put anything anywhere."""

TIMED = "time-"
"""Start of a key that only the time gave: items seconds apart may yet be of one overpass."""

_PRODUCT = re.compile(r"\b(S2[A-Z])_MSIL\d[A-Z]_(\d{8}T\d{6})(?:_N(\d\d)(\d\d))?_")
_TILE = re.compile(r"(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z]{2})")
_PATH_TILE = re.compile(r"[._]T(\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})[._]")


@dataclass(frozen=True)
class RawItem:
    """An item as its source wrote it, and where that was."""

    item: Json
    base: str
    """URL or absolute path that relative hrefs start from."""
    root: str | None
    """Folder of the local catalogue, under which local paths must lie; None for a remote one."""

    @cached_property
    def ground(self) -> BaseGeometry:
        """Its footprint, as `footprint` has it; worked out once."""
        return footprint(self.item)


def demand_item(item: Json) -> None:
    """Raise Unusable unless the parts that every item has are there."""
    good = isinstance(item.get("id"), str) and bool(item["id"])
    for part in ("properties", "assets"):
        good = good and isinstance(item.get(part), Mapping)
    if not good:
        raise Unusable("malformed", "has no id, properties or assets")


def rejection(item: Json, error: Exception) -> Rejection:
    """Why an item is not used, from one of `UNREADABLE`."""
    reason, detail = "malformed", f"{type(error).__name__}: {error}"
    if isinstance(error, Unusable):
        reason, detail = error.reason, error.detail
    return Rejection(str(item.get("id")), reason, redact(detail))


def when(item: Json) -> np.datetime64:
    """The time of an item, UTC, ms: its start where it has no instant."""
    properties = item["properties"]
    text = properties.get("datetime") or properties.get("start_datetime")
    time = _instant(text)
    if time is None:
        raise Unusable("no_datetime", f"datetime and start_datetime give {text!r}")
    return time


def _instant(text: Any) -> np.datetime64 | None:
    try:
        time = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    # STAC says that times carry a zone; those that do not are meant in UTC.
    utc = time.astimezone(UTC) if time.tzinfo else time
    return np.datetime64(utc.replace(tzinfo=None), "ms")


def footprint(item: Json) -> BaseGeometry:
    """The ground of an item, lon/lat, split at the antimeridian."""
    box = item.get("bbox")
    try:
        # What is not a number, or too large for one, is refused below by its bounds.
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
    west, south, east, north = shape.bounds if not shape.is_empty else (0, 0, 0, 0)
    if not (west >= -360 and east <= 360 and south >= -90 and north <= 90):
        raise ValueError("its coordinates are not degrees")
    return shape


def datatake(item: Json) -> str:
    """Key of the overpass, alike for all its tiles, parts and processings: "S2A_20240711T173911".

    From the datatake's id or the product's name; else from the satellite's absolute orbit, of which
    a place sees one pass; else from platform and time (`TIMED`).
    """
    properties = item["properties"]
    take = _text(item, "s2:datatake_id", "eopf:datatake_id")
    if match := re.match(r"G(S2[A-Z])_(\d{8}T\d{6})_", take):
        return f"{match[1]}_{match[2]}"
    if match := _product(item):
        return f"{match[1]}_{match[2]}"
    granule = f"{_text(item, 's2:tile_id', 's2:granule_id')} {item.get('id')}"
    if match := re.search(r"\b(S2[A-Z])_.*?_A(\d{6})_", granule):
        return f"{match[1]}_A{match[2]}"
    platform = re.sub(r"[^a-z0-9]+", "", str(properties.get("platform") or "").lower())
    stamp = re.sub(r"[-:]", "", str(when(item).astype("datetime64[s]")))
    return f"{TIMED}{platform or 'any'}-{stamp}"


def datastrip(item: Json) -> str:
    """Sensing start of the strip that an item was cut from, or "": it tells split datatakes."""
    match = re.search(r"_S(\d{8}T\d{6})", _text(item, "s2:datastrip_id", "eopf:datastrip_id"))
    return match[1] if match else ""


def tile(item: Json) -> str:
    """The source's tile, as STAC's grid extension writes it ("MGRS-13SDD"), or ""."""
    p = item["properties"]
    code = _text(item, "grid:code")
    square = f"{p.get('mgrs:utm_zone')}{p.get('mgrs:latitude_band')}{p.get('mgrs:grid_square')}"
    for text in (code.removeprefix("MGRS-"), _text(item, "s2:mgrs_tile"), square):
        if match := _TILE.fullmatch(text.upper()):
            return f"MGRS-{int(match[1]):02d}{match[2]}"
    # Tiles become folder names: only what is surely one is believed.
    if re.fullmatch(r"[A-Z0-9]+-[A-Za-z0-9_-]+", code):
        return code
    match = _PATH_TILE.search(f"_{item.get('id')}_")
    return f"MGRS-{match[1]}" if match else ""


def baseline(item: Json) -> str:
    """The processing baseline ("05.10"), or ""."""
    for text in (_text(item, "s2:processing_baseline"), _text(item, "processing:version")):
        if re.fullmatch(r"\d\d\.\d\d", text):
            return text
    match = _product(item)
    return f"{match[3]}.{match[4]}" if match and match[3] else ""


def version(item: Json) -> str:
    """When this processing was made, else when its item was last written; "" if nothing tells."""
    keys = ("s2:generation_time", "processing:datetime", "updated", "created")
    times = (_instant(item["properties"].get(key)) for key in keys)
    return next((str(time) for time in times if time is not None), "")


def nodata_share(item: Json) -> float:
    """Share of the tile without data, 0-1, as the item says; 0 where it does not."""
    properties = item["properties"]
    statistics = properties.get("statistics")
    told = properties.get("s2:nodata_pixel_percentage")
    if told is None and isinstance(statistics, Mapping):
        told = statistics.get("nodata")
    share = number(told)
    return 0.0 if share is None or math.isnan(share) else share / 100


def _product(item: Json) -> re.Match[str] | None:
    texts = (_text(item, "s2:product_uri"), str(item.get("id")))
    return next((m for m in map(_PRODUCT.search, texts) if m), None)


def _text(item: Json, *keys: str) -> str:
    return next((str(v) for k in keys if (v := item["properties"].get(k))), "")


def number(value: Any) -> float | None:
    """A number, also where JSON had to write it as text ("nan")."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
