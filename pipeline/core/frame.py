"""The frame of a raster: where its pixels lie on the ground, its windows, and where two rasters meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 10_000_000
"""Rows or columns of a file that are believed."""

PHASE_TOLERANCE = 1e-3
"""Pixels by which two lattices may be displaced, anywhere in a raster, and still count as one.

Metadata is written with noise (17.123350000000002), and no reader can see a thousandth of a pixel.
"""


class Overlap(NamedTuple):
    """The pixels that a raster and a target on its lattice share; the slices are empty where they share none."""

    rows: slice
    """The shared rows, counted in the target."""
    cols: slice
    """The shared columns, counted in the target."""
    source_rows: slice
    """The shared rows, counted in the raster."""
    source_cols: slice
    """The shared columns, counted in the raster."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the pixels of one raster lie: its lattice, north up, and its size."""

    epsg: int
    """EPSG code of the CRS."""
    x0: float
    """Left edge of the first column, in the CRS's unit (metres where it is projected)."""
    y0: float
    """Top edge of the first row, in the CRS's unit."""
    resolution: float
    """Side of a pixel, in the CRS's unit; pixels are square."""
    height: int
    """Rows of pixels."""
    width: int
    """Columns of pixels."""

    def __post_init__(self) -> None:
        """Raise ValueError where a size is not positive, or a number is not finite."""
        if not math.isfinite(self.x0 + self.y0 + self.resolution * max(self.height, self.width)):
            raise ValueError(f"{self}: edges and resolution must be finite")
        if self.resolution <= 0 or self.height <= 0 or self.width <= 0:
            raise ValueError(f"{self}: resolution, height and width must be positive")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the CRS's unit."""
        right = self.x0 + self.width * self.resolution
        bottom = self.y0 - self.height * self.resolution
        return self.x0, bottom, right, self.y0

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients (a, b, c, d, e, f), in the order of rasterio and of STAC's proj:transform."""
        return self.resolution, 0.0, self.x0, 0.0, -self.resolution, self.y0

    def window(self, row: int, col: int, height: int, width: int) -> Frame:
        """Return the frame of a window on this lattice; the window may reach beyond this frame.

        Parameters
        ----------
        row, col : int
            The window's first row and column, counted in this frame.
        height, width : int
            The window's size, pixels.
        """
        x0 = self.x0 + col * self.resolution
        y0 = self.y0 - row * self.resolution
        return Frame(self.epsg, x0, y0, self.resolution, height, width)

    def shift(self, other: Frame) -> tuple[int, int] | None:
        """Return where another frame on this lattice begins.

        Returns
        -------
        (row, column) of this frame at which the other one begins, which may be negative; None where the other one lies
        on another lattice: other CRS, pixel size or phase.
        """
        if self.epsg != other.epsg:
            return None
        left, top = (other.x0 - self.x0) / self.resolution, (self.y0 - other.y0) / self.resolution
        # Pixel sizes that differ drift apart: what lies in phase at one corner must do so at the other, too.
        growth = other.resolution / self.resolution
        col, row = round(left), round(top)
        ends = (
            left - col,
            top - row,
            left + other.width * growth - (col + other.width),
            top + other.height * growth - (row + other.height),
        )
        return (row, col) if max(map(abs, ends)) <= PHASE_TOLERANCE else None

    def same(self, other: Frame) -> bool:
        """Tell whether another frame has the very pixels of this one, to `PHASE_TOLERANCE`."""
        return self.shift(other) == (0, 0) and (self.height, self.width) == (other.height, other.width)

    def holds(self, other: Frame) -> bool:
        """Tell whether another frame is of this CRS and lies in this one, on whatever lattice."""
        left, bottom, right, top = other.bounds
        west, south, east, north = self.bounds
        return self.epsg == other.epsg and west <= left and south <= bottom and right <= east and top <= north

    def union(self, other: Frame) -> Frame:
        """Return the least frame on this lattice that covers this frame and another one, which is on the lattice."""
        at = self.shift(other)
        assert at is not None
        top, left = min(at[0], 0), min(at[1], 0)
        bottom, right = max(at[0] + other.height, self.height), max(at[1] + other.width, self.width)
        return self.window(top, left, bottom - top, right - left)

    def overlap(self, target: Frame) -> Overlap | None:
        """Return which pixels of this raster a target on the same lattice takes.

        Returns
        -------
        Overlap, or None where the target lies on another lattice (other CRS, pixel size or phase), so that this raster
        must be warped onto it.
        """
        at = self.shift(target)
        if at is None:
            return None
        row, col = at
        top, left = max(row, 0), max(col, 0)
        bottom = max(min(row + target.height, self.height), top)
        right = max(min(col + target.width, self.width), left)
        return Overlap(
            slice(top - row, bottom - row), slice(left - col, right - col), slice(top, bottom), slice(left, right)
        )

    def at(self, resolution: float) -> Frame:
        """Return the frame of this ground in pixels of another size; it grows to the right and down to whole pixels.

        Parameters
        ----------
        resolution : float
            Side of a pixel, in the CRS's unit.
        """
        factor = resolution / self.resolution
        height, width = (math.ceil(n / factor - PHASE_TOLERANCE) for n in (self.height, self.width))
        return Frame(self.epsg, self.x0, self.y0, resolution, height, width)

    def steps_around(self, bounds: Sequence[float], side: int) -> tuple[int, int, int, int]:
        """Return the least window that covers some bounds in whole steps, counted from this frame's corner.

        Parameters
        ----------
        bounds : (left, bottom, right, top), in the CRS's unit
        side : int
            Pixels of a step.

        Returns
        -------
        (first row, first column, row after the last, column after the last), multiples of ``side``.
        """
        step = side * self.resolution
        left, bottom, right, top = bounds
        col0, row0 = math.floor((left - self.x0) / step), math.floor((self.y0 - top) / step)
        col1, row1 = math.ceil((right - self.x0) / step), math.ceil((self.y0 - bottom) / step)
        return row0 * side, col0 * side, row1 * side, col1 * side

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the pixel centres lie.

        Returns
        -------
        x : (width,) float64, of each column, in the CRS's unit
        y : (height,) float64, of each row
        """
        x = self.x0 + (np.arange(self.width, dtype=np.float64) + 0.5) * self.resolution
        y = self.y0 - (np.arange(self.height, dtype=np.float64) + 0.5) * self.resolution
        return np.asarray(x), np.asarray(y)
