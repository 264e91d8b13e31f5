"""The words of the lane vocabulary, to be called from Python: they have no wrapper of their own."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from groundbreak.kernels.lanes import cholesky, logarithm, words
from groundbreak.kernels.lanes.design import DATES_TOGETHER, Design
from groundbreak.kernels.lanes.jit import jit

Array = NDArray[Any]


@jit
def fill(value: float, out: Array) -> None:
    words.fill(value, out)


@jit
def load(row: Array, reference: Array | None, weight: Array, out: Array) -> None:
    words.load(row, reference, weight, out)


@jit
def drop(weight: Array, out: Array) -> None:
    words.drop(weight, out)


@jit
def gram(factors: Array, x: Array, sums: Array) -> None:
    for t in range(0, x.shape[0], DATES_TOGETHER):
        words.gram(factors[t : t + DATES_TOGETHER], x[t : t + DATES_TOGETHER], sums)


@jit
def normal(design: Design, sums: Array, matrix: Array) -> None:
    cholesky.normal(design, sums, matrix)


@jit
def factor(matrix: Array, n_terms: int, least: float) -> None:
    cholesky.factor(matrix, n_terms, least)


@jit
def solve(matrix: Array, right: Array) -> None:
    cholesky.solve(matrix, right)


@jit
def residual(terms: Array, coefficients: Array, weight: Array, x: Array) -> None:
    for t in range(0, x.shape[0], DATES_TOGETHER):
        stop = t + DATES_TOGETHER
        words.residual(terms[t:stop], coefficients, weight[t:stop], x[t:stop])


@jit
def update(x: Array, total: Array, squares: Array, low: Array, high: Array) -> None:
    for t in range(0, x.shape[0], DATES_TOGETHER):
        words.update(x[t], x[t + 1], x[t + 2], x[t + 3], total, squares, low, high)


@jit
def load_first(row: Array, reference: Array | None, weight: Array, out: Array) -> None:
    words.load_first(row, reference, weight, out)


@jit
def load_dates(values: Array, t: int, start: int, reference: Array | None, weight: Array, x: Array) -> None:
    words.load_dates(values, t, start, reference, weight, x)


@jit
def scale(factor: Array, out: Array) -> None:
    cholesky.scale(factor, out)


@jit
def log(x: Array, out: Array) -> None:
    for p in range(x.size):
        out[p] = logarithm.log(x[p])


@jit
def is_clear(values: Array, t: int, pixel: int) -> bool:
    return words.is_clear(values, t, pixel)


@jit
def find_clear(values: Array, pixel: int, t: int, step: int) -> int:
    return words.find_clear(values, pixel, t, step)
