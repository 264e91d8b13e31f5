"""The ground of every case: tiles of one zone, and areas on their blocks or across them."""

from __future__ import annotations

from dataclasses import dataclass

EPSG = 32638
BLOCK = 1024
"""Side of a block in pixels of 10 m; blocks of the mask have half as many, of 20 m."""


@dataclass(frozen=True)
class Tile:
    """A square tile of the zone, like MGRS but smaller."""

    code: str
    x0: float
    y0: float
    size: int = 2 * BLOCK
    block: int = BLOCK

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top, metres."""
        metres = 10 * self.size
        return self.x0, self.y0 - metres, self.x0 + metres, self.y0


WEST = Tile("38TPK", 600_000, 4_400_000)
EAST = Tile("38TQK", 610_500, 4_400_000)
"""9980 m of overlap, as neighbours in MGRS have; its blocks begin elsewhere."""
SMALL = Tile("38TPL", 600_000, 4_500_000, 256, 128)
"""The tile that every contender warms up on."""


@dataclass(frozen=True)
class Case:
    """One comparison: an area, the tiles below it, and how their files are reached."""

    key: str
    title: str
    tiles: tuple[Tile, ...]
    bounds: tuple[float, float, float, float]
    blocks: tuple[tuple[str, int, int], ...]
    """(tile, row, column): what the area needs, the owner's alone where tiles overlap."""
    latency_s: float | None = None
    """Seconds that the server waits before every answer; None where files are local."""

    @property
    def figure(self) -> str:
        """Return the key of the time that contenders are compared by."""
        return "cpu_s" if self.latency_s is None else "wall_s"


_BLOCK_BOUNDS = (WEST.x0 + 10 * BLOCK, WEST.y0 - 10 * BLOCK, WEST.x0 + 20 * BLOCK, WEST.y0)

CASES = (
    Case("aligned", "One tile, the area is one block, local", (WEST,), _BLOCK_BOUNDS, ((WEST.code, 0, 1),)),
    Case(
        "overlap",
        "Two overlapping tiles, the area is on neither's blocks, local",
        (WEST, EAST),
        # 120 m on the western tile alone, 140 m on the eastern one alone.
        (EAST.x0 - 120, WEST.y0 - 15_240, EAST.x0 + 10_120, WEST.y0 - 5_000),
        ((WEST.code, 0, 1), (WEST.code, 1, 1), (EAST.code, 0, 0), (EAST.code, 1, 0)),
    ),
    Case(
        "http",
        "One tile, the area is one block, 50 ms a request",
        (WEST,),
        _BLOCK_BOUNDS,
        ((WEST.code, 0, 1),),
        latency_s=0.05,
    ),
)

WARM = Case(
    "warm",
    "",
    (SMALL,),
    (SMALL.x0, SMALL.y0 - 1280, SMALL.x0 + 1280, SMALL.y0),
    ((SMALL.code, 0, 0),),
)
