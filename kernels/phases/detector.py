"""The ``phases`` detector over many pixels: screen all, then search what the screen lets through, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.layers import NO_DATE, Layers, Status, empty_layers
from groundbreak.kernels.phases.checks import score_candidates
from groundbreak.kernels.phases.climate import SEASON_DAYS, season_windows
from groundbreak.kernels.phases.evidence import design_matrix, design_pairs, make_prior
from groundbreak.kernels.phases.measure import measure
from groundbreak.kernels.phases.model import (
    BASELINE,
    CANDIDATE,
    MIN_OBSERVATIONS,
    MIN_SPAN_DAYS,
    NOISE_BOUND,
    SETTLED,
    STAGE,
    STEP_LEFT,
    STEP_SHARE,
    TYPICAL,
    Candidates,
    Records,
    Settings,
    Tables,
)
from groundbreak.kernels.phases.onset import date_onset
from groundbreak.kernels.phases.outcome import write_changes
from groundbreak.kernels.phases.prepare import empty_records, prepare
from groundbreak.kernels.phases.screen import screen
from groundbreak.kernels.phases.segments import segment
from groundbreak.kernels.phases.states import STATE_DAYS
from groundbreak.kernels.types import Ints

PIXELS_SEARCHED = 128
"""Pixels whose records are held at a time: a few MB, which stay in cache."""


def date_tables(days: Ints) -> Tables:
    """Make, or remember, the tables of records on ``days``, (time,) int64, days since 1970-01-01."""
    return _date_tables(days.tobytes())


@lru_cache(maxsize=4)
def _date_tables(days: bytes) -> Tables:
    """Make the tables of the dates whose int64 days are ``days``; a region is detected in many blocks of the same."""
    dates = np.frombuffer(days, np.int64)
    design = design_matrix(dates)
    return Tables(
        dates.astype(np.float64),
        season_windows(dates, SEASON_DAYS, own_year=False),
        season_windows(dates, STATE_DAYS, own_year=True),
        design,
        design_pairs(design),
        make_prior(dates.size, *BASELINE),
        make_prior(dates.size, *SETTLED),
        make_prior(dates.size, *STAGE),
    )


def screen_pixels(
    values: NDArray[np.float32], days: Ints, settings: Settings, layers: Layers
) -> tuple[Ints, NDArray[np.float64]]:
    """Screen every pixel, and give those that are not searched a status.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01, increasing
    layers : (pixel,) each, out: n_valid, last_observation, and the status of what is not searched

    Returns
    -------
    (flagged,) int64, the pixels to search; (flagged,) float64, their CUSUM, largest of the indices, scaled to TYPICAL
    observations.
    """
    screened = screen(values, days, settings.noise_floor)
    padded = np.append(days, NO_DATE)  # position -1 and n_time: no observation
    layers.n_valid[:] = np.minimum(screened.n_clear, 65535)
    layers.last_observation[:] = padded[screened.last]
    enough = screened.n_clear >= MIN_OBSERVATIONS
    enough &= padded[screened.last] - padded[screened.first] >= MIN_SPAN_DAYS
    seen = enough & (screened.left >= np.maximum(STEP_LEFT, STEP_SHARE * screened.n_clear))
    layers.status[:] = np.where(seen, Status.STABLE, Status.TOO_FEW_OBSERVATIONS)
    # numbers too large for a sum of squares are no index
    sane = np.isfinite(screened.statistic).all(axis=0)
    layers.status[enough & ~sane] = Status.FAILED
    statistic = screened.statistic.max(axis=0)
    root = np.sqrt(np.maximum(screened.n_clear, 1) / TYPICAL)
    flagged = np.flatnonzero(enough & sane & (statistic >= settings.screen * np.maximum(root, NOISE_BOUND)))
    return flagged, (statistic / root)[flagged]


def fit_flagged(
    values: NDArray[np.float32],
    days: Ints,
    settings: Settings,
    history_end: int | None,
    flagged: Ints,
    cusum: NDArray[np.float64],
) -> Candidates:
    """Fit phases to the pixels that the screen has flagged.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01, increasing
    history_end : an onset is sought only after this day; None for any
    flagged : (flagged,) int64, pixels
    cusum : (flagged,) float64, of `screen_pixels`

    Returns
    -------
    (flagged,) CANDIDATE.
    """
    n_index, n_time, _ = values.shape
    tables = date_tables(days)
    first_onset = -np.inf if history_end is None else float(history_end + 1)
    found = np.zeros(flagged.size, CANDIDATE)
    found["cusum"] = cusum
    scratch = empty_records(min(flagged.size, PIXELS_SEARCHED), n_time, n_index)
    for start in range(0, flagged.size, PIXELS_SEARCHED):
        part = found[start : start + PIXELS_SEARCHED]
        arrays: list[Any] = [array[: part.size] for array in scratch]
        records = Records(*arrays)
        prepare(np.take(values, flagged[start : start + PIXELS_SEARCHED], axis=2), tables, settings, records, part)
        segment(records, tables, settings, first_onset, part)
        date_onset(records, tables, first_onset, part)
        score_candidates(records, tables, part)
        measure(records, part)
    return found


def check_params(params: Mapping[str, float]) -> None:
    """Check the values of every parameter of ``phases``.

    Raises
    ------
    ValueError
        The noise floor is 0, or ``belief`` is no probability.
    """
    if params["noise_floor"] == 0:
        raise ValueError(
            "parameter 'noise_floor': 0 makes constant ground infinitely certain; "
            "use the precision of the index, such as 0.0001"
        )
    if params["belief"] > 1:
        raise ValueError(f"parameter 'belief': {params['belief']!r} is no probability; use one from 0 to 1")


def run_phases(
    values: NDArray[np.float32],
    days: Ints,
    snow: NDArray[np.bool_] | None,
    history_end: int | None,
    params: dict[str, float],
) -> Layers:
    """Run the detector ``phases``.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01, increasing
    snow : (time, pixel) bool, where an observation was masked as snow; or None
    history_end : an onset is sought only after this day; None for any
    params : every parameter of the detector

    Returns
    -------
    Layers of shape (pixel,).
    """
    n_pixel = values.shape[2]
    settings = Settings(**{name: float(value) for name, value in params.items()})
    layers = empty_layers((n_pixel,))
    flagged, cusum = screen_pixels(values, days, settings, layers)
    found = fit_flagged(values, days, settings, history_end, flagged, cusum)
    layers.last_observation[flagged] = found["last"]
    layers.status[flagged[found["size"] == 0]] = Status.TOO_FEW_OBSERVATIONS
    write_changes(settings, found, snow, days, flagged, layers)
    return layers
