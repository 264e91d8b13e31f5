"""What the steps of ``cusum`` and ``mosum`` share: the rule they follow, and the records that they fill."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.types import Bools, Floats, Ints

HISTORY_PIVOT = 1e-6
"""Smallest squared pivot of a fit: a history below it cannot tell its terms apart, and is not monitored."""

TIE = 1e-6
"""Processes this close, where it matters which is lower, are equal: rounding must not decide."""

STEP_SEEN = 5.0
"""A pixel is called stable where a step of as many standard deviations of the noise, in the middle of what is
monitored, would be seen: where it carries the process to its bound at the end of the record, on average. Of a shorter
record, or a limit too wide, silence says nothing (docs/method.md)."""


class Rule(NamedTuple):
    """How a record is monitored."""

    n_history: int
    """Number of dates that are fitted, the first of the record."""
    window: float
    """h of the MOSUM, the window's share of the history's observations; 0 for the CUSUM."""
    limits: Floats
    """(n + 1, m + 1) float64: c^2 of pixels with n clear observations in the history and m after it."""
    own: bool
    """Whether ``limits`` are in units of the pixel's own variance (`kernels.lanes.processes.own_variance`)."""


class Watched(NamedTuple):
    """What monitoring found, an array of shape (pixel,) each; positions count dates from 0, and -1 stands for none."""

    history: Ints
    """int64: number of clear observations in the history."""
    after: Ints
    """int64: number of clear observations after the history."""
    first: Ints
    """int64: position of the first clear observation."""
    kept: Ints
    """int64: position of the last clear observation of the history."""
    last: Ints
    """int64: position of the last clear observation of all."""
    tested: Bools
    """bool: whether the history could be fitted, so that the pixel was monitored."""
    sees: Bools
    """bool: whether a step of STEP_SEEN would be seen."""
    alarm: Ints
    """int64: position of the alarm."""
    before: Ints
    """int64: position of the clear observation before the alarm."""
    origin: Ints
    """int64: position of the last clear observation that is surely before the change."""
    mean: Floats
    """float64: mean residual of the first index from the alarm on, in the unit of the index; NaN for none."""
    evidence: Ints
    """int64: number of clear observations from the alarm on."""


def nothing_watched(n_pixel: int) -> Watched:
    """Make room for the results of ``n_pixel`` pixels, none of which has been looked at."""
    counts, places = np.zeros((3, n_pixel), np.int64), np.full((6, n_pixel), -1)
    return Watched(
        history=counts[0],
        after=counts[1],
        first=places[0],
        kept=places[1],
        last=places[2],
        tested=np.zeros(n_pixel, np.bool_),
        sees=np.zeros(n_pixel, np.bool_),
        alarm=places[3],
        before=places[4],
        origin=places[5],
        mean=np.full(n_pixel, np.nan),
        evidence=counts[2],
    )


class HistoryFit(NamedTuple):
    """The regression of a block of pixels on its history (`kernels.monitoring.history.fit`)."""

    sums: Floats
    """(product, LANES) float64: weighted sums of `Design.products`; the first row is n, clear observations."""
    matrix: Floats
    """(pair, LANES) float64: Cholesky factor of the normal equations, with reciprocals on its diagonal."""
    coefficients: Floats
    """(index + 1, term, LANES) float64: of each index; the last solves the normal equations for ``ahead``."""
    ahead: Floats
    """(term, LANES) float64: sums of `Design.terms` over what follows the history; the first row is m."""
    size: Floats
    """(index, LANES) float64: sums of the squared values of the history."""


class Limits(NamedTuple):
    """When each pixel of a block alarms (`kernels.monitoring.history.judge`)."""

    far: Floats
    """(LANES,) float64: m^2 times the variance of the mean prediction of what follows the history, noise units."""
    limit: Floats
    """(LANES,) float64: c^2."""
    level: Floats
    """(LANES,) float64: of `kernels.lanes.processes.find_near`; infinite where nothing is watched any more."""
    rise: Floats
    """(2, LANES) float64: of `kernels.lanes.processes.find_near`."""
    width: NDArray[np.uint64]
    """(LANES,) uint64: observations in the window of the MOSUM; 0 for the CUSUM."""


class Processes(NamedTuple):
    """The processes of a block, as they run from date to date (`kernels.monitoring.monitor.watch`)."""

    total: Floats
    """(index, LANES) float64: sums of the residuals so far."""
    spread: Floats
    """(index, LANES) float64: sums of the squared residuals of the history, then their variance."""
    past: Floats
    """(index, observation, LANES) float64: ``total`` after each observation; empty for the CUSUM."""
    window: Floats
    """(LANES,) float64: sum over the window, of one index."""
    near: Floats
    """(LANES,) float64: 1 where a process may be outside its bound, else 0."""
    alarm: Floats
    """(LANES,) float64: date * indices + index of the first alarm; dates * indices where there is none."""
    seen: NDArray[np.uint64]
    """(LANES,) uint64: number of clear observations so far."""
