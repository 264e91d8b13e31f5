"""When the satellites pass, and which part of the scene each pass sees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.testing.fields import stream
from groundbreak.pipeline.testing.frames import Layout

OFFSET_FROM = date(2022, 1, 25)
"""Acquisitions from here on are processed with baseline 04.00 or later: DN carry +1000."""

_BASELINES: tuple[tuple[date, str], ...] = (
    (date(2015, 1, 1), "02.14"),
    (date(2021, 3, 30), "03.00"),
    (date(2021, 6, 30), "03.01"),
    (OFFSET_FROM, "04.00"),
    (date(2022, 12, 6), "05.09"),
    (date(2023, 12, 13), "05.10"),
    (date(2024, 7, 23), "05.11"),
)


@dataclass(frozen=True, slots=True)
class Overpass:
    """One pass of one satellite over the scene: one datatake."""

    day: int
    """Days since the start of the record."""
    time: datetime
    """UTC, to the millisecond."""
    platform: str
    """S2A or S2B."""
    relative_orbit: int
    absolute_orbit: int
    side: bool
    """Seen from the neighbour orbit, whose swath ends inside the scene."""
    edge: tuple[float, float]
    """Column where the neighbour swath begins at row 0, and columns per row; (0, 0) on main."""

    @property
    def baseline(self) -> str:
        """Processing baseline in force on the day of acquisition."""
        return [b for since, b in _BASELINES if since <= self.time.date()][-1]

    @property
    def key(self) -> int:
        """Number that names this overpass's random streams; it is the same in every record."""
        return self.time.toordinal() * 2 + self.side

    def seen(self, layout: Layout) -> NDArray[np.bool_]:
        """Tell which pixels, (row, col) bool at 20 m, lie inside the swath."""
        rows, cols = np.mgrid[: layout.height // 2, : layout.width // 2]
        first, slope = self.edge
        return np.asarray(2 * cols + 1 >= first + slope * (2 * rows + 1)) | (not self.side)


def overpasses(layout: Layout, seed: int, start: date, end: date) -> list[Overpass]:
    """List all passes of a record, in the order of time.

    Parameters
    ----------
    layout
        Gives the cadence of the two orbits.
    seed
        Moves the neighbour swath's edge by a few pixels from pass to pass.
    start, end
        First and last day.
    """
    found = []
    for side, step in ((False, layout.main_step), (True, layout.side_step)):
        # The neighbour orbit lies 43 revolutions, 2 days and 10 minutes, away from the main one.
        first, minute = (2, 37) if side else (0, 47)
        epoch = date(2020, 1, 1)
        for number in range(-(-(start - epoch).days // step) - 1, (end - epoch).days // step + 2):
            offset = number * step + first
            day = epoch + timedelta(days=offset)
            if start <= day <= end:
                found.append(_overpass(layout, seed, start, day, offset, side=side, minute=minute))
    return sorted(found, key=lambda o: o.time)


def _overpass(layout: Layout, seed: int, start: date, day: date, offset: int, *, side: bool, minute: int) -> Overpass:
    rng = stream(seed, 4, day.toordinal(), int(side))
    time = datetime(day.year, day.month, day.day, 7, minute, tzinfo=UTC)
    time += timedelta(seconds=int(rng.integers(0, 50)), milliseconds=int(rng.integers(0, 999)))
    even = (offset - (2 if side else 0)) % 10 == 0
    relative = 6 if side else 49
    # 143 revolutions every 10 days; the constant makes the relative orbit come out right.
    base = 23_571 if even else 14_662
    absolute = base + 143 * (offset // 10) + relative
    edge = (0.0, 0.0)
    if side:
        # A descending track leans 13 degrees from north.
        edge = (0.40 * layout.width + float(rng.normal(0, 4)), -0.23)
    return Overpass(
        day=(day - start).days,
        time=time,
        platform="S2A" if even else "S2B",
        relative_orbit=relative,
        absolute_orbit=absolute,
        side=side,
        edge=edge,
    )
