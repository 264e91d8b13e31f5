"""nrt (Joint Research Centre, EUPL): fit on the history, then one call a date, as it is meant to be used.

Its ``fit`` takes an xarray.DataArray, made here outside the timed part, and its ``monitor`` plain NumPy. Every date
costs it some milliseconds of pandas, so it gets as many pixels at once as memory allows.
"""

from __future__ import annotations

import datetime
import warnings
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detectors.series import Contender, Found, Series, nothing

CHANGED = 3
"""nrt's mask value of a confirmed break."""


class Prepared(NamedTuple):
    """History as nrt's ``fit`` takes it, and the images (date, y, x) to monitor."""

    history: Any
    images: Any
    stamps: list[datetime.datetime]


def prepare(series: Series) -> Prepared:
    """Make the xarray history and views of the images; the first index alone is read."""
    import xarray

    n, size = series.n_history, series.indices.shape[2]
    cube = series.indices[0].reshape(series.dates.size, 1, size)
    history = xarray.DataArray(
        cube[:n],
        dims=("time", "y", "x"),
        coords={"time": series.dates[:n].astype("datetime64[ns]"), "y": [0], "x": np.arange(size)},
    )
    days = series.dates[n:].astype("datetime64[D]").tolist()
    return Prepared(history, cube[n:], [datetime.datetime.combine(day, datetime.time()) for day in days])


def monitor(detector: Any, prepared: Prepared, **fit: Any) -> Found:
    """Fit, monitor every date, and read the result: the date of detection stands for the onset; no halt."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # series too short are masked, and said to be
        detector.fit(prepared.history, **fit)
        for image, stamp in zip(prepared.images, prepared.stamps, strict=True):
            detector.monitor(image, stamp)
    found = nothing(prepared.history.sizes["x"])
    found.detected[:] = detector.mask[0] == CHANGED
    found.onset[found.detected] = detector.detection_date[0][found.detected]
    return found


def cusum(prepared: Prepared) -> Found:
    """CuSum on an OLS fit. Defaults: trend, 2 harmonics, sensitivity 0.05; method OLS in place of ROC."""
    from nrt.monitor.cusum import CuSum

    return monitor(CuSum(trend=True, harmonic_order=2), prepared, method="OLS")


def mosum(prepared: Prepared) -> Found:
    """MoSum on an OLS fit. Defaults: trend, 2 harmonics, sensitivity 0.05, h 0.25; method OLS in place of ROC."""
    from nrt.monitor.mosum import MoSum

    return monitor(MoSum(trend=True, harmonic_order=2), prepared, method="OLS")


def ccdc(prepared: Prepared) -> Found:
    """CCDC on its stable fit. Defaults: trend, 2 harmonics, 3 RMSE, 3 in a row; no screening by green and SWIR."""
    from nrt.monitor.ccdc import CCDC

    return monitor(CCDC(trend=True, harmonic_order=2), prepared, method="CCDC-stable", screen_outliers=None)


CONTENDERS = tuple(
    Contender(name, "nrt", "1 index", prepare, run, 131072, 10**9, least_speed=65536)
    for name, run in (("nrt CuSum OLS", cusum), ("nrt MoSum OLS", mosum), ("nrt CCDC-stable", ccdc))
)
