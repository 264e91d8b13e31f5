"""Slow, obvious NumPy twin of the kernels: the oracle of the tests.

:mod:`kernels.reference_pixel` builds whole layers from it. It shares the constants with the kernels
and nothing else: least squares on the rows of a segment instead of recursive updates and running
sums, whole arrays and plain loops instead of scratch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kernels import checks, marks, model, search
from kernels.reference_series import inflation, log_evidence, lost_states, marked, novel_share, onset_from, rough
from kernels.series import Floats


@dataclass(frozen=True)
class Found:
    """A change, its settled phase open where ``j`` is the number of observations."""

    i: int
    j: int
    onsets: tuple[int, int]
    ends: tuple[int, int]
    strength: float
    share: float
    marked: int
    open: bool
    sure: bool


class Series:
    """One pixel's clear observations, and the evidence of any of its segments."""

    def __init__(self, z: Floats, floor: Floats, day: Floats, design: Floats) -> None:
        self.z, self.floor, self.day, self.design = z, floor, day, design
        self.n = z.shape[1]
        self.baseline = lru_cache(None)(self._baseline)
        self.settled = lru_cache(None)(self._settled)
        self.works = lru_cache(None)(self._works)

    def part(self, start: int, stop: int) -> Series:
        """The observations [start, stop)."""
        cut = slice(start, stop)
        return Series(self.z[:, cut], self.floor, self.day[cut], self.design[cut])

    def _baseline(self, i: int) -> float:
        return log_evidence(self.design[:i], self.z[:, :i], model.BASELINE_PRECISION, 1.0)[0]

    def _settled(self, j: int) -> float:
        return log_evidence(self.design[j:], self.z[:, j:], model.SETTLED_PRECISION, 1.0)[0]

    def _works(self, i: int, j: int) -> float:
        if i == j:
            return 0.0
        years = self.design[i:j, -1]
        design = np.stack([np.ones(j - i), years - years.mean()], axis=1)
        precision = np.array(model.ACTIVITY_PRECISION)
        return log_evidence(design, self.z[:, i:j], precision, model.ACTIVITY_B0)[0]

    def score(self, i: int, j: int) -> float:
        """Evidence of the three phases split at i and j."""
        return self.baseline(i) + self.works(i, j) + (self.settled(j) if j < self.n else 0.0)


def best_of(pairs: list[tuple[int, int]], s: Series) -> tuple[float, int, int]:
    """First of the best pairs; (-inf, -1, -1) of none."""
    best, i, j = -math.inf, -1, -1
    for pair in pairs:
        if s.score(*pair) > best:
            best, (i, j) = s.score(*pair), pair
    return best, i, j


def find_settled(s: Series, first: int, last: int) -> tuple[float, int, int]:
    """The kernel's search: steps, a coarse grid, then either date in full until neither moves."""
    coarse = range(first, last + 1, search.COARSE)
    pairs = [(i, i) for i in range(first, last + 1)]
    pairs += [(i, j) for i in coarse for j in range(i + search.COARSE, last + 1, search.COARSE)]
    best = best_of(pairs, s)
    while best[1] >= 0:
        old = best
        _, i, j = old
        best = max(best, best_of([(q, j) for q in range(first, j + 1)], s), key=lambda b: b[0])
        i = best[1]
        best = max(best, best_of([(i, q) for q in range(i, last + 1)], s), key=lambda b: b[0])
        if best[0] <= old[0]:
            break
    return best


