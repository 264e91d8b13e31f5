"""The kinds of task, as a worker runs them: build a slab of a region, detect on a region, or both in memory.

A task reads what its job says, writes whole objects, and puts its completion record last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from groundbreak import kernels
from groundbreak.pipeline.compute import detection
from groundbreak.pipeline.compute.build import PREFETCHED, BandReader, SlabJob, build_slab, touched
from groundbreak.pipeline.compute.index_series import CubeView, mask_tables
from groundbreak.pipeline.compute.offsets import DarkLevels, disbelief, region_steps
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.output import Output, SummingStore
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Record, Region, Slab
from groundbreak.pipeline.planning.regions import Ownership
from groundbreak.pipeline.readers import assets
from groundbreak.pipeline.running.recording import Progress, describe, finished, recorded
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.shards import Encoder
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildTask:
    """Build one slab of one region."""

    identity: str
    """Digest of everything that the task's output depends on."""
    output: Output
    slab: Slab
    job: SlabJob
    ahead: int = PREFETCHED
    """Observations that are fetched before they are decoded."""
    attempts: int = 1

    @property
    def region(self) -> Region:
        """The region that it builds a slab of."""
        return self.job.region

    @property
    def name(self) -> str:
        """The name of its record."""
        return places.build_task(self.region.key, self.slab.index)

    def __repr__(self) -> str:
        return f"<BuildTask {self.name}: {len(self.job.observations)} observations x {len(self.job.grid.bands)} bands>"


@dataclass(frozen=True)
class DetectTask:
    """Detect on one region, all its slabs being finished."""

    identity: str
    """Digest of everything that the task's output depends on."""
    output: Output
    region: Region
    view: CubeView
    ownership: Ownership
    settings: detection.DetectionSettings
    rows_per_strip: int
    fault_threshold: float
    """Share of the observations that faults may touch."""
    faulty: bool = False
    """Whether a fault touched some observation of the region."""
    failure: str = ""
    """Why the region has failed already, and is to be written so."""
    quarantined: bool = False
    """Whether it has failed because it kills its workers."""
    attempts: int = 1

    @property
    def name(self) -> str:
        """The name of its record."""
        return places.detect_task(self.region.key)

    def informed(self, builds: Sequence[Record]) -> DetectTask:
        """Return this task, knowing what went wrong in its builds.

        That is part of what the layers depend on, so that healed faults make detection run again.

        Parameters
        ----------
        builds : sequence of Record
            The records of the region's builds, in order.
        """
        faults = [f for r in builds for f in r.faults]
        failure = next((r.error for r in builds if r.error), "")
        count = len(self.view.times)
        if not failure and touched(faults) > self.fault_threshold * count:
            rule = f"above [run] fault_threshold = {self.fault_threshold}"
            failure = f"faults touch {touched(faults)} of {count} observations, {rule}"
        identity = digest([self.identity, sorted({(f.observation, f.band) for f in faults}), failure])
        quarantined = any(r.state == "quarantined" for r in builds)
        return replace(self, identity=identity, faulty=bool(faults), failure=failure, quarantined=quarantined)

    def __repr__(self) -> str:
        failed = f", failed already: {self.failure.splitlines()[0]}" if self.failure else ""
        return f"<DetectTask {self.name}: {len(self.view.times)} observations, {self.region.owned} pixels{failed}>"


@dataclass(frozen=True)
class RegionTask:
    """Build a whole region, and detect on what was built while it is in memory."""

    builds: tuple[BuildTask, ...]
    detect: DetectTask
    """Its detection, which does not know yet what its builds will meet."""
    accept_step: bool
    """Whether pixels that contradict scales and offsets are accepted."""
    attempts: int = 1

    @property
    def name(self) -> str:
        """The name of its last record, that of its detection."""
        return self.detect.name

    @property
    def region(self) -> Region:
        """The region that it builds and detects on."""
        return self.detect.region

    @property
    def output(self) -> Output:
        """Where its stores and its records go."""
        return self.detect.output

    @property
    def identity(self) -> str:
        """Digest of all that it depends on."""
        return digest([self.detect.identity, [b.identity for b in self.builds]])

    def __repr__(self) -> str:
        return f"<RegionTask {self.region.key}: {len(self.builds)} slabs, then {self.detect!r}>"


Task = BuildTask | DetectTask | RegionTask


def warm_up(detector: str) -> None:
    """Compile what tasks need, in the order in which they need it: one thread of a process compiles at a time."""
    assets.warm_up()
    kernels.warm_up(detector)


