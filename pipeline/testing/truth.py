"""Found sites against the truth: a row for each true site and false alarm; the demo's criteria."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from shapely import transform, union_all
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.testing.frames import to_utm
from groundbreak.pipeline.testing.truth_file import NegativeZone, TrueSite, Truth

__all__ = [
    "Found",
    "FoundSite",
    "NegativeZone",
    "ScoreRow",
    "TrueSite",
    "Truth",
    "passed",
    "render",
    "score",
]

ELSEWHERE = "elsewhere"
"""Name of a false alarm that lies on none of the truth's zones."""

_NEVER = ("crops", "reservoir", "forest")
_REACH_M = 20.0
"""A found polygon may lie this far outside the true one: 20 m bands bleed over the edge."""


class FoundSite(Protocol):
    """What a detector reports about one site."""

    @property
    def geometry(self) -> BaseGeometry:
        """lon/lat polygon."""
        ...

    @property
    def onset(self) -> date:
        """Date."""
        ...

    @property
    def halt(self) -> date | None:
        """Date, None while active."""
        ...

    @property
    def status(self) -> str:
        """provisional, active, halted or resumed."""
        ...

    @property
    def area_m2(self) -> float:
        """Square metres."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A plain `FoundSite`."""

    geometry: BaseGeometry
    onset: date
    halt: date | None
    status: str
    area_m2: float


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One true site, found or not, or one false alarm (kind "false")."""

    name: str
    """Site; for a false alarm the land cover that it lies on, or ELSEWHERE."""
    kind: str
    found: bool
    true_onset: date | None = None
    found_onset: date | None = None
    true_halt: date | None = None
    found_halt: date | None = None
    area_ratio: float | None = None
    """Found area over true area."""
    status: str = ""
    pieces: int = 0
    """Found sites that lie on this one; dates and status are the largest one's."""

    @property
    def onset_error(self) -> int | None:
        """Days, positive when found late."""
        return _days(self.true_onset, self.found_onset)

    @property
    def halt_error(self) -> int | None:
        """Days, positive when found late; None unless both are dated."""
        return _days(self.true_halt, self.found_halt)


def _days(true: date | None, found: date | None) -> int | None:
    return None if true is None or found is None else (found - true).days


def score(truth: Truth, found: Iterable[FoundSite]) -> list[ScoreRow]:
    """Match found sites to true ones by overlap.

    A found site belongs to the true site that holds most of its ground, if that is at least a fifth
    of either; whatever is left over is a false alarm. The areas of all pieces of a site are summed.

    Parameters
    ----------
    truth
        From `write_archive` or `Truth.load`.
    found
        Sites of a detector, lon/lat.

    Returns
    -------
    list of ScoreRow
        The true sites in the truth's order, then the false alarms, largest first.
    """
    grounds = [(site, _metres(site.geometry).buffer(_REACH_M)) for site in truth.sites]
    zones = [(zone.name, _metres(zone.geometry)) for zone in truth.negatives]
    pieces: dict[str, list[FoundSite]] = {site.name: [] for site in truth.sites}
    false: list[tuple[float, ScoreRow]] = []
    for candidate in found:
        ground = _metres(candidate.geometry)
        site = _owner(ground, grounds)
        if site is not None:
            pieces[site.name].append(candidate)
            continue
        row = ScoreRow(
            _zone(ground, zones),
            "false",
            True,
            found_onset=candidate.onset,
            found_halt=candidate.halt,
            status=candidate.status,
            pieces=1,
        )
        false.append((candidate.area_m2, row))
    rows = [_row(site, pieces[site.name]) for site in truth.sites]
    return rows + [row for _, row in sorted(false, key=lambda pair: -pair[0])]


def _metres(geometry: BaseGeometry) -> BaseGeometry:
    moved: BaseGeometry = transform(geometry, to_utm().transform, interleaved=False)
    return moved if moved.is_valid else union_all(moved.buffer(0))


def _owner(ground: BaseGeometry, sites: list[tuple[TrueSite, BaseGeometry]]) -> TrueSite | None:
    shares = [
        (ground.intersection(place).area / max(min(ground.area, place.area), 1e-9), site) for site, place in sites
    ]
    share, owner = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    return owner if share >= 0.2 else None


def _zone(ground: BaseGeometry, zones: list[tuple[str, BaseGeometry]]) -> str:
    shares = [(ground.intersection(zone).area, name) for name, zone in zones]
    area, name = max(shares, default=(0.0, ELSEWHERE))
    return name if area > 0.3 * ground.area else ELSEWHERE


def _row(site: TrueSite, pieces: list[FoundSite]) -> ScoreRow:
    if not pieces:
        return ScoreRow(site.name, site.kind, False, site.onset, true_halt=site.halt)
    main = max(pieces, key=lambda p: p.area_m2)
    return ScoreRow(
        name=site.name,
        kind=site.kind,
        found=True,
        true_onset=site.onset,
        found_onset=main.onset,
        true_halt=site.halt,
        found_halt=main.halt,
        area_ratio=sum(p.area_m2 for p in pieces) / site.area_m2,
        status=main.status,
        pieces=len(pieces),
    )


def passed(rows: list[ScoreRow]) -> list[str]:
    """List the demo's criteria that are not met, in words; empty when all are."""
    unmet = []
    for row in rows:
        if row.kind == "false":
            if row.name in _NEVER:
                unmet.append(f"a site was reported on {row.name}")
        elif not row.found:
            unmet.append(f"the {row.name} was not found")
        elif row.kind == "compound":
            unmet += _compound(row)
        elif row.kind == "active" and row.status != "active":
            unmet.append(f"the {row.name} site is called {row.status or 'nothing'}, not active")
        elif row.kind == "road" and (row.onset_error is None or abs(row.onset_error) > 15):
            unmet.append(f"the {row.name}'s onset is {row.onset_error} days off, allowed 15")
    return unmet


def _compound(row: ScoreRow) -> list[str]:
    unmet = []
    true, found = row.true_onset, row.found_onset
    if true is None or found is None or (true.year, true.month) != (found.year, found.month):
        unmet.append(f"the {row.name}'s onset is {found}, not in the month of {true}")
    if row.true_halt is None:
        if row.found_halt is not None:
            unmet.append(f"the {row.name} has a halt, but goes on")
    elif row.halt_error is None or not -12 <= row.halt_error <= 9:
        unmet.append(f"the {row.name}'s halt is {row.found_halt}, true {row.true_halt}")
    if row.area_ratio is None or abs(row.area_ratio - 1) > 0.15:
        unmet.append(f"the {row.name}'s area is {row.area_ratio} of the true one")
    return unmet


def render(rows: list[ScoreRow]) -> str:
    """Write rows as a plain text table."""
    head = ("site", "kind", "found", "onset", "true", "days", "halt", "true", "days", "area", "status")
    lines = [head] + [
        (
            row.name,
            row.kind,
            "yes" if row.found else "no",
            _text(row.found_onset),
            _text(row.true_onset),
            _signed(row.onset_error),
            _text(row.found_halt),
            _text(row.true_halt),
            _signed(row.halt_error),
            "-" if row.area_ratio is None else f"{row.area_ratio:.2f}",
            row.status or "-",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _signed(days: int | None) -> str:
    return "-" if days is None else f"{days:+d}"
