"""Draw the floors of groundbreak: docs/floors.svg, from the import contracts in pyproject.toml.

``python docs/floors.py`` writes the picture; with ``--check`` it fails where the picture that is there is another one.

A package is a room and a module is a brick in it. Both are drawn from the contracts of type "layers", so the picture
cannot say anything that `lint-imports` does not hold: whatever is drawn imports only from what is drawn below it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "floors.svg"

WIDTH = 900
MARGIN = 14
GAP = 10
"""Between rooms and between floors."""
PADDING = 12
"""Between a room's wall and what is in it."""
TITLE = 26
"""Height of a room's name."""
BRICK, JOINT = 22, 4
"""Height of a module, and the space between two."""
ROOF = 36
"""Height of a house's name."""
LETTER = 7.25
"""Width of a letter of a module's name, with some room to spare: fonts differ."""

NOTE = "What is drawn imports only from what is drawn below it; neighbours on one floor never import each other."

STYLE = """
  svg { color-scheme: light dark }
  text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2933 }
  .name { font-weight: 600; font-size: 13px }
  .house { font-weight: 700; font-size: 17px }
  .note { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; fill: #52606d }
  .ground { fill: #ffffff }
  .wall { fill: #f4f6f8; stroke: #cbd2d9 }
  .room { fill: #ffffff; stroke: #b8c2cc }
  .pipeline .brick { fill: #dbe9f6 } .pipeline .alone { fill: #dbe9f6; stroke: #9fc0df }
  .kernels .brick { fill: #fae3c6 }  .kernels .alone { fill: #fae3c6; stroke: #e2b57a }
  .cluster .brick { fill: #d8eeda }  .cluster .alone { fill: #d8eeda; stroke: #9ccba1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .note { fill: #9aa5b1 } .ground { fill: #12171d }
    .wall { fill: #1a2129; stroke: #323f4b } .room { fill: #141a21; stroke: #3e4c59 }
    .pipeline .brick { fill: #1f3d5a } .pipeline .alone { fill: #1f3d5a; stroke: #3d6a94 }
    .kernels .brick { fill: #573d19 }  .kernels .alone { fill: #573d19; stroke: #8d6630 }
    .cluster .brick { fill: #1f4527 }  .cluster .alone { fill: #1f4527; stroke: #3f7a4a }
  }
"""


@dataclass(frozen=True)
class Room:
    """A package or a module: its name, and its floors, the top one first; a module has none.

    There are three kinds: the houses `pipeline`, `cluster` and `kernels` hold rooms, and rooms hold bricks.
    """

    name: str
    floors: Sequence[Sequence[Room]] = field(default_factory=tuple)


def brick_width(brick: Room) -> float:
    """Pixels that a module's name needs in its package."""
    return len(brick.name) * LETTER + 14


def room_width(room: Room) -> float:
    """Pixels that a package needs in its house."""
    name = len(room.name) * 8.2 + 2 * PADDING
    return max([name, *(sum(map(brick_width, f)) + JOINT * (len(f) - 1) + 2 * PADDING for f in room.floors)])


def room_height(room: Room) -> int:
    """Pixels from a room's name to its lowest brick."""
    return TITLE + len(room.floors) * (BRICK + JOINT) - JOINT + PADDING if room.floors else BRICK + 6


def house_width(house: Room) -> float:
    """Pixels that a house needs."""
    return max(sum(map(room_width, floor)) + GAP * (len(floor) - 1) + 2 * PADDING for floor in house.floors)


def house_height(house: Room) -> int:
    """Pixels from a house's name to its lowest room."""
    return ROOF + sum(max(map(room_height, floor)) + GAP for floor in house.floors) - GAP + PADDING


