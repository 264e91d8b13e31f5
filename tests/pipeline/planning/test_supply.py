"""Who owns ground where grids overlap: the grid with the dates; and what later plans may not move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from groundbreak.pipeline.core import crs, geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid, Scene
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning.grid import Draft
from groundbreak.pipeline.planning.regions import Ownership
from groundbreak.pipeline.planning.settle import settle_anew, settle_with
from groundbreak.pipeline.planning.supply import weigh, with_sparse
from tests.pipeline.planning.test_lattices import scene

WEST = Frame(32638, 600_000, 4_400_000, 10, 128, 128)
EAST = Frame(32638, 600_300, 4_400_000, 10, 128, 128)
AREA = crs.ground(Frame(32638, 599_000, 4_401_000, 10, 400, 400))


def grid(name: str, frame: Frame) -> Grid:
    return Grid(name, frame, frame, {"red": 10.0}, 32)


def scenes_of(frame: Frame, dates: range) -> list[Scene]:
    return [scene({"red": frame}, take=f"t{date}") for date in dates]


def owned(grids: list[Grid], which: int) -> np.ndarray:
    """(height, width) of WEST's and EAST's common frame: which pixels a grid owns."""
    whole = WEST.union(EAST)
    ownership = Ownership(grids[which], tuple(grids), areas.project(AREA, 32638))
    return ownership.of(whole)


@pytest.mark.parametrize(("listed", "yields"), [(75, False), (65, False), (50, True), (5, True)])
def test_ground_goes_to_the_grid_with_the_dates(listed: int, yields: bool) -> None:
    drafts = [
        (grid("W", WEST), scenes_of(WEST, range(75))),
        (grid("E", EAST), scenes_of(EAST, range(listed))),
    ]
    supply = weigh(drafts, AREA, {})
    grids = [with_sparse(g, supply) for g, _ in drafts]
    assert bool(grids[1].sparse) is yields
    assert not grids[0].sparse
    west, east = owned(grids, 0), owned(grids, 1)
    # Every pixel has one owner.
    assert not (west & east).any()
    assert (west | east).sum() == 128 * 158
    shared = np.zeros_like(west)
    shared[:, 30:128] = True
    assert west[shared].all() == yields
    # Short of observations is ground that the owner sees less than half of: nothing that the full grid owns.
    short = {name: areas.inside(areas.project(g, 32638), WEST.union(EAST)) for name, g in supply.short.items()}
    assert not (owned(grids, 0) & short.get("W", np.zeros_like(west))).any()
    assert ("E" in short) == (listed < 38)


def test_what_a_footprint_leaves_out_is_not_counted() -> None:
    """The eastern tile lists all dates, but most of them saw only its eastern half."""
    full, half = scenes_of(EAST, range(10)), scenes_of(EAST, range(10, 75))
    right = crs.ground(EAST.window(0, 64, 128, 64))
    ground = {(s.collection, s.id): right for s in half}
    drafts = [(grid("W", WEST), scenes_of(WEST, range(75))), (grid("E", EAST), [*full, *half])]
    grids = [with_sparse(g, weigh(drafts, AREA, ground)) for g, _ in drafts]
    west, east = owned(grids, 0), owned(grids, 1)
    # The footprint's edge, at column 94, is met to about one of the cells in which observations are counted.
    assert west[:, :90].all()
    assert east[:, 128:].all()
    # In the other half the east has all dates, and lies deeper.
    assert east[64, 110:128].all()


@pytest.mark.parametrize("seed", range(4))
def test_what_many_tiles_have_of_a_point_is_counted(seed: int) -> None:
    """Tiles of two zones, against their dates counted point by point."""
    rng = np.random.default_rng(seed)
    drafts = []
    for number in range(14):
        epsg = 32632 + number % 2
        x, y = geo.transformer(4326, epsg).transform(12 + rng.uniform(-1, 1), 50 + rng.uniform(-1, 1))
        frame = Frame(epsg, x // 100 * 100, y // 100 * 100, 100.0, 1098, 1098)
        takes = range(0, int(rng.integers(5, 30)), int(rng.integers(1, 3)))
        scenes = [scene({"red": frame}, take=f"t{take}") for take in takes]
        drafts.append((grid(f"g{number:02d}", frame), scenes))
    area = shapely.box(10.5, 48.7, 13.5, 51.3)
    supply = weigh(drafts, area, {})
    reach = [crs.ground(g.source) for g, _ in drafts]
    checked = 0
    for point in shapely.points(rng.uniform((10.5, 48.7), (13.5, 51.3), (600, 2))):
        if min(shapely.distance(shapely.boundary(shape), point) for shape in reach) < 0.002:
            continue
        there = [n for n, shape in enumerate(reach) if shape.contains(point)]
        takes_of = {n: {s.datatake for s in drafts[n][1]} for n in there}
        best = max((len(found) for found in takes_of.values()), default=0)
        every = len(set[str]().union(*takes_of.values()))
        for number, (g, _) in enumerate(drafts):
            shared = len(there) > 1 and number in there
            few, short = (kind.get(g.name, shapely.Point()).contains(point) for kind in (supply.few, supply.short))
            assert few == (shared and len(takes_of[number]) < 0.8 * best)
            assert short == (shared and len(takes_of[number]) < 0.5 * every)
            checked += shared
    assert checked > 500


def draft(name: str, frame: Frame, dates: range, *, tile: bool = True) -> Draft:
    return Draft(name, frame, frame, {"red": 10.0}, 32, tile, scenes_of(frame, dates))


def test_a_later_plan_moves_no_pixel() -> None:
    first = settle_anew([draft("38TPK", WEST, range(75))], AREA, {})
    west = first.grids[0][0]
    before = owned([west], 0)
    later = settle_with([west], [draft("38TPK", WEST, range(80)), draft("38TQK", EAST, range(200))], AREA, {})
    grids = [g for g, _ in later.grids]
    assert [g.name for g in grids] == ["38TPK", "38TQK"]
    np.testing.assert_array_equal(owned(grids, 0), before)
    # What no grid had goes to the newcomer.
    assert owned(grids, 1).sum() == 128 * 30


def test_a_wider_scene_makes_the_grid_grow_in_place() -> None:
    narrow, wide = WEST.window(0, 0, 128, 64), WEST.window(0, -16, 160, 200)
    first = settle_anew([draft("32638_10m", narrow, range(10), tile=False)], AREA, {})
    was = first.grids[0][0]
    (later,) = settle_with([was], [draft("32638_10m", wide, range(12), tile=False)], AREA, {}).grids
    grown = later[0]
    # The lattice of regions stays, and there was room for what comes.
    assert grown.frame == was.frame
    assert grown.claims == ((0, narrow), (1, narrow.union(wide)))
    ownership = Ownership(grown, (), areas.project(AREA, 32638))
    assert ownership.of(wide).all()
    again = settle_with([grown], [draft("32638_10m", wide, range(12), tile=False)], AREA, {})
    assert again.grids[0][0] == grown
    assert not again.notices


def test_what_a_tile_cannot_grow_by_is_told() -> None:
    was = settle_anew([draft("38TPK", WEST, range(10))], AREA, {}).grids[0][0]
    right, left = WEST.window(0, 0, 140, 140), WEST.window(-32, -32, 160, 160)
    grown = settle_with([was], [draft("38TPK", right, range(10))], AREA, {})
    assert grown.grids[0][0].frame.bounds == right.bounds
    assert [n.kind for n in grown.notices] == ["grid_grown"]
    stuck = settle_with([was], [draft("38TPK", left, range(10))], AREA, {})
    assert stuck.grids[0][0].frame == was.frame
    assert [n.kind for n in stuck.notices] == ["grid_cannot_grow"]


def test_names_are_unique() -> None:
    shifted = replace(WEST, x0=WEST.x0 + 5)
    drafts = [draft("38TPK", WEST, range(3)), draft("38TPK", shifted, range(75))]
    drafts.sort(key=lambda d: (d.name, -len(d.scenes)))
    names = [(g.name, len(s)) for g, s in settle_anew(drafts, AREA, {}).grids]
    assert names == [("38TPK", 75), ("38TPK_2", 3)]


def test_a_grid_without_items_keeps_its_ground() -> None:
    both = settle_anew([draft("38TPK", WEST, range(9)), draft("38TQK", EAST, range(9))], AREA, {})
    fixed = [g for g, _ in both.grids]
    later = settle_with(fixed, [draft("38TPK", WEST, range(9))], AREA, {})
    assert [g for g, _ in later.grids] == fixed
    assert [(n.subject, n.kind) for n in later.notices] == [("38TQK", "grid_without_items")]
    assert shapely.box(*fixed[1].source.bounds).area > 0
