"""The digital numbers of a window of a cube, and from them the clear index series of any block of its pixels.

The numbers are read once and kept as they are stored: one byte or two, in each band's own pixels. Masks, scale, coarse
pixels and indices are applied block by block, so that a block's floating-point arrays stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store

from groundbreak import kernels
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, Grid, Mask
from groundbreak.pipeline.stores.store import read_band
from groundbreak.pipeline.stores.tiles import Pixels

PIXELS_TOGETHER = 2048
"""Pixels of a block. Of 512 to 8192, 2048 and 4096 were the fastest: smaller blocks cost more calls, and larger ones do
not fit the cache."""

ReadWindow = Callable[[str, slice, slice], Pixels]
"""(band, rows, columns of the band's own pixels) -> (time, y, x) digital numbers."""


@dataclass(frozen=True)
class CubeView:
    """What detection looks at in a cube: which indices, on which grid, with which mask, at which times."""

    grid: Grid
    mask: Mask
    indices: tuple[str, ...]
    """Names of spectral indices, or of bands."""
    times: NDArray[np.datetime64]
    """(time,) datetime64[ms] of the cube's observations."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that are read: those that the indices need, and the mask's band last."""
        return *kernels.bands_of(self.indices), self.mask.band


@dataclass(frozen=True)
class DigitalNumbers:
    """The digital numbers of a window of a cube, in memory."""

    view: CubeView
    shape: tuple[int, int]
    """(rows, columns) of the window, in the grid's finest pixels."""
    bands: Mapping[str, Pixels]
    """Band, the mask's included -> (time, y, x) in the band's own pixels."""
    factors: Mapping[str, int]
    """Band -> how many of the finest pixels one of the band's own pixels is wide."""
    lead: Mapping[str, tuple[int, int]]
    """Band -> (rows, columns) of finest pixels that lie before the window in the band's first pixel."""

    def series(self, rows: slice, cols: slice) -> tuple[NDArray[np.datetime64], NDArray[np.float32], NDArray[np.bool_]]:
        """Compute the clear index series of a block.

        Parameters
        ----------
        rows, cols : slice
            The block, in the window's pixels.

        Returns
        -------
        days : (day,) datetime64[D], strictly increasing
        values : (index, day, rows, cols) float32, NaN = not clear
        snow : (day, rows, cols) bool, whether some overpass of the day was masked as snow
        """
        mask = self.view.mask
        scale, snow = _scale_table(mask), mask_tables(mask)[1]
        classes = self._own(mask.band, rows, cols)
        scales = self._finest(mask.band, scale.take(classes), rows, cols)
        bands = {}
        for name in kernels.bands_of(self.view.indices):
            raw = self._own(name, rows, cols)
            bands[name] = self._finest(name, raw, rows, cols) * scales
            if (gone := raw == REFLECTANCE_FILL).any():
                bands[name][self._finest(name, gone, rows, cols)] = np.nan
        values = np.stack([kernels.compute_index(name, bands) for name in self.view.indices])
        return merge_days(self.view.times, values, self._finest(mask.band, snow.take(classes), rows, cols))

    def _own(self, band: str, rows: slice, cols: slice) -> Pixels:
        """Return the band's own pixels that a block touches."""
        factor, (top, left) = self.factors[band], self.lead[band]
        return self.bands[band][(slice(None), _outwards(rows, top, factor), _outwards(cols, left, factor))]

    def _finest[T: np.generic](self, band: str, own: NDArray[T], rows: slice, cols: slice) -> NDArray[T]:
        """Return a block in the finest pixels, from the band's own pixels that it touches."""
        factor, (top, left) = self.factors[band], self.lead[band]
        if factor == 1:
            return own
        count, height, width = own.shape
        wide = np.empty((count, height, factor, width, factor), own.dtype)
        for k in range(factor):  # strided copies: broadcasting along both axes at once takes five times as long
            wide[..., k] = own[:, :, None, :]
        fine = wide.reshape(count, height * factor, width * factor)
        y, x = (rows.start + top) % factor, (cols.start + left) % factor
        return fine[:, y : y + rows.stop - rows.start, x : x + cols.stop - cols.start]

    def blocks(self, size: int = PIXELS_TOGETHER) -> Iterator[tuple[slice, slice]]:
        """Yield (rows, columns) of blocks that cover the window, in the window's pixels.

        A block is some whole rows of the window, or a part of them. Where the window begins and ends with whole pixels
        of the coarsest band, so does every block.

        Parameters
        ----------
        size : int
            Pixels of a block, about.
        """
        coarse = max(self.factors.values())
        height = max(size // self.shape[1] // coarse, 1) * coarse
        width = max(size // height // coarse, 1) * coarse
        for top in range(0, self.shape[0], height):
            for left in range(0, self.shape[1], width):
                yield (
                    slice(top, min(top + height, self.shape[0])),
                    slice(left, min(left + width, self.shape[1])),
                )


def read_numbers(
    store: Store, view: CubeView, rows: slice, cols: slice, unwritten: Collection[str] | None = None
) -> DigitalNumbers:
    """Read the digital numbers that a view needs of a window from a cube's store.

    Parameters
    ----------
    store : zarr Store
        The cube.
    view : CubeView
    rows, cols : slice
        The window, in the grid's finest pixels.
    unwritten : collection of str, optional
        Keys of the objects that may be absent; any other that is raises ValueError. Left out, all may be.
    """
    return take_numbers(lambda band, y, x: read_band(store, view.grid, band, y, x, unwritten), view, rows, cols)


def take_numbers(read: ReadWindow, view: CubeView, rows: slice, cols: slice) -> DigitalNumbers:
    """Take the digital numbers that a view needs of a window from wherever they are.

    Parameters
    ----------
    read : callable
        Takes a band and (rows, columns) of the band's own pixels, and returns (time, y, x) digital numbers.
    view : CubeView
    rows, cols : slice
        The window, in the grid's finest pixels.
    """
    grid = view.grid
    factors = {name: round(grid.bands[name] / grid.frame.resolution) for name in view.bands}
    bands = {name: read(name, *(_outwards(s, 0, factors[name]) for s in (rows, cols))) for name in view.bands}
    lead = {name: (rows.start % factor, cols.start % factor) for name, factor in factors.items()}
    return DigitalNumbers(view, (rows.stop - rows.start, cols.stop - cols.start), bands, factors, lead)


@lru_cache(maxsize=16)
def mask_tables(mask: Mask) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which values of a mask, classes or bit flags, are clear, and which are snow.

    Returns
    -------
    clear : (256,) or (65536,) bool
    snow : (256,) or (65536,) bool
        The mask's fill is neither, and snow is not clear. Both are read-only, since callers share them.
    """
    value = np.arange(256 ** np.dtype(mask.dtype).itemsize)
    if mask.bits:
        snow = (value & sum(1 << bit for bit in mask.snow_bits)) != 0
        clear = ((value & sum(1 << bit for bit in mask.bits)) == 0) & ~snow
    else:
        clear, snow = np.isin(value, mask.clear), np.isin(value, mask.snow)
    valid = value != mask.nodata
    tables = valid & clear, valid & snow
    for table in tables:
        table.flags.writeable = False
    return tables


@lru_cache(maxsize=16)
def _scale_table(mask: Mask) -> NDArray[np.float32]:
    """Return what reflectance is multiplied by under each value of a mask, float32; NaN where it is not clear.

    NaN times a number is NaN, so one table both masks and scales.
    """
    table = np.where(mask_tables(mask)[0], np.float32(REFLECTANCE_SCALE), np.float32(np.nan))
    table.flags.writeable = False
    return table


def merge_days(
    times: NDArray[np.datetime64], values: NDArray[np.float32], snow: NDArray[np.bool_]
) -> tuple[NDArray[np.datetime64], NDArray[np.float32], NDArray[np.bool_]]:
    """Merge the overpasses of each UTC day: a value is the mean of the day's clear values.

    Parameters
    ----------
    times : (time,) datetime64[ms]
        The overpasses, increasing.
    values : (index, time, ...) float32
        NaN = not clear.
    snow : (time, ...) bool
        Where an overpass was masked as snow.

    Returns
    -------
    days : (day,) datetime64[D], strictly increasing
    values : (index, day, ...) float32, NaN = not clear
    snow : (day, ...) bool, whether some overpass of the day was masked as snow
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


def _outwards(part: slice, lead: int, factor: int) -> slice:
    """Return the pixels of a coarser band that a run of the finest pixels touches."""
    return slice((part.start + lead) // factor, -(-(part.stop + lead) // factor))
