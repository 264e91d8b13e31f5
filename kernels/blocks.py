"""The loop over pixels, block by block: bounded memory, and nothing shared between pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.harmonic import MAX_INDICES, SEASON_B0, design_matrix, evidence_table
from kernels.layers import Layers, Status, empty_layers
from kernels.model import ACTIVITY_B0, Settings, Tables
from kernels.outcome import describe
from kernels.phases import find_changes
from kernels.prepare import empty_records, prepare
from kernels.series import Ints

BLOCK = 128
"""Pixels whose records are held at a time: a few MB, which stay in cache."""


def date_tables(days: Ints) -> Tables:
    """Tables of a record whose observations fall on ``days`` since 1970-01-01, (time,) int64."""
    return Tables(
        days.astype(np.float64),
        (days % 365.25).astype(np.float64),
        design_matrix(days),
        evidence_table(days.size, SEASON_B0),
        evidence_table(days.size, ACTIVITY_B0),
    )


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
    n_index, n_time, n_pixel = values.shape
    if n_index > MAX_INDICES:
        raise ValueError(f"values: {n_index} indices, at most {MAX_INDICES} are read jointly; choose fewer")
    tables = date_tables(days)
    settings = Settings(**{name: float(value) for name, value in params.items()})
    first_onset = -np.inf if history_end is None else float(history_end + 1)
    layers = empty_layers((n_pixel,))
    for start in range(0, n_pixel, BLOCK):
        stop = min(start + BLOCK, n_pixel)
        series = values[:, :, start:stop].transpose(2, 1, 0).copy()
        here = np.zeros((0, stop - start), np.bool_) if snow is None else snow[:, start:stop]
        parts: list[Any] = [layer[start:stop] for layer in layers]
        out = Layers(*parts)
        records = empty_records(stop - start, n_time, n_index)
        n_valid, last = np.zeros((2, stop - start), np.int64)
        prepare(series, tables, settings, records, n_valid, last)
        out.n_valid[:] = np.minimum(n_valid, 65535)
        out.last_observation[:] = np.where(n_valid > 0, last, out.last_observation)
        out.status[:] = np.where(records.size > 0, Status.STABLE, Status.TOO_FEW_OBSERVATIONS)
        found = find_changes(records, tables, settings, first_onset)
        describe(records, settings, found, here.T, days, out)
    return layers
