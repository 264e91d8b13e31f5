"""The lattice of the simulated world: tile frames, records and the area of interest.

Tiles follow the MGRS manner: two frames of one UTM zone share the 10 m pixel lattice and overlap by
980 m, but their COG blocks start at different pixels, so no block of one is a block of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

EPSG = 32638
BANDS: tuple[str, ...] = ("blue", "red", "nir", "swir16")
"""Reflectance bands, in the order of every (band, ...) array of this package."""

PIXEL_M = 10
Scale = Literal["full", "small"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One tile's rectangle on the 10 m lattice."""

    code: str
    """MGRS code without prefix, such as 38TPK."""
    col: int
    """First column in the scene, 10 m pixels; even, so that 20 m pixels nest."""
    row: int
    """First row in the scene, 10 m pixels; even."""
    width: int
    """10 m pixels."""
    height: int
    """10 m pixels."""
    left: float
    """Easting of the upper left corner, metres."""
    top: float
    """Northing of the upper left corner, metres."""

    def __post_init__(self) -> None:
        """Raise ValueError where the frame cuts a 20 m pixel in two."""
        if any(n % 2 for n in (self.col, self.row, self.width, self.height)):
            raise ValueError(f"frame {self.code} does not nest 20 m pixels")

    def transform(self, resolution: int) -> Affine:
        """Return the affine transform from pixels of `resolution` metres to UTM."""
        return Affine(resolution, 0, self.left, 0, -resolution, self.top)

    def shape(self, resolution: int) -> tuple[int, int]:
        """Return (rows, columns) in pixels of `resolution` metres."""
        step = resolution // PIXEL_M
        return self.height // step, self.width // step

    def window(self, resolution: int) -> tuple[slice, slice]:
        """Return the slices that cut this frame out of an array of the scene in pixels of `resolution` metres."""
        step = resolution // PIXEL_M
        rows, cols = self.shape(resolution)
        row, col = self.row // step, self.col // step
        return slice(row, row + rows), slice(col, col + cols)


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything about a world that its seed does not change."""

    name: Scale
    left: float
    top: float
    width: int
    """Columns of the whole scene, 10 m pixels."""
    height: int
    """Rows of the whole scene, 10 m pixels."""
    frames: tuple[Frame, ...]
    bbox: tuple[float, float, float, float]
    """Area of interest, lon/lat degrees."""
    start: date
    end: date
    main_step: int
    """Days between overpasses of the main orbit."""
    side_step: int
    """Days between overpasses of the neighbour orbit, whose swath covers a part only."""
    block: int
    """COG block size, pixels."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the scene, 10 m pixels."""
        return self.height, self.width

    @property
    def coarse(self) -> tuple[int, int]:
        """(rows, columns) of the scene, 20 m pixels."""
        return self.height // 2, self.width // 2

    def utm(self, col: float, row: float) -> tuple[float, float]:
        """Return easting and northing of a pixel coordinate of the scene, counted from the corner."""
        return self.left + PIXEL_M * col, self.top - PIXEL_M * row

    def lonlat(self, col: float, row: float) -> tuple[float, float]:
        """Return longitude and latitude of a pixel coordinate of the scene, counted from the corner."""
        x, y = to_lonlat().transform(*self.utm(col, row))
        return float(x), float(y)

    def aoi_mask(self, margin: int = 0) -> NDArray[np.bool_]:
        """Tell which pixels, (row, col) bool, have their centres `margin` pixels within the area of interest."""
        rows, cols = np.mgrid[: self.height, : self.width] + 0.5
        lon, lat = to_lonlat().transform(*self.utm(cols, rows))
        west, south, east, north = self.bbox
        dlat = margin * PIXEL_M / 111_000.0
        dlon = dlat / np.cos(np.radians((south + north) / 2))
        inside = (lon > west + dlon) & (lon < east - dlon)
        return np.asarray(inside & (lat > south + dlat) & (lat < north - dlat))


def to_lonlat() -> Transformer:
    """Make the transformer from the scene's UTM zone to lon/lat."""
    return Transformer.from_crs(EPSG, 4326, always_xy=True)


def to_utm() -> Transformer:
    """Make the transformer from lon/lat to the scene's UTM zone."""
    return Transformer.from_crs(4326, EPSG, always_xy=True)


def _frames(left: float, top: float, *, width: int, height: int, overlap: int) -> tuple[Frame, Frame]:
    east = width - overlap
    first = Frame("38TPK", 0, 0, width, height, left, top)
    return first, Frame("38TQK", east, 0, width, height, left + PIXEL_M * east, top)


_FULL = (659_320.0, 4_438_300.0)
_SMALL = (660_760.0, 4_437_080.0)

LAYOUTS: dict[Scale, Layout] = {
    # 542 x 432 pixels; the second tile's blocks are shifted by 222 = 128 + 94 pixels.
    "full": Layout(
        name="full",
        left=_FULL[0],
        top=_FULL[1],
        width=542,
        height=432,
        frames=_frames(*_FULL, width=320, height=432, overlap=98),
        bbox=(46.871, 40.042, 46.929, 40.078),
        start=date(2020, 1, 1),
        end=date(2024, 12, 31),
        main_step=5,
        side_step=20,
        block=128,
    ),
    # 206 x 120 pixels, blocks shifted by 86 = 64 + 22: the same traps, seconds to write.
    "small": Layout(
        name="small",
        left=_SMALL[0],
        top=_SMALL[1],
        width=206,
        height=120,
        frames=_frames(*_SMALL, width=120, height=120, overlap=34),
        bbox=(46.8855, 40.0585, 46.9085, 40.0675),
        start=date(2021, 1, 1),
        end=date(2022, 12, 31),
        main_step=15,
        side_step=60,
        block=64,
    ),
}
