"""The seasonal regression that the lanes solve: its terms, and the sums that hold all products of two of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DATES_TOGETHER = 4
"""Dates that one call of `gram` adds: each sum is read and written once for four dates."""

Rows = NDArray[Any]
"""(rows, LANES) float32 or float64, one row a quantity."""


class Design(NamedTuple):
    """A seasonal regression on a list of dates: level, harmonics of the year, and a trend or none.

    The sum over dates of the product of terms i >= j is ``a * sums[first] + b * sums[second]``, all four at pair
    i (i + 1) / 2 + j, where ``sums`` are those of ``products``. Both tables have rows of zeros up to a multiple of
    ``DATES_TOGETHER``.
    """

    terms: Rows
    """(time, term) float: 1, cos and sin of each harmonic, and t where there is a trend."""
    products: Rows
    """(time, product) float: functions of time whose weighted sums hold every product of two terms."""
    first: NDArray[np.int64]
    """(pair,) int64: position of the first of two products."""
    second: NDArray[np.int64]
    """(pair,) int64: position of the second of them."""
    a: Rows
    """(pair,) float: factor of the first."""
    b: Rows
    """(pair,) float: factor of the second."""


def waves(days: NDArray[np.int64], harmonics: int) -> list[NDArray[np.float64]]:
    """Return 1, then cos and sin of each of ``harmonics`` of the year, (time,) float64 each.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    """
    phase = 2 * np.pi * days / 365.25
    return [np.ones(days.size)] + [f(k * phase) for k in range(1, harmonics + 1) for f in (np.cos, np.sin)]


def make_design(
    days: NDArray[np.int64],
    harmonics: int,
    trend: bool,
    dtype: type[np.floating[Any]],
    n_history: int | None = None,
) -> Design:
    """Make the design of a seasonal regression.

    The product of two harmonics is half the sum of two others, so that with two harmonics and a trend 15 sums do for
    21 pairs. Time runs from -1 to 1, over the first ``n_history`` dates where only those are fitted.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01, increasing
    harmonics : number of harmonics of the year
    trend : whether there is a trend
    dtype : float32 or float64, of the tables
    n_history : number of dates that are fitted; None for all
    """
    fitted = days[:n_history]
    centre, half = ((fitted[0] + fitted[-1]) / 2, max((fitted[-1] - fitted[0]) / 2, 1)) if fitted.size else (0.0, 1.0)
    t = (days - centre) / half
    terms, products = waves(days, harmonics), waves(days, 2 * harmonics)
    if trend:
        products += [t * wave for wave in terms] + [t * t]
        terms.append(t)
    full = 1 + 4 * harmonics
    pairs: list[tuple[int, int, float, float]] = []
    for i in range(len(terms)):
        for j in range(i + 1):
            if trend and i == len(terms) - 1:
                pairs.append((full + j, 0, 1.0, 0.0))
            else:
                pairs.append(_product(i, j))
    padded = -(-days.size // DATES_TOGETHER) * DATES_TOGETHER

    def table(columns: list[NDArray[np.float64]]) -> Rows:
        out = np.zeros((padded, len(columns)), dtype)
        out[: days.size] = np.stack(columns, axis=1)
        return out

    first, second, a, b = zip(*pairs, strict=True)
    return Design(
        table(terms), table(products), np.array(first), np.array(second), np.array(a, dtype), np.array(b, dtype)
    )


def _product(i: int, j: int) -> tuple[int, int, float, float]:
    """Write the product of waves i >= j as a sum of two: cos a cos b = (cos(a - b) + cos(a + b)) / 2, and so on."""
    m, n = (i + 1) // 2, (j + 1) // 2

    def cosine(k: int) -> int:
        return 2 * k - 1 if k else 0

    if n == 0:
        return i, 0, 1.0, 0.0
    if i % 2 == 1 and j % 2 == 1:
        return cosine(m - n), cosine(m + n), 0.5, 0.5
    if i % 2 == 0 and j % 2 == 0:
        return cosine(m - n), cosine(m + n), 0.5, -0.5
    total, apart = 2 * (m + n), m - n
    if apart == 0:
        return total, 0, 0.5, 0.0
    # sin m cos n has + sin(m - n), cos m sin n has - sin(m - n)
    return total, 2 * apart, 0.5, 0.5 if i % 2 == 0 else -0.5
