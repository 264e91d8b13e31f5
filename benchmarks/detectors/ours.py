"""This project's detectors, as `kernels.detect` runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import kernels
from benchmarks.detectors.series import Contender, Doubles, Found, Series
from kernels.layers import NO_DATE, Layers, Quality, Status

REPORTED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)
"""Ground that changed; a provisional onset is not counted, as in the pipeline."""


def ours(detectors: Sequence[str] = tuple(kernels.DETECTORS)) -> tuple[Contender, ...]:
    """Every detector of the registry, or those named; a stage that is no detector is one more entry here."""
    return tuple(
        Contender(name, "groundbreak", "indices", _itself, _runner(name), 8192, 10**9, ours=True) for name in detectors
    )


def _itself(series: Series) -> Series:
    """The cube's own layout is what the kernels read."""
    return series


def _runner(name: str) -> Callable[[Series], Found]:
    """Run detector ``name`` with its defaults; it is not told where the history ends."""

    def run(series: Series) -> Found:
        return read(kernels.detect(series.indices, series.dates, name, snow=series.snow))

    return run


def read(layers: Layers) -> Found:
    """Layers as the scores want them; a halt counts where the last activity has ended."""
    detected = np.isin(layers.status, REPORTED)
    halted = layers.status == Status.HALTED

    def dates(layer: np.ndarray, where: np.ndarray) -> Doubles:
        return np.where(where & (layer != NO_DATE), layer.astype(np.float64), np.nan)

    return Found(
        detected=detected,
        onset=dates(layers.onset, detected),
        halt=dates(layers.halt, halted),
        onset_low=dates(layers.onset_earliest, detected),
        onset_high=dates(layers.onset_latest, detected),
        halt_low=dates(layers.halt_earliest, halted),
        halt_high=dates(layers.halt_latest, halted),
        confidence=np.where(detected, layers.confidence.astype(np.float64), np.nan),
        gap=(layers.quality & (Quality.GAP_AT_ONSET | Quality.GAP_AT_HALT)) != 0,
    )