def run(task: Task) -> list[Record]:
    """Do a task, and return the records that it has left, in order.

    What has a record already is not done again: a worker may have died after it had finished, with the result.
    """
    if isinstance(task, RegionTask):
        found = [finished(part) for part in task.builds]
        if not any(found):
            return build_and_detect(task)
        records = [record or build(part) for record, part in zip(found, task.builds, strict=True)]
        if contradicted(task, records):
            return records
        return [*records, *run(task.detect.informed(records))]
    return [finished(task) or (build(task) if isinstance(task, BuildTask) else detect(task))]


def build(task: BuildTask, arrays: Mapping[str, Pixels] = MappingProxyType({})) -> Record:
    """Build a slab, write it, and leave a record.

    Parameters
    ----------
    task : BuildTask
    arrays : mapping, optional
        Band -> (time, height, width) of the slab; what is built of these bands is put there, too.
    """
    job = task.job

    def work(target: SummingStore, done: Progress) -> None:
        levels, encoder = DarkLevels(len(job.observations)), Encoder()
        for reader in build_slab(job, task.slab.depth, task.ahead):
            parts = _noted(reader, levels, arrays.get(reader.name), done)
            target.put(*store.encode_slab(job.grid, job.mask, job.region, task.slab, reader.name, parts, encoder))
            done.faults.extend(reader.faults)
        done.counts["faulty_observations"] = touched(done.faults)
        unknown = (REFLECTANCE_FILL,) * len(job.observations)
        done.dark, done.offsets = levels.levels() if job.may_step else unknown, job.offsets
        done.beyond, done.bright = levels.beyond(), levels.bright_levels()

    return recorded(task, places.cube(job.grid.name), work)


def _noted(reader: BandReader, levels: DarkLevels, array: Pixels | None, done: Progress) -> Iterator[Tiles]:
    """Pass the parts of a band on, and take from each what is wanted beside the cube."""
    mask = reader.job.mask
    for first, values in reader.parts():
        if reader.name == mask.band:
            levels.add_mask(first, values, mask_tables(mask)[0])
        else:
            levels.add(first, values)
        if array is not None:
            values.stack(array[first : first + values.count])
        done.pixels += values.count * values.height * values.width
        yield values


def detect(task: DetectTask, read: detection.ReadRows | None = None) -> Record:
    """Detect on a region, write its layers, and leave a record; a region that fails is written as failed.

    Parameters
    ----------
    task : DetectTask
    read : callable, optional
        Gives the digital numbers of rows of the region's window; left out, they are read from the cube.
    """
    cube = places.cube(task.region.grid)
    read = read or detection.from_cube(task.output.zarr(cube), task.view, task.region)

    def work(target: SummingStore, done: Progress) -> None:
        mine = task.ownership.of(task.region.window)
        done.error = task.failure
        done.failed = "quarantined" if task.quarantined else "failed"
        layers = detection.failed_region(mine)
        if not task.failure:
            try:
                layers = detection.detect_region(read, mine, task.settings, task.rows_per_strip, task.faulty)
            except Exception as error:  # written as failed, so that nobody takes the region for stable ground
                done.error = describe(error)
        store.write_layers(target, task.view.grid, task.region, layers)
        done.pixels = int(mine.sum())
        done.counts |= detection.count_statuses(layers)

    return recorded(task, places.layers(task.region.grid), work)


def build_and_detect(task: RegionTask) -> list[Record]:
    """Build a region slab by slab, and detect on it; without the detection where its client must be asked first.

    Returns
    -------
    list of Record, of the builds in order and of the detection last.
    """
    last = task.detect
    view = last.view
    arrays = {}
    for name in view.bands:
        frame = last.region.window.at(view.grid.bands[name])
        dtype = view.mask.dtype if name == view.mask.band else "int16"
        arrays[name] = np.empty((len(view.times), frame.height, frame.width), dtype)
    records = [
        build(part, {name: values[part.slab.start : part.slab.stop] for name, values in arrays.items()})
        for part in task.builds
    ]
    if contradicted(task, records):
        return records
    return [*records, detect(last.informed(records), detection.from_memory(arrays, view, last.region))]


def contradicted(task: RegionTask, builds: Sequence[Record]) -> bool:
    """Tell whether pixels contradict scales and offsets, so that the client must be asked before detection."""
    if task.accept_step:
        return False
    steps = region_steps(task.detect.view.times, builds)
    return any(step.contradicts for step in steps) or disbelief(builds) is not None
