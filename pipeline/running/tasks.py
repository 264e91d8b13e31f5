"""Tasks as a worker does them: build a slab of a region, detect on a region, or both in memory.

A task reads what the shared part of its grid says, writes whole objects, and puts its completion record last.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from groundbreak import kernels
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.compute import detection
from groundbreak.pipeline.compute.build import BandReader, build_slab, touched
from groundbreak.pipeline.compute.index_series import mask_tables
from groundbreak.pipeline.compute.offsets import DarkLevels, disbelief, region_steps
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import SummingStore
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Fault, Record
from groundbreak.pipeline.readers import assets
from groundbreak.pipeline.running.ledger import now, write_record
from groundbreak.pipeline.running.orders import BuildTask, DetectTask, RegionTask, Task
from groundbreak.pipeline.running.shared import GridShare
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.shards import Encoder
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

LOG = logging.getLogger(__name__)


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


def run(share: GridShare, task: Task) -> list[Record]:
    """Do a task of a grid, and return the records that it has left, in order."""
    if isinstance(task, RegionTask):
        return build_and_detect(share, task)
    return [build(share, task) if isinstance(task, BuildTask) else detect(share, task)]


def build(share: GridShare, task: BuildTask, arrays: Mapping[str, Pixels] = MappingProxyType({})) -> Record:
    """Build a slab, write it, and leave a record.

    Parameters
    ----------
    share : GridShare
    task : BuildTask
    arrays : mapping, optional
        Band -> (time, height, width) of the slab; what is built of these bands is put there, too.
    """
    job = share.job(task)

    def work(target: SummingStore, done: _Progress) -> None:
        levels, encoder = DarkLevels(len(job.observations)), Encoder()
        for reader in build_slab(job, task.slab.depth):
            parts = _noted(reader, levels, arrays.get(reader.name), done)
            target.put(*store.encode_slab(job.grid, job.mask, job.region, task.slab, reader.name, parts, encoder))
            done.faults.extend(reader.faults)
        done.counts["faulty_observations"] = touched(done.faults)
        unknown = (REFLECTANCE_FILL,) * len(job.observations)
        done.dark, done.offsets = levels.levels() if job.may_step else unknown, job.offsets
        done.beyond, done.bright = levels.beyond(), levels.bright_levels()

    return _recorded(share, task, places.cube(job.grid.name), work)


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


def detect(share: GridShare, task: DetectTask, read: detection.ReadRows | None = None) -> Record:
    """Detect on a region, write its layers, and leave a record; a region that fails is written as failed.

    Parameters
    ----------
    share : GridShare
    task : DetectTask
    read : callable, optional
        Gives the digital numbers of rows of the region's window; left out, they are read from the cube.
    """
    region = task.region
    read = read or detection.from_cube(share.output.zarr(places.cube(region.grid)), share.view, region)

    def work(target: SummingStore, done: _Progress) -> None:
        mine = share.ownership.of(region.window)
        done.error = task.failure
        layers = detection.failed_region(mine)
        if not task.failure:
            try:
                layers = detection.detect_region(read, mine, share.settings, share.rows_per_strip(region), task.faulty)
            except Exception as error:  # written as failed, so that nobody takes the region for stable ground
                done.error = _describe(error)
        store.write_layers(target, share.grid, region, layers)
        done.pixels = int(mine.sum())
        done.counts |= detection.count_statuses(layers)

    return _recorded(share, task, places.layers(region.grid), work)


def build_and_detect(share: GridShare, task: RegionTask) -> list[Record]:
    """Build a region slab by slab, and detect on it; without the detection where its client must be asked first.

    Returns
    -------
    list of Record, of the builds in order and of the detection last.
    """
    view = share.view
    arrays = {}
    for name in view.bands:
        frame = task.region.window.at(view.grid.bands[name])
        dtype = view.mask.dtype if name == view.mask.band else "int16"
        arrays[name] = np.empty((len(view.times), frame.height, frame.width), dtype)
    records = [
        build(share, part, {name: values[part.slab.start : part.slab.stop] for name, values in arrays.items()})
        for part in task.builds
    ]
    wrong = any(step.contradicts for step in region_steps(view.times, records)) or disbelief(records) is not None
    if wrong and not share.accept_step:
        return records
    in_memory = detection.from_memory(arrays, view, task.region)
    return [*records, detect(share, share.detect(task.region, records), in_memory)]


def _recorded(
    share: GridShare, task: BuildTask | DetectTask, key: str, work: Callable[[SummingStore, _Progress], None]
) -> Record:
    """Run the work on a store that sums what it writes; whatever happens, leave a record and return it."""
    begun, clock = now(), time.perf_counter()
    target, done = SummingStore(share.output.zarr(key)), _Progress()
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
    write_record(share.output, record)
    return record


def _describe(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
