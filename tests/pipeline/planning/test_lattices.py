"""Lattices: what makes one grid and what another, how bands nest, and which zone holds an area."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pyproj
import pytest
import shapely

from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset, BadInput, Scene
from groundbreak.pipeline.planning.lattices import Lattice, group, lay_bands, region_side
from groundbreak.pipeline.planning.zones import zone_lattices

NUMBER = itertools.count()


def scene(frames: Mapping[str, Frame], *, tile: str = "", take: str = "") -> Scene:
    name = f"s{next(NUMBER)}"
    assets = {band: Asset(band, f"/{name}/{band}.tif", "GTiff", 1e-4, 0.0, 0.0, f) for band, f in frames.items()}
    time = np.datetime64("2024-01-01", "ms")
    return Scene(name, "c", "p", time, take or name, tile, "", "", (0.0, 0.0, 1.0, 1.0), assets)


def moved(frame: Frame, rows: float, cols: float) -> Frame:
    return Frame(
        frame.epsg,
        frame.x0 + cols * frame.resolution,
        frame.y0 - rows * frame.resolution,
        frame.resolution,
        frame.height,
        frame.width,
    )


LANDSAT = Frame(32638, 600_015, 4_400_025, 30, 64, 64)


def test_windows_that_move_by_whole_pixels_are_one_lattice() -> None:
    scenes = [scene({"red": moved(LANDSAT, r, c)}) for r, c in ((0, 0), (-4, 3), (2, -5), (1e-9, 1e-9))]
    (only,) = group(scenes, ("red",))
    assert only.frame.bounds == pytest.approx((600_015 - 150, 4_400_025 - 66 * 30, 600_015 + 67 * 30, 4_400_025 + 120))
    assert only.scenes == scenes


def test_another_phase_size_or_tile_is_another_lattice() -> None:
    scenes = [
        scene({"red": LANDSAT}),
        scene({"red": moved(LANDSAT, 0.5, 0.5)}),
        scene({"red": Frame(32638, 600_015, 4_400_025, 15, 64, 64)}),
        scene({"red": LANDSAT}, tile="MGRS-38TPK"),
        scene({"red": LANDSAT}, tile="MGRS-38TQK"),
        # A path and row of Landsat is no lattice.
        scene({"red": moved(LANDSAT, 9, 9)}, tile="WRS2-168032"),
    ]
    assert sorted((k.tile, len(k.scenes)) for k in group(scenes, ("red",))) == [
        ("", 1), ("", 1), ("", 2), ("38TPK", 1), ("38TQK", 1),
    ]  # fmt: skip


FINE = Frame(32638, 600_000, 4_400_000, 10, 96, 96)


@pytest.mark.parametrize(
    ("size", "dx", "kept"),
    [
        (20.0, 0, 20.0),
        (30.0, 0, 30.0),
        (60.0, 0, 60.0),
        (25.0, 0, 10.0),
        (15.0, 0, 10.0),
        (30.0, 15, 10.0),
        (20.0, 5, 10.0),
    ],
)
def test_a_band_that_does_not_nest_is_held_in_the_finest_pixels(size: float, dx: float, kept: float) -> None:
    coarse = Frame(32638, 600_000 + dx, 4_400_000 + dx, size, 32, 32)
    bands = ("red", "scl")
    layout = lay_bands(Lattice("", FINE, [scene({"red": FINE, "scl": coarse})]), bands)
    assert layout.bands == {"red": 10.0, "scl": kept}
    blocks = [("red", FINE, (16, 16)), ("scl", coarse, (16, 16))]
    side = region_side(layout, blocks, 1, 40_960)
    factor = round(kept / 10)
    assert side % 16 == 0
    assert ("scl" not in layout.native) or side % (16 * factor) == 0


def test_regions_begin_where_pixels_of_every_band_begin() -> None:
    coarse = Frame(32638, 600_010, 4_400_020, 20, 48, 48)
    wide = Frame(32638, 599_980, 4_399_990, 30, 48, 48)
    frames = {"red": FINE, "swir16": coarse, "scl": wide}
    layout = lay_bands(Lattice("", FINE, [scene(frames)]), tuple(frames))
    assert layout.bands == {"red": 10.0, "swir16": 20.0, "scl": 30.0}
    for frame in frames.values():
        assert (layout.anchor.x0 - frame.x0) % frame.resolution == pytest.approx(0)
        assert (frame.y0 - layout.anchor.y0) % frame.resolution == pytest.approx(0)


def test_pixels_of_fractions_of_a_metre_nest_as_others_do() -> None:
    for size in (0.5, 9.87, 10.0032, 17.12335):
        fine = Frame(32638, 600_000, 4_400_000, size, 128, 128)
        coarse = Frame(32638, 600_000, 4_400_000, size * 2, 64, 64)
        layout = lay_bands(Lattice("", fine, [scene({"red": fine, "scl": coarse})]), ("red", "scl"))
        assert layout.bands["scl"] == pytest.approx(size * 2)
        assert region_side(layout, [("red", fine, (32, 32)), ("scl", coarse, (32, 32))], 50, 40_960) == 64


def across(epsg: int, lon: float, lat: float, size: int = 64) -> Frame:
    """Return a frame of 30 m, in Landsat's phase, around a point."""
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", epsg, always_xy=True).transform(lon, lat)
    return Frame(
        epsg, round(x / 30) * 30 - 15 - 30 * size // 2, round(y / 30) * 30 + 15 + 30 * size // 2, 30, size, size
    )


def test_scenes_of_a_second_zone_are_put_onto_the_first() -> None:
    area = shapely.box(48.01, 39.995, 48.02, 40.005)
    scenes = [scene({"red": across(32638, 48.01, 40)}) for _ in range(3)]
    scenes += [scene({"red": across(32639, 48.01, 40)}) for _ in range(2)]
    (only,) = zone_lattices(scenes, ("red",), None, area)
    # Most scenes lie in zone 38, so that fewest are warped, and its lattice has their phase.
    assert only.frame.epsg == 32638
    assert only.scenes == scenes
    assert all(only.frame.shift(s.assets["red"].frame) is not None for s in scenes[:3] if s.assets["red"].frame)
    assert only.frame.x0 % 30 == 15


def test_a_zone_that_was_chosen_stays() -> None:
    area = shapely.box(48.01, 39.995, 48.02, 40.005)
    scenes = [scene({"red": across(32639, 48.01, 40)}) for _ in range(5)]
    (only,) = zone_lattices(scenes, ("red",), None, area, (across(32638, 48.01, 40),))
    assert only.frame.epsg == 32638
    assert only.scenes == scenes


def test_a_wide_area_has_several_zones_and_a_scene_lies_on_each_that_it_meets() -> None:
    area = shapely.box(42.5, 39.9, 53.5, 40.1)
    west, seam, east = across(32638, 43, 40), across(32638, 48, 40, 400), across(32639, 48.01, 40)
    scenes = [scene({"red": frame}) for frame in (west, seam, east)]
    found = {z.frame.epsg: z.scenes for z in zone_lattices(scenes, ("red",), None, area)}
    assert found == {32638: scenes, 32639: scenes[1:]}


def test_degrees_need_a_resolution() -> None:
    scenes = [scene({"red": Frame(4326, 48, 40, 0.0001, 64, 64)})]
    with pytest.raises(BadInput, match="resolution"):
        zone_lattices(scenes, ("red",), None, shapely.box(48, 39.99, 48.01, 40))
    (only,) = zone_lattices(scenes, ("red",), 10.0, shapely.box(48, 39.99, 48.01, 40))
    assert only.frame.x0 % 10 == 0
