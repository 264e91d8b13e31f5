"""Tasks as values: which slab of which region to build, which region to detect on. Small: hundreds of bytes each.

What they have to be done with is in the shared part of their grid (`pipeline.running.shared`).
"""

from __future__ import annotations

from dataclasses import dataclass

from groundbreak.pipeline.compute.build import PREFETCHED
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.types import Region, Slab


@dataclass(frozen=True, slots=True)
class BuildTask:
    """Build one slab of one region."""

    identity: str
    """Digest of everything that the task's output depends on."""
    region: Region
    slab: Slab
    ahead: int = PREFETCHED
    """Observations that are fetched before they are decoded."""
    attempts: int = 1

    @property
    def name(self) -> str:
        """The name of its record."""
        return places.build_task(self.region.key, self.slab.index)

    def __repr__(self) -> str:
        return f"<BuildTask {self.name}: {self.slab.stop - self.slab.start} observations>"


@dataclass(frozen=True, slots=True)
class DetectTask:
    """Detect on one region, all its slabs being finished."""

    identity: str
    """Digest of everything that the task's output depends on."""
    region: Region
    rows_per_strip: int
    """Rows that are read at a time, which bounds memory."""
    lost: tuple[int, ...] = ()
    """Positions of the observations that a fault has touched."""
    unwritten: frozenset[str] = frozenset()
    """Keys of the cube's objects that no build has written, since they would hold no pixel."""
    failure: str = ""
    """Why the region has failed already, and is to be written so."""
    quarantined: bool = False
    """Whether it has failed because it kills its workers."""
    attempts: int = 1

    @property
    def name(self) -> str:
        """The name of its record."""
        return places.detect_task(self.region.key)

    def __repr__(self) -> str:
        failed = f", failed already: {self.failure.splitlines()[0]}" if self.failure else ""
        return f"<DetectTask {self.name}: {self.region.owned} pixels{failed}>"


@dataclass(frozen=True, slots=True)
class RegionTask:
    """Build a whole region, and detect on what was built while it is in memory."""

    region: Region
    builds: tuple[BuildTask, ...]
    attempts: int = 1

    @property
    def name(self) -> str:
        """The name of its last record, that of its detection."""
        return places.detect_task(self.region.key)

    @property
    def identity(self) -> str:
        """Digest of all that it builds."""
        return digest([b.identity for b in self.builds])

    def __repr__(self) -> str:
        return f"<RegionTask {self.region.key}: {len(self.builds)} slabs, then {self.region.owned} pixels>"


Task = BuildTask | DetectTask | RegionTask
