"""Checking scales and offsets by the pixels: dark ground must show no step across 25 January 2022.

From that day on Sentinel-2's numbers carry an offset of +1000. Some providers take it out of the pixels, some declare
it, and the metadata of some say that they do both or neither. The provider table decides what is done with it. A wrong
decision moves every pixel by a reflectance of 0.1, which shows where reflectance is lowest: water, shadow and dense
leaves hardly change from year to year.

A wrong scale shows in every observation: most clear pixels lie beyond what ground reflects, or even clouds are black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

OFFSET_CHANGE = np.datetime64("2022-01-25", "ms")
"""When processing baseline 04.00 brought the offset."""

BASELINE_OFFSET = 0.1
"""Reflectance by which a wrong decision moves every pixel."""

DARK_PERCENT = 1
"""Share of the pixels that are darker than an observation's dark level, per cent."""

SAMPLED_LINES = 64
"""Rows and columns of a region that are looked at, at least, evenly spread; a smaller region is looked at whole."""

CLEAR_SHARE = 0.2
"""Least share of an observation that must be clear: else its darkest pixels may be those of a cloud."""

COMPARED_DAYS = 45
"""Days of the year within which dark levels are compared: sun, leaves and snow move them."""

FEWEST_COMPARED = 5
"""Least number of observations on either side of a comparison; with fewer no step is reported."""

BELIEVABLE = -1000, 16_000
"""Least and largest reflectance that is believed, x 10000. Snow on a slope that faces a low sun and thick cloud come to
1.5 at most; deep water and shadow lie some hundredths below 0 where the correction took too much haze away."""

BEYOND_SHARE = 500
"""Thousandths of an observation's pixels in a band; where more lie beyond what is believed, something is wrong."""

BEYOND_OBSERVATIONS = 0.1
"""Share of a region's observations; where more are wrong the run stops. A single one may be cloud that is taken for
clear ground, and so sun glint."""

FEWEST_BEYOND = 3
"""Least number of such observations that stops a run, unless a region has fewer observations in all."""

BRIGHT_LEVEL = 500
"""Reflectance x 10000 that the brightest hundredth of some band and some observation reaches on any ground: a wood has
0.2 in the near infrared, cloud 0.3 and more. Only clear water stays below it, while no cloud and no shore is near."""

FEWEST_DARK = 10
"""Least number of observations that tells that all are too dark: of so many some has cloud."""


@dataclass(frozen=True, slots=True)
class Step:
    """By how much observations that are taken to carry one offset are brighter than those from before January 2022."""

    offset: float
    """The offset that the provider table takes these observations to carry, reflectance."""
    since: str
    """ISO date of the first of these observations."""
    count: int
    """How many of these observations were compared."""
    size: float
    """Median difference of their dark levels, reflectance."""
    error: float
    """Standard error of the size, reflectance."""

    @property
    def contradicts(self) -> bool:
        """Whether the step is surely of the size that a wrong offset leaves behind."""
        return abs(abs(self.size) - BASELINE_OFFSET) < BASELINE_OFFSET / 2 and self.error < BASELINE_OFFSET / 5


@dataclass(frozen=True, slots=True)
class Disbelief:
    """That the reflectance of a region cannot be that of ground."""

    too_dark: bool
    """Whether even the brightest pixels are black; otherwise most clear pixels lie beyond `BELIEVABLE`."""
    count: int
    """How many observations show it."""
    of: int
    """How many observations were looked at."""
    first: int
    """Position of the first of them in the grid's list."""


