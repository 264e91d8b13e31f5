"""The ``phases`` detector: baseline | activity | settled, by penalised three-phase likelihood.

See docs/method.md. One pixel at a time; :mod:`kernels.reference` is its slow twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels import checks, search
from kernels._jit import jit
from kernels.harmonic import N_TERMS, evidence_path
from kernels.series import Floats, Ints, columns, running_moments

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
    tables of seasonal phases and of activities; ``first_onset`` the earliest day of an onset.
    """

    day: Floats
    season: Floats
    design: Floats
    smooth: Floats
    works: Floats
    first_onset: float


class Change(NamedTuple):
    """One change: kind, positions of onset i and first settled observation j, their 90 % bounds,
    evidence in log units, the share of its settled (or latest) part, and marked observations."""

    kind: int
    i: int
    j: int
    i_low: int
    i_high: int
    j_low: int
    j_high: int
    strength: float
    share: float
    marked: int


@jit
def gather(tables: Tables, taken: Ints, start: int, stop: int, first_onset: float) -> Tables:
    """Tables of the observations ``taken[start:stop]``, with onsets from ``first_onset`` on."""
    n = stop - start
    day = np.empty(n)
    season = np.empty(n)
    design = np.empty((n, N_TERMS))
    for q in range(n):
        at = taken[start + q]
        day[q] = tables.day[at]
        season[q] = tables.season[at]
        for a in range(N_TERMS):
            design[q, a] = tables.design[at, a]
    allowed = max(tables.first_onset, first_onset)
    return Tables(day, season, design, tables.smooth, tables.works, allowed)


@jit
def find_change(z: Floats, floor: Floats, own: Tables, settings: Settings, settled_days: float) -> Change:
    """Find the best single change of a series, if one passes every check.

    Parameters
    ----------
    z : (index, time) float64, noise units; floor : (index,) float64, noise floor in noise units
    own : tables of these very observations
    settled_days : float, shortest settled phase
    """
    n_index, n = z.shape
    none = Change(NONE, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0)
    first = MIN_BASELINE
    while first < n and own.day[first] < own.first_onset:
        first += 1
    last = n - MIN_SETTLED
    while last >= first and own.day[n - 1] - own.day[last] < settled_days:
        last -= 1

    before, after, score = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    coef = np.zeros((n_index, N_TERMS))
    stable = evidence_path(own.design, z, 0, n - 1, (n, n), BASELINE_PRECISION, 1.0, own.smooth, before, coef)
    evidence_path(own.design, z, n - 1, 0, (n, n), SETTLED_PRECISION, 1.0, own.smooth, after, coef)
    moments = np.zeros((n + 1, 2 + 3 * n_index))
    running_moments(z, own.design, N_TERMS - 1, moments)
    paths = search.Paths(before, after, moments, n_index, own.works, np.zeros(n + 1))
    best, i = search.best_onset(paths, n, first, n - 2, -np.inf, -1)
    step, _ = search.best_step(paths, first, last)
    if max(best, step) - stable < SCREEN:
        return none
    j = n
    score_settled, settled_i, settled_j = search.best_settled(paths, first, last)
    if score_settled >= best:
        best, i, j = score_settled, settled_i, settled_j
    gain = best - stable
    if gain < settings.threshold:
        return none
    if i < j < n:  # against an episode after which the ground is as it was
        back = evidence_path(own.design, z, 0, n - 1, (i, j), BASELINE_PRECISION, 1.0, own.smooth, score, coef)
        gain = min(gain, before[i] + after[j] - back)  # the activity's own evidence cancels
    evidence_path(own.design, z, 0, i - 1, (n, n), BASELINE_PRECISION, 1.0, own.smooth, score, coef)
    inflation = max(1.0, checks.batch_ratio(own.design, z, coef, 0, i))
    if j < n:
        evidence_path(own.design, z, n - 1, j, (n, n), SETTLED_PRECISION, 1.0, own.smooth, score, coef)
        inflation = max(inflation, checks.batch_ratio(own.design, z, coef, j, n))
    strength = gain / inflation
    if strength < settings.threshold:
        return none

    marks = np.zeros(n)
    checks.mark_evidence(z, own.season, i, n, marks)
    part = j if j < n else max(i, n - LATEST)
    share = checks.count_evidence(marks, part) / (n - part)
    if share < settings.persistence:
        return none
    limit = best - search.INTERVAL_DROP * inflation
    ends = (max(j - search.PROFILE, i), min(j + search.PROFILE, last)) if j < n else (n, n)
    low, high = search.onset_interval(paths, first, ends, i, limit)
    j_low = j_high = j
    if j < n:
        near = (max(i - search.PROFILE, first), min(i + search.PROFILE, j))
        j_low, j_high = search.end_interval(paths, last, near, j, limit)
    stop = min(j, n - 3)
    onset = checks.onset_from(marks, i, stop, checks.ONSET_SHARE)
    high = max(high, checks.onset_from(marks, i, stop, checks.ONSET_SHARE_STRICT), onset)
    if j < n and not checks.is_quiet(z, floor, i, j, n, settings.settled_noise, score):
        j = j_low = j_high = n
    kind = SETTLED if j < n else OPEN
    marked = checks.count_evidence(marks, onset)
    return Change(kind, onset, j, low, high, j_low, j_high, strength, share, marked)


@jit
def confirmed(change: Change, own: Tables, settings: Settings) -> bool:
    """Whether enough time and observations follow the onset."""
    n = own.day.size
    days = own.day[n - 1] - own.day[change.i]
    return bool(n - change.i >= MIN_SETTLED and days >= settings.confirm_days)


@jit
def find_changes(
    z: Floats, floor: Floats, tables: Tables, taken: Ints, settings: Settings
) -> tuple[Change, Change, int, int]:
    """Find all separate changes: the best one, those after it, and one before it.

    Parameters
    ----------
    z, floor, settings : see :func:`find_change`
    tables : of all dates; taken : (>= time,) int64, positions of these observations

    Returns
    -------
    (first, latest, offset, count): ``latest`` is relative to observation ``offset``. With count 0
    neither means anything.
    """
    n = z.shape[1]
    first = latest = Change(NONE, 0, n, 0, 0, 0, 0, 0.0, 0.0, 0)
    offset, count = 0, 0
    start, first_onset = 0, tables.first_onset
    while n - start >= MIN_OBSERVATIONS:
        part = gather(tables, taken, start, n, first_onset)
        found = find_change(columns(z, start, n), floor, part, settings, settings.settled_days)
        if found.kind == NONE or (count > 0 and not confirmed(found, part, settings)):
            break
        if count == 0:
            first = found
        latest, offset, count = found, start, count + 1
        if found.kind == OPEN:
            break
        start += found.j
        # a pause shorter than a settled phase is part of one activity
        first_onset = tables.day[taken[start]] + settings.settled_days
    if count > 0 and first.i >= MIN_OBSERVATIONS:
        # it must not end in a mere season before the change known, so it settles twice as long
        part = gather(tables, taken, 0, first.i, tables.first_onset)
        twice = 2.0 * settings.settled_days
        earlier = find_change(columns(z, 0, first.i), floor, part, settings, twice)
        if earlier.kind == SETTLED:
            first, count = earlier, count + 1
    return first, latest, offset, count
