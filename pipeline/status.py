"""How far an output is: from its records alone, whether a run goes on or not."""

from __future__ import annotations

import time
from calendar import timegm
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from groundbreak.pipeline.core import places, show
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.planning import plan_file
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.running import lease
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.publication import is_whole

KINDS = places.BUILD, places.DETECT
LISTED = 5
"""Regions that took longest, or met most trouble, that are named."""
LOOKS = 5
"""How often an output is looked at again whose records are being folded meanwhile."""
COLUMNS = (
    "task", "state", "started", "seconds", "bytes_read", "bytes_written", "pixels", "faults", "retries", "error",
    "counts", "lease",
)  # fmt: skip
"""What is read of each record."""


@dataclass
class _Kind:
    """The tasks of one kind that the last run has done."""

    count: int = 0
    seconds: float = 0.0


@dataclass
class _Tally:
    """Figures of all tasks, and of those that the last run has done."""

    states: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    total: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0
    pixels: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    regions: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    """Region -> its seconds in all, of reading and of writing."""
    trouble: dict[str, Counter[str]] = field(default_factory=dict)
    """Region -> its faults and retries, where there are any."""
    last: int = 0
    """The highest lease of a record: that of the last run."""
    kinds: dict[str, _Kind] = field(default_factory=dict)
    begun: float = 0.0
    ended: float = 0.0
    rates: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a record in."""
        task, seconds = row["task"], dict(row["seconds"] or ())
        kind, region = places.kind_of(task), places.region_of(task)
        self.states[kind][row["state"]] += 1
        for name in ("bytes_read", "bytes_written", "retries"):
            self.total[name] += row[name] or 0
        faults, retries = len(row["faults"] or ()), row["retries"] or 0
        self.total["faults"] += faults
        self.waited += seconds.get("waited", 0.0)
        if kind == places.DETECT:
            self.pixels.update(dict(row["counts"] or ()))
        if row["state"] in ("failed", "quarantined"):
            self.failed[task] = ((row["error"] or "").splitlines() or [""])[0]
        if faults or retries:
            self.trouble.setdefault(region, Counter()).update(faults=faults, retries=retries)
        self.regions[region] = [a + seconds.get(b, 0.0) for a, b in zip(self.regions[region], PHASES, strict=True)]
        if row["state"] != "started":
            self._add_rate(row, kind, seconds.get("total", 0.0))

    def _add_rate(self, row: Mapping[str, Any], kind: str, seconds: float) -> None:
        """Take a task in that was done, where the last run has done it."""
        number, begun = row["lease"] or 0, timegm(time.strptime(row["started"], "%Y-%m-%dT%H:%M:%SZ"))
        if number < self.last:
            return
        if number > self.last or not self.kinds:
            self.last, self.kinds, self.begun, self.ended, self.rates = number, {}, begun, 0.0, Counter()
        done = self.kinds.setdefault(kind, _Kind())
        done.count, done.seconds = done.count + 1, done.seconds + seconds
        self.begun, self.ended = min(self.begun, begun), max(self.ended, begun + seconds)
        self.rates.update(tasks=1, pixels=row["pixels"], bytes_read=row["bytes_read"] or 0)


RATES = ("tasks", "pixels", "bytes_read")
PHASES = ("total", "read", "write")
PUBLISHED = {
    "whole": "published, whole",
    "not whole": "not whole: a run was stopped while it published, or is publishing now",
    "no": "not published yet",
}
"""What stands in ``published`` -> in words."""


def status(config: Config, output: Output) -> dict[str, Any]:
    """Tell how far an output is.

    Returns
    -------
    dict
        "running" (who writes now, or ""), "tasks" (kind -> state -> count), "faults", "retries", "failed"
        (task -> error), "pixels" (status -> count), "seconds", "waited_s" (for hosts in trouble), "bytes_read" and
        "bytes_written"; of the last run "elapsed_s", "rates" (tasks, pixels and bytes read, a second) and "eta_s" (None
        where no run goes on); "slowest" and "troubled" (regions with their figures), and "published" ("whole", "not
        whole", or "no").

    Raises
    ------
    BadInput
        Nothing has been run there, or the output is damaged.
    """
    plan = plan_file.load(config, output)
    for look in range(LOOKS):
        number, running, due = lease.holder(output)
        try:
            return _figures(_tally(plan, output, number if running else 0), output, running, due)
        except BadInput:
            # A run may have folded a file away between our look at the list and at the file.
            if not running or look == LOOKS - 1:
                raise
        time.sleep(0.2)
    raise AssertionError("unreachable")


def _tally(plan: Plan, output: Output, going_on: int) -> _Tally:
    """Add up the records of a plan's tasks; ``going_on`` is the lease of the run that goes on, or 0."""
    mine = {region.key: len(g.slabs(plan.depth)) for g in plan.grids for region in g.regions}
    tally = _Tally(last=going_on)
    for table in Ledger(output).records.tables(COLUMNS):
        for row in table.to_pylist():
            slabs, task = mine.get(places.region_of(row["task"]), -1), row["task"]
            if slabs >= 0 and (places.kind_of(task) == places.DETECT or places.slab_of(task) < slabs):
                tally.add(row)
    wanted = {places.BUILD: sum(mine.values()), places.DETECT: len(mine)}
    for kind, states in tally.states.items():
        if (left := wanted[kind] - states.total()) > 0:
            states["to do"] = left
    return tally


def _figures(tally: _Tally, output: Output, running: str, due: Mapping[str, int]) -> dict[str, Any]:
    elapsed = max((time.time() if running else tally.ended) - tally.begun, 1.0) if tally.kinds else 0.0
    slowest = sorted(tally.regions.items(), key=lambda item: (-item[1][0], item[0]))[:LISTED]
    troubled = sorted(tally.trouble.items(), key=lambda item: (-item[1]["faults"], -item[1]["retries"], item[0]))
    return {
        "running": running,
        "tasks": {kind: dict(states) for kind, states in tally.states.items()},
        "faults": tally.total["faults"],
        "retries": tally.total["retries"],
        "failed": tally.failed,
        "pixels": dict(tally.pixels),
        "seconds": round(sum(of[0] for of in tally.regions.values()), 1),
        "waited_s": round(tally.waited, 1),
        "bytes_read": tally.total["bytes_read"],
        "bytes_written": tally.total["bytes_written"],
        "elapsed_s": round(elapsed, 1),
        "rates": {name: round(tally.rates[name] / max(elapsed, 1.0), 2) for name in RATES},
        "eta_s": _eta(tally, elapsed, due) if running else None,
        "slowest": [
            {"region": region, **{f"{name}_s": round(s, 1) for name, s in zip(PHASES, of, strict=True)}}
            for region, of in slowest
        ],
        "troubled": [{"region": region, **of} for region, of in troubled[:LISTED]],
        "published": {True: "whole", False: "not whole", None: "no"}[is_whole(output)],
    }


def _eta(tally: _Tally, elapsed: float, due: Mapping[str, int]) -> float | None:
    """Return the seconds that the rest will take, if tasks take as long, and as many are done at once, as so far.

    None before the run has told what is due, and before tasks of each kind that is left are done.
    """
    busy = sum(done.seconds for done in tally.kinds.values())
    left = {kind: count - (tally.kinds[kind].count if kind in tally.kinds else 0) for kind, count in due.items()}
    if not busy or not due or any(count > 0 and kind not in tally.kinds for kind, count in left.items()):
        return None
    work = sum(count * tally.kinds[kind].seconds / tally.kinds[kind].count for kind, count in left.items() if count > 0)
    return round(work * elapsed / busy, 1)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Write what `status` has found as lines for people."""
    rates = found["rates"]
    if found["running"] and not found["elapsed_s"]:
        yield f"run      going on, by {found['running']}"
    elif found["elapsed_s"]:
        rate = (
            f"{rates['tasks']:.3g} tasks/s, {rates['pixels'] / 1e6:.3g} Mpx/s, {show.size(rates['bytes_read'])}/s read"
        )
        how = f"going on, by {found['running']}" if found["running"] else "ended"
        rest = "" if found["eta_s"] is None else f"; about {_time(found['eta_s'])} left"
        yield f"run      {how}: {_time(found['elapsed_s'])}, {rate}{rest}"
    for kind, states in found["tasks"].items():
        yield f"{kind:<8} " + ", ".join(f"{n} {state}" for state, n in states.items())
    yield f"faults   {found['faults']}, {found['retries']} retries, {found['waited_s']} s of waiting for hosts"
    yield "pixels   " + ", ".join(f"{n} {status}" for status, n in found["pixels"].items())
    size = f"{show.size(found['bytes_written'])} in {found['seconds']} task seconds"
    yield f"written  {size}, of {show.size(found['bytes_read'])} read"
    yield f"results  {PUBLISHED[found['published']]}"
    yield from _named("slowest", found["slowest"], lambda r: f"{r['total_s']} s, {r['read_s']} s of it reading")
    yield from _named("troubled", found["troubled"], lambda r: f"{r['faults']} faults, {r['retries']} retries")
    for task, error in list(found["failed"].items())[: show.LISTED_ROWS]:
        yield f"failed   {task}: {error}"


def _named(title: str, regions: Iterable[Mapping[str, Any]], text: Callable[[Any], str]) -> Iterator[str]:
    for region in regions:
        yield f"{title:<8} {region['region']}: {text(region)}"


def _time(seconds: float) -> str:
    """Write a span of time: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
