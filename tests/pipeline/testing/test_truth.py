"""Scoring against a truth small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from shapely import affinity

from groundbreak.pipeline.testing import Found, NegativeZone, Truth, passed, render, score, write_archive
from groundbreak.pipeline.testing.frames import LAYOUTS
from groundbreak.pipeline.testing.scene import Scene


@pytest.fixture(scope="module")
def truth(full: Scene) -> Truth:
    return Truth.of(full)


@pytest.fixture(scope="module")
def perfect(truth: Truth) -> list[Found]:
    return [Found(s.geometry, s.onset, s.halt, "halted" if s.halt else "active", s.area_m2) for s in truth.sites]


def negative(truth: Truth, name: str) -> NegativeZone:
    return next(z for z in truth.negatives if z.name == name)


def test_a_perfect_result_passes(truth: Truth, perfect: list[Found]) -> None:
    rows = score(truth, perfect)
    assert [r.kind for r in rows] == ["compound", "active", "road"]
    assert all(r.found and r.onset_error == 0 and r.area_ratio == 1 for r in rows)
    assert passed(rows) == []
    table = render(rows).splitlines()
    assert len(table) == 4
    assert "2022-07-05" in table[1]


def test_nothing_found_fails_all_sites(truth: Truth) -> None:
    assert len(passed(score(truth, []))) == 3


@pytest.mark.parametrize(
    ("onset", "halt", "area", "unmet"),
    [
        (date(2022, 7, 31), date(2023, 9, 1), 46_500, 0),
        (date(2022, 8, 1), date(2023, 9, 1), 46_500, 1),
        (date(2022, 7, 9), date(2023, 8, 20), 46_500, 0),
        (date(2022, 7, 9), date(2023, 8, 19), 46_500, 1),
        (date(2022, 7, 9), date(2023, 9, 10), 46_500, 0),
        (date(2022, 7, 9), date(2023, 9, 11), 46_500, 1),
        (date(2022, 7, 9), None, 46_500, 1),
        (date(2022, 7, 9), date(2023, 9, 1), 53_000, 0),
        (date(2022, 7, 9), date(2023, 9, 1), 39_000, 1),
    ],
)
def test_compound_criteria(
    truth: Truth,
    perfect: list[Found],
    onset: date,
    halt: date | None,
    area: float,
    unmet: int,
) -> None:
    changed = replace(perfect[0], onset=onset, halt=halt, area_m2=area)
    assert len(passed(score(truth, [changed, *perfect[1:]]))) == unmet


def test_active_and_road_criteria(truth: Truth, perfect: list[Found]) -> None:
    compound, active, road = perfect
    late = replace(road, onset=road.onset + timedelta(days=16))
    rows = score(truth, [compound, replace(active, status="halted"), late])
    assert len(passed(rows)) == 2


@pytest.mark.parametrize(("zone", "unmet"), [("crops", 1), ("reservoir", 1), ("forest", 1), ("desert", 0)])
def test_false_alarms_are_named_by_their_ground(truth: Truth, perfect: list[Found], zone: str, unmet: int) -> None:
    # A 40 m disc well inside the zone.
    spot = negative(truth, zone).geometry.representative_point().buffer(0.0002)
    alarm = Found(spot, date(2021, 1, 1), None, "active", 1200)
    rows = score(truth, [*perfect, alarm])
    assert (rows[-1].kind, rows[-1].name) == ("false", zone)
    assert len(passed(rows)) == unmet


def test_pieces_are_summed_and_the_largest_dates(truth: Truth, perfect: list[Found]) -> None:
    whole = perfect[0]
    west, south, east, north = whole.geometry.bounds
    halves = [
        replace(
            whole,
            geometry=affinity.scale(whole.geometry, 0.45, 1, origin=(x, (south + north) / 2)),
            area_m2=area,
            onset=onset,
        )
        for x, area, onset in (
            (west, 30_000, date(2022, 7, 6)),
            (east, 16_500, date(2022, 9, 1)),
        )
    ]
    row = score(truth, halves)[0]
    assert (row.pieces, row.area_ratio, row.found_onset) == (2, 1.0, date(2022, 7, 6))


def test_truth_survives_its_file(archive: tuple[Path, Truth]) -> None:
    folder, truth = archive
    assert Truth.load(folder) == Truth.load(folder / "truth.json") == truth
    assert {s.kind for s in truth.sites} == {"compound", "active", "road"}
    assert {z.name for z in truth.negatives} >= {"crops", "reservoir", "forest"}


def test_sites_beyond_the_record_are_left_out(tmp_path: Path) -> None:
    early = write_archive(tmp_path, scale="small", start="2021-05-01", end="2021-06-15")
    assert early.sites == ()
    record = Scene(LAYOUTS["small"], start=date(2021, 1, 1), end=date(2022, 1, 31))
    compound = Truth.of(record).sites[0]
    assert (compound.kind, compound.halt) == ("compound", None)
