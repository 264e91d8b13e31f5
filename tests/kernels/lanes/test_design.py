"""The seasonal regression: its terms, and the sums that hold every product of two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import DATES_TOGETHER, make_design

Array = NDArray[Any]

DAYS = np.sort(np.random.default_rng(9).choice(1500, 101, replace=False)) + 18000
"""(time,) irregular days of about four years; not a whole number of groups."""


def regressors(harmonics: int, trend: bool, n_history: int | None) -> Array:
    """(time, term): level, seasons, and time that runs from -1 to 1 over the history."""
    turn = 2 * np.pi * DAYS / 365.25
    columns = [np.ones(DAYS.size)]
    for k in range(1, harmonics + 1):
        columns += [np.cos(k * turn), np.sin(k * turn)]
    if trend:
        first, last = DAYS[0], DAYS[:n_history][-1]
        columns.append(2 * (DAYS - first) / (last - first) - 1)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("n_history", [None, 70, 1])
@pytest.mark.parametrize("trend", [False, True])
@pytest.mark.parametrize("harmonics", range(4))
def test_products_hold_every_product_of_two_terms(harmonics: int, trend: bool, n_history: int | None) -> None:
    if n_history == 1 and trend:
        return  # one date has no trend: see below
    design = make_design(DAYS, harmonics, trend, np.float64, n_history)
    x = regressors(harmonics, trend, n_history)
    n, n_terms = x.shape
    np.testing.assert_allclose(design.terms[:n], x, rtol=0, atol=1e-12)
    i, j = np.tril_indices(n_terms)
    assert (
        design.first.shape == design.second.shape == design.a.shape == design.b.shape == (n_terms * (n_terms + 1) // 2,)
    )
    pairs = design.a * design.products[:n, design.first] + design.b * design.products[:n, design.second]
    np.testing.assert_allclose(pairs, x[:, i] * x[:, j], rtol=0, atol=1e-10)
    for weight in (np.random.default_rng(2).random(n), np.arange(n) % 3 == 0, np.zeros(n)):
        sums = np.append(weight, np.zeros(-n % DATES_TOGETHER)) @ design.products
        truth = (x.T * weight) @ x
        got = design.a * sums[design.first] + design.b * sums[design.second]
        np.testing.assert_allclose(got, truth[i, j], rtol=0, atol=1e-9)


def test_sums_are_fewer_than_pairs() -> None:
    for harmonics, trend, n_sums in ((2, False, 9), (2, True, 15), (0, False, 1), (1, False, 5)):
        assert make_design(DAYS, harmonics, trend, np.float64).products.shape[1] == n_sums


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_time", [0, 1, 3, 4, 5, 101])
def test_tables_are_whole_groups_of_their_type(dtype: type[np.floating[Any]], n_time: int) -> None:
    design = make_design(DAYS[:n_time], 2, True, dtype)
    for table in (design.terms, design.products):
        assert table.dtype == dtype
        assert table.shape[0] == -(-n_time // DATES_TOGETHER) * DATES_TOGETHER
        assert not table[n_time:].any()
        assert np.isfinite(table).all()
    assert design.a.dtype == design.b.dtype == dtype
    assert (design.terms[:n_time, 0] == 1).all()
    assert (design.products[:n_time, 0] == 1).all()


def test_one_date_of_history_has_no_slope_to_scale() -> None:
    trend = make_design(DAYS, 1, True, np.float64, 1).terms[: DAYS.size, -1]
    np.testing.assert_allclose(trend, DAYS - DAYS[0])  # days, where there is no span to divide by
