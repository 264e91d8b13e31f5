"""What all tasks of a grid share: lists of observations, headers, digests. A task itself is a few hundred bytes.

The shared part travels to a worker once, as bytes that the scheduler passes on without looking into them, and is opened
once in each process.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.compute.build import SlabJob
from groundbreak.pipeline.compute.detection import DetectionSettings
from groundbreak.pipeline.compute.index_series import CubeView
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault, Record
from groundbreak.pipeline.core.types import Grid, Mask, Observation, Region, Slab
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.planning.plans import slabs
from groundbreak.pipeline.planning.regions import Ownership
from groundbreak.pipeline.readers.headers import Headers
from groundbreak.pipeline.running.orders import BuildTask, DetectTask
from groundbreak.pipeline.running.reconcile import slab_identity
from groundbreak.pipeline.stores import store

OPEN = 4
"""Grids whose shared part a process keeps open."""

LONGEST_REASON = 1000
"""Characters of the reason why a region has failed that travel with its detection."""


@dataclass(frozen=True)
class GridShare:
    """Makes the tasks of one grid, and on a worker what they need."""

    output: Output
    """Where stores and records go."""
    grid: Grid
    mask: Mask
    access: Access | None
    """How assets are reached; None where nothing will be built."""
    depth: int
    """Observations of a full slab."""
    observations: tuple[Observation, ...]
    """All observations of the cube, in the order of time."""
    versions: tuple[str, ...]
    """Version of each observation, as the cube has it."""
    headers: Headers = field(repr=False)
    """The headers that are known already."""
    cube: str
    """Digest of the cube's identity."""
    result: str
    """Digest of what the layers depend on."""
    indices: tuple[str, ...]
    """Names of the indices that are detected on."""
    ownership: Ownership
    """Which pixels the grid owns."""
    settings: DetectionSettings
    fault_threshold: float
    """Share of the observations that faults may touch."""
    accept_step: bool
    """Whether pixels that contradict scales and offsets are accepted."""

    @cached_property
    def times(self) -> NDArray[np.datetime64]:
        """(time,) datetime64[ms] of the cube's observations."""
        return np.array([o.time for o in self.observations], "datetime64[ms]")

    @cached_property
    def view(self) -> CubeView:
        """What detection looks at in the cube."""
        return CubeView(self.grid, self.mask, self.indices, self.times)

    @cached_property
    def undisturbed(self) -> str:
        """Identity of the detection on a region in whose builds nothing went wrong."""
        return _detection_identity(self.result, [], "")

    def slabs(self) -> tuple[Slab, ...]:
        """Cut the list of observations into slabs."""
        return slabs(len(self.observations), self.depth)

    def build(self, region: Region, slab: Slab) -> BuildTask:
        """Make the task that builds a slab of a region."""
        versions = self.versions[slab.start : slab.stop]
        return BuildTask(slab_identity(self.cube, region, slab.start, versions), region, slab)

    def job(self, task: BuildTask) -> SlabJob:
        """Return what a building task has to build."""
        part = slice(task.slab.start, task.slab.stop)
        return SlabJob(self.grid, task.region, self.observations[part], self.mask, self.access, self.headers)

    def detect(self, region: Region, builds: Sequence[Record] = ()) -> DetectTask:
        """Make the task that detects on a region, knowing what went wrong in its builds.

        That is part of what the layers depend on, so that healed faults make detection run again.

        Parameters
        ----------
        region : Region
        builds : sequence of Record
            The records of the region's builds, in order.
        """
        faults = [f for r in builds for f in r.faults]
        failure = next((r.error for r in builds if r.error), "")
        touched, count = {f.observation for f in faults}, len(self.observations)
        lost = tuple(n for n, o in enumerate(self.observations) if o.id in touched) if touched else ()
        if not failure and len(touched) > self.fault_threshold * count:
            rule = f"above [run] fault_threshold = {self.fault_threshold}"
            failure = f"faults touch {len(touched)} of {count} observations, {rule}"
        identity = _detection_identity(self.result, faults, failure)
        unwritten = store.unwritten(self.grid, region, self.view.bands, builds)
        rows = budget.strip_rows(self.grid, region.window, count, self.indices, budget.mask_size(self.mask))
        quarantined = any(r.state == "quarantined" for r in builds)
        return DetectTask(identity, region, rows, lost, unwritten, failure[:LONGEST_REASON], quarantined)


def _detection_identity(result: str, faults: Sequence[Fault], failure: str) -> str:
    return digest([result, sorted({(f.observation, f.band) for f in faults}), failure])


@dataclass(frozen=True)
class Parcel:
    """A shared part as it travels."""

    name: str
    """Digest of the bytes, by which parcels are told from each other."""
    data: bytes = field(compare=False, repr=False)

    def open(self) -> GridShare:
        """Return the shared part, which is unpacked once in a process."""
        return _opened(self)


def pack(share: GridShare) -> Parcel:
    """Make a grid's shared part ready to travel."""
    data = pickle.dumps(share, protocol=pickle.HIGHEST_PROTOCOL)
    return Parcel(hashlib.sha256(data).hexdigest()[:16], data)


@lru_cache(maxsize=OPEN)
def _opened(parcel: Parcel) -> GridShare:
    share: GridShare = pickle.loads(parcel.data)  # noqa: S301 - it comes from this run's own client
    return share
