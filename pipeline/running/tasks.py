"""Tasks as a worker does them: build a slab of a region, detect on a region, or both in memory.

A task reads what the shared part of its grid says, writes whole objects, and puts its completion record last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from groundbreak import kernels
from groundbreak.pipeline.compute import detection
from groundbreak.pipeline.compute.build import BandReader, build_slab, touched
from groundbreak.pipeline.compute.coverage import Coverage
from groundbreak.pipeline.compute.index_series import mask_tables
from groundbreak.pipeline.compute.offsets import DarkLevels, disbelief, region_steps
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import checksum
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.summing import SummingStore
from groundbreak.pipeline.core.types import REFLECTANCE_FILL
from groundbreak.pipeline.readers import assets
from groundbreak.pipeline.running.orders import BuildTask, DetectTask, RegionTask, Task
from groundbreak.pipeline.running.recording import Progress, describe, finished, recorded
from groundbreak.pipeline.running.shared import GridShare
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.shards import Encoder
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

LOG = logging.getLogger(__name__)


def warm_up(detector: str) -> None:
    """Compile what tasks need, in the order in which they need it: one thread of a process compiles at a time."""
    assets.warm_up()
    kernels.warm_up(detector)


def run(share: GridShare, task: Task) -> list[Record]:
    """Do a task of a grid, and return the records that it has left, in order.

    What has a record already is not done again: a worker may have died after it had finished, with the result.
    """
    if isinstance(task, RegionTask):
        found = [finished(share.output, part) for part in task.builds]
        if not any(found):
            return build_and_detect(share, task)
        records = [record or build(share, part) for record, part in zip(found, task.builds, strict=True)]
        if contradicted(share, records):
            return records
        return [*records, *run(share, share.detect(task.region, records))]
    done = finished(share.output, task)
    return [done or (build(share, task) if isinstance(task, BuildTask) else detect(share, task))]


def build(share: GridShare, task: BuildTask, arrays: Mapping[str, Pixels] | None = None) -> Record:
    """Build a slab, write it, and leave a record.

    Parameters
    ----------
    share : GridShare
    task : BuildTask
    arrays : mapping, optional
        Band -> (time, height, width) of the slab; what is built of these bands is put there, too.
    """
    job = share.job(task)

    def work(target: SummingStore, done: Progress) -> None:
        levels, encoder = DarkLevels(len(job.observations)), Encoder()
        for reader in build_slab(job, task.slab.depth, task.ahead):
            parts = _noted(reader, levels, (arrays or {}).get(reader.name), done)
            target.put(*store.encode_slab(job.grid, job.mask, job.region, task.slab, reader.name, parts, encoder))
            done.faults.extend(reader.faults)
            done.read_s += reader.read_s
        done.counts["faulty_observations"] = touched(done.faults)
        unknown = (REFLECTANCE_FILL,) * len(job.observations)
        done.dark, done.offsets = levels.levels() if job.may_step else unknown, job.offsets
        done.beyond, done.bright = levels.beyond(), levels.bright_levels()

    deadline = job.access.deadline if job.access is not None else float("inf")
    return recorded(share.output, task, places.cube(job.grid.name), work, deadline)


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
    cube = share.output.zarr(places.cube(region.grid))
    read = read or detection.from_cube(cube, share.view, region, task.unwritten)

    def work(target: SummingStore, done: Progress) -> None:
        mine = share.ownership.of(region.window)
        done.error = task.failure
        done.failed = "quarantined" if task.quarantined else "failed"
        layers, seen = detection.failed_region(mine), Coverage(read, mine)
        if not task.failure:
            try:
                layers = detection.detect_region(seen, mine, share.settings, task.rows_per_strip, bool(task.lost))
            except Exception as error:  # written as failed, so that nobody takes the region for stable ground
                done.error = describe(error)
        store.write_layers(target, share.grid, region, layers)
        coverage, key = seen.pack(task.lost), places.coverage(region.key)
        share.output.put(key, coverage)
        target.checksums[key] = checksum(coverage)
        done.pixels, done.read_s = int(mine.sum()), seen.read_s
        done.counts |= detection.count_statuses(layers)

    return recorded(share.output, task, places.layers(region.grid), work)


def build_and_detect(share: GridShare, task: RegionTask) -> list[Record]:
    """Build a region slab by slab, and detect on it; without the detection where its client must be asked first.

    Returns
    -------
    list of Record, of the builds in order and of the detection last.
    """
    arrays = detection.empty_arrays(share.view, task.region)
    records = [
        build(share, part, {name: values[part.slab.start : part.slab.stop] for name, values in arrays.items()})
        for part in task.builds
    ]
    if contradicted(share, records):
        return records
    in_memory = detection.from_memory(arrays, share.view, task.region)
    return [*records, detect(share, share.detect(task.region, records), in_memory)]


def contradicted(share: GridShare, builds: Sequence[Record]) -> bool:
    """Tell whether pixels contradict scales and offsets, so that the client must be asked before detection."""
    if share.accept_step:
        return False
    return any(step.contradicts for step in region_steps(share.times, builds)) or disbelief(builds) is not None
