"""What a run may claim: how many pixels were judged, how many were not and why, and what was not used.

The same sentences stand in the last lines of a command, in the report and in run.json.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundbreak.kernels import Status
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.core.types import Notice, Rejection
from groundbreak.pipeline.planning.plans import NOTICES
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.report.charts import format_area
from groundbreak.pipeline.stac.screening import REASONS

UNJUDGED = ("too_few_observations", "failed")
"""Statuses of pixels of the area that say nothing of the ground."""

FIRST_ITEMS = 3
"""Items of each reason that are named in a text; run.json names more of them, and plan.json all."""

_CHANGED = ("active", "halted", "resumed")


@dataclass(frozen=True)
class Verdict:
    """What was judged, and what was not."""

    owned: int
    """Pixels of the area that lie on some grid."""
    statuses: Mapping[str, int]
    """Status -> pixels, as far as regions have been detected on."""
    sites: Sequence[Site]
    """The sites, largest first."""
    rejections: Sequence[Rejection]
    """The items that are not used."""
    faults: Sequence[Fault]
    """The reads that failed."""
    failed: Mapping[str, str]
    """Region -> why it failed, or has no result."""
    record: str
    """The observations in words: how many, from when to when."""
    notices: Sequence[Notice] = ()
    """What was done otherwise than items and files say."""
    short: int = 0
    """Pixels that get fewer than half of the observations that meet them."""

    @property
    def judged(self) -> int:
        """Pixels of which the layers say something: stable, provisional or changed."""
        return sum(n for status, n in self.statuses.items() if status not in UNJUDGED)

    @property
    def undone(self) -> int:
        """Pixels of regions that have not been detected on."""
        return max(self.owned - sum(self.statuses.values()), 0)

    @property
    def provisional_share(self) -> float:
        """Share of the area's pixels whose onset is not confirmed yet, 0-1."""
        return self.statuses.get("provisional", 0) / self.owned if self.owned else 0.0

    @property
    def good(self) -> bool:
        """Whether every region is done, and some pixel could be judged."""
        return not self.failed and self.judged > 0

    @property
    def sentence(self) -> str:
        """The result in a sentence or two."""
        if not self.judged:
            return f"No pixel could be judged: {self._why_none()}."
        if not self.sites:
            return self._no_site()
        count = Counter(site.status for site in self.sites)
        names = {"halted": "halted", "active": "still active", "resumed": "active again after a halt"}
        noun = "site" if len(self.sites) == 1 else "sites"
        shares = ", ".join(f"{count[status]:,} {name}" for status, name in names.items() if count[status])
        first = self.sites[0]
        text = (
            f"{len(self.sites):,} {noun} of changed ground: {shares}. "
            f"The largest, {format_area(first.area_m2)}, began to change on {first.onset}"
        )
        if first.halt is None:
            return f"{text} and had not stopped by the end of the record."
        return f"{text} and stopped on {first.halt}."

    def _why_none(self) -> str:
        """Say why nothing could be judged."""
        if not self.owned:
            return "no pixel of the area lies on the items' rasters"
        reasons = []
        if few := self.statuses.get("too_few_observations", 0):
            reasons.append(f"{few:,} of {self.owned:,} pixels have too few clear observations ({self.record})")
        if lost := self.statuses.get("failed", 0) + self.undone:
            where, why = next(iter(self.failed.items()), ("", "not detected on"))
            text = f"{lost:,} of {self.owned:,} pixels lie in regions that failed or are not done"
            reasons.append(f"{text} ({where}: {_first_line(why)})" if where else text)
        return "; ".join(reasons)

    def _no_site(self) -> str:
        """Say that no site was found, and of how many pixels that is known."""
        stable = self.statuses.get("stable", 0)
        text = f"No site of changed ground was found: {stable:,} of {self.judged:,} judged pixels are stable"
        if changed := sum(self.statuses.get(name, 0) for name in _CHANGED):
            text += f", and {changed:,} changed, but not together on enough ground to be a site"
        return f"{text}."

    @property
    def lines(self) -> list[str]:
        """What stands behind the sentence: pixels, the provisional share, items not used, faults; a line each."""
        return [self._pixels(), *self._short(), *self._items(), *self._notices(), *self._faults()]

    def _pixels(self) -> str:
        known = ", ".join(
            f"{self.statuses[name]:,} {name}"
            for name in (s.name.lower() for s in Status)
            if name not in UNJUDGED and self.statuses.get(name)
        )
        parts = [f"{self.judged:,} judged" + (f" ({known})" if known else "")]
        parts.append(f"{self.statuses.get('too_few_observations', 0):,} with too few observations")
        if failed := self.statuses.get("failed", 0):
            parts.append(f"{failed:,} failed")
        if self.undone:
            parts.append(f"{self.undone:,} not done")
        share = f"{100 * self.provisional_share:.3g} % of the area is provisional"
        return f"{self.owned:,} pixels of the area: {', '.join(parts)}; {share}"

    def _short(self) -> list[str]:
        if not self.short:
            return []
        return [f"{self.short:,} pixels get fewer than half of the observations that meet them (another grid has more)"]

    def _notices(self) -> list[str]:
        if not self.notices:
            return []
        count = len(self.notices)
        return [f"{count:,} {_plural('notice', count)}", *_listed(self.noticed(FIRST_ITEMS), "subject")]

    def noticed(self, first: int) -> dict[str, dict[str, Any]]:
        """List what was done otherwise than items and files say, by kind.

        Parameters
        ----------
        first : int
            How many notices of each kind are given whole, at most.

        Returns
        -------
        dict
            Kind -> "count", "meaning", and "first", the first notices with "subject" and "detail"; the commonest first.
        """
        return _grouped(((n.kind, {"subject": n.subject, "detail": n.detail}) for n in self.notices), NOTICES, first)

    def _items(self) -> list[str]:
        if not self.rejections:
            return ["every item was used"]
        count = len(self.rejections)
        return [f"{count:,} {_plural('item', count)} not used", *_listed(self.not_used(FIRST_ITEMS), "item")]

    def _faults(self) -> list[str]:
        if not self.faults:
            return []
        kinds = "; ".join(f"{n:,} x {kind}" for kind, n in list(self.fault_kinds.items())[:10])
        return [f"{len(self.faults):,} {_plural('fault', len(self.faults))}, left out of the series: {kinds}"]

    @property
    def fault_kinds(self) -> dict[str, int]:
        """Kind of fault (its error without addresses) -> how many there were, the commonest first."""
        kinds = (re.sub(r"\S*[/\\]\S*", "...", _first_line(fault.error)) for fault in self.faults)
        return dict(Counter(kinds).most_common())

    def not_used(self, first: int) -> dict[str, dict[str, Any]]:
        """List the items that are not used, by reason.

        Parameters
        ----------
        first : int
            How many items of each reason are named, at most.

        Returns
        -------
        dict
            Reason -> "count", "meaning", and "first", the first items with "item" and "detail"; the commonest first.
        """
        return _grouped(((r.reason, {"item": r.item, "detail": r.detail}) for r in self.rejections), REASONS, first)

    def to_json(self) -> dict[str, Any]:
        """Return what run.json keeps of it."""
        return {
            "sentence": self.sentence,
            "pixels_of_the_area": self.owned,
            "judged": self.judged,
            "too_few_observations": self.statuses.get("too_few_observations", 0),
            "failed": self.statuses.get("failed", 0),
            "not_done": self.undone,
            "provisional_share": round(self.provisional_share, 6),
            "short_of_observations": self.short,
            "not_used": self.not_used(100),
            "notices": self.noticed(100),
            "faults": self.fault_kinds,
        }


def _grouped(
    entries: Iterable[tuple[str, dict[str, str]]], meanings: Mapping[str, str], first: int
) -> dict[str, dict[str, Any]]:
    """Group (kind, entry) by kind: how many there are, what the kind means, and the first entries, redacted."""
    grouped: dict[str, list[dict[str, str]]] = defaultdict(list)
    for kind, entry in entries:
        grouped[kind].append(entry)
    return {
        kind: {
            "count": len(found),
            "meaning": meanings.get(kind, kind),
            "first": [{**entry, "detail": redact(entry["detail"])} for entry in found[:first]],
        }
        for kind, found in sorted(grouped.items(), key=lambda pair: -len(pair[1]))
    }


def _listed(groups: Mapping[str, Mapping[str, Any]], name: str) -> list[str]:
    """Write what `_grouped` returns, a line each; ``name`` is the key of what an entry is about."""
    lines = []
    for kind, value in groups.items():
        lines.append(f"  {value['count']:,} {kind} ({value['meaning']})")
        lines += [f"    {entry[name]}: {entry['detail']}" for entry in value["first"]]
        if (more := value["count"] - len(value["first"])) > 0:
            lines.append(f"    ... and {more:,} more")
    return lines


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
