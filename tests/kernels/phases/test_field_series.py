"""Real single-pixel series: a fire whose date is known, crops, beetles and moths that are no works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from groundbreak.kernels import DEFAULT_INDICES, DETECTORS, NO_DATE, Layers, Status, detect
from tests.kernels.phases.field_series import LCMAP, POINTS, every, indices
from tests.shared import needs_shared

pytestmark = needs_shared

REPORTED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)
FIRE, CROP, MOTH, BEETLE = (
    "1_hls_sc_fire.csv",
    "3_crop_sentinel2.csv",
    "0f9c4be_2_sm_ma_landsat.csv",
    "bfff410_2_mpb_co_landsat.csv",
)
CHOICES = [DEFAULT_INDICES, ("ndvi", "swir"), ("ndvi",), ("nbr",)]


def run(name: str, names: tuple[str, ...] = DEFAULT_INDICES, detector: str = "phases") -> Layers:
    values, dates = indices(name, names)
    return detect(values, dates, detector)


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_the_fire_is_dated_to_its_first_burnt_observation(names: tuple[str, ...]) -> None:
    found = run(FIRE, names)
    before, after = (np.datetime64(day, "D").astype(int) for day in ("2024-03-15", "2024-03-23"))
    assert found.status in REPORTED
    assert before < found.onset <= after
    assert found.onset_earliest <= before + 1
    assert found.onset_latest >= after
    assert found.magnitude < -2000  # what was green is gone


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
@pytest.mark.parametrize("name", [CROP, MOTH])
def test_crops_and_a_moth_are_no_works(name: str, names: tuple[str, ...]) -> None:
    assert run(name, names).status == Status.STABLE


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_dying_trees_are_not_called_works(names: tuple[str, ...]) -> None:
    assert run(BEETLE, names).status not in REPORTED


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", [*every(POINTS), *every(LCMAP)])
def test_layers_of_any_series_agree_with_each_other(name: str, detector: str) -> None:
    values, dates = indices(name)
    published: dict[str, Any] = (
        {} if detector == "phases" else {"critical_value": 3.0}
    )  # limits of our own take seconds a series
    found = detect(values, dates, detector, **published)
    clear = np.isfinite(values).all(axis=0)
    assert found.n_valid == clear.sum()
    assert found.status != Status.FAILED
    if found.onset == NO_DATE:
        assert found.status in (Status.STABLE, Status.TOO_FEW_OBSERVATIONS)
        return
    days = dates.astype(np.int64)
    assert found.onset in days[clear]
    assert found.last_observation in days[clear]
    assert found.onset_earliest <= found.onset <= found.onset_latest <= found.last_observation
    if found.halt != NO_DATE:
        assert found.status == Status.HALTED
        assert found.halt in days[clear]
        assert found.halt_earliest <= found.halt < found.halt_latest <= found.last_observation


def test_the_twin_agrees_on_the_fire() -> None:
    values, dates = indices(FIRE)
    late = dates >= np.datetime64("2022-06-01")
    values, dates = values[:, late, None], dates[late]
    fast, detector = detect(values, dates), DETECTORS["phases"]
    assert fast.n_changes == 1
    slow = detector.twin(values, dates.astype(np.int64), None, None, dict(detector.defaults))
    for name, a, b in zip(Layers._fields, fast, slow, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
