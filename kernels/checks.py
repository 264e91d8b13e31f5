"""The stage that checks: every candidate against what a likelihood of independent noise ignores."""

from __future__ import annotations

import numpy as np

from kernels._jit import jit
from kernels.harmonic import N_TERMS, evidence_path, level_trend_scan
from kernels.marks import (
    ONSET_SHARE,
    ONSET_SHARE_STRICT,
    batch_ratio,
    count_evidence,
    is_quiet,
    mark_evidence,
    onset_from,
)
from kernels.model import (
    ACTIVITY_B0,
    ACTIVITY_PRECISION,
    BASELINE_PRECISION,
    LATEST,
    NONE,
    OPEN,
    SETTLED,
    SETTLED_PRECISION,
    Changes,
    Records,
    Settings,
    Tables,
    Tasks,
)
from kernels.series import ONE, ZERO, running_moments
from kernels.states import lost_states, novel_share

LOST_SETTLED = 0.5
"""Share of baseline states that finished ground no longer shows."""

LOST_WHOLLY = 0.9
"""Share of baseline states lost from which the ground is another, whatever season it has."""

SEASON_GAIN = 0.08
"""Log evidence an observation and index by which a season beats works: the ground grows, it is not built on."""

NOVEL = 0.5
"""Share of observations outside all that the baseline showed in any season: not a mere missed season."""

RETURN_DAYS = 410.0
"""Days within which a season that was missed, and nothing worse, can come back: a year and a late spring."""


@jit
def check(records: Records, tables: Tables, settings: Settings, tasks: Tasks, changes: Changes) -> None:
    """Fourth stage: every check on the candidates of the search.

    Parameters
    ----------
    changes : (task,) CHANGE with i, j, stable, best; out: kind (NONE where a check fails), onset,
        onset_high, sure, marked, inflation, strength, share
    """
    n_time, n_index = records.z.shape[1:]
    score, marks = np.empty(n_time + 1), np.empty(n_time)
    coef = np.empty((n_index, N_TERMS))
    moments = np.zeros((n_time + 1, 2 + 3 * n_index))
    for t in range(tasks.size):
        task, change = tasks[t], changes[t]
        change.kind = NONE
        n = task.stop - task.start
        z = records.z[task.pixel][task.start : task.stop]
        day = records.day[task.pixel][task.start : task.stop]
        season = records.season[task.pixel][task.start : task.stop]
        design = records.design[task.pixel][task.start : task.stop]
        floor = records.floor[task.pixel]
        i, j = change.i, change.j
        part = j if j < n else max(i, n - LATEST)
        mark_evidence(z, season, i, part, n, marks)
        change.share = count_evidence(marks, part, n) / (n - part)
        if change.share < settings.persistence:
            continue
        gain = change.best - change.stable
        # the baseline's coefficients, and what it is worth
        base = evidence_path(design, z, ZERO, i - 1, (n, n), BASELINE_PRECISION, tables.smooth, score, coef)
        inflation = max(1.0, batch_ratio(design, z, coef, ZERO, i))
        if j < n:
            end = evidence_path(design, z, n - 1, j, (n, n), SETTLED_PRECISION, tables.smooth, score, coef)
            inflation = max(inflation, batch_ratio(design, z, coef, j, n))
            if i < j:  # against an episode after which the ground is as it was; the activity cancels
                back = evidence_path(design, z, ZERO, n - 1, (i, j), BASELINE_PRECISION, tables.smooth, score, coef)
                gain = min(gain, base + end - back)
        change.inflation = inflation
        change.strength = gain / inflation
        if change.strength < settings.threshold:
            continue
        mark_evidence(z, season, i, i, part, marks)
        stop = min(j, n - 3)
        onset = onset_from(marks, i, stop, n, ONSET_SHARE)
        change.onset_high = max(onset_from(marks, i, stop, n, ONSET_SHARE_STRICT), onset)
        change.onset = onset
        change.marked = count_evidence(marks, onset, n)
        settled = j < n and is_quiet(z, floor, i, j, n, settings.settled_noise, score)
        if settled:
            lost = lost_states(z, season, i, j, n)
            settled = lost >= LOST_SETTLED
            part = j
        if not settled:
            lost = lost_states(z, season, i, onset, n)
            part = onset
        if not settled and lost < LOST_WHOLLY:
            grown = evidence_path(design, z, onset, n - 1, (n, n), BASELINE_PRECISION, tables.smooth, score, coef)
            running_moments(z, design, moments)
            level_trend_scan(
                moments, n_index, n, onset, onset + 1, ONE, ACTIVITY_PRECISION, ACTIVITY_B0, tables.works, score
            )
            if grown - score[onset] > SEASON_GAIN * n_index * (n - onset):
                continue
        waited = day[n - 1] - day[onset] >= RETURN_DAYS
        change.sure = waited or lost >= LOST_WHOLLY or novel_share(z, i, part, n) >= NOVEL
        change.kind = SETTLED if settled and change.sure else OPEN
