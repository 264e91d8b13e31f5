"""Lon/lat geometry: the antimeridian, projections, distances."""

from __future__ import annotations

import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.types import BadInput


def test_a_plain_box() -> None:
    assert geo.split_bbox(46.86, 40.03, 46.95, 40.10).bounds == (46.86, 40.03, 46.95, 40.10)


def test_a_box_across_the_antimeridian_is_two() -> None:
    parts = shapely.get_parts(geo.split_bbox(179, -10, -178, 10))
    assert [p.bounds for p in parts] == [(179, -10, 180, 10), (-180, -10, -178, 10)]
    assert geo.split_bbox(180, 0, -179, 1).bounds == (-180, 0, -179, 1)


@given(west=st.floats(-180, 179), width=st.floats(0.5, 170), south=st.floats(-80, 79))
def test_a_wrapped_ring_covers_what_the_box_covers(west: float, width: float, south: float) -> None:
    east = west + width
    wrapped = east - 360 if east > 180 else east
    ring = shapely.Polygon([(west, south), (wrapped, south), (wrapped, south + 1), (west, south + 1)])
    fixed = geo.fix_antimeridian(ring)
    assert fixed.is_valid
    assert fixed.bounds[0] >= -180
    assert fixed.bounds[2] <= 180
    assert fixed.area == pytest.approx(width, rel=1e-6)
    assert fixed.symmetric_difference(geo.split_bbox(west, south, wrapped, south + 1)).area < 1e-6


def test_longitudes_beyond_180_come_back() -> None:
    fixed = geo.fix_antimeridian(shapely.box(179, 0, 181, 1))
    assert [p.bounds for p in shapely.get_parts(fixed)] == [(-180, 0, -179, 1), (179, 0, 180, 1)]


def test_holes_stay_holes() -> None:
    shell = [(178, 0), (-178, 0), (-178, 4), (178, 4)]
    hole = [(-179.5, 1), (-179, 1), (-179, 2), (-179.5, 2)]
    fixed = geo.fix_antimeridian(shapely.Polygon(shell, [hole]))
    assert fixed.area == pytest.approx(16 - 0.5)
    assert not fixed.contains(shapely.Point(-179.25, 1.5))


def test_a_polygon_elsewhere_is_left_alone() -> None:
    box = shapely.box(10, 50, 11, 51)
    assert geo.fix_antimeridian(box).equals_exact(box)
    world = shapely.box(-180, -60, 180, 60)
    assert geo.fix_antimeridian(world).area == world.area


def test_a_ring_around_a_pole_is_refused() -> None:
    with pytest.raises(BadInput, match="pole"):
        geo.fix_antimeridian(shapely.Polygon([(0, 80), (120, 80), (-120, 80)]))


def test_metres_taken_for_degrees_are_not_wrapped_into_degrees() -> None:
    metres = shapely.box(500_000, 4_400_000, 501_000, 4_401_000)
    assert geo.fix_antimeridian(metres).bounds == metres.bounds


def test_points_and_lines_hold_no_area() -> None:
    collection = shapely.GeometryCollection([shapely.Point(0, 0), shapely.box(0, 0, 1, 1)])
    assert geo.fix_antimeridian(collection).equals(shapely.box(0, 0, 1, 1))
    assert geo.fix_antimeridian(shapely.Point(0, 0)).is_empty


def test_to_lonlat_keeps_the_ground() -> None:
    square = shapely.box(662_000, 4_430_000, 682_000, 4_450_000)
    lonlat = geo.to_lonlat(square, 32638)
    # UTM's scale is known: true area = projected area / scale^2.
    scale = pyproj.Proj(32638).get_factors(*geo.point_lonlat(672_000, 4_440_000, 32638)).areal_scale
    assert geo.ground_area(lonlat) == pytest.approx(square.area / scale, rel=1e-5)
    assert geo.from_lonlat(lonlat, 32638).symmetric_difference(square).area < 1e-6 * square.area


def test_to_lonlat_bends_long_edges() -> None:
    lonlat = geo.to_lonlat(shapely.box(300_000, 6_000_000, 700_000, 6_001_000), 32638)
    straight = geo.from_lonlat(lonlat, 32638)
    assert straight.symmetric_difference(shapely.box(300_000, 6_000_000, 700_000, 6_001_000)).area < 400_000 * 0.1


def test_to_lonlat_splits_at_the_antimeridian() -> None:
    # 180 degrees on the equator lies at x = 833,978.557 in zone 60.
    lonlat = geo.to_lonlat(shapely.box(833_000, 1000, 835_000, 2000), 32660)
    assert lonlat.geom_type == "MultiPolygon"
    assert lonlat.is_valid
    assert lonlat.bounds[0] == -180
    assert lonlat.bounds[2] == 180
    assert geo.ground_area(lonlat) == pytest.approx(2e6, rel=0.01)


def test_distance_knows_no_antimeridian() -> None:
    x60, y60 = pyproj.Proj(32660)(179.9995, 10)
    x01, y01 = pyproj.Proj(32601)(-179.9995, 10)
    truth = pyproj.Geod(ellps="WGS84").inv(179.9995, 10, -179.9995, 10)[2]
    measured = geo.distance(shapely.Point(x60, y60), 32660, shapely.Point(x01, y01), 32601)
    assert measured == pytest.approx(truth, rel=2e-3)


def test_label_point_lies_in_the_largest_part() -> None:
    parts = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 9, 9)])
    assert shapely.box(5, 5, 9, 9).contains(shapely.Point(geo.label_point(parts)))
