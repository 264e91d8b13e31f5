"""The first step of the search: from the values of a block of pixels to records in noise units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.jit import jit
from groundbreak.kernels.phases.model import MIN_OBSERVATIONS, MIN_SPAN_DAYS, Candidates, Records, Settings, Tables
from groundbreak.kernels.phases.series import compact, drop_spikes, standardise


@jit
def prepare(
    values: NDArray[np.float32],
    tables: Tables,
    settings: Settings,
    records: Records,
    found: Candidates,
) -> None:
    """Make the records of pixels that the screen let through: the first step of the detector.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN = not clear
    records : out; ``size`` is 0 where spikes leave too few observations
    found : (pixel,) CANDIDATE, out: size and last
    """
    n_time = values.shape[1]
    taken = np.empty(n_time, np.int64)
    work = np.empty(n_time)
    for p in range(values.shape[2]):
        records.size[p] = 0
        z = records.z[p]
        n = compact(values, p, taken, z)
        standardise(z, n, settings.noise_floor, work, records.scale[p])
        n = drop_spikes(z, taken, tables.day, n, settings.spike)
        found[p].last = tables.day[taken[n - 1]]
        if n < MIN_OBSERVATIONS or tables.day[taken[n - 1]] - tables.day[taken[0]] < MIN_SPAN_DAYS:
            continue
        records.size[p] = found[p].size = n
        for q in range(n):
            at = taken[q]
            records.day[p, q] = tables.day[at]
            records.date[p, q] = at


def empty_records(n_pixel: int, n_time: int, n_index: int) -> Records:
    """Make room for the records of a block."""
    return Records(
        np.zeros(n_pixel, np.int64),
        np.empty((n_pixel, n_index, n_time)),
        np.empty((n_pixel, n_time), np.int64),
        np.empty((n_pixel, n_time)),
        np.empty((n_pixel, n_index)),
    )
