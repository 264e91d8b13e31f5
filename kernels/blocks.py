"""The ``phases`` detector over many pixels: screen all, then search what the screen lets through, block by block."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.checks import question
from kernels.evidence import MAX_INDICES, design_matrix, design_pairs, make_prior
from kernels.layers import NO_DATE, Layers, Status, empty_layers
from kernels.measure import measure
from kernels.model import (
    BASELINE,
    FOUND,
    MIN_OBSERVATIONS,
    MIN_SPAN_DAYS,
    NOISE_BOUND,
    SETTLED,
    STAGE,
    TYPICAL,
    Candidates,
    Records,
    Settings,
    Tables,
)
from kernels.onset import date_onset
from kernels.outcome import describe
from kernels.prepare import empty_records, prepare
from kernels.screen import screen
from kernels.segments import segment
from kernels.series import Ints

BLOCK = 128
"""Pixels whose records are held at a time: a few MB, which stay in cache."""


def date_tables(days: Ints) -> Tables:
    """Tables of a record whose observations fall on ``days`` since 1970-01-01, (time,) int64."""
    return _date_tables(days.tobytes())


@lru_cache(maxsize=4)
def _date_tables(days: bytes) -> Tables:
    """A region is detected in many blocks of the same dates."""
    dates = np.frombuffer(days, np.int64)
    design = design_matrix(dates)
    return Tables(
        dates.astype(np.float64),
        (dates % 365.25).astype(np.float64),
        design,
        design_pairs(design),
        make_prior(dates.size, *BASELINE),
        make_prior(dates.size, *SETTLED),
        make_prior(dates.size, *STAGE),
    )


def search(
    values: NDArray[np.float32],
    tables: Tables,
    settings: Settings,
    first_onset: float,
    records: Records,
    found: Candidates,
) -> None:
    """The joint fit of a block of pixels.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN = not clear
    first_onset : earliest day of an onset
    records : room for as many pixels; found : (pixel,) FOUND, out
    """
    prepare(values, tables, settings, records, found)
    segment(records, tables, settings, first_onset, found)
    date_onset(records, tables, first_onset, found)
    question(records, tables, found)
    measure(records, found)


def run_phases(
    values: NDArray[np.float32],
    days: Ints,
    snow: NDArray[np.bool_] | None,
    history_end: int | None,
    params: dict[str, float],
) -> Layers:
    """Run the ``phases`` detector; parameters and result as for :class:`kernels.registry.Detector`.

    Raises
    ------
    ValueError
        More than ``MAX_INDICES`` indices.
    """
    n_index, _, n_pixel = values.shape
    if n_index > MAX_INDICES:
        raise ValueError(f"values: {n_index} indices, at most {MAX_INDICES} are read jointly; choose fewer")
    tables = date_tables(days)
    settings = Settings(**{name: float(value) for name, value in params.items()})
    first_onset = -np.inf if history_end is None else float(history_end + 1)
    layers = empty_layers((n_pixel,))
    screened = screen(values, days, settings.noise_floor)
    padded = np.append(days, NO_DATE)  # position -1 and n_time: no observation
    layers.n_valid[:] = np.minimum(screened.clear, 65535)
    layers.last_observation[:] = padded[screened.last]
    enough = screened.clear >= MIN_OBSERVATIONS
    enough &= padded[screened.last] - padded[screened.first] >= MIN_SPAN_DAYS
    layers.status[:] = np.where(enough, Status.STABLE, Status.TOO_FEW_OBSERVATIONS)
    # numbers too large for a sum of squares are no index
    sane = np.isfinite(screened.statistic).all(axis=0)
    layers.status[enough & ~sane] = Status.FAILED
    statistic = screened.statistic.max(axis=0)
    root = np.sqrt(np.maximum(screened.clear, 1) / TYPICAL)
    flagged = np.flatnonzero(enough & sane & (statistic >= settings.screen * np.maximum(root, NOISE_BOUND)))
    found = np.zeros(flagged.size, FOUND)
    found["cusum"] = (statistic / root)[flagged]
    records = empty_records(min(flagged.size, BLOCK), days.size, n_index)
    for start in range(0, flagged.size, BLOCK):
        pixel, part = flagged[start : start + BLOCK], found[start : start + BLOCK]
        arrays: list[Any] = [array[: pixel.size] for array in records]
        room = Records(*arrays)
        search(np.take(values, pixel, axis=2), tables, settings, first_onset, room, part)
        layers.status[pixel[room.size == 0]] = Status.TOO_FEW_OBSERVATIONS
    layers.last_observation[flagged] = found["last"]
    describe(settings, found, snow, days, flagged, layers)
    return layers
