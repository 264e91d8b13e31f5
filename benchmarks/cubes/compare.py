"""Whether a contender stored the same pixels as we did, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.cubes.job import BANDS, MASK, TIME_CHUNK, Job


def differing(ours: Path, theirs: Path, job: Job) -> dict[str, int]:
    """Band -> pixels of the area that differ from any of our cubes, or that none of them holds.

    Parameters
    ----------
    ours : the output of a run, a cube a grid
    theirs : an array a band, of the area
    """
    return {band: _differing(ours, theirs, job, band) for band in (*BANDS, MASK)}


def _differing(ours: Path, theirs: Path, job: Job, band: str) -> int:
    side = 20 if band == MASK else 10
    left, _, _, top = job.bounds
    peer: Any = zarr.open_array(theirs / f"{band}.zarr", mode="r")
    height, width = peer.shape[1:]
    held, count = np.zeros((height, width), bool), 0
    for cube in sorted(ours.glob("*/cube.zarr")):
        group: Any = zarr.open_group(cube / f"{side}m", mode="r")
        # Where the cube's first pixel lies in the area.
        row, col = round((top - group["y"][0]) / side - 0.5), round((group["x"][0] - left) / side - 0.5)
        cube_rows, rows = _overlap(row, group[band].shape[1], height)
        cube_cols, cols = _overlap(col, group[band].shape[2], width)
        for start in range(0, peer.shape[0], TIME_CHUNK):
            time = slice(start, start + TIME_CHUNK)
            own = group[band][time, cube_rows, cube_cols]
            # A cube holds what its grid owns, in whole chunks, and fill beside it; the archive's pixels are never fill.
            there = own != group[band].fill_value
            held[rows, cols] |= there.all(axis=0)
            count += int(((own != peer[time, rows, cols]) & there.any(axis=0)).sum())
    return count + int((~held).sum()) * int(peer.shape[0])


def _overlap(first: int, length: int, size: int) -> tuple[slice, slice]:
    """Return where a cube and an area meet on one axis, as slices of the cube and of the area.

    The cube has ``length`` pixels and begins at pixel ``first`` of the area, which has ``size`` pixels.
    """
    start, stop = max(first, 0), min(first + length, size)
    return slice(start - first, stop - first), slice(start, stop)
