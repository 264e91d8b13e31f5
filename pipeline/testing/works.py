"""What happens on a site: clearing, works that keep the ground restless, and the settled end.

A pixel's history is a list of events; between two events its surface stays as the last one left it.
Works move earth, material and machines every few days on patches of two pixels or so, and raise
blocks row after row; when they end, the last state stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.testing.spectra import SPECTRA

_EVENT_DAYS = 8.0
"""Mean days between two disturbances of a patch under works."""
_CLEARING_DAYS = 17
"""Days that clearing takes to reach the whole of a large site."""


@dataclass(frozen=True, slots=True)
class History:
    """Events of every pixel of a site, in order of time."""

    days: NDArray[np.float64]
    """(pixel, event) day of each event; the tail is infinite."""
    surfaces: NDArray[np.float32]
    """(pixel, event, band) reflectance that the event leaves."""
    settled: NDArray[np.float64]
    """(pixel,) day of the last event, infinite where works go on."""

    @property
    def begun(self) -> NDArray[np.float64]:
        """(pixel,) day of the first event: the pixel's own onset."""
        return self.days[:, 0]

    def surface(self, day: int, season: float) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which pixels have changed, and what they look like on one day.

        Parameters
        ----------
        day
            Days since the start of the record.
        season
            -1 midwinter to 1 midsummer: low sun lengthens shadows, summer lets weeds grow.

        Returns
        -------
        (pixel,) bool and (pixel, band) float32 reflectance, undefined where not changed.
        """
        last = (self.days <= day).sum(axis=1) - 1
        now = self.surfaces[np.arange(len(last)), np.maximum(last, 0)]
        quiet = (day > self.settled)[:, None]
        weeds = 0.02 * (season + 1) * quiet * (np.array(SPECTRA["herb"]) - now)
        return last >= 0, ((now + weeds) * (1 + 0.035 * season)).astype(np.float32)


def work(
    rng: np.random.Generator,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    onset: int,
    halt: int,
    days: int,
) -> History:
    """History of a building site: cleared piece by piece, restless to the end, then quiet.

    Parameters
    ----------
    rng
        Source of randomness.
    u, v
        (pixel,) coordinates along and across the site, pixels.
    onset, halt
        First and last day of activity, from the start of the record; halt may lie after it.
    days
        Length of the record.

    Returns
    -------
    History
        At least one pixel begins on `onset` and at least one ends on `halt`.
    """
    patch, built = _patches(u, v), _blocks(u, v)
    clearing = min(_CLEARING_DAYS, (halt - onset) // 8)
    # Strips across the site are cleared in turn: the front moves along u.
    front = np.clip(u / max(float(u.max()), 1.0) * clearing + rng.normal(0, 1.5, len(u)), 0, None)
    front = np.floor(front - front.min())
    raised = _raise_days(built, onset + clearing + 40, halt - 12)
    pixels: list[list[tuple[float, NDArray[np.float64]]]] = [[] for _ in u]
    tone = rng.normal(1, 0.05, len(u))
    last_day = np.zeros(len(u))
    ends = {p: halt - min(rng.exponential(2.5), 8.0) for p in np.unique(patch)}
    ends[int(patch[int(rng.integers(len(u)))])] = float(halt)
    for p in np.unique(patch):
        members = np.nonzero(patch == p)[0]
        gaps = rng.exponential(_EVENT_DAYS, int(4 * (halt - onset) / _EVENT_DAYS) + 8)
        times = onset + np.cumsum(gaps)
        end = float(np.floor(ends[p]))
        times = np.r_[times[times < end - 1], end]
        mixes = [_disturbed(rng) for _ in times]
        for i in members:
            begin = onset + front[i]
            pixels[i].append((begin, _spec("loam") * 1.25 * tone[i]))
            for t, (share, surface) in zip(times, mixes, strict=True):
                if t > begin + 1:
                    rest = _standing(built[i], raised[i], t) * tone[i]
                    final = 0.15 if t == end else share * float(rng.uniform(0.7, 1.0))
                    pixels[i].append((t, (1 - final) * rest + final * surface))
            last_day[i] = end
    settled = np.where(last_day < days, last_day, np.inf)
    return _history(pixels, settled)


def pave(
    rng: np.random.Generator,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    onset: int,
    halt: int,
    days: int,
) -> History:
    """History of a road built at once: a crew crosses it, lays gravel, then asphalt.

    Parameters and return value as in `work`; `days` bounds the settled day alone.
    """
    span = halt - onset
    front = np.floor(u / max(float(u.max()), 1.0) * (span - 4))
    front = np.clip(front - front.min(), 0, span - 4)
    tone = rng.normal(1, 0.04, len(u))
    edge = np.clip(np.abs(v - v.mean()) - 0.5, 0, 1)[:, None]
    top = (1 - 0.4 * edge) * _spec("asphalt") + 0.4 * edge * _spec("gravel")
    pixels = [
        [
            (float(onset + f), _spec("gravel") * t),
            (float(onset + f + 4), surface * t),
        ]
        for f, t, surface in zip(front, tone, top, strict=True)
    ]
    finished = onset + front + 4
    return _history(pixels, np.where(finished < days, finished, np.inf))


def _spec(name: str) -> NDArray[np.float64]:
    return np.array(SPECTRA[name])


def _patches(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.int64]:
    """(pixel,) number of the patch of about 2 x 2 pixels that is disturbed together."""
    return (np.floor(u / 2) * 1000 + np.floor(v / 2)).astype(np.int64)


def _blocks(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.int64]:
    """(pixel,) number of the equal block that will stand there, in building order; -1 for lanes."""
    row, column = np.floor(v / 3), np.floor(u / 7)
    stands = (np.mod(v, 3) < 2) & (np.mod(u, 7) < 5.5)
    return np.where(stands, row * (column.max() + 1) + column, -1).astype(np.int64)


def _raise_days(block: NDArray[np.int64], first: int, last: int) -> NDArray[np.float64]:
    """(pixel,) day when its block stands; blocks follow each other to the very end."""
    order = block / max(int(block.max()), 1)
    return np.where(block >= 0, first + order * max(last - first, 1), np.inf)


def _standing(block: np.int64, raised: float, day: float) -> NDArray[np.float64]:
    """Surface without the day's disturbance: bare ground, foundations, slab, then roof."""
    if block < 0:
        return 0.6 * _spec("gravel") + 0.4 * _spec("loam")
    if day >= raised:
        return 0.75 * _spec("metal") + 0.25 * _spec("concrete")
    if day >= raised - 25:
        return _spec("concrete")
    if day >= raised - 45:
        return _spec("subsoil")
    return 0.5 * _spec("loam") + 0.5 * _spec("sand")


def _disturbed(rng: np.random.Generator) -> tuple[float, NDArray[np.float64]]:
    """Share of a patch that a disturbance covers, and its surface."""
    name = str(rng.choice(["subsoil", "machines", "gravel", "concrete", "sand", "metal"],
                          p=[0.25, 0.20, 0.15, 0.15, 0.15, 0.10]))
    return float(rng.uniform(0.25, 0.8)), _spec(name) * float(rng.normal(1, 0.08))


def _history(
    pixels: list[list[tuple[float, NDArray[np.float64]]]], settled: NDArray[np.float64]
) -> History:
    depth = max(len(events) for events in pixels)
    times = np.full((len(pixels), depth), np.inf)
    surfaces = np.zeros((len(pixels), depth, 4), dtype=np.float32)
    for i, events in enumerate(pixels):
        for j, (day, surface) in enumerate(events):
            times[i, j] = day
            surfaces[i, j] = surface
    return History(times, surfaces, settled)
