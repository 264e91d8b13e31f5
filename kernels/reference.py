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
from numpy.typing import NDArray

from kernels import checks, phases, search
from kernels.harmonic import A0
from kernels.series import CLIP, ROUGHNESS_OF_NOISE, Floats

Bools = NDArray[np.bool_]


def log_evidence(design: Floats, z: Floats, precision: Floats, b0: float) -> tuple[float, Floats, Floats]:
    """Evidence of a segment under the conjugate linear model, by least squares.

    Parameters
    ----------
    design : (time, term) float64; z : (index, time) float64
    precision : (term,) float64, added as one row a term: sqrt(precision) c = 0

    Returns
    -------
    Log evidence summed over the indices, coefficients (term, index), residuals (index, time).
    """
    m = design.shape[0]
    rows = np.vstack([design, np.diag(np.sqrt(precision))])
    target = np.vstack([z.T, np.zeros((precision.size, z.shape[0]))])
    coef = np.linalg.lstsq(rows, target, rcond=None)[0]
    penalised = ((target - rows @ coef) ** 2).sum(axis=0)
    _, logdet = np.linalg.slogdet(rows.T @ rows)
    occam = -0.5 * (logdet - np.log(precision).sum())
    a = A0 + m / 2
    total = 0.0
    for rest in penalised:
        gammas = math.lgamma(a) - math.lgamma(A0)
        total += gammas + A0 * math.log(b0) - a * math.log(b0 + rest / 2) + occam
    return total, coef, z - (design @ coef).T


def standardise(z: Floats, floor: float) -> tuple[Floats, Floats]:
    """(index, time) in noise units, and the noise of each index."""
    rough = np.median(np.abs(np.diff(z, axis=1)), axis=1) / ROUGHNESS_OF_NOISE
    scale = np.maximum(rough, floor)
    units = (z - np.median(z, axis=1)[:, None]) / scale[:, None]
    return np.clip(units, -CLIP, CLIP), scale


def spikes(z: Floats, day: Floats, limit: float) -> Bools:
    """Which observations stay once isolated runs of one or two spikes are gone."""
    n_index, n = z.shape
    keep = np.ones(n, np.bool_)
    if limit <= 0 or n < 6:
        return keep
    for length in (1, 2):
        for i in range(n - length + 1):
            before = i - 1 if i > 0 else i + length + 1
            after = i + length if i + length < n else i - 2
            run = list(range(i, i + length))
            if not keep[[*run, before, after]].all():
                continue
            jump = z[:, after] - z[:, before]
            offs = []
            for q in run:
                share = (day[q] - day[before]) / (day[after] - day[before])
                if i == 0 or i + length == n:
                    share = 0.5
                offs.append(((z[:, q] - z[:, before] - share * jump) ** 2).sum())
            if min(offs) > limit**2 * n_index and min(offs) > 9 * (jump**2).sum():
                keep[run] = False
    return keep


def rough(z: Floats, floor: Floats) -> float:
    """Mean over the indices of the median step between neighbours, floored."""
    steps = np.zeros(z.shape[0])
    if z.shape[1] >= 2:
        steps = np.median(np.abs(np.diff(z, axis=1)), axis=1)
    return float(np.maximum(steps, ROUGHNESS_OF_NOISE * floor).mean())


