"""What an output must hold after any history: a model that knows lists, builds and detections, and no bytes.

It takes nothing from the product. What it says is what the documentation promises:

- slabs are cut by count, and a slab that all regions have finished keeps its observations, whatever the source offers;
- a task is done again unless it has been finished with just the same input;
- what cannot be read is missing, and stays missing until `retry`;
- a region of which faults touch too many observations is failed, and is tried again by each run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.machine.source import REGIONS, Entry

Lost = frozenset[tuple[int, str]]
"""(number of the date, band) of what could not be read."""


@dataclass(frozen=True)
class Built:
    """A slab of a region that is finished."""

    entries: tuple[Entry, ...]
    lost: Lost


@dataclass(frozen=True)
class State:
    """All that the stores depend on."""

    listed: tuple[Entry, ...]
    """The observations of the cube, in time."""
    lost: tuple[Lost, ...]
    """Of each region, what could not be read."""
    level: float
    """The parameter of the detector."""


@dataclass
class Model:
    """What is finished in an output."""

    depth: int
    """Observations of a full slab."""
    threshold: float
    """Share of a region's observations that faults may touch."""
    level: float = 0.05
    listed: tuple[Entry, ...] = ()
    built: dict[tuple[str, int], Built] = field(default_factory=dict)
    """(region, slab) -> what was built."""
    detected: dict[str, tuple[tuple[Entry, ...], Lost, float]] = field(default_factory=dict)
    """Region -> what was detected on, if it did not fail."""

    def slabs(self, listed: Sequence[Entry]) -> list[tuple[Entry, ...]]:
        """Cut a list into slabs."""
        return [tuple(listed[i : i + self.depth]) for i in range(0, len(listed), self.depth)]

    def list_with(self, offered: Sequence[Entry], *, rebuild: bool = False) -> tuple[Entry, ...]:
        """Return the list that a run makes of what is offered."""
        kept: list[Entry] = []
        for number, slab in enumerate(self.slabs(self.listed)):
            if rebuild or len(slab) < self.depth or not all(self._holds(r, number, slab) for r in REGIONS):
                break
            kept += slab
        last = kept[-1][0] if kept else -1
        return (*kept, *(entry for entry in offered if entry[0] > last))

    def _holds(self, region: str, number: int, slab: tuple[Entry, ...]) -> bool:
        found = self.built.get((region, number))
        return found is not None and found.entries == slab

    def forget_troubles(self) -> None:
        """Forget what met faults or failed: `retry`."""
        for key in [key for key, built in self.built.items() if built.lost]:
            self.forget(f"build/{key[0]}/s{key[1]:04d}")

    def forget(self, task: str) -> None:
        """Take a task for not done."""
        kind, _, rest = task.partition("/")
        if kind == "detect":
            self.detected.pop(rest, None)
        else:
            region, _, number = rest.rpartition("/s")
            self.built.pop((region, int(number)), None)

    def due(self, listed: Sequence[Entry]) -> dict[str, Built | None]:
        """Return the tasks that a run with a list must do, the builds with what goes into them."""
        found: dict[str, Built | None] = {}
        for region in REGIONS:
            builds = [
                f"build/{region}/s{number:04d}"
                for number, slab in enumerate(self.slabs(listed))
                if not self._holds(region, number, slab)
            ]
            found |= dict.fromkeys(builds)
            if builds or self.detected.get(region) != (tuple(listed), self.lost(region, listed), self.level):
                found[f"detect/{region}"] = None
        return found

    def lost(self, region: str, listed: Sequence[Entry]) -> Lost:
        """Return what could not be read of a region, of all slabs of a list that are built."""
        found = [self.built.get((region, number)) for number in range(len(self.slabs(listed)))]
        return frozenset().union(*(built.lost for built in found if built is not None))

    def failed(self, region: str) -> bool:
        """Tell whether faults touch too many observations of a region."""
        touched = {date for date, _ in self.lost(region, self.listed)}
        return len(touched) > self.threshold * len(self.listed)

    def build(self, task: str, listed: Sequence[Entry], faults: Callable[[str, Entry], Lost]) -> None:
        """Take note of a slab that was built, from a source with some faults."""
        region, _, number = task.removeprefix("build/").rpartition("/s")
        slab = self.slabs(listed)[int(number)]
        lost: Lost = frozenset().union(*(faults(region, entry) for entry in slab))
        self.built[region, int(number)] = Built(slab, lost)

    def detect(self, region: str) -> None:
        """Take note of a region that was detected on."""
        self.detected.pop(region, None)
        if not self.failed(region):
            self.detected[region] = self.listed, self.lost(region, self.listed), self.level

    def relist(self, listed: tuple[Entry, ...]) -> None:
        """Take note of a new list; slabs behind its end are gone."""
        self.listed = listed
        stay = len(self.slabs(listed))
        self.built = {key: built for key, built in self.built.items() if key[1] < stay}

    @property
    def whole(self) -> bool:
        """Whether all slabs of the list are built."""
        return bool(self.listed) and all(
            self._holds(region, number, slab)
            for region in REGIONS
            for number, slab in enumerate(self.slabs(self.listed))
        )

    @property
    def state(self) -> State:
        """What the stores of a finished run must depend on."""
        return State(self.listed, tuple(self.lost(region, self.listed) for region in REGIONS), self.level)
