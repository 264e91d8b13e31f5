"""What happens to archives: wrong metadata, which is put right, and files that cannot be used, which are named."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.archives.worlds import MASK, NIR, RED, Draw, Spec, World

Item = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of harm."""

    fate: str
    """read: all is read; lost: nothing of the item is; band: one band is not; partly: as much as can be."""
    apply: Callable[[World, Spec, Item, Path], None]
    notice: bool = False
    """Whether the item must be told to contradict its file."""
    rest: str = "read"
    """What becomes of the item's other bands, where one is harmed: read or may."""
    told: bool = False
    """Whether it needs an item that tells where its pixels lie."""


def fate(world: World, spec: Spec, band: str) -> str:
    """Return what becomes of a band of an item: read, may (be read) or no."""
    if not spec.harm:
        return "read"
    kind = KINDS[spec.harm]
    if kind.fate in ("read", "lost"):
        return "read" if kind.fate == "read" else "no"
    if band == spec.band:
        return "may" if kind.fate == "partly" else "no"
    # Where the item does not tell it either, nobody knows where the pixels of a file without a header lie.
    return "may" if world.geometry == "none" else kind.rest


def named(spec: Spec) -> bool:
    """Tell whether an item must be named among those that were not used, or not wholly."""
    return bool(spec.harm) and KINDS[spec.harm].fate in ("lost", "band")


def excusable(spec: Spec) -> bool:
    """Tell whether an item may be named."""
    return bool(spec.harm) and KINDS[spec.harm].fate != "read"


def _assets(item: Item) -> list[Item]:
    return list(item["assets"].values())


