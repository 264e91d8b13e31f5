"""Detection of one region: from the cube's digital numbers to layers.

A strip of rows is read at a time, which bounds memory, and detected on a block of pixels at a time, which keeps what
lies between numbers and layers in cache. Masks are applied on read. Two overpasses of one UTM day, which the cube keeps
apart, are merged for the kernel: each index takes the mean of the day's clear values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store

from groundbreak import kernels
from groundbreak.kernels import OUTSIDE, Layers, Quality, Status
from groundbreak.pipeline.compute.index_series import CubeView, DigitalNumbers, read_numbers, take_numbers
from groundbreak.pipeline.core.types import Region
from groundbreak.pipeline.stores.store import slices
from groundbreak.pipeline.stores.tiles import Pixels

ReadRows = Callable[[slice], DigitalNumbers]
"""Rows of a region's window, from 0 -> their digital numbers."""


@dataclass(frozen=True)
class DetectionSettings:
    """Which detector looks at the series, and with what parameters."""

    detector: str
    history_end: str | None
    """ISO date; no onset is sought up to it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The detector's own, where they are not its defaults."""


def detect_region(
    read: ReadRows, owned: NDArray[np.bool_], settings: DetectionSettings, rows_per_strip: int, faulty: bool
) -> Layers:
    """Detect on a region's window, strip by strip.

    Parameters
    ----------
    read : callable
        Gives the digital numbers of some of the window's rows.
    owned : (height, width) bool
        The window's pixels that the region owns.
    settings : DetectionSettings
    rows_per_strip : int
        Rows read at a time, which bounds memory.
    faulty : bool
        Faults touched the region's cube: every owned pixel carries the bit.

    Returns
    -------
    Layers, (height, width) each; pixels that the region does not own are outside.
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


def from_cube(store: Store, view: CubeView, region: Region, unwritten: Collection[str] | None = None) -> ReadRows:
    """Return what reads rows of a region's window from its cube, a Zarr store.

    ``unwritten`` names the objects that may be absent; any other that is raises ValueError. None: all may be.
    """
    first, cols = slices(view.grid, region.window)

    def read(rows: slice) -> DigitalNumbers:
        return read_numbers(store, view, slice(first.start + rows.start, first.start + rows.stop), cols, unwritten)

    return read


def empty_arrays(view: CubeView, region: Region) -> dict[str, Pixels]:
    """Return memory for a region's whole series: band -> (time, y, x) of its window in the band's own pixels."""
    arrays: dict[str, Pixels] = {}
    for name in view.bands:
        frame = region.window.at(view.grid.bands[name])
        dtype = view.mask.dtype if name == view.mask.band else "int16"
        arrays[name] = np.empty((len(view.times), frame.height, frame.width), dtype)
    return arrays


def from_memory(arrays: Mapping[str, Pixels], view: CubeView, region: Region) -> ReadRows:
    """Return what takes rows of a region's window from arrays.

    Parameters
    ----------
    arrays : mapping
        Band -> (time, y, x) of the window in the band's own pixels.
    view : CubeView
    region : Region
    """

    def own(band: str, rows: slice, cols: slice) -> Pixels:
        return arrays[band][:, rows, cols]

    def read(rows: slice) -> DigitalNumbers:
        return take_numbers(own, view, rows, slice(0, region.window.width))

    return read


def detect_numbers(numbers: DigitalNumbers, owned: NDArray[np.bool_], settings: DetectionSettings, out: Layers) -> None:
    """Detect block by block, and fill the owned pixels of the layers.

    Parameters
    ----------
    numbers : DigitalNumbers
        The digital numbers of a window.
    owned : (height, width) bool
        The window's pixels to fill.
    settings : DetectionSettings
    out : Layers
        (height, width) each.
    """
    for block in numbers.blocks():
        mine = owned[block]
        if not mine.any():
            continue
        days, values, snow = numbers.series(*block)
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


def failed_region(owned: NDArray[np.bool_]) -> Layers:
    """Return layers that say that detection failed: every owned pixel FAILED, nothing dated; (height, width) each."""
    out = kernels.empty_layers(owned.shape)
    out.status[owned] = Status.FAILED
    return out


def count_statuses(layers: Layers) -> dict[str, int]:
    """Count the pixels of each status, by its name; what lies outside is not counted."""
    values, n = np.unique(layers.status, return_counts=True)
    return {Status(v).name.lower(): int(c) for v, c in zip(values, n, strict=True) if v != OUTSIDE}
