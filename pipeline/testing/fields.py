"""Random fields in space and random walks in time that the simulated world is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float32]


def stream(seed: int, *key: int) -> np.random.Generator:
    """Make an independent random generator for one named part of the world.

    Parts draw from their own streams, so that neither the number of workers nor the order of the
    dates changes a pixel.
    """
    return np.random.default_rng([seed, *key])


def smooth(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Floats:
    """Draw a Gaussian random field with mean 0 and variance 1 at every pixel.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        (rows, columns).
    cell
        Correlation length, pixels.

    Returns
    -------
    (row, col) float32.
    """
    rows, cols = (_kernel(rng, n, cell) for n in shape)
    nodes = rng.standard_normal((rows.shape[1], cols.shape[1]), dtype=np.float32)
    # Four rows a product stay below the size at which BLAS starts threads, which would fight over
    # the cores with the other workers; the last group may repeat rows of zeros.
    padded = np.zeros((-(-shape[0] // 4) * 4, rows.shape[1]), dtype=np.float32)
    padded[: shape[0]] = rows
    out = padded.reshape(-1, 4, rows.shape[1]) @ nodes @ cols.T
    return np.asarray(out.reshape(-1, shape[1])[: shape[0]])


def _kernel(rng: np.random.Generator, n: int, cell: float) -> Floats:
    nodes = int(np.ceil(n / cell)) + 6
    # A random phase, or the nodes of all dates would fall on the same pixels.
    distance = np.arange(n)[:, None] / cell + rng.random() + 2.0 - np.arange(nodes)[None, :]
    weight = np.exp(-0.5 * (distance / 0.75) ** 2)
    # Without far tails, which would be denormal numbers, slow to multiply.
    weight[weight < 1e-4] = 0
    # Rows of unit length keep the variance at 1 between the nodes as well as on them.
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    return weight.astype(np.float32)


def wander(rng: np.random.Generator, days: int, series: int, memory: float) -> NDArray[np.float64]:
    """Draw daily series of mean 0 and variance 1 whose correlation falls to 1/e in `memory` days.

    Returns
    -------
    (series, day) float64.
    """
    rho = float(np.exp(-1.0 / memory))
    shocks = rng.standard_normal((series, days)) * np.sqrt(1 - rho**2)
    shocks[:, 0] /= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], shocks, axis=1))


def halve(values: Floats) -> Floats:
    """Average 2 x 2 pixels over the last two axes: 10 m to 20 m."""
    a = values[..., ::2, :] + values[..., 1::2, :]
    return np.asarray((a[..., ::2] + a[..., 1::2]) * np.float32(0.25))


def double[T: np.generic](values: NDArray[T]) -> NDArray[T]:
    """Repeat each pixel 2 x 2 over the last two axes: 20 m to 10 m."""
    return values.repeat(2, axis=-2).repeat(2, axis=-1)


def blur(values: Floats, shift_row: float, shift_col: float) -> Floats:
    """Blur (band, row, col) by the point spread of the sensor, and shift it by less than a pixel.

    Three taps an axis, reflecting at the border; a shift of s pixels moves s / 2 of the weight from
    one side to the other, which is linear interpolation for small s.
    """
    wing = np.float32(0.12)
    up, left = np.float32(shift_row / 2), np.float32(shift_col / 2)
    rows = values * (1 - 2 * wing)
    rows[:, 1:] += values[:, :-1] * (wing + up)
    rows[:, :1] += values[:, :1] * (wing + up)
    rows[:, :-1] += values[:, 1:] * (wing - up)
    rows[:, -1:] += values[:, -1:] * (wing - up)
    out = rows * (1 - 2 * wing)
    out[..., 1:] += rows[..., :-1] * (wing + left)
    out[..., :1] += rows[..., :1] * (wing + left)
    out[..., :-1] += rows[..., 1:] * (wing - left)
    out[..., -1:] += rows[..., -1:] * (wing - left)
    return out
