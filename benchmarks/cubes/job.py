"""What a contender is asked for, and the layout that all of them write: that of our cubes.

Runs in every contender's interpreter: numpy and zarr only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

BANDS = ("blue", "nir", "red")
MASK = "scl"
TIME_CHUNK, SPACE_CHUNK = 12, 128


@dataclass(frozen=True)
class Job:
    """A cube to be built; travels as JSON."""

    items: str
    """Path of a FeatureCollection whose hrefs are absolute."""
    area: str
    """Path of a GeoJSON file of the ground of `bounds`."""
    span: str
    """start/end of the dates."""
    dates: int
    epsg: int
    bounds: tuple[float, float, float, float]
    """left, bottom, right, top."""
    region: int
    """Side of a region of our cubes, in pixels of 10 m."""
    blocks: tuple[tuple[str, int, int], ...]
    """(tile, row, column) of the 10 m blocks that hold the area, each ground once: what the floor decodes."""
    out: str
    """An empty folder."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the contender."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the area at 10 m."""
        left, bottom, right, top = self.bounds
        return round((top - bottom) / 10), round((right - left) / 10)


def store_band(job: Job, band: str, values: np.ndarray) -> None:
    """Write a band of the whole area as one shard, in the codecs that our cubes have.

    Parameters
    ----------
    values : (time, row, column); unsigned numbers of reflectance below 32768, which are the same bits as int16
    """
    mask = band == MASK
    depth = min(len(values), 60)
    array = zarr.create_array(
        Path(job.out) / f"{band}.zarr",
        shape=values.shape,
        chunks=(min(TIME_CHUNK, depth), *(min(SPACE_CHUNK, side) for side in values.shape[1:])),
        shards=(depth, *values.shape[1:]),
        dtype="uint8" if mask else "int16",
        fill_value=0 if mask else -32768,
        compressors=ZstdCodec(level=1) if mask else BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
    )
    array[:] = values if mask or values.dtype == np.int16 else values.view(np.int16)
