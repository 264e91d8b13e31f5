"""What is left to do of a plan, region by region, and what a run has done of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress

from groundbreak.pipeline.compute.offsets import disbelief, region_steps
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.types import Region
from groundbreak.pipeline.running import contradictions
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import BuildTask, DetectTask
from groundbreak.pipeline.running.prepared import PreparedGrid

LOG = logging.getLogger(__name__)

PART, WHOLE, DONE = range(3)
"""What is left to do of a region: a part of it; all of it, and it fits in memory; nothing."""


@dataclass
class Outcome:
    """What a run did."""

    done: int = 0
    """Tasks that it has finished, the failed ones included."""
    skipped: int = 0
    """Tasks that an earlier run had finished."""
    planned: int = 0
    """Tasks of the plan."""
    failed: dict[str, str] = field(default_factory=dict)
    """Region -> why it failed."""
    ignored: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Grid -> items found inside finished slabs, not applied."""


@dataclass
class RegionWork:
    """A region of which something is left to do."""

    grid: PreparedGrid
    region: Region
    builds: list[BuildTask]
    """The builds that are due; its detection follows the last."""
    waiting: set[str] = field(default_factory=set)
    """Builds that are not done yet."""

    def __repr__(self) -> str:
        return f"<RegionWork {self.region.key}: {len(self.builds)} builds due, {len(self.waiting)} of them not done>"

    @property
    def whole(self) -> bool:
        """Whether all of the region is due, and may stay in memory."""
        return len(self.builds) == len(self.grid.slabs()) and self.grid.fits(self.region)

    def detection(self, ledger: Ledger) -> DetectTask:
        """Make the region's detection, knowing what went wrong in its builds.

        Raises
        ------
        BadInput
            Pixels contradict the scales and offsets that they are read with.
        """
        records = [ledger.records[name] for name in self.grid.build_tasks(self.region)]
        wrong = next((step for step in region_steps(self.grid.share.times, records) if step.contradicts), None)
        accept = self.grid.share.accept_step
        if wrong and not accept:
            raise contradictions.contradicting(self.region, wrong)
        if (doubt := disbelief(records)) and not accept:
            raise contradictions.unbelievable(self.region, doubt, self._named(doubt.first))
        return self.grid.share.detect(self.region, records)

    def _named(self, position: int) -> str:
        """Return the item of an observation, and scale and offset that it is read with."""
        scenes = self.grid.settled.observations[position].scenes
        if not scenes:
            return self.grid.settled.observations[position].id
        bands = [a for a in scenes[0].assets.values() if a.band != self.grid.plan.mask.band]
        return f"{scenes[0].id} of {scenes[0].provider} (scale {bands[0].scale:g}, offset {bands[0].offset:g})"


@dataclass
class Work:
    """What is left to do; a country's regions are gone through one by one, and not held."""

    grids: Sequence[PreparedGrid]
    ledger: Ledger
    outcome: Outcome
    tasks: int = 0
    """Tasks to do."""
    left: Counter[str] = field(default_factory=Counter)
    """Grid -> regions of which something is left to do."""
    _left: list[bytearray] = field(default_factory=list, repr=False)
    """For each grid, what is left to do of each of its regions: PART, WHOLE or DONE."""

    def regions(self) -> Iterator[RegionWork]:
        """Yield the regions of which something is left to do."""
        for grid, left in zip(self.grids, self._left, strict=True):
            for region, how in zip(grid.planned.regions, left, strict=True):
                if how != DONE:
                    yield self._region(grid, region)

    def whole(self) -> Iterator[Region]:
        """Yield the regions of which all is left to do, and whose series fits in memory."""
        for grid, left in zip(self.grids, self._left, strict=True):
            yield from compress(grid.planned.regions, (how == WHOLE for how in left))

    def _region(self, grid: PreparedGrid, region: Region) -> RegionWork:
        builds = [b for b in grid.builds(region) if not self.ledger.finished(b.name, b.identity)]
        return RegionWork(grid, region, builds, {b.name for b in builds})

    def survey(self) -> None:
        """Look at every region, and count what is left; cubes that have served and are not to be kept are dropped."""
        for grid in self.grids:
            works = (self._region(grid, region) for region in grid.planned.regions)
            self._left.append(bytearray(self._count(work) for work in works))

    def _count(self, work: RegionWork) -> int:
        """Take a region into the figures, and return what is left to do of it."""
        slabs = len(work.grid.slabs())
        self.outcome.planned += slabs + 1
        if self._settled(work) and _done_before(work, self.ledger, self.outcome):
            self.outcome.skipped += slabs + 1
            return DONE
        self.outcome.skipped += slabs - len(work.builds)
        self.tasks += len(work.builds) + 1
        self.left[work.grid.name] += 1
        return WHOLE if work.whole else PART

    def _settled(self, work: RegionWork) -> bool:
        """Tell whether nothing is left to do for a region's builds."""
        return all(self.ledger.settled(b.name, b.identity) for b in work.builds)


def due(grids: Sequence[PreparedGrid], ledger: Ledger) -> Work:
    """Find all that the ledger does not hold; cubes that have served and are not to be kept are dropped."""
    work = Work(grids, ledger, Outcome(ignored={g.name: g.settled.ignored for g in grids if g.settled.ignored}))
    work.survey()
    LOG.info("%d regions are due; %d tasks were done before", work.left.total(), work.outcome.skipped)
    return work


def _done_before(work: RegionWork, ledger: Ledger, outcome: Outcome) -> bool:
    """Tell whether a region whose builds are done has been detected on too, or is left alone; see to its cube."""
    builds = work.grid.build_tasks(work.region)
    name, share = places.detect_task(work.region.key), work.grid.share
    if not (ledger.undisturbed(builds) and ledger.finished(name, share.undisturbed)):
        detect = work.detection(ledger)
        if ledger.quarantined(name, detect.identity):
            outcome.failed[work.region.key] = ledger.records[name].error
            return True
        if not ledger.finished(name, detect.identity):
            return False
    if not work.grid.plan.config.cube.keep:
        ledger.drop(builds)
    return True
