"""The two kinds of task, as a worker runs them: build a slab of a region, detect on a region.

A task reads what its job says, writes whole objects, and puts its completion record last.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from shapely.geometry.base import BaseGeometry

import kernels
from pipeline import assets, detection, grid, store
from pipeline.cube import SlabJob, build_slab, touched
from pipeline.hrefs import redact
from pipeline.ledger import now, write_record
from pipeline.output import HashingStore, Output
from pipeline.types import Fault, Grid, Mask, Record, Region, Slab


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
    faulty: bool
    """A fault touched some observation of the region."""
    failure: str = ""
    """Why the region has failed already, and is to be written so."""
    attempts: int = 1


@dataclass
class _Progress:
    """What a task has done so far; what is known of it when it fails."""

    pixels: int = 0
    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""


def warm_up(detector: str) -> None:
    """Compile what tasks need, in the order in which they need it: one thread of a process compiles at a time."""
    assets.warm_up()
    kernels.warm_up(detector)


def build(task: BuildTask) -> Record:
    """Build, write, record."""

    def work(target: HashingStore, done: _Progress) -> None:
        job = task.job
        for band, values, faults in build_slab(job):
            target.put(*store.encode_slab(job.grid, job.mask, job.region, task.slab, band, values))
            done.pixels += values.size
            done.faults.extend(faults)
        done.counts["faulty_observations"] = touched(done.faults)

    return _recorded(task, task.cube, work)


def detect(task: DetectTask) -> Record:
    """Detect, write, record; a region that fails is written as failed."""

    def work(target: HashingStore, done: _Progress) -> None:
        mine = grid.owned(task.grid, task.region.frame, task.others, task.area)
        done.error = task.failure
        layers = detection.failed_region(mine)
        if not task.failure:
            try:
                layers = detection.detect_region(
                    task.output.zarr(task.cube),
                    task.grid,
                    task.region,
                    task.mask,
                    task.times,
                    mine,
                    task.settings,
                    task.rows,
                    task.faulty,
                )
            except Exception as error:  # written as failed, so that nobody takes the region for stable ground
                done.error = _describe(error)
        rows, cols = store.region_slices(task.grid, task.region, task.grid.frame.resolution)
        store.write_layers(target, rows, cols, layers)
        done.pixels = int(mine.sum())
        done.counts |= detection.counts(layers)

    return _recorded(task, task.layers, work)


def _recorded(task: BuildTask | DetectTask, key: str, work: Callable[[HashingStore, _Progress], None]) -> Record:
    """Run the work on a store that hashes what it writes; whatever happens, leave a record and return it."""
    begun, clock = now(), time.perf_counter()
    target, done = HashingStore(task.output.zarr(key)), _Progress()
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
    )
    write_record(task.output, record)
    return record


def _describe(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
