"""The loop over pixels, block by block: bounded memory, and nothing shared between pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels._jit import jit
from kernels.harmonic import A0, MAX_INDICES, design_matrix, evidence_table
from kernels.layers import LAYERS, Layers
from kernels.outcome import solve_pixel
from kernels.phases import Settings, Tables
from kernels.search import ACTIVITY_B0
from kernels.series import Ints

BLOCK = 256
"""Pixels copied to (pixel, time, index) order at a time: about 1 MB, which stays in cache."""

_FILLS = np.array([spec.fill for spec in LAYERS.values()], np.int32)


@jit
def solve_block(
    series: NDArray[np.float32],
    snow: NDArray[np.bool_],
    tables: Tables,
    settings: Settings,
    rows: NDArray[np.int32],
) -> None:
    """Detect on every pixel of a block.

    Parameters
    ----------
    series : (pixel, time, index) float32; snow : (pixel, time) bool, or (pixel, 0) when unknown
    rows : (pixel, layer) int32, holds the fills; see :func:`kernels.outcome.solve_pixel`
    """
    for p in range(series.shape[0]):
        solve_pixel(series[p], snow[p], tables, settings, rows[p])


def date_tables(days: Ints, history_end: int | None) -> Tables:
    """Tables of a record whose observations fall on ``days`` since 1970-01-01, (time,) int64."""
    return Tables(
        days.astype(np.float64),
        (days % 365.25).astype(np.float64),
        design_matrix(days),
        evidence_table(days.size, A0),
        evidence_table(days.size, ACTIVITY_B0),
        -np.inf if history_end is None else float(history_end + 1),
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
    n_index, _, n_pixel = values.shape
    if n_index > MAX_INDICES:
        raise ValueError(f"values: {n_index} indices, at most {MAX_INDICES} are read jointly; choose fewer")
    tables = date_tables(days, history_end)
    settings = Settings(**{name: float(value) for name, value in params.items()})
    rows = np.tile(_FILLS, (n_pixel, 1))
    for start in range(0, n_pixel, BLOCK):
        stop = min(start + BLOCK, n_pixel)
        series = values[:, :, start:stop].transpose(2, 1, 0).copy()
        here = np.zeros((0, stop - start), np.bool_) if snow is None else snow[:, start:stop]
        white = here.T.copy()
        solve_block(series, white, tables, settings, rows[start:stop])
    return to_layers(rows)


def to_layers(rows: NDArray[np.int32]) -> Layers:
    """(pixel, layer) int32 -> one array a layer, in its own dtype."""
    columns: list[Any] = [rows[:, at].astype(spec.dtype) for at, spec in enumerate(LAYERS.values())]
    return Layers(*columns)
