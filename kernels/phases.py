"""The ``phases`` detector: baseline | activity | settled, by penalised three-phase likelihood.

See docs/method.md. The stages run one after the other over the tasks of a block, each on what the
one before left; :mod:`kernels.reference` is their slow twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.checks import check
from kernels.model import (
    CHANGE,
    MIN_OBSERVATIONS,
    MIN_SETTLED,
    NONE,
    OPEN,
    SETTLED,
    TASK,
    Changes,
    Records,
    Settings,
    Tables,
    Tasks,
)
from kernels.series import Floats, Ints
from kernels.stages import intervals, screen, search


class Found(NamedTuple):
    """All changes of every pixel of a block.

    ``first`` and ``latest`` (pixel,) CHANGE, ``latest`` relative to observation ``offset``;
    ``n_changes`` (pixel,) int64. With n_changes 0 the others mean nothing.
    """

    first: Changes
    latest: Changes
    offset: Ints
    n_changes: Ints


def find_change(records: Records, tables: Tables, settings: Settings, tasks: Tasks) -> Changes:
    """The best single change of every task; kind NONE where none passes every check.

    Parameters
    ----------
    tasks : (task,) TASK

    Returns
    -------
    (task,) CHANGE; an open change has j = j_low = j_high = the number of observations.
    """
    changes = np.zeros(tasks.size, CHANGE)
    before, after = np.empty((2, tasks.size, records.z.shape[1] + 1))
    screen(records, tables, tasks, changes, before, after)
    left = np.flatnonzero(changes["j"] >= 0)
    passed = changes[left]
    search(records, tables, tasks[left], passed, before[left], after[left])
    strong = passed["best"] - passed["stable"] >= settings.threshold
    left, passed = left[strong], passed[strong]
    check(records, tables, settings, tasks[left], passed)
    good = passed["kind"] != NONE
    left, passed = left[good], passed[good]
    intervals(records, tables, tasks[left], passed, before[left], after[left])
    passed["i"] = passed["onset"]
    passed["i_high"] = np.maximum(passed["i_high"], passed["onset_high"])
    is_open = passed["kind"] == OPEN
    for end in ("j", "j_low", "j_high"):
        passed[end][is_open] = (tasks[left]["stop"] - tasks[left]["start"])[is_open]
    changes["kind"] = NONE
    changes[left] = passed
    return changes


def confirmed(days: Floats, after: Ints, sure: NDArray[np.bool_], settings: Settings) -> NDArray[np.bool_]:
    """Whether enough time and observations follow an onset, and what they show is no mere season.

    Parameters
    ----------
    days : from the onset to the last observation; after : observations from the onset on
    """
    return np.asarray((after >= MIN_SETTLED) & (days >= settings.confirm_days) & sure)


def is_confirmed(records: Records, tasks: Tasks, found: Changes, settings: Settings) -> NDArray[np.bool_]:
    """:func:`confirmed` of the changes that tasks found."""
    onset, stop = tasks["start"] + found["i"], tasks["stop"]
    days = records.day[tasks["pixel"], stop - 1] - records.day[tasks["pixel"], onset]
    return confirmed(days, stop - onset, found["sure"] == 1, settings)


def new_tasks(pixels: Ints, start: Ints, stop: Ints, first_onset: Floats, settled_days: float) -> Tasks:
    """Tasks, of those pixels where enough observations lie in [start, stop)."""
    tasks = np.zeros(pixels.size, TASK)
    tasks["pixel"], tasks["start"], tasks["stop"] = pixels, start, stop
    tasks["first_onset"], tasks["settled_days"] = first_onset, settled_days
    return tasks[stop - start >= MIN_OBSERVATIONS]


def find_changes(records: Records, tables: Tables, settings: Settings, first_onset: float) -> Found:
    """Find all separate changes of every pixel: the best one, those after it, and one before it.

    Parameters
    ----------
    first_onset : float, earliest day of an onset
    """
    size = records.size
    zeros = np.zeros(size.size, np.int64)
    found = Found(np.zeros(size.size, CHANGE), np.zeros(size.size, CHANGE), zeros.copy(), zeros.copy())
    everywhere = np.full(size.size, first_onset)
    tasks = new_tasks(np.arange(size.size), zeros, size, everywhere, settings.settled_days)
    while tasks.size:
        changes = find_change(records, tables, settings, tasks)
        pixel = tasks["pixel"]
        sure = is_confirmed(records, tasks, changes, settings) | (found.n_changes[pixel] == 0)
        kept = (changes["kind"] != NONE) & sure
        tasks, changes, pixel = tasks[kept], changes[kept], pixel[kept]
        fresh = found.n_changes[pixel] == 0
        found.first[pixel[fresh]] = changes[fresh]
        found.latest[pixel], found.offset[pixel] = changes, tasks["start"]
        found.n_changes[pixel] += 1
        settled = changes["kind"] == SETTLED
        tasks, changes, pixel = tasks[settled], changes[settled], pixel[settled]
        start = tasks["start"] + changes["j"]
        # a pause shorter than a settled phase is part of one activity
        allowed = np.maximum(first_onset, records.day[pixel, start] + settings.settled_days)
        tasks = new_tasks(pixel, start, size[pixel], allowed, settings.settled_days)
    # it must not end in a mere season before the change known, so it settles twice as long
    pixel = np.flatnonzero(found.n_changes)
    stop = found.first["i"][pixel]
    tasks = new_tasks(pixel, zeros[pixel], stop, everywhere[pixel], 2.0 * settings.settled_days)
    changes = find_change(records, tables, settings, tasks)
    earlier = changes["kind"] == SETTLED
    pixel = tasks["pixel"][earlier]
    found.first[pixel] = changes[earlier]
    found.n_changes[pixel] += 1
    return found
