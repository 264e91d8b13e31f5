"""The stages that search: screen, both dates, and their intervals. Each is one kernel over many tasks.

Python stands between the stages on purpose: numba optimises a function again in everything that
calls it, so one kernel around them all took twice as long to compile; and each stage sees only the
tasks that the one before let through.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import jit
from kernels.harmonic import N_TERMS, evidence_path
from kernels.model import (
    BASELINE_PRECISION,
    MIN_BASELINE,
    MIN_SETTLED,
    SCREEN,
    SETTLED_PRECISION,
    Changes,
    Records,
    Tables,
    Tasks,
)
from kernels.search import (
    INTERVAL_DROP,
    PROFILE,
    Paths,
    best_onset,
    best_settled,
    best_step,
    end_interval,
    onset_interval,
)
from kernels.series import NOWHERE, ZERO, Floats, running_moments


@jit
def screen(records: Records, tables: Tables, tasks: Tasks, changes: Changes, before: Floats, after: Floats) -> None:
    """Second stage: the paths of every task, and its best step or open activity.

    Parameters
    ----------
    changes : (task,) CHANGE, out: first, last, i, j, stable, best; j = -1 where the best gains less
        than ``SCREEN``
    before, after : (task, > time) float64, out: see :class:`Paths`
    """
    n_time, n_index = records.z.shape[1:]
    work = np.empty(n_time + 1)
    coef = np.empty((n_index, N_TERMS))
    moments = np.zeros((n_time + 1, 2 + 3 * n_index))
    for t in range(tasks.size):
        task, change = tasks[t], changes[t]
        n = task.stop - task.start
        z = records.z[task.pixel][task.start : task.stop]
        day = records.day[task.pixel][task.start : task.stop]
        design = records.design[task.pixel][task.start : task.stop]
        first = MIN_BASELINE
        while first < n and day[first] < task.first_onset:
            first += 1
        last = n - MIN_SETTLED
        while last >= first and day[n - 1] - day[last] < task.settled_days:
            last -= 1
        change.first, change.last, change.i, change.j = first, last, -1, -1
        before[t, 0] = after[t, n] = 0.0
        stable = evidence_path(design, z, ZERO, n - 1, (n, n), BASELINE_PRECISION, tables.smooth, before[t], coef)
        evidence_path(design, z, n - 1, ZERO, (n, n), SETTLED_PRECISION, tables.smooth, after[t], coef)
        running_moments(z, design, moments)
        paths = Paths(before[t], after[t], moments, n_index, tables.works, work, n)
        best, i = best_onset(paths, n, first, n - 2, -np.inf, NOWHERE)
        step, _ = best_step(paths, first, last)
        change.stable, change.best, change.i = stable, best, i
        if max(best, step) - stable >= SCREEN:
            change.j = n


@jit
def search(records: Records, tables: Tables, tasks: Tasks, changes: Changes, before: Floats, after: Floats) -> None:
    """Third stage: the best activity that ends, where it beats the best open one.

    Parameters
    ----------
    changes : (task,) CHANGE as the screen left it; in, out: i, j, best
    """
    n_time, n_index = records.z.shape[1:]
    work = np.empty(n_time + 1)
    moments = np.zeros((n_time + 1, 2 + 3 * n_index))
    for t in range(tasks.size):
        task, change = tasks[t], changes[t]
        z = records.z[task.pixel][task.start : task.stop]
        design = records.design[task.pixel][task.start : task.stop]
        running_moments(z, design, moments)
        n = task.stop - task.start
        paths = Paths(before[t], after[t], moments, n_index, tables.works, work, n)
        best, i, j = best_settled(paths, change.first, change.last)
        if best >= change.best:
            change.best, change.i, change.j = best, i, j


@jit
def intervals(records: Records, tables: Tables, tasks: Tasks, changes: Changes, before: Floats, after: Floats) -> None:
    """Fourth stage: profile-likelihood intervals of both dates.

    Parameters
    ----------
    changes : (task,) CHANGE with i and j of the likelihood; out: the bounds
    """
    n_time, n_index = records.z.shape[1:]
    work = np.empty(n_time + 1)
    moments = np.zeros((n_time + 1, 2 + 3 * n_index))
    for t in range(tasks.size):
        task, change = tasks[t], changes[t]
        z = records.z[task.pixel][task.start : task.stop]
        design = records.design[task.pixel][task.start : task.stop]
        running_moments(z, design, moments)
        n = task.stop - task.start
        paths = Paths(before[t], after[t], moments, n_index, tables.works, work, n)
        i, j, first, last = change.i, change.j, change.first, change.last
        limit = change.best - INTERVAL_DROP * change.inflation
        ends = (n, n)
        if j < n:
            ends = (max(j - PROFILE, i), min(j + PROFILE, last))
        change.i_low, change.i_high = onset_interval(paths, first, ends, i, limit)
        change.j_low = change.j_high = j
        if j < n:
            near = (max(i - PROFILE, first), min(i + PROFILE, j))
            change.j_low, change.j_high = end_interval(paths, last, near, j, limit)
