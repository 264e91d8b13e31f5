"""What the stages of the ``phases`` detector share: constants, parameters, tables and records.

A *task* is the search for one change in a stretch of one pixel's observations; the stages run over
the tasks of a block, each a kernel of its own (docs/method.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.series import Floats, Ints

MIN_OBSERVATIONS = 20
MIN_SPAN_DAYS = 180.0
"""Below either, a pixel has status too_few_observations."""

MIN_BASELINE = 8
"""Observations before any onset."""

MIN_SETTLED = 6
"""Observations in any settled phase; also what confirms an onset."""

LATEST = 10
"""Observations at the end that speak for an open activity and for its latest level."""

BASELINE_PRECISION = np.array([1e-3, 1e-2, 1e-2, 4e-2, 4e-2, 1.0])
SETTLED_PRECISION = np.array([1e-3, 4e-2, 4e-2, 0.25, 0.25, 1.0])
"""Prior precision of level, harmonics and trend (per year), relative to the noise: a baseline may
swing by tens of noise units a year, finished ground by a few."""

ACTIVITY_B0 = 9.0
"""Scale of the activity's variance prior: works are expected at three times the noise."""

ACTIVITY_PRECISION = (1e-3, 0.04)
"""Prior precision of an activity's level and trend (per year), relative to its noise."""

SCREEN = 0.0
"""Gain of the best step or open activity below which the search over pairs is not made."""

NONE, OPEN, SETTLED = 0, 1, 2
"""Kinds of change."""


class Settings(NamedTuple):
    """Parameters of the detector; see ``registry.DETECTORS`` for what each one does."""

    threshold: float
    persistence: float
    settled_days: float
    settled_noise: float
    confirm_days: float
    spike: float
    noise_floor: float


class Tables(NamedTuple):
    """What depends on the dates alone.

    ``day`` (time,) float64 days since 1970-01-01; ``season`` (time,) float64 day of the year;
    ``design`` (time, N_TERMS) float64; ``smooth`` and ``works`` (time + 1,) float64, evidence
    tables of seasonal phases and of activities.
    """

    day: Floats
    season: Floats
    design: Floats
    smooth: Floats
    works: Floats


class Records(NamedTuple):
    """The observations in use of every pixel of a block, first in time first.

    ``size`` (pixel,) int64, how many; ``z`` (pixel, time, index) float64, noise units; ``day`` and
    ``season`` (pixel, time) float64; ``design`` (pixel, time, N_TERMS) float64; ``scale`` (pixel,
    index) float64, the noise unit in the index's own; ``floor`` the same, noise floor in noise
    units.
    """

    size: Ints
    z: NDArray[np.float64]
    day: Floats
    season: Floats
    design: NDArray[np.float64]
    scale: Floats
    floor: Floats


TASK = np.dtype(
    [
        ("pixel", np.int64),
        ("start", np.int64),
        ("stop", np.int64),
        ("first_onset", np.float64),  # earliest day of an onset
        ("settled_days", np.float64),  # shortest settled phase
    ]
)
"""The stretch [start, stop) of a pixel's observations to search; positions below count from start."""

CHANGE = np.dtype(
    [
        ("kind", np.int64),
        ("onset", np.int64),  # after the marks moved it, and the latest that they allow
        ("onset_high", np.int64),
        ("i", np.int64),  # onset by likelihood
        ("j", np.int64),  # first settled observation, or the number of observations
        ("i_low", np.int64),  # 90 % bounds of both
        ("i_high", np.int64),
        ("j_low", np.int64),
        ("j_high", np.int64),
        ("first", np.int64),  # range of onsets searched, and of settled starts
        ("last", np.int64),
        ("sure", np.int64),  # 1 where what came is new, or what went had time to come back
        ("marked", np.int64),  # observations that support it
        ("stable", np.float64),  # log evidence of no change, and of the best change
        ("best", np.float64),
        ("inflation", np.float64),  # variance inflation by autocorrelation
        ("strength", np.float64),  # log evidence gained, net of inflation
        ("share", np.float64),  # marked share of the settled (or latest) observations
    ]
)
"""What is known of the change sought by a task; each stage fills in its part."""

Tasks = NDArray[np.void]
Changes = NDArray[np.void]
