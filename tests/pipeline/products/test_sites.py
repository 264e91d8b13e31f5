"""Sites of painted scenes whose areas and dates are known."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Protocol

import numpy as np
import pyproj
import pytest
import shapely

from groundbreak.kernels import Quality, Status
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.mosaic import publish_mosaics
from groundbreak.pipeline.products.sites import Site, find_sites
from tests.pipeline.ground import NORTH, Painted, change, day, disown, stable_grid, store_grids

ONSET, HALT = day("2022-07-01"), day("2023-09-01")


class Find(Protocol):
    """Paints grids, publishes them and finds the sites in them."""

    def __call__(self, *painted: Painted, min_area_m2: float = 2000.0) -> list[Site]: ...


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Paint, publish, find."""

    def run(*painted: Painted, min_area_m2: float = 2000.0) -> list[Site]:
        output = Output(str(tmp_path))
        epsgs = publish_mosaics(output, output, *store_grids(output, painted), {})
        return find_sites(output, epsgs, min_area_m2=min_area_m2)

    return run


def one(height: int = 200, width: int = 200) -> Painted:
    return stable_grid("A", 32638, 500_000, height, width)


def test_a_rectangle(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[50:65, 100:131], ONSET, HALT, confidence=87)
    (site,) = find(grid)
    assert (site.id, site.status, site.epsg) == ("site-0001", "halted", 32638)
    assert site.area_m2 == 15 * 31 * 100 == 46_500
    assert site.n_pixels == 465
    assert site.confidence == 87
    assert site.n_changes == 1
    assert site.quality == ()
    assert (site.onset, site.halt) == (dt.date(2022, 7, 1), dt.date(2023, 9, 1))
    assert (site.onset_earliest, site.onset_latest) == (dt.date(2022, 6, 26), dt.date(2022, 7, 6))
    assert (site.halt_earliest, site.halt_latest) == (dt.date(2023, 8, 27), dt.date(2023, 9, 6))
    assert site.growth == ((dt.date(2022, 7, 31), 46_500.0),)
    outline = shapely.box(501_000, NORTH - 650, 501_310, NORTH - 500)
    assert geo.from_lonlat(site.geometry, 32638).symmetric_difference(outline).area < 0.01


def test_no_change_is_no_site(find: Find) -> None:
    assert find(one()) == []


def test_provisional_ground_is_not_changed_ground(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[50:80, 50:80], ONSET, status=Status.PROVISIONAL)
    assert find(grid) == []


def test_the_least_area_is_a_sites_own(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[10:14, 10:15], ONSET)
    change(grid[1], np.s_[50:53, 50:56], ONSET)
    assert [site.area_m2 for site in find(grid)] == [2000.0]


def test_one_site_across_blocks_and_regions(find: Find) -> None:
    grid = one(700, 700)
    change(grid[1], np.s_[500:530, 480:560], ONSET, HALT)
    change(grid[1], np.s_[530:690, 555:557], ONSET, HALT)
    (site,) = find(grid)
    assert site.area_m2 == (30 * 80 + 160 * 2) * 100


def test_one_site_across_grids(find: Find) -> None:
    west, east = one(), stable_grid("B", 32638, 502_000 - 600, 200, 200)
    disown(west[1], np.s_[:, 170:])
    disown(east[1], np.s_[:, :30])
    # The same ground, painted on both grids; each owns its part.
    change(west[1], np.s_[50:80, 150:170], ONSET, HALT)
    change(east[1], np.s_[50:80, 30:60], ONSET, HALT)
    (site,) = find(west, east)
    assert site.area_m2 == 30 * 50 * 100


def test_a_missed_pixel_is_bridged_and_separate_sites_are_not_joined(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[20:22, 20:50], ONSET)
    grid[1].status[20:22, 35] = Status.STABLE
    change(grid[1], np.s_[50:60, 50:60], ONSET)
    change(grid[1], np.s_[50:60, 62:72], ONSET)
    sites = find(grid)
    assert [site.area_m2 for site in sites] == [10_000, 10_000, 6000]
    assert sites[2].n_pixels == 58


def test_a_closing_never_shifts_ground(find: Find) -> None:
    grid = one()
    where = np.zeros((200, 200), bool)
    where[30:60, 30:33] = where[30:33, 30:60] = where[57:60, 30:60] = True
    change(grid[1], where, ONSET)
    (site,) = find(grid, min_area_m2=2000.0)
    assert site.area_m2 == where.sum() * 100


