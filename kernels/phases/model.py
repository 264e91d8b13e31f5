"""What the steps of the ``phases`` detector share: constants, parameters, tables and records (docs/method.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.types import Floats, Ints

MIN_OBSERVATIONS = 20
MIN_SPAN_DAYS = 180.0
"""Below either, a pixel has status too_few_observations."""

STEP_LEFT = 6.0
STEP_SHARE = 0.1
"""A pixel is called stable where the season of the screen leaves as many observations, and this share of all, of a step
in the middle: then 96 % of steps of 5 standard deviations are found. Of less it has status too_few_observations, unless
a change is reported: two harmonics take all of a step in a record of a year (docs/method.md)."""

MIN_BASELINE = 8
"""Observations before any onset."""

MIN_SETTLED = 6
"""Observations in any settled phase; also what confirms an onset."""

LATEST = 10
"""Observations at the end that give an open activity's latest level."""

PAUSE_DAYS = 180.0
PAUSE_SPREAD = 2.0
"""A stage as long as this and no rougher (variance, noise units) is a pause between two activities."""


class Prior(NamedTuple):
    """Prior of a phase's regression."""

    precision: Floats
    """(term,) float64: of each coefficient, relative to the noise."""
    logdet: float
    """Minus the sum of the logarithms of ``precision``."""
    shape: float
    """Shape of the inverse gamma distribution of the variance."""
    scale: float
    """Scale of the inverse gamma distribution of the variance, noise units squared."""
    table: Floats
    """(time + 1,) float64: the part of the evidence that depends on the number of observations alone."""


BASELINE = (np.array([1e-3, 1e-2, 1e-2, 4e-2, 4e-2, 1.0]), 1.0, 1.0)
"""Normal ground may swing by tens of noise units a year."""

SETTLED = (np.array([1e-3, 4.0, 4.0, 16.0, 16.0, 100.0]), 16.0, 16.0)
"""Finished ground hardly swings, drifts by nothing, and is as quiet as the noise: what drifts or churns is works."""

STAGE = (np.array([1e-3, 1.0]), 1.0, 9.0)
"""A stage of works: a level and a trend, at three times the noise."""

TYPICAL = 200.0
"""Clear observations of the records that the odds were fitted on. What years that differ do to a CUSUM grows with the
root of their number, so it is scaled to this one."""

NOISE_BOUND = 0.78
"""Least share of ``screen`` asked of a short record: below it, white noise would pass."""

STAGE_COST = 10.0
"""Log evidence, an index, that one more stage must add."""


class Settings(NamedTuple):
    """Parameters of the detector; see ``registry.DETECTORS`` for what each one does."""

    screen: float
    """Standard deviations of the CUSUM, for TYPICAL observations, below which a pixel is stable."""
    belief: float
    """Least probability, 0-1, of a change that is reported."""
    settled_days: float
    """Least length of a settled phase, days."""
    confirm_days: float
    """Days after an onset before it is no longer provisional."""
    spike: float
    """Isolated observations this many noise units off are dropped; 0 keeps all."""
    noise_floor: float
    """Smallest noise that is believed, in the unit of the index."""


class Tables(NamedTuple):
    """What depends on the dates of a record alone."""

    day: Floats
    """(time,) float64: days since 1970-01-01."""
    seasons: Ints
    """(time, window, 2) int64: the dates near each one's day of the year, in other years; see `season_windows`."""
    states: Ints
    """(time, window, 2) int64: the dates near each one's day of the year, in all years; see `season_windows`."""
    design: Floats
    """(time, N_TERMS) float64: the design of `kernels.phases.evidence.design_matrix`."""
    pairs: Floats
    """(time, N_PAIRS) float64: products of two columns of ``design``."""
    baseline: Prior
    """Prior of normal ground."""
    settled: Prior
    """Prior of finished ground."""
    stage: Prior
    """Prior of a stage of works."""


class Records(NamedTuple):
    """The observations in use of every pixel of a block, first in time first."""

    size: Ints
    """(pixel,) int64: how many there are; the rest of each row below is unused."""
    z: Floats
    """(pixel, index, time) float64: noise units."""
    date: Ints
    """(pixel, time) int64: positions among all dates."""
    day: Floats
    """(pixel, time) float64: days since 1970-01-01."""
    scale: Floats
    """(pixel, index) float64: the noise unit, in the unit of the index."""


CANDIDATE = np.dtype(
    [
        ("size", np.int64),  # observations in use, 0: too few
        ("onset", np.int64),  # first changed observation, -1: no candidate
        ("onset_low", np.int64),  # 90 % bounds, positions
        ("onset_high", np.int64),
        ("settled", np.int64),  # first settled observation, or the number of observations
        ("settled_low", np.int64),
        ("settled_high", np.int64),
        ("begin", np.int64),  # onset by evidence alone, before the climatology moved it
        ("pauses", np.int64),
        ("evidence", np.int64),  # observations that no season explains
        ("cusum", np.float64),  # the screen's statistic, largest of the indices, scaled to TYPICAL observations
        ("over_open", np.float64),  # log evidence, an index, of a settled end over works that go on
        ("lost", np.float64),  # share of the baseline's states that are gone
        ("novel", np.float64),  # share of what came that the baseline never showed
        ("grown", np.float64),  # log evidence, an observation and index, of a season over one stage since the onset
        ("spread", np.float64),  # standard deviation of the settled phase, noise units
        # the same in days since 1970-01-01, and levels in the unit of the first index
        ("first", np.float64),  # first and last observation used
        ("last", np.float64),
        ("before", np.float64),  # the observation before the onset
        (
            "change",
            np.float64,
        ),  # the onset, and its bounds: the day after the last surely normal one, the last possible
        ("earliest", np.float64),
        ("latest", np.float64),
        ("normal", np.float64),  # the observation at the lower bound
        ("halt", np.float64),  # the last observation of works, and the one after it
        ("quiet", np.float64),
        ("halt_earliest", np.float64),
        ("halt_latest", np.float64),
        ("after", np.int64),  # observations since the onset, that of the onset included
        ("ends", np.bool_),  # whether a settled phase follows
        ("shift", np.float64),  # latest level less that of the baseline
        ("settled_shift", np.float64),  # settled level less that of the baseline
    ]
)
"""What is known of a pixel's change; each step of the detector fills in its part. Positions count its observations."""

Candidates = NDArray[np.void]
