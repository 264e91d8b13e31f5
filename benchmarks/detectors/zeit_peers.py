"""zeit-cdts (Rust, called in batches on one thread): bfastmonitor, CCDC and S-CCD.

Its compiled functions are called directly, as its own public functions do once xarray and dask are out of the way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors.series import EPOCH_ORDINAL, Contender, Doubles, Found, Series, nothing

N_COEFFICIENTS = 9
"""zeit's CCDC writes an RMSE and eight coefficients a band after the three dates of a segment."""
MOST_SEGMENTS = 6


class Regular(NamedTuple):
    """Series on R's regular time axis, ``start + slot / frequency`` in years; ``slots`` (time,) of the real dates."""

    values: Doubles
    start: float
    monitor: float
    frequency: int
    day_of_slot: Doubles


def regular(series: Series) -> Regular:
    """Put every date into the slot it falls in; of two in one slot, the later clear one stays."""
    days = series.days
    years = 1970 + (days - 0.0) / 365.25
    frequency = max(1, round(365.25 / float(np.median(np.diff(days)))))
    slots = np.round((years - years[0]) * frequency).astype(np.int64)
    values = np.full((series.indices.shape[2], int(slots[-1]) + 1), np.nan)
    for slot, image in zip(slots, series.indices[0], strict=True):
        clear = np.isfinite(image)
        values[clear, slot] = image[clear]
    day_of_slot = np.full(values.shape[1], np.nan)
    day_of_slot[slots] = days
    start = float(years[0])
    # Half a slot after the last date of the history, so that rounding puts no date on the wrong side.
    return Regular(values, start, start + (slots[series.n_history - 1] + 0.5) / frequency, frequency, day_of_slot)


def bfast_monitor(r: Regular) -> Found:
    """OLS-MOSUM monitoring. Defaults: h 0.25, period 10, alpha 0.05, all of the history; 2 harmonics in place of 3."""
    from zeit import _core

    rows = _core.bfastmonitor.fit_bfast_monitor_batch(
        r.values, r.start, r.monitor, r.frequency, order=2, h=0.25, period=10, alpha=0.05, min_valid=10, n_jobs=1
    )
    found = nothing(r.values.shape[0])
    found.detected[:] = rows[5] == 1
    found.onset[found.detected] = r.day_of_slot[rows[1][found.detected].astype(np.int64)]
    return found


class Reflectance(NamedTuple):
    """Reflectance x 10000 as zeit's CCDC takes it: (1, pixel, band, time), codes (1, pixel, time), ordinal days."""

    values: Doubles
    qa: NDArray[np.int32]
    ordinals: NDArray[np.int32]


def reflectance(series: Series) -> Reflectance:
    """Scale, transpose, and mark what is not clear as no observation (255)."""
    assert series.bands is not None
    values = np.ascontiguousarray(series.bands.transpose(2, 0, 1)[None], np.float64) * 10000
    qa = np.where(np.isfinite(values).all(axis=2), 0, 255).astype(np.int32)
    return Reflectance(values, qa, (series.days + EPOCH_ORDINAL).astype(np.int32))


def ccdc(r: Reflectance) -> Found:
    """CCDC (Zhu & Woodcock 2014). Defaults: 6 in a row, 0.99, up to 8 coefficients, green to SWIR2.

    The onset is the first break, the halt the start of the segment after the last.
    """
    from zeit import _core

    segments, counts = _core.ccdc.fit_ccdc_batch(
        r.values, r.qa, r.ordinals, _core.ccdc.CCDCParams(), MOST_SEGMENTS, True, 1
    )
    return read_segments(np.asarray(segments)[:, :, 0], np.asarray(segments)[:, :, 2], np.asarray(counts))


def sccd(r: Reflectance) -> Found:
    """S-CCD (Ye et al. 2021). Defaults: 6 in a row, 0.99, outliers 0.99999, 30 degrees; read as CCDC is."""
    from zeit import _core

    out = np.asarray(_core.sccd.sccd_batch(r.values, r.qa, r.ordinals, max_segments=MOST_SEGMENTS, n_jobs=1))
    width = 5 + r.values.shape[2] * (2 + _core.sccd.NUM_C)
    segments = out[:, : MOST_SEGMENTS * width].reshape(-1, MOST_SEGMENTS, width)
    return read_segments(segments[:, :, 0], segments[:, :, 2], out[:, MOST_SEGMENTS * width])


def read_segments(start: Any, end: Any, counts: Any) -> Found:
    """Read onset and halt from the starts and the breaks (pixel, segment) of stable segments, in ordinal days."""
    there = np.arange(start.shape[1]) < counts[:, None]
    broken = there & (end > 0)
    found = nothing(start.shape[0])
    found.detected[:] = broken.any(axis=1)
    each = np.arange(start.shape[0])
    first = broken.argmax(axis=1)
    last = start.shape[1] - 1 - broken[:, ::-1].argmax(axis=1)
    after = np.minimum(last + 1, start.shape[1] - 1)
    settled = found.detected & (last + 1 < counts)
    found.onset[found.detected] = end[each, first][found.detected] - EPOCH_ORDINAL
    found.halt[settled] = start[each, after][settled] - EPOCH_ORDINAL
    return found


CONTENDERS = (
    Contender("zeit-cdts bfast_monitor", "zeit-cdts", "1 index", regular, bfast_monitor, 65536, 10**9),
    Contender("zeit-cdts CCDC", "zeit-cdts", "6 bands", reflectance, ccdc, 1024, 10**9, bytes_read=24),
    Contender("zeit-cdts S-CCD", "zeit-cdts", "6 bands", reflectance, sccd, 1024, 10**9, bytes_read=24),
)