def inflation(residuals: Floats) -> float:
    """Variance inflation by batch means."""
    size = checks.BATCH
    whole = residuals[:, : residuals.shape[1] // size * size]
    squares = float((whole**2).sum())
    if squares == 0:
        return 0.0
    return float((whole.reshape(whole.shape[0], -1, size).sum(axis=2) ** 2).sum()) / squares


def marked(z: Floats, season: Floats, start: int) -> Floats:
    """1 for observations that the baseline [0, start) never showed at that time of the year, 0 for
    normal ones, and 0.5 in a season that it never saw."""
    marks = np.zeros(z.shape[1])
    for q in range(start, z.shape[1]):
        apart = np.abs(season[:start] - season[q])
        near = np.minimum(apart, 365.25 - apart) <= checks.SEASON_DAYS
        known = near.sum() >= checks.SEASON_MIN
        seen = z[:, :start][:, near if known else slice(None)]
        low = seen.min(axis=1) - checks.SEASON_MARGIN
        high = seen.max(axis=1) + checks.SEASON_MARGIN
        marks[q] = 0.0 if known else checks.UNSEEN
        if ((z[:, q] < low) | (z[:, q] > high)).any():
            marks[q] = 1.0
    return marks


def onset_from(marks: Floats, i: int, stop: int, share: float) -> int:
    """Onset q in [i, stop] that maximises the marks after it, less ``share`` each."""
    totals = [(marks[q:] - share).sum() for q in range(i, stop + 1)]
    return i + int(np.argmax(np.round(totals, 9)))


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
        return log_evidence(self.design[:i], self.z[:, :i], phases.BASELINE_PRECISION, 1.0)[0]

    def _settled(self, j: int) -> float:
        return log_evidence(self.design[j:], self.z[:, j:], phases.SETTLED_PRECISION, 1.0)[0]

    def _works(self, i: int, j: int) -> float:
        if i == j:
            return 0.0
        years = self.design[i:j, -1]
        design = np.stack([np.ones(j - i), years - years.mean()], axis=1)
        precision = np.array(search.ACTIVITY_PRECISION)
        return log_evidence(design, self.z[:, i:j], precision, search.ACTIVITY_B0)[0]

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
    s: Series, season: Floats, settings: phases.Settings, first_onset: float, settled_days: float
) -> Found | None:
    """The best single change, if it passes every check; see :func:`kernels.phases.find_change`."""
    n, day, z = s.n, s.day, s.z
    onsets = [i for i in range(phases.MIN_BASELINE, n) if day[i] >= first_onset]
    first = onsets[0] if onsets else n
    lasts = [j for j in range(n - phases.MIN_SETTLED + 1) if day[n - 1] - day[j] >= settled_days]
    last = lasts[-1] if lasts else -1
    stable = s.baseline(n)
    best = best_of([(i, n) for i in range(first, n - 2)], s)
    step = best_of([(i, i) for i in range(first, last + 1)], s)
    if max(best[0], step[0]) - stable < phases.SCREEN:
        return None
    settled = find_settled(s, first, last)
    gain, i, j = settled if settled[0] >= best[0] else best
    limit = gain
    gain -= stable
    if gain < settings.threshold:
        return None
    outside = np.r_[0:i, j:n]
    if i < j < n:
        back = log_evidence(s.design[outside], z[:, outside], phases.BASELINE_PRECISION, 1.0)[0]
        gain = min(gain, s.baseline(i) + s.settled(j) - back)
    _, _, residuals = log_evidence(s.design[:i], z[:, :i], phases.BASELINE_PRECISION, 1.0)
    inflated = max(1.0, inflation(residuals))
    if j < n:
        _, _, residuals = log_evidence(s.design[j:], z[:, j:], phases.SETTLED_PRECISION, 1.0)
        inflated = max(inflated, inflation(residuals))
    if gain / inflated < settings.threshold:
        return None
    marks = marked(z, season, i)
    tail = j if j < n else max(i, n - phases.LATEST)
    if (marks[tail:] == 1).mean() < settings.persistence:
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
    onset = onset_from(marks, i, stop, checks.ONSET_SHARE)
    high = max([i, *inside, onset, onset_from(marks, i, stop, checks.ONSET_SHARE_STRICT)])
    is_open = j == n or not quiet(s, i, j, settings.settled_noise)
    return Found(
        onset,
        n if is_open else j,
        (min([i, *inside]), high),
        (n, n) if is_open else (min(j_inside), max(j_inside)),
        gain / inflated,
        float((marks[tail:] == 1).mean()),
        int((marks[onset:] == 1).sum()),
        is_open,
    )


def quiet(s: Series, i: int, j: int, settled_noise: float) -> bool:
    """Whether [j, n) is as quiet as the baseline and quieter than the works."""
    calm = rough(s.z[:, j:], s.floor)
    if calm > settled_noise * rough(s.z[:, :i], s.floor):
        return False
    return j - i < checks.BATCH or calm <= checks.WORKS_QUIETER * rough(s.z[:, i:j], s.floor)
