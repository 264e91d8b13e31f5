"""The true changes: where they lie, when they run, and what stands on each pixel each day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from groundbreak.pipeline.testing.fields import stream
from groundbreak.pipeline.testing.frames import PIXEL_M, Layout, Scale
from groundbreak.pipeline.testing.landscape import KINDS
from groundbreak.pipeline.testing.works import History, pave, work

Kind = Literal["compound", "active", "road"]


@dataclass(frozen=True, slots=True)
class Site:
    """One place whose ground changed."""

    kind: Kind
    onset: date
    """First day of activity anywhere on the site."""
    halt: date | None
    """Last day of activity anywhere on the site; None while it goes on at the end."""
    corners: tuple[tuple[float, float], ...]
    """(col, row) scene coordinates of the polygon's corners."""
    rows: NDArray[np.int64]
    """(pixel,) rows of the site's pixels."""
    cols: NDArray[np.int64]
    history: History

    @property
    def area_m2(self) -> float:
        """Ground of the site, square metres."""
        return float(len(self.rows) * PIXEL_M**2)


@dataclass(frozen=True, slots=True)
class _Plan:
    kind: Kind
    length: float
    """Pixels along the site."""
    breadth: float
    onset: date
    halt: date
    """Planned end; after the record's end for a site that stays active."""
    place: tuple[float, float, float] | None = None
    """Preferred centre column, row and angle (radians)."""


_PLANS: dict[Scale, tuple[_Plan, ...]] = {
    "full": (
        # Across the first tile's right edge (column 320) and a region border (row 256).
        _Plan("compound", 31, 15, date(2022, 7, 5), date(2023, 9, 1), (317.0, 256.0, 0.14)),
        _Plan("active", 20, 15, date(2023, 4, 11), date(2025, 12, 1), (428.0, 338.0, -0.35)),
        _Plan("road", 150, 3, date(2021, 9, 6), date(2021, 9, 17), (345.0, 148.0, 0.42)),
    ),
    "small": (
        _Plan("compound", 12, 9, date(2021, 9, 20), date(2022, 6, 20)),
        _Plan("active", 9, 8, date(2022, 3, 15), date(2023, 12, 1)),
        _Plan("road", 40, 3, date(2021, 7, 20), date(2021, 7, 31)),
    ),
}
_BUILDING_SEASON = frozenset(range(3, 12))
_APART_PX = 16
"""Sites keep 150 m between them, and from water; one pixel for rounding."""


def build_sites(layout: Layout, zone: NDArray[np.uint8], seed: int, start: date, days: int) -> tuple[Site, ...]:
    """Place the sites of one world and write their histories.

    Seed 0 keeps the planned places and dates; other seeds draw both. Sites that would begin after
    the record are left out, and a halt after it is None.

    Raises
    ------
    RuntimeError
        No room for the sites was found in this world.
    """
    rng = stream(seed, 2)
    allowed = np.isin(zone, (KINDS.index("grass"), KINDS.index("desert")))
    water = zone == KINDS.index("reservoir")
    allowed &= distance_transform_edt(~water) >= _APART_PX
    allowed &= layout.aoi_mask(margin=8)
    end = start + timedelta(days=days - 1)
    sites = []
    for number, plan in enumerate(_PLANS[layout.name]):
        onset, halt = _dates(plan, layout, seed, rng)
        where, corners = _place(plan, allowed, seed, rng)
        allowed &= distance_transform_edt(~where) >= _APART_PX
        if onset > end:
            continue
        rows, cols = (np.asarray(a, dtype=np.int64) for a in np.nonzero(where))
        u, v = _along(plan, corners, rows, cols)
        write = pave if plan.kind == "road" else work
        history = write(stream(seed, 3, number), u, v, (onset - start).days, (halt - start).days, days)
        still = halt > end
        sites.append(Site(plan.kind, onset, None if still else halt, corners, rows, cols, history))
    return tuple(sites)


def _dates(plan: _Plan, layout: Layout, seed: int, rng: np.random.Generator) -> tuple[date, date]:
    if not seed:
        return plan.onset, plan.halt
    if layout.name == "full":
        # 1.5 years of baseline before every onset, 8 months after every halt.
        first, last = 560, {"compound": 1080, "active": 1400, "road": 1400}[plan.kind]
    else:
        planned = (plan.onset - layout.start).days
        first, last = planned - 30, planned + 30
    shortest = longest = (plan.halt - plan.onset).days
    if plan.kind == "compound" and layout.name == "full":
        shortest, longest = 330, 500
    while True:
        onset = layout.start + timedelta(days=int(rng.integers(first, last)))
        halt = onset + timedelta(days=int(rng.integers(shortest, longest + 1)))
        if plan.kind == "active":
            halt = plan.halt
        # Crews start and stop in the building season; in midwinter weeks pass without a clear day,
        # and no detector could date them.
        months = {onset.month} if plan.kind == "active" else {onset.month, halt.month}
        if months <= _BUILDING_SEASON:
            return onset, halt


def _place(
    plan: _Plan, allowed: NDArray[np.bool_], seed: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], tuple[tuple[float, float], ...]]:
    rows, cols = np.nonzero(allowed)
    for attempt in range(4000):
        if plan.place is not None and seed == 0 and attempt == 0:
            col, row, angle = plan.place
        else:
            pick = int(rng.integers(len(rows)))
            col, row = cols[pick] + rng.random(), rows[pick] + rng.random()
            angle = float(rng.uniform(-0.6, 0.6))
        where, corners = _rectangle(plan, col, row, angle, allowed.shape)
        if where is not None and bool(allowed[where].all()):
            return where, corners
    raise RuntimeError(f"no room for the {plan.kind} of seed {seed}")


def _rectangle(
    plan: _Plan, col: float, row: float, angle: float, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_] | None, tuple[tuple[float, float], ...]]:
    """Return the pixels of a rotated rectangle, length x breadth in number, and its corners."""
    half = np.array([plan.length, plan.breadth]) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    corners = (signs * half) @ turn.T + (col, row)
    low, high = corners.min(0), corners.max(0)
    if low.min() < 1 or high[0] > shape[1] - 1 or high[1] > shape[0] - 1:
        return None, ()
    r, c = np.mgrid[: shape[0], : shape[1]] + 0.5
    local = np.stack([c - col, r - row], -1) @ turn
    # Rank by distance to the edge, so that rounding neither adds nor loses ground.
    outside = (np.abs(local) - half).max(-1)
    count = round(plan.length * plan.breadth)
    where = np.zeros(shape, dtype=bool)
    where.flat[np.argpartition(outside, count, axis=None)[:count]] = True
    return where, tuple((float(x), float(y)) for x, y in corners)


def _along(
    plan: _Plan,
    corners: tuple[tuple[float, float], ...],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates of pixels along and across the site, in pixels from its first corner."""
    first, second = np.array(corners[0]), np.array(corners[1])
    axis = (second - first) / plan.length
    offset = np.stack([cols, rows], -1) + 0.5 - first
    return offset @ axis, offset @ np.array([-axis[1], axis[0]])
