"""The floor under every detector: how fast one core can read at all."""

from __future__ import annotations

import time

import numba
import numpy as np

from benchmarks.detectors.series import Floats

DRAM_BYTES = 1 << 30
"""Size of the array read, far beyond any cache."""


@numba.njit(nogil=True, fastmath=True)
def _total(flat: Floats) -> float:
    """Sum four streams at once, which the hardware fetches ahead faster than one."""
    quarter = flat.size // 4
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(quarter):
        a += flat[i]
        b += flat[quarter + i]
        c += flat[2 * quarter + i]
        d += flat[3 * quarter + i]
    return float(a + b + c + d)


def read_limit(repeats: int = 5) -> float:
    """Measure the bytes per second that one core can read from memory; the best of ``repeats``."""
    cube = np.ones(DRAM_BYTES // 4, np.float32)
    _total(cube[:64])
    best = np.inf
    for _ in range(repeats):
        begun = time.process_time()
        _total(cube)
        best = min(best, time.process_time() - begun)
    return float(cube.nbytes / best)
