"""Helpers for one pixel's series: noise scale, isolated spikes, compaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.jit import helper, lane
from groundbreak.kernels.lanes.words import is_clear
from groundbreak.kernels.types import Floats, Ints

CLIP = 1000.0
"""Largest deviation kept, in noise units: bounds every sum whatever the input holds."""

SPIKE_RUN = 3
"""Longest run of observations that is a spike: unmasked snow lasts that many, cloud fewer."""

ROUGHNESS_OF_NOISE = 0.9538725524
"""Median absolute difference of two draws of unit Gaussian noise."""


@helper
def compact(values: NDArray[np.float32], pixel: int, taken: Ints, packed: Floats) -> int:
    """Copy the observations of a pixel that are clear in every index to the front.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN = not clear
    taken : (time,) int64, out: positions of the clear observations
    packed : (index, time) float64, out: their values

    Returns
    -------
    int, the number of clear observations.
    """
    n_index, n_time = values.shape[:2]
    n = 0
    for i in range(n_time):  # without a branch: half of them would be guessed wrong
        taken[n] = i
        for k in range(n_index):
            packed[k, n] = values[k, i, pixel]
        n += is_clear(values, i, pixel)
    return n


@helper
def partition(work: Floats, low: int, high: int, pivot: float, equal: bool) -> int:
    """Move what is below ``pivot`` of work[low:high] to the front, or what is no greater if ``equal``.

    Without a branch (Lomuto): half of the comparisons would be guessed wrong.

    Returns
    -------
    int, where the rest begins.
    """
    rest = low
    for i in range(low, high):
        value = work[i]
        work[i] = work[rest]
        work[rest] = value
        rest += (value <= pivot) if equal else (value < pivot)
    return rest


@helper
def median(work: Floats, n: int) -> float:
    """Return the median of work[:n], n >= 1, by quickselect (Hoare 1961); reorders ``work``."""
    half = n // 2
    low, high = 0, n
    while high - low > 1:
        pivot = work[(low + high) // 2]
        middle = partition(work, low, high, pivot, False)
        if middle > half:
            high = middle
            continue
        low = partition(work, middle, high, pivot, True)
        if low > half:
            break  # work[half] is the pivot
    if n % 2 == 1:
        return float(work[half])
    below = work[0]
    for i in range(1, half):
        below = max(below, work[i])
    return float((below + work[half]) / 2)


@helper
def roughness(row: Floats, n: int, work: Floats) -> float:
    """Return the median absolute difference of neighbours in row[:n], n >= 2; ``work`` (>= n - 1,) is scratch.

    A season or a step barely moves it, and half of the differences may be odd before it breaks.
    """
    for i in range(n - 1):
        work[i] = abs(row[i + 1] - row[i])
    return median(work, n - 1)


@helper
def standardise(packed: Floats, n: int, floor: float, work: Floats, scale: Floats) -> None:
    """Shift each index to median 0 and divide by its noise, in place; clip to +-CLIP noise units.

    The noise is the roughness / (sqrt(2) 0.6745), the standard deviation of white Gaussian noise
    with that roughness, never below ``floor``.

    Parameters
    ----------
    packed : (index, time) float64
    n : int >= 2, observations in use
    floor : float, unit of the values
    work : (time,) float64
    scale : (index,) float64, out
    """
    for k in range(packed.shape[0]):
        row = packed[k]
        scale[k] = max(floor, roughness(row, n, work) / ROUGHNESS_OF_NOISE)
        for i in range(n):
            work[i] = row[i]
        middle = median(work, n)
        for i in range(n):
            row[i] = min(max((row[i] - middle) / scale[k], -CLIP), CLIP)


@lane
def _shares(before: Floats, at: Floats, after: Floats, share: Floats) -> None:
    """Find where the first observation of every run inside the record lies between its neighbours, 0-1."""
    for i in range(after.size):
        share[i] = (at[i] - before[i]) / (after[i] - before[i])


@lane
def _first_off(before: Floats, at: Floats, after: Floats, share: Floats, k: int, miss: Floats, apart: Floats) -> None:
    """Add index k to the squared distances of every run.

    ``miss`` is that of the run's first observation from the line between its neighbours, ``apart`` that of those
    neighbours from each other.
    """
    for i in range(after.size):
        jump = after[i] - before[i]
        e = at[i] - before[i] - share[i] * jump
        miss[i] = e * e + (miss[i] if k else 0.0)
        apart[i] = jump * jump + (apart[i] if k else 0.0)


@helper
def suspects(packed: Floats, when: Floats, n: int, length: int, limit: float, work: Floats, out: Ints) -> int:
    """Find the runs inside the record whose first observation is off; few are, and this looks at all at once.

    Parameters
    ----------
    packed : (index, time) float64, noise units
    when : (n,) float64, days
    n : observations in use
    length : observations of a run
    limit : noise units that a spike is off
    work : (3, time) float64, scratch
    out : (time,) int64, out: where they begin

    Returns
    -------
    int, how many they are.
    """
    n_index = packed.shape[0]
    shares, miss, apart = work[0], work[1], work[2]
    # slices and not offsets: an index that may be negative is gathered, and gathers are slow
    _shares(when, when[1:], when[length + 1 : n], shares)
    for k in range(n_index):
        _first_off(packed[k], packed[k, 1:], packed[k, length + 1 : n], shares, k, miss, apart)
    count = 0
    for i in range(n - length - 1):
        out[count] = i + 1
        count += miss[i] > 0.999 * max(limit * limit * n_index, 9.0 * apart[i])
    return count


@helper
def is_off(packed: Floats, when: Floats, n: int, i: int, length: int, limit: float, keep: NDArray[np.bool_]) -> bool:
    """Return whether the run [i, i + length) is a spike, by the rule of `drop_spikes`.

    Parameters
    ----------
    packed : (index, time) float64, noise units
    when : (n,) float64, days
    n : observations in use
    limit : noise units that a spike is off
    keep : (n,) bool, which observations are no spikes as far as is known; no run reaches beyond a spike
    """
    inside = i > 0 and i + length < n
    before = i - 1 if i > 0 else i + length + 1
    after = i + length if i + length < n else i - 2
    if not (keep[i] and keep[i + length - 1] and keep[before] and keep[after]):
        return False
    n_index = packed.shape[0]
    jumps = 0.0
    for k in range(n_index):
        jump = packed[k, after] - packed[k, before]
        jumps += jump * jump
    least = max(limit * limit * n_index, 9.0 * jumps)
    for q in range(i, i + length):
        share = (when[q] - when[before]) / (when[after] - when[before]) if inside else 0.5
        squares = 0.0
        for k in range(n_index):
            e = packed[k, q] - packed[k, before] - share * (packed[k, after] - packed[k, before])
            squares += e * e
        if squares <= least:
            return False
    return True


@helper
def drop_spikes(packed: Floats, taken: Ints, day: Floats, n: int, limit: float) -> int:
    """Remove isolated spikes: up to ``SPIKE_RUN`` observations that leave neighbours which agree.

    An unmasked cloud or shadow touches a date or two, snow three; works make neighbours disagree as
    well, so they are kept. A run goes when every one of them is farther than
    ``limit`` noise units (root mean square over the indices) from the line between the
    observations around the run, and three times farther than those are from each other. At either
    end of the record, where there is one side only, the line is the level of the nearest two.

    Parameters
    ----------
    packed : (index, time) float64, noise units, compacted in place
    taken : (time,) int64, compacted in place
    day : (all times,) float64, days
    n : int, observations in use
    limit : float, noise units (0 keeps everything)

    Returns
    -------
    int, the number of observations left.
    """
    if limit <= 0 or n < 6:
        return n
    keep, when, work, places = np.ones(n, np.bool_), np.empty(n), np.empty((3, n)), np.empty(n, np.int64)
    for i in range(n):
        when[i] = day[taken[i]]
    for turn in range(2 * SPIKE_RUN):  # the ends last: the one good date after snow is no spike
        length = turn % SPIKE_RUN + 1
        if turn < SPIKE_RUN:
            count = suspects(packed, when, n, length, limit, work, places)
        else:
            count, places[0], places[1] = 2, 0, n - length
        for a in range(count):
            i = places[a]
            if is_off(packed, when, n, i, length, limit, keep):
                keep[i : i + length] = False
    left = 0
    for i in range(n):  # without a branch
        taken[left] = taken[i]
        for k in range(packed.shape[0]):
            packed[k, left] = packed[k, i]
        left += keep[i]
    return left
