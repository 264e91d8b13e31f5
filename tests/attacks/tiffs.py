"""GeoTIFFs that say what is not so: written tag by tag, as no library would write them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LAYOUTS = {
    # byte order, big: header, count of entries, entry without its value, length of a value, pointer
    False: ("H", "HHI", 4, "I"),
    True: ("Q", "HHQ", 8, "Q"),
}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 13: 4, 16: 8, 18: 8}
CODES = {1: "B", 3: "H", 4: "I", 12: "d", 13: "I", 16: "Q", 18: "Q"}

KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32638)
"""GeoTIFF's keys of UTM zone 38 north, pixels as areas."""


@dataclass(frozen=True)
class Claim:
    """A tag whose count, or whose values' place, is not what its values say."""

    kind: int
    values: Iterable[Any]
    count: int | None = None
    at: int | None = None


@dataclass
class Tiff:
    """A GeoTIFF of one raster of 64 x 64 uint16 in one deflated tile, unless told otherwise."""

    big: bool = False
    order: str = "<"
    tags: dict[int, Claim | None] = field(default_factory=dict)
    """Tag -> what is written of it instead; None to leave it out."""
    block: bytes = zlib.compress(bytes(64 * 64 * 2))
    then: int | str = 0
    """What the directory names as the next one: a byte, or "itself"."""

    def usual(self, block_at: int) -> dict[int, Claim]:
        """Return the tags of a sound file."""
        return {
            256: Claim(3, [64]),
            257: Claim(3, [64]),
            258: Claim(3, [16]),
            259: Claim(3, [8]),
            262: Claim(3, [1]),
            277: Claim(3, [1]),
            284: Claim(3, [1]),
            322: Claim(3, [64]),
            323: Claim(3, [64]),
            324: Claim(16 if self.big else 4, [block_at]),
            325: Claim(16 if self.big else 4, [len(self.block)]),
            339: Claim(3, [1]),
            33550: Claim(12, [10.0, 10.0, 0.0]),
            33922: Claim(12, [0.0, 0.0, 0.0, 600_000.0, 4_400_000.0, 0.0]),
            34735: Claim(3, KEYS),
            42113: Claim(2, b"0\0"),
        }

    def write(self) -> bytes:
        """Return the file: header, block, then one directory, with what does not fit into its entries behind it."""
        count_code, entry_code, room, pointer = LAYOUTS[self.big]
        start = 16 if self.big else 8
        directory = start + len(self.block) + len(self.block) % 2
        tags: Mapping[int, Claim] = {
            tag: claim for tag, claim in {**self.usual(start), **self.tags}.items() if claim is not None
        }
        size = struct.calcsize("=" + count_code) + len(tags) * (struct.calcsize("=" + entry_code) + room) + room
        entries, far = [], b""
        for tag, claim in sorted(tags.items()):
            data, own = self._pack(claim), len(self._pack(claim)) // SIZES.get(claim.kind, 1)
            if len(data) > room or claim.at is not None:
                at = directory + size + len(far) if claim.at is None else claim.at
                far += data if claim.at is None else b""
                data = struct.pack(self.order + pointer, at)
            count = own if claim.count is None else claim.count
            entries.append(struct.pack(self.order + entry_code, tag, claim.kind, count) + data.ljust(room, b"\0"))
        then = directory if self.then == "itself" else int(self.then)
        head = b"II" if self.order == "<" else b"MM"
        head += struct.pack(
            self.order + ("HHHQ" if self.big else "HI"), *((43, 8, 0) if self.big else (42,)), directory
        )
        whole = head + self.block.ljust(directory - start, b"\0")
        whole += struct.pack(self.order + count_code, len(tags)) + b"".join(entries)
        return whole + struct.pack(self.order + pointer, then) + far

    def _pack(self, claim: Claim) -> bytes:
        if claim.kind == 2:
            return bytes(claim.values)
        values = list(claim.values)
        return struct.pack(f"{self.order}{len(values)}{CODES.get(claim.kind, 'B')}", *values)
