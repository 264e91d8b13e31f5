"""The kinds of task, as a worker runs them: build a slab of a region, detect on a region, or both in memory.

A task reads what its job says, writes whole objects, and puts its completion record last.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from shapely.geometry.base import BaseGeometry

from groundbreak import kernels
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.compute import detection
from groundbreak.pipeline.compute.build import BandReader, SlabJob, build_slab, touched
from groundbreak.pipeline.compute.index_series import DigitalNumbers, mask_tables
from groundbreak.pipeline.compute.offsets import DarkLevels, region_steps
from groundbreak.pipeline.core.output import Output, SummingStore
from groundbreak.pipeline.core.types import Fault, Grid, Mask, Record, Region, Slab, digest
from groundbreak.pipeline.planning.regions import owned
from groundbreak.pipeline.readers import assets
from groundbreak.pipeline.running.ledger import now, write_record
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.shards import Encoder
from groundbreak.pipeline.stores.tiles import Tiles


@dataclass(frozen=True)
class BuildTask:
    """Build one slab of one region."""

    name: str
    identity: str
    output: Output
    cube: str
    """Key of the cube's store below the output."""
    slab: Slab
    job: SlabJob
    attempts: int = 1

    @property
    def region(self) -> Region:
        """That it builds a slab of."""
        return self.job.region


@dataclass(frozen=True)
class DetectTask:
    """Detect on one region, all its slabs being finished."""

    name: str
    identity: str
    output: Output
    cube: str
    layers: str
    grid: Grid
    region: Region
    others: tuple[Grid, ...]
    area: BaseGeometry
    """In the grid's CRS."""
    mask: Mask
    times: np.ndarray
    settings: detection.Settings
    rows: int
    """Rows of a strip."""
    allowed: float
    """Share of the observations that faults may touch."""
    faulty: bool = False
    """A fault touched some observation of the region."""
    failure: str = ""
    """Why the region has failed already, and is to be written so."""
    attempts: int = 1

    def informed(self, builds: Sequence[Record]) -> DetectTask:
        """This task, knowing what went wrong in its builds: part of what the layers depend on, so that healed faults
        make detection run again."""
        faults = [f for r in builds for f in r.faults]
        failure = next((r.error for r in builds if r.error), "")
        count = len(self.times)
        if not failure and touched(faults) > self.allowed * count:
            rule = f"above [run] fault_threshold = {self.allowed}"
            failure = f"faults touch {touched(faults)} of {count} observations, {rule}"
        identity = digest([self.identity, sorted({(f.observation, f.band) for f in faults}), failure])
        return replace(self, identity=identity, faulty=bool(faults), failure=failure)


@dataclass(frozen=True)
class RegionTask:
    """Build a whole region, and detect on what was built while it is in memory."""

    builds: tuple[BuildTask, ...]
    detect: DetectTask
    """Not informed yet."""
    accept_step: bool
    attempts: int = 1

    @property
    def name(self) -> str:
        """Of its detection, which is its last part."""
        return self.detect.name

    @property
    def region(self) -> Region:
        """That it does."""
        return self.detect.region

    @property
    def output(self) -> Output:
        """Where its records go."""
        return self.detect.output

    @property
    def identity(self) -> str:
        """Digest of all that it depends on."""
        return digest([self.detect.identity, [b.identity for b in self.builds]])


@dataclass
class _Progress:
    """What a task has done so far; what is known of it when it fails."""

    pixels: int = 0
    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    dark: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()


def warm_up(detector: str) -> None:
    """Compile what tasks need, in the order in which they need it: one thread of a process compiles at a time."""
    assets.warm_up()
    kernels.warm_up(detector)


def run(task: BuildTask | DetectTask | RegionTask) -> list[Record]:
    """Do a task; the records that it has left, in order."""
    if isinstance(task, RegionTask):
        return build_and_detect(task)
    return [build(task) if isinstance(task, BuildTask) else detect(task)]


