"""The kinds of task, as a worker runs them: build a slab of a region, detect on a region, or both in memory.

A task reads what its job says, writes whole objects, and puts its completion record last.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from groundbreak import kernels
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.compute import detection
from groundbreak.pipeline.compute.build import BandReader, SlabJob, build_slab, touched
from groundbreak.pipeline.compute.coverage import Coverage
from groundbreak.pipeline.compute.index_series import CubeView, mask_tables
from groundbreak.pipeline.compute.offsets import DarkLevels, disbelief, region_steps
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.output import Output, SummingStore
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Fault, Record, Region, Slab
from groundbreak.pipeline.planning.regions import Ownership
from groundbreak.pipeline.readers import assets
from groundbreak.pipeline.running.ledger import now, write_record
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
    lost: tuple[str, ...] = ()
    """Ids of the observations that a fault has touched."""
    unwritten: frozenset[str] = frozenset()
    """Keys of the cube's objects that no build has written, since they would hold no pixel."""
    failure: str = ""
    """Why the region has failed already, and is to be written so."""
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
        lost = tuple(sorted({f.observation for f in faults}))
        failure = next((r.error for r in builds if r.error), "")
        count = len(self.view.times)
        if not failure and len(lost) > self.fault_threshold * count:
            rule = f"above [run] fault_threshold = {self.fault_threshold}"
            failure = f"faults touch {len(lost)} of {count} observations, {rule}"
        identity = digest([self.identity, sorted({(f.observation, f.band) for f in faults}), failure])
        unwritten = store.unwritten(self.view.grid, self.region, self.view.bands, builds)
        return replace(self, identity=identity, lost=lost, unwritten=unwritten, failure=failure)

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


@dataclass
class _Progress:
    """What a task has done so far; what is known of it when it fails."""

    pixels: int = 0
    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    dark: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    beyond: tuple[int, ...] = ()
    bright: tuple[int, ...] = ()


def warm_up(detector: str) -> None:
    """Compile what tasks need, in the order in which they need it: one thread of a process compiles at a time."""
    assets.warm_up()
    kernels.warm_up(detector)


def run(task: Task) -> list[Record]:
    """Do a task, and return the records that it has left, in order."""
    if isinstance(task, RegionTask):
        return build_and_detect(task)
    return [build(task) if isinstance(task, BuildTask) else detect(task)]


def build(task: BuildTask, arrays: Mapping[str, Pixels] | None = None) -> Record:
    """Build a slab, write it, and leave a record.

    Parameters
    ----------
    task : BuildTask
    arrays : mapping, optional
        Band -> (time, height, width) of the slab; what is built of these bands is put there, too.
    """
    job = task.job

    def work(target: SummingStore, done: _Progress) -> None:
        levels, encoder = DarkLevels(len(job.observations)), Encoder()
        for reader in build_slab(job, task.slab.depth):
            parts = _noted(reader, levels, (arrays or {}).get(reader.name), done)
            target.put(*store.encode_slab(job.grid, job.mask, job.region, task.slab, reader.name, parts, encoder))
            done.faults.extend(reader.faults)
        done.counts["faulty_observations"] = touched(done.faults)
        unknown = (REFLECTANCE_FILL,) * len(job.observations)
        done.dark, done.offsets = levels.levels() if job.may_step else unknown, job.offsets
        done.beyond, done.bright = levels.beyond(), levels.bright_levels()

    return _recorded(task, places.cube(job.grid.name), work)


def _noted(reader: BandReader, levels: DarkLevels, array: Pixels | None, done: _Progress) -> Iterator[Tiles]:
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
    cube = task.output.zarr(places.cube(task.region.grid))
    read = read or detection.from_cube(cube, task.view, task.region, task.unwritten)

    def work(target: SummingStore, done: _Progress) -> None:
        mine = task.ownership.of(task.region.window)
        done.error = task.failure
        layers, seen = detection.failed_region(mine), Coverage(read, mine)
        if not task.failure:
            try:
                layers = detection.detect_region(seen, mine, task.settings, task.rows_per_strip, bool(task.lost))
            except Exception as error:  # written as failed, so that nobody takes the region for stable ground
                done.error = _describe(error)
        store.write_layers(target, task.view.grid, task.region, layers)
        task.output.put(places.coverage(task.region.key), seen.pack(store.positions(cube, task.lost)))
        done.pixels = int(mine.sum())
        done.counts |= detection.count_statuses(layers)

    return _recorded(task, places.layers(task.region.grid), work)


def build_and_detect(task: RegionTask) -> list[Record]:
    """Build a region slab by slab, and detect on it; without the detection where its client must be asked first.

    Returns
    -------
    list of Record, of the builds in order and of the detection last.
    """
    last = task.detect
    view = last.view
    arrays = detection.empty_arrays(view, last.region)
    records = [
        build(part, {name: values[part.slab.start : part.slab.stop] for name, values in arrays.items()})
        for part in task.builds
    ]
    wrong = any(step.contradicts for step in region_steps(view.times, records)) or disbelief(records) is not None
    if wrong and not task.accept_step:
        return records
    return [*records, detect(last.informed(records), detection.from_memory(arrays, view, last.region))]


def _recorded(task: BuildTask | DetectTask, key: str, work: Callable[[SummingStore, _Progress], None]) -> Record:
    """Run the work on a store that sums what it writes; whatever happens, leave a record and return it."""
    begun, clock = now(), time.perf_counter()
    target, done = SummingStore(task.output.zarr(key)), _Progress()
    try:
        work(target, done)
    except Exception as error:  # a failed region must be named and must not end the run
        done.error = _describe(error)
    if done.error:
        LOG.warning("%s failed: %s", task.name, done.error.splitlines()[0])
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
        beyond=done.beyond,
        bright=done.bright,
    )
    write_record(task.output, record)
    return record


def _describe(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
