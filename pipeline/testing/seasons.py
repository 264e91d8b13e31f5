"""Growth cycles of parcels: when each turns green, dries or is harvested, and is bare again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

_FIELDS = ("rise", "rise_width", "fall", "fall_width", "height", "dry", "bare", "bare_width")


@dataclass(frozen=True)
class Cycles:
    """All growth cycles of all parcels, one array element a cycle; days count from the record."""

    parcel: NDArray[np.int64]
    rise: NDArray[np.float64]
    """Day of half green-up."""
    rise_width: NDArray[np.float64]
    """Days; the logistic's scale."""
    fall: NDArray[np.float64]
    """Day of half senescence, or of the harvest."""
    fall_width: NDArray[np.float64]
    height: NDArray[np.float64]
    """Green cover at its peak, 0-1."""
    dry: NDArray[np.float64]
    """Dry cover (straw, dead grass) that the fall leaves, 0-1."""
    bare: NDArray[np.float64]
    """Day of half decay of the dry cover, or of the plough."""
    bare_width: NDArray[np.float64]
    floor: NDArray[np.float64]
    """(parcel,) green cover that is always there."""

    def cover(self, day: int, parcels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the green and the dry cover of each parcel, 0-1, on one day."""
        up = _logistic((day - self.rise) / self.rise_width)
        down = _logistic((day - self.fall) / self.fall_width)
        gone = _logistic((day - self.bare) / self.bare_width)
        green = np.bincount(self.parcel, self.height * np.maximum(up - down, 0), parcels)
        dry = np.bincount(self.parcel, self.dry * np.maximum(down - gone, 0), parcels)
        return np.clip(green + self.floor, 0, 1), np.clip(dry, 0, 0.9)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))


def grow(kinds: list[str], start: date, days: int, rng: np.random.Generator) -> Cycles:
    """Draw the cycles of every parcel for every year that touches the record.

    Parameters
    ----------
    kinds
        Land cover of each parcel.
    start
        First day of the record.
    days
        Length of the record.
    rng
        Source of randomness.
    """
    years = range(start.year - 1, start.year + days // 365 + 2)
    # What a whole year shares (an early spring, a late harvest) and what is the parcel's own.
    early = {year: rng.normal(0, 8) for year in years}
    rain = {year: float(np.clip(rng.normal(1, 0.15), 0.7, 1.3)) for year in years}
    rows: list[tuple[float, ...]] = []
    floors = np.zeros(len(kinds))
    for parcel, kind in enumerate(kinds):
        own = rng.normal(0, 8)
        floors[parcel] = {
            "crops": 0.04,
            "grass": rng.uniform(0.10, 0.18),
            "forest": 0.30,
            "suburb": rng.uniform(0.08, 0.35),
            "desert": rng.uniform(0.02, 0.05),
        }.get(kind, 0.03)
        rotation = rng.choice(["wheat", "summer", "double", "alfalfa"], p=[0.45, 0.25, 0.2, 0.1])
        for year in years:
            new_year = (date(year, 1, 1) - start).days
            shift = new_year + early[year] + own
            for cycle in _year(kind, str(rotation), rain[year], rng):
                moved = list(cycle)
                for i in (0, 2, 6):
                    moved[i] += shift
                rows.append((parcel, *moved))
    table = np.array(rows, dtype=np.float64)
    named = {name: table[:, i + 1] for i, name in enumerate(_FIELDS)}
    return Cycles(parcel=table[:, 0].astype(np.int64), floor=floors, **named)


def _year(kind: str, rotation: str, rain: float, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Draw the cycles of one parcel in one year: the fields that `_FIELDS` names, in days of the year."""
    if kind == "crops":
        return _crop_year(rotation, rain, rng)
    own = rng.normal(0, 4)
    peak = float(np.clip(rain * rng.normal(1, 0.05), 0.6, 1.4))
    if kind == "grass":
        # The steppe: green in spring, dry by July, a weak second flush in October.
        return [
            (75 + own, 11, 168 + own, 13, 0.62 * peak, 0.55, 300, 25),
            (282 + own, 8, 335, 12, 0.16 * peak, 0.0, 340, 10),
        ]
    if kind == "forest":
        return [(108 + own, 7, 300 + own, 9, 0.55, 0.25, 400, 30)]
    if kind == "suburb":
        return [(85 + own, 12, 290 + own, 18, 0.20 * peak, 0.1, 330, 20)]
    if kind == "desert":
        return [(80 + own, 9, 135 + own, 9, 0.07 * peak, 0.04, 220, 30)]
    return []


def _crop_year(rotation: str, rain: float, rng: np.random.Generator) -> list[tuple[float, ...]]:
    def days(mean: float, spread: float) -> float:
        return float(rng.normal(mean, spread))

    high = float(np.clip(0.85 * rng.normal(1, 0.08) * (0.8 + 0.2 * rain), 0.5, 0.95))
    if rng.random() < 0.15:
        # Fallow: weeds in spring, ploughed in some years.
        return [(days(90, 10), 12, days(165, 12), 14, 0.25 * high, 0.25, days(270, 30), 12)]
    wheat_cut = days(172, 9)
    wheat = (days(72, 8), 10, wheat_cut, 2.5, high, 0.75)
    if rotation == "wheat":
        return [(*wheat, days(255, 25), 3)]
    if rotation == "double":
        sown = wheat_cut + days(30, 5)
        return [(*wheat, sown - 20, 3), (sown, 7, days(292, 10), 3, 0.8 * high, 0.4, 335, 6)]
    if rotation == "summer":
        return [(days(150, 9), 9, days(268, 12), 3, high, 0.5, days(310, 12), 4)]
    # Alfalfa: cut every five weeks or so and green again within two.
    cuts = 125 + days(0, 6) + np.cumsum(rng.normal(37, 4, 5))
    starts = np.r_[70 + days(0, 6), cuts[:-1] + 10]
    return [(float(a), 5, float(b), 2, 0.8 * high, 0.15, float(b) + 8, 3) for a, b in zip(starts, cuts, strict=True)]
