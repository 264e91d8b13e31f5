"""What a contender is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

JOINT = ("ndvi", "swir")
"""Indices that detectors of several indices get unless said otherwise: the table of docs/method.md is of these two."""

EPOCH_ORDINAL = 719163
"""Python's ordinal day of 1970-01-01."""


@dataclass(frozen=True, slots=True)
class Series:
    """The series of a set of pixels.

    ``indices`` (index, time, pixel) float32, NaN = not clear; ``names`` of the indices; ``bands`` (band, time, pixel)
    float32 reflectance 0-1 of blue, green, red, nir, swir16, swir22, or None; ``dates`` (time,) datetime64[D];
    ``history_end``: the ground of every pixel is as it was up to this day, which detectors that need a history are
    told; ``snow`` (time, pixel).
    """

    indices: Floats
    names: tuple[str, ...]
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
        """Return the first ``n_pixel`` pixels, contiguous in memory as a detector would get them."""
        bands = None if self.bands is None else np.ascontiguousarray(self.bands[..., :n_pixel])
        snow = None if self.snow is None else np.ascontiguousarray(self.snow[..., :n_pixel])
        return replace(self, indices=np.ascontiguousarray(self.indices[..., :n_pixel]), bands=bands, snow=snow)

    def repeated(self, n_pixel: int) -> Series:
        """Return ``n_pixel`` pixels, these ones over and over; the first index alone."""
        at = np.arange(n_pixel) % self.indices.shape[2]
        return replace(self, indices=self.indices[:1, :, at], names=self.names[:1], bands=None, snow=None)

    def pick(self, names: Sequence[str]) -> Series:
        """Return the indices ``names`` alone."""
        return replace(self, indices=self.indices[[self.names.index(name) for name in names]], names=tuple(names))


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
    ``least_speed`` is what it needs not to be slowed by its cost per date: fewer pixels are repeated until they are as
    many. ``bytes_read`` of the series, a pixel and date, sets how fast memory would let it be. ``package`` is the
    distribution whose version is reported; ``ours`` marks this project's own. ``indices`` it needs, all of them;
    ``timed``: it is not, where it differs from another in what is counted only; ``copies``: pixels that it detects for
    every one of the series.
    """

    name: str
    package: str
    reads: str
    prepare: Callable[[Series], Any]
    run: Callable[[Any], Found]
    most_speed: int
    most_accuracy: int
    least_speed: int = 0
    bytes_read: float = 4
    ours: bool = False
    indices: tuple[str, ...] = ()
    timed: bool = True
    copies: int = 1


def nothing(n_pixel: int) -> Found:
    """Return that nothing is found in ``n_pixel`` pixels, to be filled in."""
    return Found(np.zeros(n_pixel, np.bool_), np.full(n_pixel, np.nan), np.full(n_pixel, np.nan))
