"""Detection of one region: from the cube's bands to layers, strip by strip.

Masks are applied here, on read. Two overpasses of one UTM day, which the cube keeps apart, are merged for the kernel:
each index takes the mean of the day's clear values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from zarr.abc.store import Store

import kernels
from kernels import OUTSIDE, Layers, Quality, Status
from pipeline.store import read_band, region_slices
from pipeline.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, Grid, Mask, Region


@dataclass(frozen=True)
class Settings:
    """What a detection task needs to know beside the cube."""

    detector: str
    indices: tuple[str, ...]
    history_end: str | None
    params: Mapping[str, Any] = field(default_factory=dict)


def clear_and_snow(mask: np.ndarray, rule: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels are clear, and which are snow.

    Parameters
    ----------
    mask : (...) uint8, classes or bit flags

    Returns
    -------
    (clear, snow), (...) bool each; the mask's fill is neither.
    """
    valid = mask != rule.nodata
    table = np.arange(256, dtype=np.uint8)
    if rule.bits:
        bad = np.zeros(256, bool)
        for bit in rule.bits:
            bad |= (table >> bit) & 1 == 1
        snowy = np.zeros(256, bool)
        for bit in rule.snow_bits:
            snowy |= (table >> bit) & 1 == 1
        return valid & ~bad[mask], valid & snowy[mask]
    return valid & np.isin(table, rule.clear)[mask], valid & np.isin(table, rule.snow)[mask]


def read_indices(
    store: Store, grid: Grid, mask: Mask, indices: Sequence[str], times: np.ndarray, rows: slice, cols: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clear index series of a window of a cube.

    Parameters
    ----------
    times : (time,) datetime64[ms], the cube's
    rows, cols : slice
        In the grid's finest pixels, on whole pixels of its coarsest band.

    Returns
    -------
    days : (day,) datetime64[D], strictly increasing
    values : (index, day, rows, cols) float32, NaN = not clear
    snow : (day, rows, cols) bool, masked as snow on some overpass of the day
    """
    finest = grid.frame.resolution

    def fetch(band: str) -> np.ndarray:
        factor = round(grid.bands[band] / finest)
        part = [slice(s.start // factor, -(-s.stop // factor)) for s in (rows, cols)]
        values = read_band(store, grid, band, *part)
        if factor > 1:
            values = values.repeat(factor, axis=1).repeat(factor, axis=2)
        return values[:, : rows.stop - rows.start, : cols.stop - cols.start]

    clear, snow = clear_and_snow(fetch(mask.band), mask)
    bands = {}
    for name in kernels.bands_of(indices):
        raw = fetch(name)
        reflectance = raw.astype(np.float32) * np.float32(REFLECTANCE_SCALE)
        reflectance[~clear | (raw == REFLECTANCE_FILL)] = np.nan
        bands[name] = reflectance
    stack = (
        np.stack([kernels.compute(name, bands) for name in indices])
        if len(times)
        else (np.empty((len(indices), 0, *clear.shape[1:]), np.float32))
    )
    return merge_days(times, stack, snow)


def merge_days(times: np.ndarray, values: np.ndarray, snow: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overpasses to days: the mean of a day's clear values, snow where any of them saw it.

    Parameters
    ----------
    times : (time,) datetime64[ms], increasing
    values : (index, time, ...) float32, NaN = not clear
    snow : (time, ...) bool
    """
    days, first, count = np.unique(times.astype("datetime64[D]"), return_index=True, return_counts=True)
    if len(days) == len(times):
        return days, values, snow
    merged, snowy = values[:, first], snow[first]
    for d in np.flatnonzero(count > 1):
        part = slice(first[d], first[d] + count[d])
        clear = ~np.isnan(values[:, part])
        total = np.where(clear, values[:, part], 0).sum(axis=1)
        n = clear.sum(axis=1)
        merged[:, d] = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        snowy[d] = snow[part].any(axis=0)
    return days, merged, snowy


def detect_region(
    store: Store,
    grid: Grid,
    region: Region,
    mask: Mask,
    times: np.ndarray,
    owned: np.ndarray,
    settings: Settings,
    rows_per_strip: int,
    faulty: bool,
) -> Layers:
    """The layers of a region, (height, width) each; pixels that it does not own are outside.

    Parameters
    ----------
    owned : (height, width) bool
    rows_per_strip : int
        Rows read at a time, which bounds memory.
    faulty : bool
        Faults touched the region's cube: every owned pixel carries the bit.
    """
    out = kernels.empty_layers(owned.shape)
    rows, cols = region_slices(grid, region, grid.frame.resolution)
    for top in range(0, region.frame.height, rows_per_strip):
        bottom = min(top + rows_per_strip, region.frame.height)
        mine = owned[top:bottom]
        if not mine.any():
            continue
        days, values, snow = read_indices(
            store, grid, mask, settings.indices, times, slice(rows.start + top, rows.start + bottom), cols
        )
        values, snow = values[:, :, mine], snow[:, mine]
        if len(days) == len(values) > 0:
            # (index, time) would be taken for (time, pixel): one more day, on which nothing is clear, tells them apart.
            days = np.append(days, days[-1] + np.timedelta64(1, "D"))
            values = np.pad(values, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
            snow = np.pad(snow, ((0, 1), (0, 0)))
        found = kernels.detect(
            values,
            days,
            settings.detector,
            snow=snow,
            history_end=settings.history_end,
            **settings.params,
        )
        for name, layer in found._asdict().items():
            getattr(out, name)[top:bottom][mine] = layer
    if faulty:
        out.quality[owned] |= np.uint8(Quality.FAULTS_IN_REGION)
    assert (out.status[~owned] == OUTSIDE).all()
    return out


def failed_region(owned: np.ndarray) -> Layers:
    """Layers that say so: every owned pixel FAILED, nothing dated."""
    out = kernels.empty_layers(owned.shape)
    out.status[owned] = Status.FAILED
    return out


def counts(layers: Layers) -> dict[str, int]:
    """Pixels by status name."""
    values, n = np.unique(layers.status, return_counts=True)
    return {Status(v).name.lower(): int(c) for v, c in zip(values, n, strict=True) if v != OUTSIDE}
