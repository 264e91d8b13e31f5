"""How far `cusum` and `mosum` agree with nrt, given the same design, history and published critical value.

Runs in the environment of the peers. nrt is right about both processes once three faults are worked around:

    regressors       it divides the day of the year by 364 (nrt/utils.py:72), so it is given this project's own design
    starting window  the MOSUM's holds predicted - observed (fit_methods.py:70), what follows observed - predicted
                     (monitor/__init__.py:279): its sign is turned before monitoring
    float32          it keeps coefficients and residuals of the history in float32: the tolerance of the processes
"""

from __future__ import annotations

import argparse
import datetime
import warnings
from typing import Any

import numpy as np

from benchmarks.detectors.series import Bools, Doubles, Floats
from groundbreak.kernels import DETECTORS, NO_DATE, Layers, detect
from groundbreak.kernels.twins.monitoring import process_and_bound, regressors

CRITICAL = {"cusum": 2.7955, "mosum": 1.3418}
"""Published at 5 %; the MOSUM's for h = 0.25 and ten times the history."""

LEAST = 12
"""Clear observations of a history that is monitored."""


def noise(n_pixel: int, years: int, missing: float, seed: int) -> tuple[Floats, np.ndarray]:
    """Return white noise on a season, (time, pixel), and its dates, every five days for five years; a third steps."""
    rng = np.random.default_rng(seed)
    dates = np.datetime64("2017-01-01") + np.arange(0, 1826, 5)
    season = 0.3 + 0.1 * np.cos(2 * np.pi * dates.astype(np.int64) / 365.25)[:, None]
    values = season + 0.02 * rng.standard_normal((dates.size, n_pixel))
    values[73 * years + 40 :, ::3] += 0.05
    values[rng.random(values.shape) < missing] = np.nan
    return values.astype(np.float32), dates


def nrt_monitor(name: str, values: Floats, dates: np.ndarray, n_history: int, stop: bool) -> tuple[Any, Doubles]:
    """Run nrt on our design: the detector afterwards, and its (time, 2, pixel) process and bound."""
    import xarray
    from nrt.monitor.cusum import CuSum
    from nrt.monitor.mosum import MoSum

    terms = regressors(dates.astype(np.int64), 2, True, n_history)
    stamps = [datetime.datetime.combine(day, datetime.time()) for day in dates.tolist()]
    rows = dict(zip(stamps, terms, strict=True))
    detector = {"cusum": CuSum, "mosum": MoSum}[name](trend=True, harmonic_order=2)
    detector.critval = CRITICAL[name]
    detector.build_design_matrix = lambda *_, **__: terms[:n_history]
    detector._regressors = lambda date: rows[date][None]
    image = values[:, None, :]
    x = np.arange(values.shape[1])
    coords = {"time": dates[:n_history].astype("datetime64[ns]"), "y": [0], "x": x}
    history = xarray.DataArray(image[:n_history], dims=("time", "y", "x"), coords=coords)
    path = np.full((dates.size, 2, values.shape[1]), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # series too short are masked, and said to be
        detector.fit(history, method="OLS")
        if name == "mosum":
            detector.window *= -1
        for t in range(n_history, dates.size):
            detector.monitor(image[t], stamps[t], update_mask=stop)
            path[t] = detector.process[0], detector.boundary[0]
    return detector, path


def compare_dates(name: str, values: Floats, dates: np.ndarray, n_history: int) -> tuple[Bools, Bools, Layers]:
    """Compare the dates of both.

    Returns
    -------
    (pixel,) bool, monitored by both; (pixel,) bool, both give one date or none does; our layers
    """
    theirs, _ = nrt_monitor(name, values, dates, n_history, stop=True)
    found = detect(values[None], dates, name, history_end=dates[n_history - 1], critical_value=CRITICAL[name])
    onset = np.where(theirs.mask[0] == 3, theirs.detection_date[0].astype(np.int64), NO_DATE)
    tested = np.isfinite(values[:n_history]).sum(axis=0) >= LEAST
    return tested, onset == found.onset, found


def compare_paths(name: str, values: Floats, dates: np.ndarray, n_history: int) -> tuple[float, float]:
    """Return the largest difference of process and of bound, at every clear date after the history of every pixel."""
    _, path = nrt_monitor(name, values, dates, n_history, stop=False)
    terms = regressors(dates.astype(np.int64), 2, True, n_history)
    window = DETECTORS[name].defaults.get("h", 0.0)
    worst = np.zeros(2)
    for p in range(values.shape[1]):
        at = np.flatnonzero(np.isfinite(values[:, p]))
        n = int((at < n_history).sum())
        if n < LEAST:
            continue
        y = values[at, p].astype(np.float64)
        e = y - terms[at] @ np.linalg.lstsq(terms[at[:n]], y[:n])[0]
        sigma = float(np.sqrt((e[:n] ** 2).sum() / (n - terms.shape[1])))
        ours = np.stack(process_and_bound(e, n, sigma, CRITICAL[name] ** 2, window), axis=1)
        worst = np.maximum(worst, np.abs(ours - path[at[n:], :, p]).max(axis=0))
    return float(worst[0]), float(worst[1])


def main() -> None:
    """Compare dates and processes, and print a line for every length of the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for name in CRITICAL:
        for years, missing in ((1, 0.3), (2, 0.39), (3, 0.7)):
            values, dates = noise(chosen.pixels, years, missing, chosen.seed)
            tested, same, found = compare_dates(name, values, dates, 73 * years)
            process, bound = compare_paths(name, values[:, :200], dates, 73 * years)
            alarms = (found.onset[tested] != NO_DATE).mean()
            print(
                f"{name} {years} y history, {missing:.0%} missing: {tested.sum()} pixels, {alarms:.1%} alarm, "
                f"dates equal {same[tested].mean():.3%}; process differs by {process:.1e} at most, bound by {bound:.1e}"
            )


if __name__ == "__main__":
    main()
