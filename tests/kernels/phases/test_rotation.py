"""Fields that rest for a year: a rotation is no construction, whichever year comes first."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundbreak.kernels import Status, detect
from tests.kernels.phases.test_twin import assert_same
from tests.kernels.simulate import DAY0, SOIL, VEGETATION, _bump, indices_of, observe

REPORTED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)


def field(seed: int, heights: list[float], n_pixel: int) -> tuple[NDArray[np.float32], NDArray[np.datetime64]]:
    """Index series of a field with two crops a year of these heights; weeds where it rests."""
    rng = np.random.default_rng(seed)
    days = np.arange(0, 365 * len(heights), 5).astype(float)
    doy, year = days % 365.25, (days // 365.25).astype(int)
    pixels = []
    for _ in range(n_pixel):
        green = np.full(days.size, 0.04)
        for y, height in enumerate(heights):
            shift = rng.normal(0, 10)
            spring = height * _bump(doy, 72 + shift, 172 + shift, 6.0)
            summer = (height > 0.3) * 0.6 * _bump(doy, 200 + shift, 290 + shift, 6.0)
            green += (year == y) * (spring + summer)
        soil = SOIL * (1 - 0.1 * rng.random((days.size, 1)))
        bands = green[:, None] * VEGETATION + (1 - green[:, None]) * soil
        index = indices_of(observe(rng, bands, 0.0))
        index[:, rng.random(days.size) < 0.5] = np.nan
        pixels.append(index)
    return np.stack(pixels, axis=2), DAY0 + days.astype(int)


@pytest.mark.parametrize("heights", [[0.2, 0.8, 0.8, 0.8, 0.8], [0.2, 0.2, 0.8, 0.8, 0.8], [0.8, 0.2, 0.8, 0.8]])
def test_a_fallow_year_before_crops_is_no_activity(heights: list[float]) -> None:
    found = detect(*field(1, heights, 60))
    assert np.isin(found.status, REPORTED).mean() <= 0.02


def test_a_fallow_year_at_the_end_is_not_reported() -> None:
    found = detect(*field(2, [0.8, 0.8, 0.8, 0.8, 0.2], 60))
    assert np.isin(found.status, REPORTED).mean() <= 0.02


@pytest.mark.parametrize("heights", [[0.2, 0.8, 0.8], [0.8, 0.8, 0.2]])
def test_the_twin_agrees_on_rotations(heights: list[float]) -> None:
    assert_same(*field(3, heights, 3))
