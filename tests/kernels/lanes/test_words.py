"""Each word of the lane vocabulary against plain NumPy, in float32 and float64; what a lane holds stays in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import DATES_TOGETHER, Design, make_design
from groundbreak.kernels.lanes.words import LANES, whole_blocks
from tests.kernels.lanes.lane_words import (
    drop,
    factor,
    fill,
    find_clear,
    gram,
    is_clear,
    load,
    load_dates,
    load_first,
    log,
    normal,
    residual,
    scale,
    solve,
    update,
)

Array = NDArray[Any]
Float = type[np.floating[Any]]

FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ODD = (np.nan, np.inf, -np.inf)


def rows(n: int, dtype: Float, seed: int = 0) -> Array:
    """Return (n, LANES) of unit noise."""
    return np.random.default_rng(seed).normal(size=(n, LANES)).astype(dtype)


def odd_rows(n: int, dtype: Float) -> Array:
    """Return (n, LANES) of unit noise, every seventh value NaN or infinite."""
    out = rows(n, dtype)
    out.flat[::7] = np.resize(ODD, out.flat[::7].size)
    return out


def tolerance(dtype: Float) -> float:
    """Return what sums of a few hundred terms may lose."""
    return 1e-5 if dtype is np.float32 else 1e-12


def days(n: int) -> Array:
    """Return (n,) irregular days of about four years."""
    return np.sort(np.random.default_rng(9).choice(1500, n, replace=False)) + 18000


def symmetric(matrix: Array, n_terms: int) -> Array:
    """Return (LANES, term, term) of the packed lower halves (pair, LANES)."""
    out = np.zeros((matrix.shape[1], n_terms, n_terms), matrix.dtype)
    i, j = np.tril_indices(n_terms)
    out[:, i, j] = out[:, j, i] = matrix.T
    return out


def fit(dtype: Float, harmonics: int, trend: bool, n: int = 150) -> tuple[Design, Array, Array, Array]:
    """Return a design, (time, LANES) weights and weighted values, and the packed normal equations of every lane."""
    design = make_design(days(n), harmonics, trend, dtype)
    weight = (np.random.default_rng(1).random((design.terms.shape[0], LANES)) < 0.6).astype(dtype)
    weight[n:] = 0
    x = rows(design.terms.shape[0], dtype) * weight
    sums = np.zeros((design.products.shape[1], LANES), dtype)
    matrix = np.full((design.first.size, LANES), np.nan, dtype)
    gram(design.products, weight, sums)
    normal(design, sums, matrix)
    return design, weight, x, matrix


@FLOATS
def test_fill_load_and_drop(dtype: Float) -> None:
    row, second = odd_rows(1, dtype)[0], np.roll(odd_rows(1, dtype)[0], 3)
    zero, reference = np.zeros(LANES, dtype), rows(1, dtype, seed=4)[0]
    weight, again, x, y = np.full((4, LANES), np.nan, dtype)
    fill(1, weight)
    assert (weight == 1).all()
    for off in (reference, zero):
        fill(1, weight)
        load(row, off, weight, x)
        np.testing.assert_array_equal(weight, np.isfinite(row))
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(x, np.where(np.isfinite(row), row - off, 0))
        load_first(row, off, again, y)
        np.testing.assert_array_equal([again, y], [weight, x])
    load_first(row, None, again, y)
    np.testing.assert_array_equal([again, y], [weight, x])
    load(second, None, weight, y)
    both = np.isfinite(row) & np.isfinite(second)
    np.testing.assert_array_equal(weight, both)  # clear in every index so far
    drop(weight, x)
    np.testing.assert_array_equal(x, np.where(both, row, 0))
    scale(second, y)
    np.testing.assert_array_equal(y[both], (second * second)[both])
    largest = np.full(LANES, np.finfo(dtype).max, dtype)
    load(-largest, zero, np.ones(LANES, dtype), x)
    np.testing.assert_array_equal(x, -largest)  # large, but a number
    for value in ODD:
        fill(value, x)
        np.testing.assert_array_equal(x, np.full(LANES, value))


@FLOATS
@pytest.mark.parametrize("n_index", [1, 2, 3])
def test_dates_are_loaded_together(dtype: Float, n_index: int) -> None:
    n_time = DATES_TOGETHER + 2
    values = odd_rows(n_index * n_time, dtype).reshape(n_index, n_time, LANES)
    both = np.isfinite(values).all(axis=0)
    beyond = [(0, 0), (0, 2 * DATES_TOGETHER - n_time), (0, 0)]  # dates that there are not: without weight
    for t in (0, DATES_TOGETHER):
        weight, x = (
            np.full((DATES_TOGETHER, LANES), np.nan, dtype),
            np.full((n_index, DATES_TOGETHER, LANES), np.nan, dtype),
        )
        reference = rows(n_index, dtype, seed=4)
        load_dates(values, t, 0, reference, weight, x)
        part = slice(t, t + DATES_TOGETHER)
        np.testing.assert_array_equal(weight, np.pad(both, beyond[1:])[part])
        with np.errstate(invalid="ignore"):
            lower = np.where(both, values - reference[:, None], 0)
        np.testing.assert_array_equal(x, np.pad(lower, beyond)[:, part])


def test_log_is_the_logarithm() -> None:
    x = np.concatenate(
        [np.exp(rows(1, np.float64)[0] * 100), 1 + rows(1, np.float64)[0] * 1e-9, 2.0 ** np.arange(-9, 9)]
    )
    out = np.empty_like(x)
    log(x, out)
    np.testing.assert_allclose(out, np.log(x), rtol=1e-14, atol=1e-16)


@FLOATS
@pytest.mark.parametrize("n_sums", range(1, 10))
def test_gram_adds_products(dtype: Float, n_sums: int) -> None:
    x, factors = rows(4 * DATES_TOGETHER, dtype), rows(4 * DATES_TOGETHER, dtype, seed=1)[:, :n_sums].copy()
    before = rows(n_sums, dtype, seed=2)
    sums = before.copy()
    gram(factors, x, sums)
    np.testing.assert_allclose(sums, before + factors.T @ x, atol=10 * tolerance(dtype))


@FLOATS
@pytest.mark.parametrize("trend", [False, True])
@pytest.mark.parametrize("harmonics", range(4))
def test_normal_factor_and_solve_are_least_squares(dtype: Float, harmonics: int, trend: bool) -> None:
    design, weight, x, matrix = fit(dtype, harmonics, trend)
    n_terms = design.terms.shape[1]
    terms = design.terms.astype(np.float64)
    truth = np.einsum("tp,ti,tj->pij", weight, terms, terms)
    np.testing.assert_allclose(symmetric(matrix, n_terms), truth, atol=100 * tolerance(dtype))
    factor(matrix, n_terms, 1e-6)
    lower = np.tril(symmetric(matrix, n_terms))
    at = np.arange(n_terms)
    lower[:, at, at] = 1 / lower[:, at, at]  # the diagonal holds reciprocals
    np.testing.assert_allclose(lower, np.linalg.cholesky(truth), atol=50 * tolerance(dtype))
    right = np.zeros((n_terms, LANES), dtype)
    gram(design.terms, x, right)
    solve(matrix, right)
    for p in range(0, LANES, 31):
        used = weight[:, p] > 0
        expected = np.linalg.lstsq(terms[used], x[used, p].astype(np.float64))[0]
        np.testing.assert_allclose(right[:, p], expected, atol=tolerance(dtype))
    left = x.copy()
    residual(design.terms, right, weight, left)
    np.testing.assert_allclose(left, weight * (x - terms @ right), atol=tolerance(dtype))
    np.testing.assert_allclose(design.terms.T @ left, 0, atol=300 * tolerance(dtype))


@FLOATS
def test_factor_believes_no_pivot_below_the_least(dtype: Float) -> None:
    matrix = np.zeros((6, LANES), dtype)  # a lane that nothing was seen of
    matrix[[0, 2, 5], 1] = 4, 1e-9, -1
    factor(matrix, 3, 1e-4)
    np.testing.assert_allclose(matrix[[0, 2, 5], 0], 100, rtol=1e-6)
    np.testing.assert_allclose(matrix[[0, 2, 5], 1], [0.5, 100, 100], rtol=1e-6)


@FLOATS
def test_update_is_a_cumulative_sum_and_its_extremes(dtype: Float) -> None:
    x = rows(40, dtype)
    total, squares, low, high = np.zeros((4, LANES), dtype)
    update(x, total, squares, low, high)
    path = np.cumsum(x.astype(np.float64), axis=0)
    for got, expected in ((total, path[-1]), (squares, (x.astype(np.float64) ** 2).sum(axis=0))):
        np.testing.assert_allclose(got, expected, atol=10 * tolerance(dtype))
    np.testing.assert_allclose(low, np.minimum(path.min(axis=0), 0), atol=tolerance(dtype))
    np.testing.assert_allclose(high, np.maximum(path.max(axis=0), 0), atol=tolerance(dtype))


@FLOATS
@pytest.mark.parametrize("odd", [*ODD, 1e30])
def test_an_odd_lane_stays_alone(dtype: Float, odd: float) -> None:
    def run(spoilt: slice) -> list[Array]:
        design, weight, x, matrix = fit(dtype, 2, True)
        for table in (x, matrix):
            table[:, spoilt] = odd
        right = np.zeros((design.terms.shape[1], LANES), dtype)
        gram(design.terms, x, right)
        factor(matrix, right.shape[0], 1e-6)
        solve(matrix, right)
        residual(design.terms, right, weight, x)
        process = np.zeros((4, LANES), dtype)
        update(x, process[0], process[1], process[2], process[3])
        return [matrix, right, x, process]

    alone, beside = run(slice(0, 0)), run(slice(5, None, 8))
    good = np.arange(LANES) % 8 != 5
    for a, b in zip(alone, beside, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a[:, good], b[:, good])


@FLOATS
def test_clear_observations_are_found_from_either_side(dtype: Float) -> None:
    values = np.zeros((2, 9, 3), dtype)
    values[0, [0, 1, 4], 1] = ODD
    values[1, [4, 8], 1] = np.nan, np.inf
    values[1, :, 2] = np.nan
    truth = np.isfinite(values).all(axis=0)
    for pixel in range(3):
        at = np.flatnonzero(truth[:, pixel])
        for t in range(9):
            assert is_clear(values, t, pixel) == truth[t, pixel]
            assert find_clear(values, pixel, t, 1) == min(at[at >= t], default=9)
            assert find_clear(values, pixel, t, -1) == max(at[at <= t], default=-1)
        assert find_clear(values, pixel, 9, 1) == 9
        assert find_clear(values, pixel, -1, -1) == -1


@FLOATS
@pytest.mark.parametrize("n_pixel", [0, 1, LANES - 1, LANES, LANES + 1, 2 * LANES, 2 * LANES + 1])
def test_whole_blocks_cover_every_pixel_once(dtype: Float, n_pixel: int) -> None:
    values = np.arange(6 * n_pixel, dtype=dtype).reshape(2, 3, n_pixel)
    parts = list(whole_blocks(values))
    assert [p for part, _ in parts for p in range(part.start, part.stop)] == list(range(n_pixel))
    for part, block in parts:
        size = part.stop - part.start
        np.testing.assert_array_equal(block[..., :size], values[..., part])
        assert block.dtype == dtype
        assert block.shape[-1] >= LANES
        if block.shape[-1] != n_pixel:
            assert block.shape[-1] == LANES
            assert np.isnan(block[..., size:]).all()