def read_rooms(contracts: Sequence[Mapping[str, Any]]) -> Room:
    """Make the whole of the rooms, from the contracts that say what lies above what."""
    layers: dict[str, Sequence[str]] = {}
    for contract in contracts:
        if contract["type"] == "layers":
            for container in contract.get("containers", ["groundbreak"]):
                layers[container] = contract["layers"]

    def room(path: str) -> Room:
        floors = [[name.strip() for name in layer.split("|")] for layer in layers.get(path, ())]
        paths = [[f"{path}.{name.removeprefix(f'{path}.')}" for name in floor] for floor in floors]
        return Room(path.rpartition(".")[2], tuple(tuple(map(room, floor)) for floor in paths))

    return room("groundbreak")


def shares(least: Sequence[float], width: float, gap: float) -> list[float]:
    """Widths of neighbours that fill `width` together: what each needs at least, and an equal part of the rest."""
    spare = (width - gap * (len(least) - 1) - sum(least)) / len(least)
    assert spare >= 0, "the picture is too narrow for its names"
    return [needed + spare for needed in least]


def box(kind: str, x: float, y: float, width: float, height: float, radius: int) -> str:
    """Give a rectangle, rounded at its corners."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"/>'


def text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    """Give a line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def draw_room(room: Room, x: float, y: float, width: float, height: float) -> Iterator[str]:
    """Draw a room and all that is in it; a module alone on its floor is no higher than its name asks for."""
    if not room.floors:
        y, height = y + height - room_height(room), room_height(room)
        yield box("alone", x, y, width, height, 5)
        yield text("name", x + width / 2, y + height / 2 + 4.5, room.name, "middle")
        return
    yield box("room", x, y, width, height, 6)
    yield text("name", x + PADDING, y + 18, room.name)
    top = y + TITLE
    for floor in room.floors:
        left = x + PADDING
        for brick, part in zip(floor, shares([brick_width(r) for r in floor], width - 2 * PADDING, JOINT), strict=True):
            yield box("brick", left, top, part, BRICK, 3)
            yield text("brick-name", left + part / 2, top + 15, brick.name, "middle")
            left += part + JOINT
        top += BRICK + JOINT


def draw_house(house: Room, x: float, y: float, width: float, height: float) -> Iterator[str]:
    """One of the packages at the top of the repository: its walls, and its floors from the roof down."""
    yield f'<g class="{house.name}">'
    yield box("wall", x, y, width, height, 8)
    yield text("house", x + PADDING, y + 24, house.name)
    top = y + ROOF
    for floor in house.floors:
        left, inner = x + PADDING, max(map(room_height, floor))
        for room, part in zip(floor, shares([*map(room_width, floor)], width - 2 * PADDING, GAP), strict=True):
            yield from draw_room(room, left, top, part, inner)
            left += part + GAP
        top += inner + GAP
    yield "</g>"


def draw(whole: Room) -> str:
    """Draw the picture, as SVG."""
    width = WIDTH - 2 * MARGIN
    lines = [text("note", MARGIN, MARGIN + 12, NOTE)]
    top: float = MARGIN + 28
    for floor in whole.floors:
        height = max(map(house_height, floor))
        needed = [*map(house_width, floor)]
        rest = width - GAP * (len(floor) - 1) - sum(needed)
        left: float = MARGIN
        for house, part in zip(floor, needed, strict=True):
            part += rest if part == max(needed) else 0  # the widest house gets what is left over
            lines += draw_house(house, left, top, part, height)
            left += part + GAP
        top += height + GAP
    total = top - GAP + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:.0f}" width="{WIDTH}" '
        f'height="{total:.0f}" role="img" aria-labelledby="title">'
    )
    title = '<title id="title">The floors of groundbreak: packages import only from the floors below them</title>'
    ground = f'<rect class="ground" width="{WIDTH}" height="{total:.0f}"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", ground, *lines, "</svg>", ""])


def main(arguments: Sequence[str]) -> int:
    """Write the picture, or with ``--check`` say whether it is what the contracts give."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    picture = draw(read_rooms(contracts))
    if "--check" not in arguments:
        PICTURE.write_text(picture)
    elif not PICTURE.exists() or PICTURE.read_text() != picture:
        print("docs/floors.svg is not what the contracts in pyproject.toml give: run `make floors`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