class DarkLevels:
    """What a slab's observations show of scale and offset.

    An observation's dark level is that of its darkest band, its bright level that of its brightest.

    Parameters
    ----------
    count : int
        Observations of the slab.
    """

    def __init__(self, count: int) -> None:
        self._dark = np.full(count, np.inf)
        self._bright = np.full(count, -np.inf)
        self._beyond = np.zeros(count, int)
        self._clear = np.ones(count, bool)

    def add(self, first: int, values: Tiles) -> None:
        """Take consecutive observations of a reflectance band into account; ``first`` is the first one's number."""
        for t, part in enumerate(_sampled(values), first):
            seen = part[part != values.fill]
            if seen.size:
                rank = seen.size * DARK_PERCENT // 100
                ranked = np.partition(seen, (rank, seen.size - 1 - rank))
                self._dark[t] = min(self._dark[t], ranked[rank])
                self._bright[t] = max(self._bright[t], ranked[-1 - rank])
                beyond = (seen < BELIEVABLE[0]) | (seen > BELIEVABLE[1])
                self._beyond[t] = max(self._beyond[t], 1000 * np.count_nonzero(beyond) // seen.size)

    def add_mask(self, first: int, classes: Tiles, clear: NDArray[np.bool_]) -> None:
        """Take consecutive observations of the mask into account.

        Parameters
        ----------
        first : int
            Number of the first of these observations in the slab.
        classes : Tiles
            The mask's values.
        clear : (256,) or (65536,) bool
            Which values are clear.
        """
        for t, part in enumerate(_sampled(classes), first):
            seen = part[part != classes.fill]
            self._clear[t] = seen.size > 0 and clear[seen].mean() >= CLEAR_SHARE

    def levels(self) -> tuple[int, ...]:
        """Return the dark level of each observation, reflectance x 10000.

        The level is the fill of reflectance where an observation has no pixels, or is not clear enough.
        """
        known = self._clear & np.isfinite(self._dark)
        return tuple(round(v) if ok else REFLECTANCE_FILL for v, ok in zip(self._dark, known, strict=True))

    def bright_levels(self) -> tuple[int, ...]:
        """Return the bright level of each observation, clear or not, x 10000; the fill where it has no pixels."""
        return tuple(round(v) if np.isfinite(v) else REFLECTANCE_FILL for v in self._bright)

    def beyond(self) -> tuple[int, ...]:
        """Return what share of each observation's pixels lies beyond `BELIEVABLE`, in the worst band, in thousandths.

        The share is -1 where an observation has no pixels, or is not clear enough.
        """
        known = self._clear & np.isfinite(self._dark)
        return tuple(int(v) if ok else -1 for v, ok in zip(self._beyond, known, strict=True))


def disbelief(builds: Sequence[Record]) -> Disbelief | None:
    """Tell whether the reflectance of a region cannot be that of ground, so that its scale or offset is wrong.

    Parameters
    ----------
    builds : sequence of Record
        The records of the region's building tasks, in the order of their slabs.

    Returns
    -------
    Disbelief, or None where there is nothing against the pixels.
    """
    if any(len(r.beyond) != len(r.dark) or len(r.bright) != len(r.dark) for r in builds):
        return None  # an earlier version left no such figures
    beyond = np.array([value for r in builds for value in r.beyond], int)
    judged = int((beyond >= 0).sum())
    wrong = np.flatnonzero(beyond > BEYOND_SHARE)
    if wrong.size and wrong.size >= max(min(FEWEST_BEYOND, judged), BEYOND_OBSERVATIONS * judged):
        return Disbelief(False, wrong.size, judged, int(wrong[0]))
    bright = np.array([value for r in builds for value in r.bright], int)
    seen = np.flatnonzero(bright != REFLECTANCE_FILL)
    if seen.size >= FEWEST_DARK and bright[seen].max() < BRIGHT_LEVEL:
        return Disbelief(True, seen.size, seen.size, int(seen[0]))
    return None


def region_steps(times: NDArray[np.datetime64], builds: Sequence[Record]) -> list[Step]:
    """Compute the steps of a region.

    Parameters
    ----------
    times : (time,) datetime64[ms]
        The grid's observations, increasing.
    builds : sequence of Record
        The records of the region's building tasks, in the order of their slabs.

    Returns
    -------
    list of Step; none where a record has no dark levels.
    """
    levels, offsets = ([value for r in builds for value in getattr(r, key)] for key in ("dark", "offsets"))
    return steps(times, levels, offsets) if len(levels) == len(times) else []


def steps(times: NDArray[np.datetime64], levels: Sequence[int], offsets: Sequence[int]) -> list[Step]:
    """Compare dark levels: those of each offset, before and after January 2022, with the usual ones from before.

    The observations that carry one offset on one side of that day are a group. Each observation of a group is set
    against the usual earlier ones of its season, and the median of the differences is the group's step.

    Parameters
    ----------
    times : (time,) datetime64
        The observations, increasing.
    levels : (time,) int
        The dark level of each observation, as `DarkLevels.levels` returns it.
    offsets : (time,) int
        The offset that the provider table takes each observation to carry, reflectance x 10000.

    Returns
    -------
    list of Step, one for each group that has enough observations to be compared.
    """
    level, offset = np.array(levels, float), np.array(offsets)
    known = level != REFLECTANCE_FILL
    early = times < OFFSET_CHANGE
    values, counts = np.unique(offset[known & early], return_counts=True)
    if not values.size:
        return []
    usual = values[counts.argmax()]
    base = known & early & (offset == usual)
    day = (times.astype("datetime64[D]") - times.astype("datetime64[Y]")).astype(int)
    found = []
    for side in (early, ~early):
        for other in np.unique(offset[known & side]):
            group = known & side & (offset == other)
            apart = np.abs(day[group][:, None] - day[base])
            season = np.minimum(apart, 365 - apart) <= COMPARED_DAYS
            if (group == base).all() or min(season.any(axis=0).sum(), season.any(axis=1).sum()) < FEWEST_COMPARED:
                continue
            pairs = zip(level[group], season, strict=True)
            gaps = np.array([value - np.median(level[base][near]) for value, near in pairs if near.any()])
            size = np.median(gaps)
            # The standard error of a median, by the median absolute deviation.
            error = 1.2533 * 1.4826 * np.median(np.abs(gaps - size)) / np.sqrt(gaps.size)
            taken, size, error = (float(v) * REFLECTANCE_SCALE for v in (other, size, error))
            found.append(Step(taken, str(times[group].min().astype("datetime64[D]")), gaps.size, size, error))
    return found


def _sampled(values: Tiles) -> Pixels:
    """Return the observations (time, y, x) at the rows and columns that are looked at."""
    return values.sample(max(values.height, values.width, SAMPLED_LINES) // SAMPLED_LINES)
