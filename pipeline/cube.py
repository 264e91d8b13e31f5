"""Building: one band of one slab of one region, from assets to harmonised int16.

Reflectance comes out as int16 x 1e-4 with the provider's offset gone, so that a reader sees plain reflectance; the mask
is kept as the source gives it. What cannot be read is a fault, and its pixels are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipeline.hrefs import redact
from pipeline.raster import Access, ReadError, read
from pipeline.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, Asset, Fault, Frame, Grid, Mask, Observation, Region

READERS = 8
"""Threads of a task that wait for requests; decoding shares the task's core."""


@dataclass(frozen=True)
class SlabJob:
    """What is to be built: (observations, band) of a region."""

    grid: Grid
    region: Region
    observations: tuple[Observation, ...]
    mask: Mask
    access: Access | None
    """None where nothing will be built."""


def build_slab(job: SlabJob) -> Iterator[tuple[str, np.ndarray, list[Fault]]]:
    """Read a region's slab, one band at a time.

    Yields
    ------
    (band, values, faults)
        values : (time, height, width) in the band's own pixels; int16 reflectance x 10000 with -32768 where there is
        none, or the mask's own uint8 with its fill.
    """
    with ThreadPoolExecutor(READERS) as pool:
        for band, resolution in job.grid.bands.items():
            target = job.region.frame.at(resolution)
            jobs = [pool.submit(_observe, job, observation, band, target) for observation in job.observations]
            dtype, fill = (np.uint8, job.mask.nodata) if band == job.mask.band else (np.int16, REFLECTANCE_FILL)
            values = np.full((len(jobs), target.height, target.width), fill, dtype)
            faults: list[Fault] = []
            for index, future in enumerate(jobs):
                values[index], found = future.result()
                faults.extend(found)
            yield band, values, faults


def _observe(job: SlabJob, observation: Observation, band: str, target: Frame) -> tuple[np.ndarray, list[Fault]]:
    """One overpass: its scenes in order, each filling what those before it left."""
    assert job.access is not None
    is_mask = band == job.mask.band
    out = np.full(
        (target.height, target.width),
        job.mask.nodata if is_mask else REFLECTANCE_FILL,
        np.uint8 if is_mask else np.int16,
    )
    missing = np.ones(out.shape, bool)
    faults = []
    if not observation.scenes:
        gone = "the source no longer offers this observation"
        return out, [Fault(job.region.key, observation.id, "", band, "", gone, 0)]
    for scene in observation.scenes:
        if not missing.any():
            break
        asset = scene.assets[band]
        try:
            numbers = read(asset, target, job.access, nearest=is_mask)
        except ReadError as error:
            faults.append(
                Fault(job.region.key, observation.id, scene.id, band, redact(asset.href), error.message, error.attempts)
            )
            continue
        use = missing & ~np.isnan(numbers)
        out[use] = numbers[use].astype(np.uint8) if is_mask else harmonise(numbers[use], asset)
        missing &= ~use
    return out, faults


def harmonise(numbers: np.ndarray, asset: Asset) -> np.ndarray:
    """Digital numbers as int16 reflectance x 10000.

    Values beyond int16 (reflectance above 3.2767: saturated snow and cloud) are clipped to it.

    Parameters
    ----------
    numbers : float32, any shape, digital numbers without NaN
    """
    scaled = np.rint(numbers * np.float64(asset.scale / REFLECTANCE_SCALE) + asset.offset / REFLECTANCE_SCALE)
    return np.clip(scaled, -32767, 32767).astype(np.int16)


def touched(faults: Sequence[Fault]) -> int:
    """Observations that at least one fault touches."""
    return len({f.observation for f in faults})
