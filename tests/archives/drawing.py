"""Draws an archive from one seed: places, dates, scenes, numbers and masks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tests.archives.worlds import MASK, NIR, RED, Classes, Draw, Numbers, Place, Spec, World, move

NUMBERS = (
    ("uint16", 1e-4, 0.0, 0.0),
    ("uint16", 1e-4, -0.1, 0.0),
    ("uint16", 2.75e-5, -0.2, 0.0),
    ("int16", 1e-4, 0.0, -9999.0),
    ("int16", 1e-4, 0.0, -32768.0),
    ("uint16", 2e-5, 0.0, 65535.0),
    ("float32", 1.0, 0.0, math.nan),
    ("float32", 1e-4, 0.0, -9999.0),
    ("int32", 1e-5, 0.05, -1.0),
)
CLASSES = (
    Classes("scl", "uint8", (4, 5, 6, 7), (3, 8, 9, 10), 0, {}),
    Classes("classes", "uint8", (1, 7), (0, 2, 200), 255, {"clear": [1, 7]}),
    Classes("zero", "uint8", (0,), (1, 2, 3), None, {"clear": [0]}),
    Classes("zero", "uint8", (0,), (1, 2), 255, {"clear": [0]}),
    Classes("bits", "uint8", (0, 64, 192, 1), (2, 10, 68, 204), 255, {"bits": [1, 2, 3], "snow_bits": [4]}),
    Classes("qa", "uint16", (21824, 21952), (22280, 23888, 21826), 1, {"bits": [0, 1, 2, 3, 4], "snow_bits": [5]}),
    Classes("classes", "uint16", (21824, 21952), (22280, 1000), 1, {"clear": [21824, 21952]}),
    Classes("classes", "int16", (0, 3), (1, 2), -9999, {"clear": [0, 3]}),
)  # fmt: skip
LETTERS = "CDEFGHJKLMNPQRSTUVWX"


def utm(zone: int, south: bool) -> int:
    """Return the EPSG code of a zone; zones go on around the globe."""
    return (32700 if south else 32600) + (zone - 1) % 60 + 1


def draw_world(seed: int) -> World:
    """Draw an archive without harms."""
    d = Draw(seed)
    layout = d.one("tile", "tile", "tiles", "tiles", "moving", "moving", "zones", "rows")
    fine = d.one(10.0, 10.0, 10.0, 20.0, 30.0, 15.0, 2.5, 9.87, 12.5, 0.5, 10.0032)
    ratios = (1.0, 2.0, 2.0, 3.0, 1.5, 2.5)
    sides = {RED: fine, MASK: fine * d.one(*ratios)}
    sides[NIR] = sides[MASK] if d.chance(0.2) else fine * d.one(1.0, 1.0, 2.0)
    unit = fine * math.lcm(*(round(2 * side / fine) for side in sides.values())) / 2
    epsg, left, top = _corner(d, layout, fine, unit)
    lattice = "zone" if layout == "zones" and d.chance(0.7) else d.one("source", "source", "zone")
    resolution = fine * d.one(1.0, 1.25, 2.0, 3.0, 0.75) if d.chance(0.15) else None
    places = _places(d, layout, epsg, left, top, fine, unit)
    dtype, scale, offset, nodata = d.one(*NUMBERS)
    told = d.one("items", "items", "asset", "configuration")
    fills = ("item", "file", "configuration", "mask") if not math.isnan(nodata) else ("file", "none")
    numbers = Numbers(dtype, scale, offset, nodata, told, d.one(*fills))
    start = np.datetime64(f"{d.whole(2016, 2024)}-01-01") + np.timedelta64(d.whole(0, 330), "D")
    dates, step = [], d.whole(5, 40)
    for n in range(d.whole(4, 8)):
        minutes = d.whole(0, 300)
        dates.append((start + np.timedelta64(n * step, "D")).astype("datetime64[ms]") + np.timedelta64(minutes, "m"))
    if d.chance(0.2):  # two satellites on one day
        dates[1] = dates[0] + np.timedelta64(d.whole(20, 300), "m")
    poor = places[0].code if layout == "tiles" and len(dates) >= 6 and d.chance(0.4) else ""
    world = World(
        seed, epsg, left, top, fine, sides, layout, lattice, resolution, numbers, d.one(*CLASSES), _creation(d, dtype),
        d.one("s2", "plain"), d.one("full", "full", "asset", "nine", "code", "none"), d.chance(0.15),
        tuple(dates), places, (), _box(d, places, epsg), poor, d.one("footprint", "share"), d.chance(0.5),
        region=d.one(32, 64, 128, 512), slab=d.one(2, 3, 12),
    )  # fmt: skip
    return replace(world, specs=tuple(_specs(d, world, unit)))


def _corner(d: Draw, layout: str, fine: float, unit: float) -> tuple[int, float, float]:
    """Draw CRS and upper left corner of the ground; its phase is anything that archives have."""
    zone, south = d.whole(1, 60), d.chance(0.4)
    lat = d.whole(2, 70) * (-1 if south else 1) + 0.37
    lon = zone * 6 - 183 + (3.0 if layout == "zones" else d.whole(-28, 28) / 10)
    epsg = utm(zone, south and d.chance(0.6))
    x, y = move(4326, epsg, min(lon, 179.99), lat)
    phase = d.one(0.0, 0.0, fine / 2, unit / 2, 3.7)
    return epsg, float(round(x / unit) * unit + phase), float(round(y / unit) * unit + phase)


def _places(d: Draw, layout: str, epsg: int, left: float, top: float, fine: float, unit: float) -> tuple[Place, ...]:
    """Draw one or two places; the second one overlaps with the first."""
    many = max(6, round(40 * fine / unit))
    width, height = (unit * d.whole(many // 2 + 1, many) for _ in range(2))
    lon, lat = move(epsg, 4326, left, top)
    band = LETTERS[min(int((lat + 80) // 8), len(LETTERS) - 1)]
    code = f"{(epsg % 100):02d}{band}PK" if layout in ("tile", "tiles", "zones") else ""
    first = Place(code, epsg, left, top, width, height)
    if layout == "tiles":
        right, down = unit * d.whole(-2, int(0.8 * width / unit)), unit * d.whole(0, int(0.8 * height / unit))
        return first, Place(f"{code[:3]}PL", epsg, left + right, top - down, width, height)
    if layout == "zones":
        other = utm(epsg % 100 + (1 if lon > epsg % 100 * 6 - 183 else -1), epsg > 32700)
        x, y = move(epsg, other, left + width * d.one(0, 0.3), top - height * d.one(0, 0.3))
        x, y = round(x / unit) * unit, round(y / unit) * unit
        return first, Place(f"{other % 100:02d}{band}PL", other, float(x), float(y), width, height)
    return (first,)


def _box(d: Draw, places: tuple[Place, ...], epsg: int) -> tuple[float, float, float, float]:
    """Draw the area, so that it holds a good part of each place."""
    boxes = []
    for p in places:
        x, y = move(p.epsg, epsg, [p.left, p.left + p.width], [p.top, p.top - p.height])
        boxes.append((x[0], y[1], x[1], y[0]))
    left, bottom = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, top = max(b[2] for b in boxes), max(b[3] for b in boxes)
    cuts = [float(d.rng.uniform(-0.15, 0.2)) for _ in range(4)]
    w, h = right - left, top - bottom
    return left + cuts[0] * w, bottom + cuts[1] * h, right - cuts[2] * w, top - cuts[3] * h


def _creation(d: Draw, dtype: str) -> dict[str, Any]:
    """Draw how files are laid out."""
    made: dict[str, Any] = {"compress": d.one("deflate", "deflate", "lzw", "zstd", "none")}
    if d.chance(0.75):
        made |= {"tiled": True, "blockxsize": d.one(16, 32, 64), "blockysize": d.one(16, 32)}
    else:
        made |= {"tiled": False, "blockysize": d.one(1, 7, 16)}
    if made["compress"] != "none" and d.chance(0.5):
        made["predictor"] = 3 if dtype == "float32" and d.chance(0.5) else 2
    if d.chance(0.15):
        made["BIGTIFF"] = "YES"
    if made["compress"] != "none" and d.chance(0.15):  # GDAL itself writes such files wrong where they are not packed
        made["ENDIANNESS"] = "BIG"
    return made


def _specs(d: Draw, world: World, unit: float) -> list[Spec]:
    """Draw the items of all places and dates."""
    found: list[Spec] = []
    splits = world.layout in ("tile", "tiles") and d.chance(0.35)
    told = world.numbers.fill_told in ("item", "configuration")  # JPEG 2000 holds no nodata
    jp2 = world.numbers.dtype == "uint16" and told and not world.nameless and d.chance(0.2)
    for number, time in enumerate(world.dates):
        for n, place in enumerate(world.places):
            if world.poor and world.poor == place.code and number not in (1, 4)[: max(1, len(world.dates) // 5)]:
                continue
            at = time + np.timedelta64(n * 7, "s")
            name = _name(place, number, time)
            if world.layout in ("moving", "rows"):
                place = _window(d, place, unit)
            spec = Spec(name, number, place, at, driver="JP2OpenJPEG" if jp2 else "GTiff")
            if world.layout == "rows":
                half = unit * round(place.height / unit * 0.6)
                upper, lower = (
                    replace(place, height=half),
                    replace(place, top=place.top - place.height + half, height=half),
                )
                found += [replace(spec, id=name + "-n", place=upper)]
                found += [replace(spec, id=name + "-s", place=lower, time=at + np.timedelta64(24, "s"))]
            elif splits and d.chance(0.6):
                found += _parts(d, spec, world)
            else:
                found.append(replace(spec, gap=_gap(d, spec.place, world) if d.chance(0.25) else None))
    return found


def _name(place: Place, number: int, time: np.datetime64) -> str:
    day = str(time)[:10].replace("-", "")
    return f"S2A_{place.code}_{day}_{number}_L2A" if place.code else f"scene-{day}-{number}"


def _window(d: Draw, place: Place, unit: float) -> Place:
    """Move the window of a scene by whole pixels of every band."""
    most = max(1, round(0.12 * min(place.width, place.height) / unit))
    left, top, right, bottom = (unit * d.whole(-most, most) for _ in range(4))
    return Place(
        place.code,
        place.epsg,
        place.left + left,
        place.top + top,
        place.width - left + right,
        place.height + top - bottom,
    )


def _gap(d: Draw, place: Place, world: World) -> tuple[float, float, float]:
    """Draw a line through a place, beyond which there are no data."""
    angle = float(d.rng.uniform(0, 2 * math.pi))
    a, b = math.cos(angle), math.sin(angle)
    x, y = move(place.epsg, world.epsg, place.left + place.width / 2, place.top - place.height / 2)
    return a, b, a * x + b * y + float(d.rng.uniform(0, 0.4)) * min(place.width, place.height)


def _parts(d: Draw, spec: Spec, world: World) -> list[Spec]:
    """Split an item in two by a level line; both hold a strip of some pixels."""
    p = spec.place
    line = p.top - p.height * float(d.rng.uniform(0.3, 0.6))
    strip = world.fine * d.whole(0, 2)
    upper = replace(spec, id=spec.id.replace("_L2A", "0_L2A"), part=0, gap=(0.0, -1.0, -(line - strip)))
    seconds = np.timedelta64(d.whole(0, 3), "s")
    return [
        upper,
        replace(spec, id=spec.id.replace("_L2A", "1_L2A"), part=1, gap=(0.0, 1.0, line), time=spec.time + seconds),
    ]
