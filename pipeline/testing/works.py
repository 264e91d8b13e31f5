"""What happens on a site: clearing, works that keep the ground restless, and the settled end.

A pixel's history is a list of events; between two events its surface stays as the last one left it.
Works move earth, material and machines every few days on patches of two pixels or so, and raise
blocks row after row; when they end, the last state stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.testing.spectra import SPECTRA

Events = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(event,) days and (event, band) surfaces of one pixel."""

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
        """Return which pixels have changed, and what they look like on one day.

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
    """Draw the history of a building site: cleared piece by piece, restless to the end, then quiet.

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
    tone = rng.normal(1, 0.05, len(u))
    patches = np.unique(patch)
    # Works stop at once, within days everywhere; one patch is the last.
    ends = np.floor(halt - np.minimum(rng.exponential(2.5, len(patches)), 8.0))
    ends[int(rng.integers(len(patches)))] = halt
    pixels: list[Events] = [(np.empty(0), np.empty((0, 4)))] * len(u)
    last_day = np.zeros(len(u))
    for p, end in zip(patches, ends, strict=True):
        gaps = rng.exponential(_EVENT_DAYS, int(4 * (halt - onset) / _EVENT_DAYS) + 8)
        times = onset + np.cumsum(gaps)
        times = np.r_[times[times < end - 1], end]
        share, surface = _disturbances(rng, len(times))
        for i in np.nonzero(patch == p)[0]:
            begin = onset + front[i]
            rest = _standing(int(built[i]), float(raised[i]), times) * tone[i]
            covered = share * rng.uniform(0.7, 1.0, len(times))
            # The last event clears up: little of the disturbance stays.
            covered[-1] = 0.15
            after = rest + covered[:, None] * (surface - rest)
            later = times > begin + 1
            cleared = _spec("loam") * 1.25 * tone[i]
            pixels[i] = (np.r_[begin, times[later]], np.vstack([cleared, after[later]]))
            last_day[i] = end
    return _history(pixels, np.where(last_day < days, last_day, np.inf))


def pave(
    rng: np.random.Generator,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    onset: int,
    halt: int,
    days: int,
) -> History:
    """Draw the history of a road that is built at once: a crew crosses it, lays gravel, then asphalt.

    Parameters
    ----------
    rng
        Source of randomness.
    u, v
        (pixel,) coordinates along and across the road, pixels.
    onset, halt
        First and last day of activity, from the start of the record; halt may lie after it.
    days
        Length of the record: pixels that are finished after it are not settled.

    Returns
    -------
    History
        Each pixel has two events: gravel, and four days later asphalt.
    """
    span = halt - onset
    front = np.floor(u / max(float(u.max()), 1.0) * (span - 4))
    front = np.clip(front - front.min(), 0, span - 4)
    tone = rng.normal(1, 0.04, len(u))
    edge = np.clip(np.abs(v - v.mean()) - 0.5, 0, 1)[:, None]
    top = (1 - 0.4 * edge) * _spec("asphalt") + 0.4 * edge * _spec("gravel")
    gravel = _spec("gravel")
    pixels: list[Events] = [
        (np.array([onset + f, onset + f + 4]), np.stack([gravel, surface]) * t)
        for f, t, surface in zip(front, tone, top, strict=True)
    ]
    finished = onset + front + 4
    return _history(pixels, np.where(finished < days, finished, np.inf))


def _spec(name: str) -> NDArray[np.float64]:
    return np.array(SPECTRA[name])


def _patches(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number (pixel,) of the patch of about 2 x 2 pixels that is disturbed together."""
    return (np.floor(u / 2) * 1000 + np.floor(v / 2)).astype(np.int64)


def _blocks(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number (pixel,) of the block that will stand there, in the order of building; -1 for lanes."""
    row, column = np.floor(v / 3), np.floor(u / 7)
    stands = (np.mod(v, 3) < 2) & (np.mod(u, 7) < 5.5)
    return np.where(stands, row * (column.max() + 1) + column, -1).astype(np.int64)


def _raise_days(block: NDArray[np.int64], first: int, last: int) -> NDArray[np.float64]:
    """Return the day (pixel,) when each pixel's block stands; blocks follow each other to the very end."""
    order = block / max(int(block.max()), 1)
    return np.where(block >= 0, first + order * max(last - first, 1), np.inf)


def _standing(block: int, raised: float, day: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the surface without disturbance on some days, (day, band): bare, foundations, slab, then roof."""
    if block < 0:
        return np.broadcast_to(0.6 * _spec("gravel") + 0.4 * _spec("loam"), (len(day), 4))
    stages = np.stack(
        [
            0.5 * _spec("loam") + 0.5 * _spec("sand"),
            _spec("subsoil"),
            _spec("concrete"),
            0.75 * _spec("metal") + 0.25 * _spec("concrete"),
        ]
    )
    return np.asarray(stages[np.searchsorted([raised - 45, raised - 25, raised], day, "right")])


def _disturbances(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the share of a patch that each disturbance covers, (event,), and its surface, (event, band)."""
    names = ("subsoil", "machines", "gravel", "concrete", "sand", "metal")
    pick = rng.choice(len(names), count, p=[0.25, 0.20, 0.15, 0.15, 0.15, 0.10])
    surface = np.stack([_spec(n) for n in names])[pick] * rng.normal(1, 0.08, (count, 1))
    return rng.uniform(0.25, 0.8, count), surface


def _history(pixels: list[Events], settled: NDArray[np.float64]) -> History:
    depth = max(len(days) for days, _ in pixels)
    times = np.full((len(pixels), depth), np.inf)
    surfaces = np.zeros((len(pixels), depth, 4), dtype=np.float32)
    for i, (days, left) in enumerate(pixels):
        times[i, : len(days)] = days
        surfaces[i, : len(days)] = left
    return History(times, surfaces, settled)
