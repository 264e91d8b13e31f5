"""The source of the state machine: items that come, are processed again, are withdrawn, break and are mended.

A region of the grid is one block wide in every band, so that a file may also be broken for one region alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from tests.world import Tile, days, item, lonlat_box, write_items, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
REGIONS = ("38TPK/r000c000", "38TPK/r000c001")
"""Two squares of 32 pixels, side by side; the area lies in both."""
BOX = lonlat_box(32638, 600_100, 4_399_710, 600_540, 4_399_900)
DATES = days("2021-01-03", 22, 12)
BUILT_UP = 15
"""Number of the date from which on the west of the area is built up."""
SIDES = {"red": 10, "nir": 10, "scl": 20}
"""Band -> the side of its pixels, metres."""
BLOCK = {10: 32, 20: 16}

Entry = tuple[int, int]
"""(number of the date, version): an item, and what its files hold."""
Broken = tuple[int, int, str, str]
"""(number of the date, version, band, region): what cannot be read of an item; the whole file for all regions."""


def numbers(band: str, entry: Entry, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the digital numbers of a band of an item at some pixel centres: the closed form of the source."""
    date, version = entry
    column, row = (x - TILE.x0) // 40, (TILE.y0 - y) // 40
    if band == "scl":
        return np.where((date % 5 == 3) & ((column + row + version) % 4 == 0), 9, 5)
    noise = 40 * np.sin(12.9898 * (date + 1) + 3 * version + len(band))
    bare = (date >= BUILT_UP) & (x < TILE.x0 + 250)
    grown = {"red": 700, "nir": 3000}[band]
    found = np.where(bare, {"red": 2000, "nir": 2400}[band], grown) + noise + 3 * column + 2 * row
    return np.asarray(np.rint(found + 111 * version), int)


def feature(entry: Entry) -> dict[str, Any]:
    """Return the item of a date in a version; later versions were generated later."""
    date, version = entry
    made = {"s2:generation_time": f"{DATES[date]}T{12 + version}:00:00Z"}
    whole = item(TILE, DATES[date], suffix=str(version), properties=made)
    return {**whole, "assets": {band: whole["assets"][band] for band in SIDES}}


def path_of(entry: Entry, band: str) -> str:
    """Return where a file lies, below the folder of a source."""
    return f"{TILE.code}/{DATES[entry[0]]}_{entry[1]}/{band}.tif"


@cache
def _coded(folder: Path, entry: Entry, band: str) -> Path:
    """Write a file once for all sources below a folder, and return where it is."""
    frame = TILE.frame(SIDES[band])
    x, y = np.meshgrid(*frame.centres())
    path = folder / path_of(entry, band)
    dtype = "uint8" if band == "scl" else "uint16"
    write_tif(path, numbers(band, entry, x, y).astype(dtype), frame, block=BLOCK[SIDES[band]])
    return path


@dataclass
class Shelf:
    """A source on disk.

    Parameters
    ----------
    folder : Path
        Where it lies.
    store : Path
        Where the files are kept that it takes copies of.
    """

    folder: Path
    store: Path
    items: dict[int, set[int]] = field(default_factory=dict)
    """Number of a date -> the versions that are listed of it."""
    broken: set[Broken] = field(default_factory=set)

    @property
    def offered(self) -> list[Entry]:
        """The newest version of each date that is listed, in time."""
        return [(date, max(versions)) for date, versions in sorted(self.items.items()) if versions]

    def offer(self, entries: Iterable[Entry]) -> None:
        """List further items; their files are whole."""
        for entry in entries:
            self.items.setdefault(entry[0], set()).add(entry[1])
            for band in SIDES:
                self._copy(entry, band)
        self._write()

    def withdraw(self, date: int, version: int) -> None:
        """List an item no longer; its files are gone, and what was broken of them with them."""
        self.items[date].discard(version)
        self.broken = {b for b in self.broken if b[:2] != (date, version)}
        shutil.rmtree(self.folder / Path(path_of((date, version), "red")).parent)
        self._write()

    def damage(self, entry: Entry, band: str, how: str) -> None:
        """Break a file: it is "gone", "cut" after its first bytes, a "page", or one block of it is (a region's key)."""
        path = self.folder / path_of(entry, band)
        if how == "gone":
            path.unlink(missing_ok=True)
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:100] if path.exists() else b"")
        elif how == "page":
            path.write_bytes(b"<html>Please log in</html>")
        else:
            _spoil(path, REGIONS.index(how))
        regions = (how,) if how in REGIONS else REGIONS
        self.broken |= {(*entry, band, region) for region in regions}

    def mend(self) -> None:
        """Put all broken files back."""
        for date, version, band in {b[:3] for b in self.broken}:
            self._copy((date, version), band)
        self.broken.clear()

    def faults(self, region: str, entry: Entry) -> frozenset[tuple[int, str]]:
        """Return (number of the date, band) of what cannot be read of an item for a region."""
        return frozenset((d, band) for d, v, band, r in self.broken if (d, v) == entry and r == region)

    def _copy(self, entry: Entry, band: str) -> None:
        path = self.folder / path_of(entry, band)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_coded(self.store, entry, band), path)

    def _write(self) -> None:
        listed = [feature((d, v)) for d, versions in sorted(self.items.items()) for v in sorted(versions)]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_items(self.folder, listed)


def _spoil(path: Path, column: int) -> None:
    """Damage the block of a file that lies in the first row of blocks and a column."""
    with rasterio.open(path) as file:
        place = {
            name: int(file.get_tag_item(f"BLOCK_{name}_{column}_0", "TIFF", bidx=1)) for name in ("OFFSET", "SIZE")
        }
    with path.open("r+b") as file:
        file.seek(place["OFFSET"])
        file.write(b"\xff" * place["SIZE"])
