"""The frame of a raster: where its pixels lie on the ground, its windows, and where two rasters meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PHASE_TOLERANCE = 1e-6
"""Pixels by which two lattices may be displaced and still count as one."""


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
        """Raise ValueError where a size is not positive."""
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

    def overlap(self, target: Frame) -> Overlap | None:
        """Return which pixels of this raster a target on the same lattice takes.

        Returns
        -------
        Overlap, or None where the target lies on another lattice (other CRS, pixel size or phase), so that this raster
        must be warped onto it.
        """
        if self.epsg != target.epsg or self.resolution != target.resolution:
            return None
        col, row = (target.x0 - self.x0) / self.resolution, (self.y0 - target.y0) / self.resolution
        if abs(col - round(col)) > PHASE_TOLERANCE or abs(row - round(row)) > PHASE_TOLERANCE:
            return None
        row, col = round(row), round(col)
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
            Side of a pixel, metres.
        """
        height = -(-round(self.height * self.resolution) // round(resolution))
        width = -(-round(self.width * self.resolution) // round(resolution))
        return Frame(self.epsg, self.x0, self.y0, resolution, height, width)

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