def find_change(
    s: Series, season: Floats, settings: model.Settings, first_onset: float, settled_days: float
) -> Found | None:
    """The best single change, if it passes every check; see :func:`kernels.phases.find_change`."""
    n, day, z = s.n, s.day, s.z
    onsets = [i for i in range(model.MIN_BASELINE, n) if day[i] >= first_onset]
    first = onsets[0] if onsets else n
    lasts = [j for j in range(n - model.MIN_SETTLED + 1) if day[n - 1] - day[j] >= settled_days]
    last = lasts[-1] if lasts else -1
    stable = s.baseline(n)
    best = best_of([(i, n) for i in range(first, n - 2)], s)
    step = best_of([(i, i) for i in range(first, last + 1)], s)
    if max(best[0], step[0]) - stable < model.SCREEN:
        return None
    settled = find_settled(s, first, last)
    gain, i, j = settled if settled[0] >= best[0] else best
    limit = gain
    gain -= stable
    if gain < settings.threshold:
        return None
    outside = np.r_[0:i, j:n]
    if i < j < n:
        back = log_evidence(s.design[outside], z[:, outside], model.BASELINE_PRECISION, 1.0)[0]
        gain = min(gain, s.baseline(i) + s.settled(j) - back)
    _, _, residuals = log_evidence(s.design[:i], z[:, :i], model.BASELINE_PRECISION, 1.0)
    inflated = max(1.0, inflation(residuals))
    if j < n:
        _, _, residuals = log_evidence(s.design[j:], z[:, j:], model.SETTLED_PRECISION, 1.0)
        inflated = max(inflated, inflation(residuals))
    if gain / inflated < settings.threshold:
        return None
    flags = marked(z, season, i)
    tail = j if j < n else max(i, n - model.LATEST)
    if (flags[tail:] == 1).mean() < settings.persistence:
        return None
    limit -= search.INTERVAL_DROP * inflated
    wide = search.PROFILE
    ends = range(max(j - wide, i), min(j + wide, last) + 1) if j < n else range(n, n + 1)
    inside = [q for e in ends for q in range(first, min(e + 1, n - 2)) if s.score(q, e) >= limit]
    j_inside = [j]
    if j < n:
        near = range(max(i - wide, first), min(i + wide, j) + 1)
        j_inside += [e for q in near for e in range(q, last + 1) if s.score(q, e) >= limit]
    stop = min(j, n - 3)
    onset = onset_from(flags, i, stop, marks.ONSET_SHARE)
    high = max([i, *inside, onset, onset_from(flags, i, stop, marks.ONSET_SHARE_STRICT)])
    part = j
    settled_now = j < n and quiet(s, i, j, settings.settled_noise)
    if settled_now:
        lost = lost_states(z, season, i, j)
        settled_now = lost >= checks.LOST_SETTLED
    if not settled_now:
        part, lost = onset, lost_states(z, season, i, onset)
        if lost < checks.LOST_WHOLLY and season_wins(s, onset):
            return None
    waited = day[-1] - day[onset] >= checks.RETURN_DAYS
    sure = bool(waited or lost >= checks.LOST_WHOLLY or novel_share(z, i, part) >= checks.NOVEL)
    is_open = not (settled_now and sure)
    return Found(
        onset,
        n if is_open else j,
        (min([i, *inside]), high),
        (n, n) if is_open else (min(j_inside), max(j_inside)),
        gain / inflated,
        float((flags[tail:] == 1).mean()),
        int((flags[onset:] == 1).sum()),
        is_open,
        sure,
    )


def season_wins(s: Series, onset: int) -> bool:
    """Whether a seasonal ground describes [onset, n) better than works do."""
    grown = log_evidence(s.design[onset:], s.z[:, onset:], model.BASELINE_PRECISION, 1.0)[0]
    bound = checks.SEASON_GAIN * s.z.shape[0] * (s.n - onset)
    return bool(grown - s.works(onset, s.n) > bound)


def quiet(s: Series, i: int, j: int, settled_noise: float) -> bool:
    """Whether [j, n) is as quiet as the baseline and quieter than the works."""
    calm = rough(s.z[:, j:], s.floor)
    if calm > settled_noise * rough(s.z[:, :i], s.floor):
        return False
    return j - i < marks.BATCH or calm <= marks.WORKS_QUIETER * rough(s.z[:, i:j], s.floor)