def build(task: BuildTask, scratch: Mapping[str, np.ndarray] = MappingProxyType({})) -> Record:
    """Build, write, record.

    Parameters
    ----------
    room : band -> (time, height, width), where its values are put, too
    """
    job = task.job

    def work(target: SummingStore, done: _Progress) -> None:
        levels, clear = DarkLevels(len(job.observations)), mask_tables(job.mask)[0]
        encoder = Encoder()

        def parts(band: BandReader) -> Iterator[Tiles]:
            for first, values in band.parts():
                if band.name == job.mask.band:
                    levels.add_mask(first, values, clear)
                else:
                    levels.add(first, values)
                if band.name in scratch:
                    values.stack(scratch[band.name][first : first + values.count])
                done.pixels += values.count * values.height * values.width
                yield values
            done.faults.extend(band.faults)

        for band in build_slab(job, task.slab.depth):
            at = job.grid, job.mask, job.region, task.slab, band.name
            target.put(*store.encode_slab(*at, parts(band), encoder))
        done.counts["faulty_observations"] = touched(done.faults)
        done.dark, done.offsets = levels.levels(), job.offsets

    return _recorded(task, task.cube, work)


def detect(task: DetectTask, read: Callable[[slice], DigitalNumbers] | None = None) -> Record:
    """Detect, write, record; a region that fails is written as failed. Its numbers are in the cube, or where ``read``
    has them."""
    indices = task.settings.indices
    read = read or detection.from_cube(
        task.output.zarr(task.cube), task.grid, task.region, task.mask, indices, task.times
    )

    def work(target: SummingStore, done: _Progress) -> None:
        mine = owned(task.grid, task.region.window, task.others, task.area)
        done.error = task.failure
        layers = detection.failed_region(mine)
        if not task.failure:
            try:
                layers = detection.detect_region(read, mine, task.settings, task.rows, task.faulty)
            except Exception as error:  # written as failed, so that nobody takes the region for stable ground
                done.error = _describe(error)
        store.write_layers(target, task.grid, task.region, layers)
        done.pixels = int(mine.sum())
        done.counts |= detection.counts(layers)

    return _recorded(task, task.layers, work)


def build_and_detect(task: RegionTask) -> list[Record]:
    """Build a region slab by slab, and detect on it; without the detection where its client must be asked first."""
    last = task.detect
    names = (*kernels.bands_of(last.settings.indices), last.mask.band)
    scratch = {}
    for name in names:
        frame = last.region.window.at(last.grid.bands[name])
        dtype = np.uint8 if name == last.mask.band else np.int16
        scratch[name] = np.empty((len(last.times), frame.height, frame.width), dtype)
    records = [
        build(part, {name: values[part.slab.start : part.slab.stop] for name, values in scratch.items()})
        for part in task.builds
    ]
    if any(step.contradicts for step in region_steps(last.times, records)) and not task.accept_step:
        return records
    read = detection.from_memory(scratch, last.grid, last.region, last.mask, last.settings.indices, last.times)
    return [*records, detect(last.informed(records), read)]


def _recorded(task: BuildTask | DetectTask, key: str, work: Callable[[SummingStore, _Progress], None]) -> Record:
    """Run the work on a store that sums what it writes; whatever happens, leave a record and return it."""
    begun, clock = now(), time.perf_counter()
    target, done = SummingStore(task.output.zarr(key)), _Progress()
    try:
        work(target, done)
    except Exception as error:  # a failed region must be named and must not end the run
        done.error = _describe(error)
    record = Record(
        task=task.name,
        state="failed" if done.error else "done",
        identity=task.identity,
        attempts=task.attempts,
        started=begun,
        seconds={"total": round(time.perf_counter() - clock, 3)},
        bytes_written=target.bytes_written,
        pixels=done.pixels,
        checksums={f"{key}/{k}": v for k, v in sorted(target.checksums.items())},
        faults=tuple(done.faults),
        error=done.error,
        counts=done.counts,
        dark=done.dark,
        offsets=done.offsets,
    )
    write_record(task.output, record)
    return record


def _describe(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
