"""Helpers for one pixel's series: noise scale, isolated spikes, compaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels._jit import helper, lane
from kernels.lanes import clear

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

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
        n += clear(values, i, pixel)
    return n


@helper
def partition(work: Floats, low: int, high: int, pivot: float, equal: bool) -> int:
    """Move what is below ``pivot`` (or no greater, if ``equal``) of work[low:high] to the front; where the rest begins.

    Without a branch (Lomuto): half of the comparisons would be guessed wrong.
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
    """Median of work[:n], n >= 1, by quickselect (Hoare 1961); reorders ``work``."""
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
    """Median absolute difference of neighbours in row[:n], n >= 2.

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
    packed : (index, time) float64; n : int >= 2, observations in use
    floor : float, unit of the values; work : (time,) float64; scale : (index,) float64, out
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
def _shares(when: Floats, n: int, length: int, share: Floats) -> None:
    """Of every run inside the record: where its first observation lies between its neighbours, 0-1."""
    for i in range(1, n - length):
        share[i] = (when[i] - when[i - 1]) / (when[i + length] - when[i - 1])


@lane
def _first_off(packed: Floats, k: int, share: Floats, n: int, length: int, miss: Floats, apart: Floats) -> None:
    """Of every run inside the record: how far its first observation is off, and its neighbours from each other;
    squares, summed over the indices up to k. Few runs are off at all, and this looks at all of them at once."""
    for i in range(1, n - length):
        jump = packed[k, i + length] - packed[k, i - 1]
        e = packed[k, i] - packed[k, i - 1] - share[i] * jump
        miss[i] = e * e + (miss[i] if k else 0.0)
        apart[i] = jump * jump + (apart[i] if k else 0.0)


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
    taken : (time,) int64, compacted in place; day : (all times,) float64, days
    n : int, observations in use; limit : float, noise units (0 keeps everything)

    Returns
    -------
    int, the number of observations left.
    """
    if limit <= 0 or n < 6:
        return n
    n_index = packed.shape[0]
    keep = np.ones(n, np.bool_)
    miss, apart, when, shares = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        when[i] = day[taken[i]]
    for turn in range(2 * SPIKE_RUN):  # the ends last: the one good date after snow is no spike
        length = turn % SPIKE_RUN + 1
        inside = turn < SPIKE_RUN
        places = range(1, n - length) if inside else range(0, n - length + 1, n - length)
        if inside:
            _shares(when, n, length, shares)
            for k in range(n_index):
                _first_off(packed, k, shares, n, length, miss, apart)
        for i in places:
            if inside and miss[i] <= 0.999 * max(limit * limit * n_index, 9.0 * apart[i]):
                continue
            before = i - 1 if i > 0 else i + length + 1
            after = i + length if i + length < n else i - 2
            if not (keep[i] and keep[i + length - 1] and keep[before] and keep[after]):
                continue
            start = when[before]
            width = when[after] - start
            jumps = 0.0
            for k in range(n_index):
                jump = packed[k, after] - packed[k, before]
                jumps += jump * jump
            least = max(limit * limit * n_index, 9.0 * jumps)
            off = np.inf
            for q in range(i, i + length):
                share = (when[q] - start) / width if inside else 0.5
                squares = 0.0
                for k in range(n_index):
                    jump = packed[k, after] - packed[k, before]
                    e = packed[k, q] - packed[k, before] - share * jump
                    squares += e * e
                off = min(off, squares)
                if off <= least:
                    break
            if off > least:
                for q in range(i, i + length):
                    keep[q] = False
    left = 0
    for i in range(n):
        if keep[i]:
            taken[left] = taken[i]
            for k in range(n_index):
                packed[k, left] = packed[k, i]
            left += 1
    return left
