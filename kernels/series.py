"""Helpers for one pixel's series: noise scale, isolated spikes, compaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels._jit import helper

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLIP = 1000.0
"""Largest deviation kept, in noise units: bounds every sum whatever the input holds."""

SPIKE_RUN = 3
"""Longest run of observations that is a spike: unmasked snow lasts that many, cloud fewer."""

ROUGHNESS_OF_NOISE = 0.9538725524
"""Median absolute difference of two draws of unit Gaussian noise."""


@helper
def compact(series: NDArray[np.float32], taken: Ints, packed: Floats) -> int:
    """Copy the observations that are clear in every index to the front.

    Parameters
    ----------
    series : (time, index) float32, any unit; NaN = not clear
    taken : (time,) int64, out: positions of the clear observations
    packed : (time, index) float64, out: their values

    Returns
    -------
    int, the number of clear observations.
    """
    n_time, n_index = series.shape
    n = 0
    for i in range(n_time):
        clear = True
        for k in range(n_index):
            if not np.isfinite(series[i, k]):
                clear = False
        if clear:
            taken[n] = i
            for k in range(n_index):
                packed[n, k] = series[i, k]
            n += 1
    return n


@helper
def median(work: Floats, n: int) -> float:
    """Median of work[:n], n >= 1, by quickselect (Hoare 1961); reorders ``work``."""
    half = n // 2
    low, high = 0, n - 1
    while low < high:
        pivot = work[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while work[i] < pivot:
                i += 1
            while work[j] > pivot:
                j -= 1
            if i <= j:
                work[i], work[j] = work[j], work[i]
                i += 1
                j -= 1
        if half <= j:
            high = j
        elif half >= i:
            low = i
        else:
            break
    if n % 2 == 1:
        return float(work[half])
    below = work[0]
    for i in range(1, half):
        below = max(below, work[i])
    return float((below + work[half]) / 2)


@helper
def roughness(packed: Floats, k: int, n: int, work: Floats) -> float:
    """Median absolute difference of neighbours in packed[:n, k], n >= 2.

    A season or a step barely moves it, and half of the differences may be odd before it breaks.
    """
    for i in range(n - 1):
        work[i] = abs(packed[i + 1, k] - packed[i, k])
    return median(work, n - 1)


@helper
def standardise(packed: Floats, n: int, floor: float, work: Floats, scale: Floats) -> None:
    """Shift each index to median 0 and divide by its noise, in place; clip to +-CLIP noise units.

    The noise is the roughness / (sqrt(2) 0.6745), the standard deviation of white Gaussian noise
    with that roughness, never below ``floor``.

    Parameters
    ----------
    packed : (time, index) float64; n : int >= 2, observations in use
    floor : float, unit of the values; work : (time,) float64; scale : (index,) float64, out
    """
    for k in range(packed.shape[1]):
        scale[k] = max(floor, roughness(packed, k, n, work) / ROUGHNESS_OF_NOISE)
        for i in range(n):
            work[i] = packed[i, k]
        middle = median(work, n)
        for i in range(n):
            packed[i, k] = min(max((packed[i, k] - middle) / scale[k], -CLIP), CLIP)


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
    packed : (time, index) float64, noise units, compacted in place
    taken : (time,) int64, compacted in place; day : (all times,) float64, days
    n : int, observations in use; limit : float, noise units (0 keeps everything)

    Returns
    -------
    int, the number of observations left.
    """
    if limit <= 0 or n < 6:
        return n
    n_index = packed.shape[1]
    keep = np.ones(n, np.bool_)
    for turn in range(2 * SPIKE_RUN):  # the ends last: the one good date after snow is no spike
        length = turn % SPIKE_RUN + 1
        for i in range(n - length + 1):
            inside = i > 0 and i + length < n
            if inside != (turn < SPIKE_RUN):
                continue
            before = i - 1 if i > 0 else i + length + 1
            after = i + length if i + length < n else i - 2
            if not (keep[i] and keep[i + length - 1] and keep[before] and keep[after]):
                continue
            start = day[taken[before]]
            width = day[taken[after]] - start
            apart = 0.0
            for k in range(n_index):
                jump = packed[after, k] - packed[before, k]
                apart += jump * jump
            off = np.inf
            for q in range(i, i + length):
                share = (day[taken[q]] - start) / width if inside else 0.5
                miss = 0.0
                for k in range(n_index):
                    jump = packed[after, k] - packed[before, k]
                    e = packed[q, k] - packed[before, k] - share * jump
                    miss += e * e
                off = min(off, miss)
            if off > limit * limit * n_index and off > 9.0 * apart:
                for q in range(i, i + length):
                    keep[q] = False
    left = 0
    for i in range(n):
        if keep[i]:
            taken[left] = taken[i]
            for k in range(n_index):
                packed[left, k] = packed[i, k]
            left += 1
    return left