def test_speckle_within_a_site_belongs_to_it_and_speckle_outside_does_not(find: Find) -> None:
    grid = one()
    rng = np.random.default_rng(5)
    where = np.zeros((200, 200), bool)
    where[80:120, 80:120] = rng.random((40, 40)) > 0.15
    where[80, 80:120] = where[119, 80:120] = where[80:120, 80] = where[80:120, 119] = True
    noise = rng.random((200, 200)) < 0.01
    noise[70:130, 70:130] = False
    change(grid[1], where, ONSET, HALT)
    change(grid[1], noise, ONSET + 100)
    (site,) = find(grid)
    assert site.area_m2 == 1600 * 100
    assert site.n_pixels == where.sum()


def test_holes_are_filled_below_the_least_area_alone(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[20:60, 20:60], ONSET)
    grid[1].status[30:33, 30:36] = Status.STABLE
    grid[1].status[40:45, 40:45] = Status.STABLE
    (site,) = find(grid)
    assert site.area_m2 == (1600 - 25) * 100
    assert len(site.geometry.interiors) == 1


def test_dates_are_quantiles_that_stray_pixels_do_not_move(find: Find) -> None:
    grid = one()
    # Built in ten strips, a month apart: the second strip passes 10 %, the ninth 90 %.
    for strip in range(10):
        rows = np.s_[50 + 4 * strip : 54 + 4 * strip, 50:90]
        change(grid[1], rows, ONSET + 30 * strip, ONSET + 30 * strip + 200, width=1 + strip)
    grid[1].onset[53, 89] = day("2015-01-01")
    grid[1].onset_earliest[53, 89] = day("2014-12-01")
    grid[1].halt[50, 50] = grid[1].halt_latest[50, 50] = day("2024-12-01")
    (site,) = find(grid)
    assert site.onset == dt.date(2022, 7, 1)
    assert (site.onset_earliest, site.onset_latest) == (dt.date(2022, 6, 30), dt.date(2022, 7, 2))
    # One of the earliest strip's pixels halted last, so the quantile is the ninth strip's or, by that one, the tenth's.
    assert site.halt == dt.date(1970, 1, 1) + dt.timedelta(ONSET + 30 * 9 + 200)
    assert [area for _, area in site.growth][-1] == 160_000
    assert site.growth[0] == (dt.date(2015, 1, 31), 100.0)
    assert all(a[1] <= b[1] for a, b in zip(site.growth, site.growth[1:], strict=False))
    assert all((day + dt.timedelta(1)).day == 1 for day, _ in site.growth)


@pytest.mark.parametrize(
    ("active", "resumed", "expected"),
    [
        (0, 0, "halted"),
        (3, 0, "halted"),
        (4, 0, "active"),
        (2, 2, "active"),
        (1, 3, "resumed"),
        (10, 0, "active"),
        (0, 10, "resumed"),
    ],
)
def test_status_by_share(find: Find, active: int, resumed: int, expected: str) -> None:
    grid = one()
    change(grid[1], np.s_[50:60, 50:60], ONSET, HALT)
    change(grid[1], np.s_[50 : 50 + active, 50:60], ONSET)
    change(grid[1], np.s_[50 + active : 50 + active + resumed, 50:60], ONSET, status=Status.RESUMED)
    for name in ("halt", "halt_earliest", "halt_latest"):
        getattr(grid[1], name)[50 : 50 + active + resumed] = -32768
    (site,) = find(grid)
    assert site.status == expected
    assert (site.halt is None) == (expected != "halted") == (site.halt_latest is None)


def test_quality_of_most_pixels_and_any_fault(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[50:60, 50:60], ONSET, HALT)
    grid[1].quality[50:56, 50:60] |= np.uint8(Quality.SNOW_SEASON)
    grid[1].quality[50:55, 50:60] |= np.uint8(Quality.GAP_AT_HALT)
    grid[1].quality[50, 50] |= np.uint8(Quality.FAULTS_IN_REGION)
    (site,) = find(grid)
    assert site.quality == ("snow_season", "faults_in_region")


def test_missing_interval_ends_are_the_date(find: Find) -> None:
    grid = one()
    change(grid[1], np.s_[50:60, 50:60], ONSET, HALT)
    grid[1].onset_earliest[:] = grid[1].halt_latest[:] = -32768
    (site,) = find(grid)
    assert site.onset_earliest == site.onset < site.onset_latest
    assert site.halt_earliest is not None
    assert site.halt is not None
    assert site.halt_earliest < site.halt == site.halt_latest


