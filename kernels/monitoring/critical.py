"""Critical values of the monitoring detectors, calibrated by simulation for the design in use.

The published limits assume a long history and no extrapolation. With a trend, a season and a history of one to three
years they give 30-40 % false alarms at a nominal 5 %, for two reasons. Few observations leave the noise badly known,
which depends on their number alone. And the fitted trend is extrapolated with an error that depends on where a
pixel's clear observations lie: after one year it is many times the noise. So a pixel's c^2 is its own prediction
variance (`kernels.lanes.processes.own_variance`) times a factor g that hardly depends on anything but n and m, its
numbers of clear observations in and after the history. To find g, white Gaussian noise is drawn for n and m randomly
chosen dates. For each series the smallest c^2 that it does not cross is divided by its own variance, and g is a
quantile of these.

Noise that is not white, as real weather, crosses more often than the level says; no limit of this kind prevents that.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.design import make_design
from groundbreak.kernels.types import Floats, Ints

MASKS, DRAWS = 64, 160
"""Patterns of missing dates at every node of the table, and series of noise on each."""

HISTORY_NODES = 8
FOLLOWING_STEP = 1.7
"""Nodes over n (even in 1 / degrees of freedom, and denser where it is small), and the ratio of those over m."""

SEED = 20090717

_LOCK = Lock()


def calibrated_limits(
    days: Ints, n_history: int, harmonics: int, trend: bool, window: float, level: float
) -> NDArray[np.float64]:
    """Calibrate c^2, in units of the pixel's own variance, at every number of clear observations.

    Parameters
    ----------
    days : (time,) int64, days since 1970-01-01
    n_history : number of dates that are fitted
    harmonics, trend : the terms that are fitted to them
    window : h of the MOSUM, 0 for the CUSUM
    level : share of undisturbed series of one index that may alarm before the record ends

    Returns
    -------
    (n + 1, m + 1) float64, at n clear observations in the history and m after it; infinite where nothing is monitored.
    """
    with _LOCK:  # threads of one worker start on the same dates at once: one of them simulates
        return _limits(days.tobytes(), n_history, harmonics, trend, window, level)


@lru_cache(maxsize=16)
def _limits(
    stamps: bytes, n_history: int, harmonics: int, trend: bool, window: float, level: float
) -> NDArray[np.float64]:
    """Calibrate the limits of the dates whose int64 days are ``stamps``, or remember them."""
    days = np.frombuffer(stamps, np.int64)
    terms = make_design(days, harmonics, trend, np.float64, n_history).terms[: days.size]
    after = days.size - n_history
    k = terms.shape[1]
    table = np.full((n_history + 1, after + 1), np.inf)
    if n_history < 2 * k or after < 1:
        return table
    rng = np.random.Generator(np.random.SFC64(SEED))
    freedom = np.geomspace(k, n_history - k, HISTORY_NODES) if n_history > 2 * k else np.array([float(k)])
    ns = np.unique(np.round(freedom).astype(int)) + k
    ms = np.unique(np.round(np.geomspace(1, after, 2 + int(np.log(after) / np.log(FOLLOWING_STEP)))).astype(int))
    node = [[np.quantile(needed(terms, n_history, n, m, window, rng), 1 - level) for m in ms] for n in ns]
    # a quantile of a square like Student's is nearly exponential in 1 / freedom; both axes are interpolated linearly
    logs = np.log(np.maximum(node, 1e-3))
    every, counts = np.arange(1, after + 1), np.arange(2 * k, n_history + 1)
    wide = np.array([np.interp(np.log(every), np.log(ms), row) for row in logs])
    full = [np.interp(-1 / (counts - k), -1 / (ns - k), column) for column in wide.T]
    table[2 * k :, 1:] = np.exp(np.transpose(full))
    return table


def needed(
    terms: Floats, n_history: int, n: int, m: int, window: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Find the smallest c^2, over own variance, that each of ``MASKS * DRAWS`` series of white noise does not cross.

    Parameters
    ----------
    terms : (time, term) float64
    n, m : clear dates among the first ``n_history`` and among the rest
    """
    after = terms.shape[0] - n_history
    old = np.argsort(rng.random((MASKS, n_history)), axis=1)[:, :n]
    new = n_history + np.argsort(rng.random((MASKS, after)), axis=1)[:, :m]
    fitted, later = terms[np.sort(old, axis=1)], terms[np.sort(new, axis=1)]
    # orthogonal columns: the coefficients are then the noise's products with them
    root = np.linalg.cholesky(fitted.transpose(0, 2, 1) @ fitted + 1e-9 * np.eye(terms.shape[1]))
    inverse = np.linalg.inv(root).transpose(0, 2, 1)
    old_basis, new_basis = (fitted @ inverse).astype(np.float32), (later @ inverse).astype(np.float32)
    noise = rng.standard_normal((MASKS, n + m, DRAWS), dtype=np.float32)
    coefficients = old_basis.transpose(0, 2, 1) @ noise[:, :n]
    squares = np.einsum("ijk,ijk->ik", noise[:, :n], noise[:, :n]) - (coefficients**2).sum(axis=1)
    variance = (np.maximum(squares, 1e-6) / (n - terms.shape[1]))[:, None]  # float32 may leave nothing of a single one
    noise[:, n:] -= new_basis @ coefficients
    far = (new_basis.mean(axis=1).astype(np.float64) ** 2).sum(axis=1)
    t = np.arange(n + 1, n + m + 1)[:, None]
    if window > 0:
        width = max(1, int(np.floor(window * n)))
        noise[:, n - width : n] -= old_basis[:, n - width :] @ coefficients
        total = np.cumsum(noise[:, n - width :], axis=1)
        process = total[:, width:] - total[:, :-width]
        process *= process
        process /= (2 * n * np.maximum(np.log(t / n), 1)).astype(np.float32)
        own = width * (1 + width * far) / (2 * n)
        worst = process.max(axis=1) / variance[:, 0]
    else:
        process = np.cumsum(noise[:, n:], axis=1)
        process *= process
        process *= (n / (t * (t - n))).astype(np.float32)
        process /= variance
        process -= np.log(t / (t - n)).astype(np.float32)
        own = n * (1 + m * far) / (n + m)
        worst = process.max(axis=1)
    return np.ravel(worst / own[:, None].astype(np.float32))
