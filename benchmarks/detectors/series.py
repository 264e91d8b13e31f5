"""What a contender is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

EPOCH_ORDINAL = 719163
"""Python's ordinal day of 1970-01-01."""


@dataclass(frozen=True, slots=True)
class Series:
    """The series of a set of pixels.

    ``indices`` (index, time, pixel) float32, NaN = not clear; ``bands`` (band, time, pixel) float32 reflectance 0-1 of
    blue, green, red, nir, swir16, swir22, or None; ``dates`` (time,) datetime64[D]; ``history_end``: the ground of
    every pixel is as it was up to this day, which detectors that need a history are told; ``snow`` (time, pixel).
    """

    indices: Floats
    dates: NDArray[np.datetime64]
    history_end: np.datetime64
    bands: Floats | None = None
    snow: Bools | None = None

    @property
    def days(self) -> NDArray[np.int64]:
        """(time,) days since 1970-01-01."""
        return self.dates.astype("datetime64[D]").astype(np.int64)

    @property
    def n_history(self) -> int:
        """Dates up to ``history_end``."""
        return int((self.dates <= self.history_end).sum())

    def first(self, n_pixel: int) -> Series:
        """The first ``n_pixel`` pixels, contiguous in memory as a detector would get them."""
        bands = None if self.bands is None else np.ascontiguousarray(self.bands[..., :n_pixel])
        snow = None if self.snow is None else np.ascontiguousarray(self.snow[..., :n_pixel])
        return Series(np.ascontiguousarray(self.indices[..., :n_pixel]), self.dates, self.history_end, bands, snow)


class Found(NamedTuple):
    """What a contender says; (pixel,) each, dates in float64 days since 1970-01-01, NaN = none.

    ``detected`` bool; ``onset``; ``halt``; then what only some say: the ends of the intervals of both, ``confidence``
    in percent, and ``gap``, whether a date is marked as lying in a long gap of the observations.
    """

    detected: Bools
    onset: Doubles
    halt: Doubles
    onset_low: Doubles | None = None
    onset_high: Doubles | None = None
    halt_low: Doubles | None = None
    halt_high: Doubles | None = None
    confidence: Doubles | None = None
    gap: Bools | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """A detector to be timed and scored.

    ``prepare`` brings the series into the layout and type that the detector likes best, and is not timed; ``run`` is.
    ``most_speed`` and ``most_accuracy`` are the pixels that it gets of each workload: fewer where it is slow.
    ``package`` is the distribution whose version is reported; ``ours`` marks this project's own.
    """

    name: str
    package: str
    reads: str
    prepare: Callable[[Series], Any]
    run: Callable[[Any], Found]
    most_speed: int
    most_accuracy: int
    ours: bool = False


def nothing(n_pixel: int) -> Found:
    """Nothing found in ``n_pixel`` pixels, to be filled in."""
    return Found(np.zeros(n_pixel, np.bool_), np.full(n_pixel, np.nan), np.full(n_pixel, np.nan))
