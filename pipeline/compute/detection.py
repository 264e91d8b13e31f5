"""Detection of one region: from the cube's digital numbers to layers.

A strip of rows is read at a time, which bounds memory, and detected on a block of pixels at a time, which keeps what
lies between numbers and layers in cache. Masks are applied on read. Two overpasses of one UTM day, which the cube keeps
apart, are merged for the kernel: each index takes the mean of the day's clear values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from zarr.abc.store import Store

from groundbreak import kernels
from groundbreak.kernels import OUTSIDE, Layers, Quality, Status
from groundbreak.pipeline.compute.index_series import DigitalNumbers, read_numbers, take_numbers
from groundbreak.pipeline.core.types import Grid, Mask, Region
from groundbreak.pipeline.stores.store import slices


@dataclass(frozen=True)
class Settings:
    """What a detection task needs to know beside the cube."""

    detector: str
    indices: tuple[str, ...]
    history_end: str | None
    params: Mapping[str, Any] = field(default_factory=dict)


def detect_region(
    read: Callable[[slice], DigitalNumbers], owned: np.ndarray, settings: Settings, rows_per_strip: int, faulty: bool
) -> Layers:
    """The layers of a region's window, (height, width) each; pixels that the region does not own are outside.

    Parameters
    ----------
    read : Callable
        Gives the numbers of some of the window's rows.
    owned : (height, width) bool
    rows_per_strip : int
        Rows read at a time, which bounds memory.
    faulty : bool
        Faults touched the region's cube: every owned pixel carries the bit.
    """
    out = kernels.empty_layers(owned.shape)
    for top in range(0, len(owned), rows_per_strip):
        bottom = min(top + rows_per_strip, len(owned))
        mine = owned[top:bottom]
        if not mine.any():
            continue
        part: list[Any] = [layer[top:bottom] for layer in out]
        detect_numbers(read(slice(top, bottom)), mine, settings, Layers(*part))
    if faulty:
        out.quality[owned] |= np.uint8(Quality.FAULTS_IN_REGION)
    assert (out.status[~owned] == OUTSIDE).all()
    return out


def from_cube(
    store: Store, grid: Grid, region: Region, mask: Mask, indices: Sequence[str], times: np.ndarray
) -> Callable[[slice], DigitalNumbers]:
    """What reads rows of a region's window from its cube."""
    first, cols = slices(grid, region.window)

    def read(rows: slice) -> DigitalNumbers:
        strip = slice(first.start + rows.start, first.start + rows.stop)
        return read_numbers(store, grid, mask, indices, times, strip, cols)

    return read


def from_memory(
    scratch: Mapping[str, np.ndarray], grid: Grid, region: Region, mask: Mask, indices: Sequence[str], times: np.ndarray
) -> Callable[[slice], DigitalNumbers]:
    """The same from arrays, band -> (time, y, x) of the window in the band's own pixels."""

    def own(name: str, rows: slice, cols: slice) -> np.ndarray:
        return scratch[name][:, rows, cols]

    def read(rows: slice) -> DigitalNumbers:
        return take_numbers(own, grid, mask, indices, times, rows, slice(0, region.window.width))

    return read


def detect_numbers(numbers: DigitalNumbers, owned: np.ndarray, settings: Settings, out: Layers) -> None:
    """Fill the owned pixels of ``out``, block by block; ``owned`` and the layers have the shape of the window."""
    for block in numbers.blocks():
        mine = owned[block]
        if not mine.any():
            continue
        days, values, snow = numbers.series(settings.indices, *block)
        if mine.all():
            flat = (len(days), mine.size)
            values, snow = values.reshape(len(values), *flat), snow.reshape(flat)
        else:
            values, snow = values[:, :, mine], snow[:, mine]
        if len(days) == len(values):
            # (index, time) would be taken for (time, pixel): one more day, on which nothing is clear, tells them apart.
            days = np.append(days, days[-1] + np.timedelta64(1, "D"))
            values = np.pad(values, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
            snow = np.pad(snow, ((0, 1), (0, 0)))
        found = kernels.detect(
            values, days, settings.detector, snow=snow, history_end=settings.history_end, **settings.params
        )
        for name, layer in found._asdict().items():
            getattr(out, name)[block][mine] = layer


def failed_region(owned: np.ndarray) -> Layers:
    """Layers that say so: every owned pixel FAILED, nothing dated."""
    out = kernels.empty_layers(owned.shape)
    out.status[owned] = Status.FAILED
    return out


def counts(layers: Layers) -> dict[str, int]:
    """Pixels by status name."""
    values, n = np.unique(layers.status, return_counts=True)
    return {Status(v).name.lower(): int(c) for v, c in zip(values, n, strict=True) if v != OUTSIDE}
