"""The pixel lattice of a raster: where it lies on the ground, its windows, and where two rasters meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PHASE_TOLERANCE = 1e-6
"""Pixels by which two lattices may lie apart and still be one."""


class Overlap(NamedTuple):
    """Where a raster meets a target on the same lattice; slices of pixels, empty where they do not meet."""

    rows: slice
    """Rows of the target."""
    cols: slice
    """Columns of the target."""
    source_rows: slice
    """The same pixels' rows in the raster."""
    source_cols: slice
    """The same pixels' columns in the raster."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The pixel lattice of one raster, north up."""

    epsg: int
    x0: float
    """Left edge of the first column, metres (or the CRS's unit)."""
    y0: float
    """Top edge of the first row."""
    resolution: float
    """Pixel side; pixels are square."""
    height: int
    width: int

    def __post_init__(self) -> None:
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
        """Affine coefficients (a, b, c, d, e, f), as rasterio's and STAC's proj:transform."""
        return self.resolution, 0.0, self.x0, 0.0, -self.resolution, self.y0

    def window(self, row: int, col: int, height: int, width: int) -> Frame:
        """The part of this lattice that starts at (row, col), in pixels; it may reach beyond the frame."""
        x0 = self.x0 + col * self.resolution
        y0 = self.y0 - row * self.resolution
        return Frame(self.epsg, x0, y0, self.resolution, height, width)

    def overlap(self, target: Frame) -> Overlap | None:
        """Return where this raster's pixels meet a target that lies on the same lattice.

        None where the target lies on another lattice (other CRS, pixel size or phase), so that this raster must be
        warped onto it.
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
        """The same ground in pixels of another size, growing outwards to whole pixels."""
        height = -(-round(self.height * self.resolution) // round(resolution))
        width = -(-round(self.width * self.resolution) // round(resolution))
        return Frame(self.epsg, self.x0, self.y0, resolution, height, width)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(x of each column, y of each row), float64, of the pixel centres."""
        x = self.x0 + (np.arange(self.width, dtype=np.float64) + 0.5) * self.resolution
        y = self.y0 - (np.arange(self.height, dtype=np.float64) + 0.5) * self.resolution
        return np.asarray(x), np.asarray(y)