def _noise(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    for n, asset in enumerate(_assets(item)):
        asset["proj:transform"][2] += 1e-9 * (n + 1)
        asset["proj:transform"][5] -= 1e-9


def _shape(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    for asset in _assets(item):
        asset["proj:shape"] = [n + 1 for n in asset["proj:shape"]]


def _shift(pixels: float) -> Callable[[World, Spec, Item, Path], None]:
    def apply(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
        for asset in _assets(item):
            asset["proj:transform"][2] += pixels * asset["proj:transform"][0]
            asset["proj:transform"][5] -= pixels * asset["proj:transform"][0]

    return apply


def _zone(_world: World, spec: Spec, item: Item, _folder: Path) -> None:
    wrong = spec.place.epsg + (-1 if spec.place.epsg % 100 > 1 else 1)
    for level in (item["properties"], *_assets(item)):
        if "proj:epsg" in level:
            level["proj:epsg"] = wrong
        if "proj:code" in level:
            level["proj:code"] = f"EPSG:{wrong}"


def _untold(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    for level in (item["properties"], *_assets(item)):
        for key in [k for k in level if k.startswith("proj:")]:
            del level[key]


def _nulls(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    for asset in _assets(item):
        asset["proj:transform"] = [None] * 6


def _typed(kind: str | None) -> Callable[[World, Spec, Item, Path], None]:
    def apply(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
        for asset in _assets(item):
            asset["type"] = kind

    return apply


def _no_geometry(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    item["geometry"] = None


def _far_time(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    """Write the same instant in another time zone."""
    time = np.datetime64(item["properties"]["datetime"].rstrip("Z")) + np.timedelta64(5 * 60 + 30, "m")
    item["properties"]["datetime"] = f"{time}+05:30"


def _drop(*keys: str) -> Callable[[World, Spec, Item, Path], None]:
    def apply(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
        for key in keys:
            item.pop(key, None)

    return apply


def _no_time(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    item["properties"]["datetime"] = None


def _no_band(world: World, spec: Spec, item: Item, _folder: Path) -> None:
    del item["assets"][key_of(world, spec.band)]


def _two_bands(world: World, spec: Spec, item: Item, _folder: Path) -> None:
    item["assets"][key_of(world, spec.band)]["raster:bands"] = [{"data_type": "uint16"}, {"data_type": "uint16"}]


def _escape(world: World, spec: Spec, item: Item, _folder: Path) -> None:
    item["assets"][key_of(world, spec.band)]["href"] = "../../elsewhere/x.tif"


def _picture(world: World, spec: Spec, item: Item, _folder: Path) -> None:
    asset = item["assets"][key_of(world, spec.band)]
    asset["type"], asset["href"] = "image/png", asset["href"].replace(".tif", ".png").replace(".jp2", ".png")


def _later(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    item["properties"]["datetime"] = f"{np.datetime64('2031-05-05T10:00:00')}Z"


def _other_ground(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    west, south, east, north = item["bbox"]
    up = -5.0 if north > 60 else 5.0
    item["geometry"], item["bbox"] = None, [west, south + up, east, north + up]


def _other_collection(_world: World, _spec: Spec, item: Item, _folder: Path) -> None:
    item["collection"] = "others"


def _silent(word: str) -> Callable[[World, Spec, Item, Path], None]:
    """Leave out scale or offset, which the other items tell."""

    def apply(world: World, _spec: Spec, item: Item, _folder: Path) -> None:
        for band in (RED, NIR):
            asset = item["assets"][key_of(world, band)]
            asset.pop(f"raster:{word}", None)
            for told in asset.get("raster:bands", ()):
                told.pop(word, None)

    return apply


def key_of(world: World, band: str) -> str:
    """Return the key of a band's asset."""
    return str(world.notes["keys"][band])


def _file(change: Callable[[Path], None]) -> Callable[[World, Spec, Item, Path], None]:
    """Make a harm of what happens to the file of the item's band."""

    def apply(world: World, spec: Spec, item: Item, folder: Path) -> None:
        change(folder / item["assets"][key_of(world, spec.band)]["href"])

    return apply


def _write(data: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(data)

    return change


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])


def _no_blocks(path: Path) -> None:
    """Let the header of a classic TIFF place every block at byte 0, and give every block a length of 0."""
    data = bytearray(path.read_bytes())
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number, where = struct.unpack_from(order + "HHII", data, entry)
        if tag in (273, 324):
            size = number * {3: 2, 4: 4}[kind]
            start = where if size > 4 else entry + 8
            data[start : start + size] = bytes(size)
    path.write_bytes(data)


def _nothing(_world: World, _spec: Spec, _item: Item, _folder: Path) -> None:
    """Do nothing: the files were written so."""


KINDS: dict[str, Kind] = {
    "noise": Kind("read", _noise, told=True),
    "shape": Kind("read", _shape, notice=True, told=True),
    "half": Kind("read", _shift(0.5), notice=True, told=True),
    "moved": Kind("read", _shift(-5), notice=True, told=True),
    "zone": Kind("read", _zone, notice=True, told=True),
    "untold": Kind("read", _untold),
    "nulls": Kind("read", _nulls, told=True),
    "typed_jp2": Kind("read", _typed("image/jp2")),
    "untyped": Kind("read", _typed(None)),
    "no_geometry": Kind("read", _no_geometry),
    "no_box": Kind("read", _drop("bbox")),
    "far_time": Kind("read", _far_time),
    "twice": Kind("read", _nothing),
    "elsewhere": Kind("lost", _nothing),
    "other_zone": Kind("lost", _nothing),
    "older": Kind("lost", _nothing),
    "no_time": Kind("lost", _no_time),
    "no_footprint": Kind("lost", _drop("geometry", "bbox")),
    "no_band": Kind("lost", _no_band),
    "two_bands": Kind("lost", _two_bands),
    "escape": Kind("lost", _escape),
    "picture": Kind("lost", _picture),
    "later": Kind("lost", _later),
    "other_ground": Kind("lost", _other_ground),
    "other_collection": Kind("lost", _other_collection),
    "no_assets": Kind("lost", _drop("assets")),
    "no_offset": Kind("lost", _silent("offset")),
    "no_scale": Kind("lost", _silent("scale")),
    # An offset of 0 beside a scale of 1 says nothing that an item could leave out.
    "no_zero": Kind("read", _silent("offset")),
    "gone": Kind("band", _file(Path.unlink)),
    "empty": Kind("band", _file(_write(b""))),
    "html": Kind("band", _file(_write(b"<html><body>Log in</body></html>" * 20))),
    "no_blocks": Kind("band", _file(_no_blocks)),
    "one_elsewhere": Kind("band", _nothing, rest="may"),
    "cut": Kind("partly", _file(_cut)),
}


def harm(world: World) -> World:
    """Draw what is wrong with the items of a world; half of them at least can be read."""
    d = Draw(world.seed + 10**9)
    if d.chance(0.15):
        return world
    if d.chance(0.05):
        whole = "float" not in world.numbers.dtype and world.numbers.told != "configuration"
        return replace(world, refused=d.one("mask", "lattice", "scale" if whole else "mask"))
    specs = list(world.specs)
    easy = [k for k in KINDS if KINDS[k].fate == "read" and _fits(world, k)]
    hard = [k for k in KINDS if KINDS[k].fate != "read" and k != "older" and _fits(world, k)]
    if d.chance(0.15):  # all items are wrong in one way
        kind = d.one(*easy)
        return replace(world, specs=tuple(replace(s, harm=kind) for s in specs))
    lost = 0
    for n, spec in enumerate(specs):
        if not d.chance(0.35):
            continue
        kind = d.one(*(hard if d.chance(0.5) and lost < len(specs) // 2 - 1 else easy))
        lost += KINDS[kind].fate != "read"
        specs[n] = replace(spec, harm=kind, band=d.one(RED, NIR, MASK))
        if kind in ("two_bands", "no_blocks") or (world.style == "plain" and kind == "gone"):
            specs[n] = replace(specs[n], band=d.one(RED, NIR))
    for spec in list(specs):
        if spec.part is None and d.chance(0.06) and spec.harm not in ("later", "other_ground", "no_time"):
            if spec.harm and KINDS[spec.harm].fate != "read":
                continue
            specs.append(replace(spec, id=f"{spec.id}-old", harm="older", lifted=700, baseline="04.00"))
    return replace(world, specs=tuple(specs))


def _fits(world: World, kind: str) -> bool:
    """Tell whether a harm can happen to the items of a world."""
    if KINDS[kind].told and world.geometry == "none":
        return False
    jp2 = any(spec.driver != "GTiff" for spec in world.specs)
    if jp2:
        return kind in ("untyped", "far_time", "no_box", "no_time", "gone", "empty", "html", "no_band", "later", "cut")
    # Of an asset that tells its type, they are told.
    plain = (world.numbers.scale, world.numbers.offset, world.numbers.told) == (1.0, 0.0, "items")
    if kind in ("no_offset", "no_scale", "no_zero"):
        return world.numbers.told != "configuration" and (kind == "no_scale" or (kind == "no_zero") == plain)
    if kind == "no_blocks":
        return "BIGTIFF" not in world.creation
    return True
