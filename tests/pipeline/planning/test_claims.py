"""Who owns a pixel, found by squares of pixels, against the claims worked out pixel by pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundbreak.kernels.twins import depths as twin
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.planning import area as areas
from groundbreak.pipeline.planning import claims
from groundbreak.pipeline.planning.regions import Ownership, build_regions
from groundbreak.pipeline.planning.squares import transformed

SIDES = st.integers(1, 40)
SHIFTS = st.integers(-30, 30)


def grid(name: str, x: int, y: int, height: int, width: int, resolution: float = 10.0) -> Grid:
    frame = Frame(32638, 600_000 + x * resolution, 4_400_000 + y * resolution, resolution, height, width)
    return Grid(name, frame, frame, {"red": resolution}, 16)


def claim(grid: Grid, frame: Frame) -> NDArray[np.float64]:
    """Return how strongly a grid claims each pixel of a frame; -inf where it claims nothing.

    Returns
    -------
    (height, width) float64: the depth of the pixel's centre in the grid, metres, lessened where the claim is weaker: by
    plans first, and then by few observations.
    """
    x, y = np.meshgrid(*frame.centres())
    xs, ys = transformed(frame.epsg, grid.source.epsg, x, y)
    found = np.full(x.shape, -np.inf)
    for plan, ground in grid.claimed:
        deep = twin.depth(ground.bounds, xs, ys)
        found = np.where(np.isfinite(found) | (deep <= 0), found, deep - plan * 1e9)
    if grid.sparse:
        few = areas.project(shapely.from_wkb(bytes.fromhex(grid.sparse)), frame.epsg)
        found[areas.inside(few, frame)] -= 4e8
    return found


@settings(max_examples=300, deadline=None)
@given(SHIFTS, SHIFTS, SIDES, SIDES, SHIFTS, SHIFTS, SIDES, SIDES, st.sampled_from([10.0, 9.87, 30.0, 0.5]))
def test_squares_decide_as_claims_do(
    x: int, y: int, h: int, w: int, x2: int, y2: int, h2: int, w2: int, side: float
) -> None:
    one, other = grid("a", 0, 0, h, w, side), grid("b", x2, y2, h2, w2, side)
    frame = Frame(32638, 600_000 + x * side, 4_400_000 + y * side, side, 24, 31)
    for mine, theirs in ((one, other), (other, one)):
        strength, rival = claim(mine, frame), claim(theirs, frame)
        expected = np.isfinite(strength) & ((strength > rival) | ((strength == rival) & (mine.name < theirs.name)))
        found = claims.owned(mine, (theirs,), frame)
        np.testing.assert_array_equal(found, expected)


def further(rng: np.random.Generator, source: Frame) -> dict[str, Any]:
    """Draw what else may tell the claims of a grid: several plans, and where it has few observations."""
    found: dict[str, Any] = {}
    if rng.random() < 0.3:
        part = source.window(0, 0, source.height // 2, source.width)
        found["claims"] = ((0, part), (1, source)) if rng.random() < 0.6 else ((int(rng.integers(0, 3)), source),)
    if rng.random() < 0.4:
        left, bottom, right, top = source.bounds
        few = shapely.Point(rng.uniform(left, right), rng.uniform(bottom, top)).buffer(
            rng.uniform(0.1, 1) * (top - bottom)
        )
        found["sparse"] = shapely.to_wkb(geo.to_lonlat(few, source.epsg), hex=True)
    return found


@pytest.mark.parametrize(
    ("epsg", "other", "lonlat"),
    [(32632, 32633, (12, 50)), (32601, 32660, (180, 65)), (32632, 3035, (9, 71)), (32638, 3857, (44, 60))],
)
def test_across_projections(epsg: int, other: int, lonlat: tuple[float, float]) -> None:
    """They turn and stretch in each other: 3857 by two at 60 degrees, and 60 and 1 meet at the antimeridian."""
    rng = np.random.default_rng(epsg + other)
    split = 0
    for _ in range(40):
        side = float(rng.choice([10, 30, 100]))
        grids: list[Grid] = []
        for name, code in zip(rng.permutation(["a", "b", "c"]).tolist(), (epsg, other, epsg), strict=True):
            x, y = geo.transformer(4326, code).transform(*lonlat)
            right, up, h, w = rng.integers((-150, -150, 200, 200), (150, 150, 500, 500)).tolist()
            if len(grids) == 2 and rng.random() < 0.5:  # a neighbour in the same row, or in the same column
                first = grids[0].source
                if rng.random() < 0.5:
                    source = Frame(code, first.x0 + right * side, first.y0, side, first.height, w)
                else:
                    source = Frame(code, first.x0, first.y0 + right * side, side, w, first.width)
            else:
                source = Frame(code, x + right * side, y + up * side, side, h, w)
            grids.append(replace(Grid(name, source, source, {"red": side}, 128), **further(rng, source)))
        frame = grids[0].source.window(int(rng.integers(-50, 200)), int(rng.integers(-50, 200)), 300, 260)
        strengths = [claim(grid, frame) for grid in grids]
        for mine, strength in zip(grids, strengths, strict=True):
            others = [grid for grid in grids if grid is not mine]
            expected = np.isfinite(strength)
            for rival, against in zip(grids, strengths, strict=True):
                if rival is not mine:
                    expected &= (strength > against) | ((strength == against) & (mine.name < rival.name))
            np.testing.assert_array_equal(claims.owned(mine, others, frame), expected)
            split += bool(0.1 < expected.mean() < 0.9)
    assert split > 20


@pytest.mark.parametrize("epsg", [32638, 32601, 32760, 32733])
def test_an_area_around_a_frame_is_the_area_within_it(epsg: int) -> None:
    """Zones 1 and 60 have frames that reach over the antimeridian."""
    rng = np.random.default_rng(epsg)
    for _ in range(20):
        x, y = rng.integers(200, 750) * 1000.0, rng.integers(1000, 9000) * 1000.0
        frame = Frame(epsg, x, y, 100.0, 90, 110)
        centre = shapely.Point(geo.transformer(epsg, 4326).transform(x + 5000, y - 5000))
        outline = centre.buffer(rng.uniform(0.02, 3.0), quad_segs=int(rng.integers(1, 6)))
        area = shapely.affinity.translate(outline, *rng.uniform(-0.5, 0.5, 2))
        west, _, east, _ = area.bounds
        if west < -180 or east > 180:
            area = geo.fix_antimeridian(area)
        whole, near = (areas.inside(a, frame) for a in (areas.project(area, epsg), areas.around(area, frame)))
        np.testing.assert_array_equal(near, whole)


def test_regions_deep_in_a_grid_own_all_of_their_pixels() -> None:
    mine, theirs = grid("a", 0, 0, 80, 80), grid("b", 60, 0, 80, 80)
    area = geo.to_lonlat(shapely.box(*mine.frame.bounds).buffer(1000), 32638)
    for one, other in ((mine, theirs), (theirs, mine)):
        regions = build_regions(one, (other,), area)
        owned = sum(region.owned for region in regions)
        strength, rival = claim(one, one.frame), claim(other, one.frame)
        assert owned == ((strength > rival) | ((strength == rival) & (one.name < other.name))).sum()
        assert {r.owned for r in regions if r.window == r.frame} >= {16 * 16}


def test_ground_beyond_a_cube_that_lies_in_the_area_may_lie_outside_of_it() -> None:
    source = grid("a", 0, 0, 80, 80).source
    cube = source.window(16, 16, 32, 32)
    area = shapely.box(*cube.bounds)
    ownership = Ownership(Grid("a", cube, source, {"red": 10.0}, 16), (), area)
    assert ownership.of(cube).all()
    assert ownership.of(cube.window(0, 16, 32, 32)).sum() == 32 * 16
