"""The pixels confirm the provider table: no step on dark ground across 25 January 2022.

From then on Sentinel-2's numbers carry an offset of +1000, which some providers take out of the pixels, some declare,
and some do both or neither as their metadata say. The table decides what is done; a wrong decision moves every pixel by
0.1, which is measured where reflectance is lowest: water, shadow and dense leaves hardly change from year to year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, Record
from groundbreak.pipeline.stores.tiles import Tiles

CHANGE = np.datetime64("2022-01-25", "ms")
"""Processing baseline 04.00."""

OFFSET = 0.1
"""Reflectance; what a wrong decision moves pixels by."""

DARK = 1
"""Per cent of the pixels that are darker than an observation's level."""

SAMPLE = 64
"""Rows and columns of a region that are looked at, evenly spread."""

CLEAR = 0.2
"""Of an observation, or its darkest pixels may be a cloud's."""

SEASON = 45
"""Days of the year within which levels are compared: sun, leaves and snow move them."""

LEAST = 5
"""Observations that can be compared, below which nothing is said."""


@dataclass(frozen=True, slots=True)
class Step:
    """How observations of one treatment lie above those from before the change of 2022."""

    offset: float
    """What the table takes them to carry, reflectance."""
    since: str
    """Day of the first of them."""
    count: int
    size: float
    """Reflectance."""
    error: float
    """Standard error of it."""

    @property
    def contradicts(self) -> bool:
        """Whether it is what a wrong offset leaves behind, and no other thing."""
        return abs(abs(self.size) - OFFSET) < OFFSET / 2 and self.error < OFFSET / 5


class DarkLevels:
    """The levels of a slab's observations: the darkest band's, of those that are clear enough."""

    def __init__(self, count: int) -> None:
        self._dark = np.full(count, np.inf)
        self._clear = np.ones(count, bool)

    def add(self, first: int, values: Tiles) -> None:
        """Of a reflectance band, from an observation on."""
        for t, part in enumerate(_sampled(values), first):
            there = part[part != values.fill]
            if there.size:
                rank = there.size * DARK // 100
                self._dark[t] = min(self._dark[t], np.partition(there, rank)[rank])

    def add_mask(self, first: int, classes: Tiles, clear: np.ndarray) -> None:
        """Of the mask, from an observation on, and which of its values (256,) are clear."""
        for t, part in enumerate(_sampled(classes), first):
            there = part[part != classes.fill]
            self._clear[t] = there.size > 0 and clear[there].mean() >= CLEAR

    def levels(self) -> tuple[int, ...]:
        """Of each observation, reflectance x 10000; the fill where none can be told."""
        told = self._clear & np.isfinite(self._dark)
        return tuple(round(v) if ok else REFLECTANCE_FILL for v, ok in zip(self._dark, told, strict=True))


def region_steps(times: np.ndarray, builds: Sequence[Record]) -> list[Step]:
    """The steps of a region, from the records of its builds in order; none where one of them has no levels."""
    levels, offsets = ([value for r in builds for value in getattr(r, key)] for key in ("dark", "offsets"))
    return steps(times, levels, offsets) if len(levels) == len(times) else []


def steps(times: np.ndarray, levels: Sequence[int], offsets: Sequence[int]) -> list[Step]:
    """Compare every treatment of observations with the commonest from before the change.

    Parameters
    ----------
    times : (time,) datetime64
    levels : (time,) of `DarkLevels`
    offsets : (time,) what the table took each observation to carry, reflectance x 10000

    Returns
    -------
    list of Step, of the treatments that can be compared: each of their observations is set against the earlier ones of
    its season, and the median of the differences is the step.
    """
    level, offset = np.array(levels, float), np.array(offsets)
    told = level != REFLECTANCE_FILL
    early = times < CHANGE
    values, counts = np.unique(offset[told & early], return_counts=True)
    if not values.size:
        return []
    usual = values[counts.argmax()]
    base = told & early & (offset == usual)
    day = (times.astype("datetime64[D]") - times.astype("datetime64[Y]")).astype(int)
    found = []
    for side in (early, ~early):
        for other in np.unique(offset[told & side]):
            group = told & side & (offset == other)
            apart = np.abs(day[group][:, None] - day[base])
            season = np.minimum(apart, 365 - apart) <= SEASON
            if (group == base).all() or min(season.any(axis=0).sum(), season.any(axis=1).sum()) < LEAST:
                continue
            pairs = zip(level[group], season, strict=True)
            gaps = np.array([value - np.median(level[base][near]) for value, near in pairs if near.any()])
            size = np.median(gaps)
            error = 1.2533 * 1.4826 * np.median(np.abs(gaps - size)) / np.sqrt(gaps.size)  # of a median, by its MAD
            taken, size, error = (float(v) * REFLECTANCE_SCALE for v in (other, size, error))
            found.append(Step(taken, str(times[group].min().astype("datetime64[D]")), gaps.size, size, error))
    return found


def _sampled(values: Tiles) -> np.ndarray:
    return values.sample(max(values.height, values.width, SAMPLE) // SAMPLE)