def test_sites_are_numbered_largest_first_and_the_same_every_time(find: Find) -> None:
    grid = one(600, 100)
    for i in range(6):
        change(grid[1], np.s_[100 * i + 10 : 100 * i + 20, 5 : 15 + 2 * (i % 3)], ONSET + i)
    sites = find(grid)
    assert [s.id for s in sites] == [f"site-{n:04d}" for n in range(1, 7)]
    assert [s.area_m2 for s in sites] == sorted((s.area_m2 for s in sites), reverse=True)
    # Equal areas: the northern one first.
    assert sites[0].geometry.bounds[3] > sites[1].geometry.bounds[3]
    assert find(grid) == sites


def test_the_sample_is_spread_over_the_changed_pixels(find: Find) -> None:
    grid = one(700, 700)
    change(grid[1], np.s_[480:540, 440:640], ONSET, HALT)
    (site,) = find(grid)
    sample = np.array(site.sample)
    assert sample.shape == (200, 2)
    assert len({*site.sample}) == 200
    rows, cols = (NORTH - sample[:, 1]) / 10 - 0.5, (sample[:, 0] - 500_000) / 10 - 0.5
    assert (rows == rows.round()).all()
    assert (cols == cols.round()).all()
    # All of it lies in the site, and each twelfth of the site holds about a twelfth of it.
    counts, _, _ = np.histogram2d(rows, cols, bins=[3, 4], range=[[480, 540], [440, 640]])
    assert counts.sum() == 200
    assert counts.min() >= 13
    assert counts.max() <= 20


def _across(epsg_west: int, epsg_east: int, lon: float, lat: float, half: float = 30) -> list[Painted]:
    """Paint a square of changed ground on the border of two zones, each of which owns its side of a meridian."""
    painted = []
    for name, epsg, side in (("W", epsg_west, -1), ("E", epsg_east, 1)):
        x, y = (round(v, -1) for v in pyproj.Proj(epsg)(lon, lat))
        grid, layers = stable_grid(name, epsg, x - 1000, 200, 200, y0=y + 1000, region=200)
        cols, rows = np.meshgrid(*grid.frame.centres())
        to_lon, to_lat = pyproj.Transformer.from_crs(epsg, "OGC:CRS84", always_xy=True).transform(cols, rows)
        off = (to_lon - lon + 180) % 360 - 180
        east, north = off * 111_320 * np.cos(np.radians(lat)), (to_lat - lat) * 110_574
        ground = (abs(east) < half * 10) & (abs(north) < half * 10)
        change(layers, ground, ONSET, HALT)
        disown(layers, (off < 0) if side > 0 else (off >= 0))
        painted.append((grid, layers))
    return painted


@pytest.mark.parametrize("lat", [3.0, 40.0, 60.0])
def test_a_site_on_a_zone_border_is_one_and_counted_once(find: Find, lat: float) -> None:
    painted = _across(32638, 32639, 48.0, lat)
    (site,) = find(*painted)
    by_hand = sum(int((layers.status == Status.HALTED).sum()) for _, layers in painted)
    assert site.n_pixels == by_hand
    assert site.area_m2 == by_hand * 100 == pytest.approx(600 * 600, rel=0.02)
    assert geo.ground_area(site.geometry) == pytest.approx(600 * 600, rel=0.02)
    assert site.geometry.is_valid


def test_small_pieces_of_two_zones_make_one_site(find: Find) -> None:
    painted = _across(32638, 32639, 48.0, 40.0, half=2.5)
    (site,) = find(*painted)
    assert 2000 <= site.area_m2 <= 3000
    assert max(int((layers.status == Status.HALTED).sum()) for _, layers in painted) * 100 < 2000


def test_pieces_far_apart_in_two_zones_stay_two(find: Find) -> None:
    painted = _across(32638, 32639, 48.0, 40.0)
    for (_, layers), cols in zip(painted, (np.s_[:, 95:], np.s_[:, :105]), strict=True):
        layers.status[cols][layers.status[cols] == Status.HALTED] = Status.STABLE
    assert len(find(*painted)) == 2


def test_a_site_on_the_antimeridian(find: Find) -> None:
    (site,) = find(*_across(32660, 32601, 180.0, -17.0 + 34.0))
    assert site.geometry.geom_type == "MultiPolygon"
    assert site.geometry.is_valid
    assert site.geometry.bounds[0] >= -180
    assert site.geometry.bounds[2] <= 180
    assert geo.ground_area(site.geometry) == pytest.approx(600 * 600, rel=0.02)
    assert site.area_m2 == pytest.approx(600 * 600, rel=0.02)
