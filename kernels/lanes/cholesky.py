"""Words of the lane layout that solve normal equations: their matrix, its Cholesky factor, and the coefficients.

A symmetric matrix of n terms is stored as the rows of its lower half, (pair, LANES), entry i >= j at i (i + 1) / 2 + j.
"""

from __future__ import annotations

import numpy as np

from groundbreak.kernels.lanes.design import Design, Rows
from groundbreak.kernels.lanes.jit import lane


@lane
def _mix(a: float, first: Rows, b: float, second: Rows, out: Rows) -> None:
    """Compute the weighted sum of two rows."""
    for p in range(out.size):
        out[p] = a * first[p] + b * second[p]


@lane
def normal(design: Design, sums: Rows, matrix: Rows) -> None:
    """Compute the matrix of the normal equations, (pair, LANES), from the sums of `gram` over the weights."""
    for pair in range(design.first.size):
        _mix(design.a[pair], sums[design.first[pair]], design.b[pair], sums[design.second[pair]], matrix[pair])


@lane
def subtract(x: Rows, y: Rows, out: Rows) -> None:
    """Subtract the product of two rows from a third."""
    for p in range(out.size):
        out[p] -= x[p] * y[p]


@lane
def scale(factor: Rows, out: Rows) -> None:
    """Multiply a row by another."""
    for p in range(out.size):
        out[p] *= factor[p]


@lane
def _inverse_root(least: float, out: Rows) -> None:
    """Replace a row by the reciprocals of its square roots, of values no smaller than ``least``."""
    one, least = out.dtype.type(1), out.dtype.type(least)
    for p in range(out.size):
        out[p] = one / np.sqrt(max(out[p], least))


@lane
def factor(matrix: Rows, n_terms: int, least: float) -> None:
    """Factor a matrix (pair, LANES) in place, by Cholesky; pivots are no smaller than ``least``.

    The diagonal of the factor holds reciprocals.
    """
    for j in range(n_terms):
        row = j * (j + 1) // 2
        for k in range(j):
            subtract(matrix[row + k], matrix[row + k], matrix[row + j])
        _inverse_root(least, matrix[row + j])
        for i in range(j + 1, n_terms):
            at = i * (i + 1) // 2
            for k in range(j):
                subtract(matrix[at + k], matrix[row + k], matrix[at + j])
            scale(matrix[row + j], matrix[at + j])


@lane
def forward(matrix: Rows, right: Rows) -> None:
    """Divide a right side (term, LANES) by the factor of `factor`, in place: the first half of `solve`.

    The sum of its squares is then what the regression takes from the square of what the right side was made of.
    """
    for i in range(right.shape[0]):
        row = i * (i + 1) // 2
        for k in range(i):
            subtract(matrix[row + k], right[k], right[i])
        scale(matrix[row + i], right[i])


@lane
def solve(matrix: Rows, right: Rows) -> None:
    """Solve for one right side (term, LANES) in place, with the factor of `factor`."""
    n_terms = right.shape[0]
    forward(matrix, right)
    for i in range(n_terms - 1, -1, -1):
        for k in range(i + 1, n_terms):
            subtract(matrix[k * (k + 1) // 2 + i], right[k], right[i])
        scale(matrix[i * (i + 1) // 2 + i], right[i])
