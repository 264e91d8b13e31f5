"""What a run may claim, against counts that are set by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import shapely

from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.core.types import Rejection
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.verdict import Verdict

RECORD = "12 observations from 2021-01-03 to 2021-04-23"


def verdict(statuses: dict[str, int], owned: int | None = None, **more: Any) -> Verdict:
    total = sum(statuses.values()) if owned is None else owned
    values: dict[str, Any] = {"sites": (), "rejections": (), "faults": (), "failed": {}, "record": RECORD, **more}
    return Verdict(owned=total, statuses=statuses, **values)


def rejection(number: int, reason: str, detail: str = "seen") -> Rejection:
    return Rejection(f"item-{number}", reason, detail)


def fault(error: str) -> Fault:
    return Fault("38TPK/r000c000", "take", "item", "red", "https://x.example/a.tif", error, 3)


@pytest.mark.parametrize(
    ("statuses", "owned", "failed", "said"),
    [
        ({"too_few_observations": 600}, 600, {}, f"600 of 600 pixels have too few clear observations ({RECORD})"),
        ({"failed": 50}, 50, {"g/r000c000": "OSError: gone\nmore"}, "50 of 50 pixels lie in regions that failed"),
        ({}, 70, {"g/r000c000": "it has not been detected on"}, "70 of 70 pixels lie in regions"),
        ({}, 0, {}, "no pixel of the area lies on the items' rasters"),
    ],
)
def test_where_nothing_was_judged_a_sentence_says_why(
    statuses: dict[str, int], owned: int, failed: dict[str, str], said: str
) -> None:
    found = verdict(statuses, owned, failed=failed)
    assert found.sentence.startswith("No pixel could be judged: ")
    assert said in found.sentence
    assert "\n" not in found.sentence
    assert "No site" not in found.sentence
    assert found.judged == 0
    assert not found.good


def test_mixed_reasons_are_all_said() -> None:
    found = verdict({"too_few_observations": 6, "failed": 3}, 10, failed={"g/r0": "OSError: gone\nmore"})
    assert "6 of 10 pixels have too few clear observations" in found.sentence
    assert "4 of 10 pixels lie in regions that failed or are not done (g/r0: OSError: gone)" in found.sentence


def test_no_site_says_how_many_pixels_are_known_to_be_stable() -> None:
    found = verdict({"stable": 950, "provisional": 10, "active": 4, "too_few_observations": 36})
    assert found.sentence == (
        "No site of changed ground was found: 950 of 964 judged pixels are stable, and 4 changed, "
        "but not together on enough ground to be a site."
    )
    assert found.lines[0] == (
        "1,000 pixels of the area: 964 judged (950 stable, 10 provisional, 4 active), 36 with too few observations; "
        "1 % of the area is provisional"
    )
    assert found.provisional_share == 0.01
    assert found.good


def test_sites_are_told_with_the_largest() -> None:
    box = shapely.box(0, 0, 1, 1)
    fields = dict.fromkeys(Site.__dataclass_fields__)
    halted: Any = {
        **fields, "id": "site-0001", "geometry": box, "status": "halted", "onset": date(2022, 7, 1),
        "halt": date(2023, 9, 1), "area_m2": 46_500.0,
    }  # fmt: skip
    active: Any = {**halted, "id": "site-0002", "status": "active", "halt": None}
    both = verdict({"stable": 5, "halted": 5}, sites=(Site(**halted), Site(**active)))
    assert both.sentence.startswith("2 sites of changed ground: 1 halted, 1 still active. The largest, ")
    assert both.sentence.endswith("began to change on 2022-07-01 and stopped on 2023-09-01.")
    one = verdict({"stable": 5, "active": 5}, sites=(Site(**active),))
    assert one.sentence.startswith("1 site of changed ground: 1 still active.")
    assert one.sentence.endswith("had not stopped by the end of the record.")


def test_items_not_used_have_their_reasons_and_the_first_names() -> None:
    rejections = [rejection(n, "outside_dates", f"20{n:02d}") for n in range(5)] + [
        rejection(9, "duplicate", "https://h.example/a?sig=SECRET")
    ]
    lines = verdict({"stable": 1}, rejections=rejections).lines[1:]
    assert lines == [
        "6 items not used",
        "  5 outside_dates (acquired outside the dates)",
        "    item-0: 2000",
        "    item-1: 2001",
        "    item-2: 2002",
        "    ... and 2 more",
        "  1 duplicate (the same processing of the same acquisition, listed twice)",
        "    item-9: https://h.example/a",
    ]
    assert verdict({"stable": 1}).lines[1:] == ["every item was used"]


def test_faults_are_counted_by_kind_whatever_their_addresses() -> None:
    faults = [
        *(fault(f"FileNotFoundError: Object at location /a/{n}/red.tif not found (os error 2)") for n in range(3)),
        fault("HTTP 403 for https://x.example/b.tif\nmore"),
    ]
    found = verdict({"stable": 1}, faults=faults)
    assert found.fault_kinds == {
        "FileNotFoundError: Object at location ... not found (os error 2)": 3,
        "HTTP 403 for ...": 1,
    }
    assert found.lines[-1].startswith("4 faults, left out of the series: 3 x FileNotFoundError")
    assert found.good


def test_a_failed_region_is_not_good_though_others_were_judged() -> None:
    found = verdict({"stable": 5, "failed": 5}, failed={"g/r000c001": "gone"})
    assert not found.good
    assert "5 failed" in found.lines[0]
    assert found.to_json()["failed"] == 5
