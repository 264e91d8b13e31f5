"""Painted results of detection: grids whose layers are known pixel by pixel, for the tests of what is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from groundbreak.kernels import LAYERS, Layers, Status, empty_layers
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Grid, Region
from groundbreak.pipeline.stores.layout import lay_out_layers
from groundbreak.pipeline.stores.store import write_layers

NORTH = 4_500_000.0
Painted = tuple[Grid, Layers]
"""A grid, and the layers (y, x) of its whole frame."""
Pixels = tuple[slice, slice] | np.ndarray
"""Which pixels of a grid: rows and columns, or a (y, x) boolean mask."""


def day(text: str) -> int:
    """Return days since 1970-01-01."""
    return int(np.datetime64(text, "D").astype(int))


def stable_grid(
    name: str,
    epsg: int,
    x0: float,
    height: int,
    width: int,
    *,
    y0: float = NORTH,
    resolution: float = 10.0,
    region: int = 128,
) -> Painted:
    """Return a grid all of whose pixels are owned and stable."""
    frame = Frame(epsg, x0, y0, resolution, height, width)
    layers = empty_layers((height, width))
    layers.status[:] = Status.STABLE
    layers.n_valid[:] = 100
    layers.last_observation[:] = day("2024-12-30")
    layers.confidence[:] = 0
    return Grid(name, frame, frame, {"red": resolution}, region), layers


def change(
    layers: Layers,
    where: Pixels,
    onset: int | np.ndarray,
    halt: int | np.ndarray | None = None,
    *,
    status: Status | None = None,
    confidence: int = 90,
    quality: int = 0,
    width: int = 5,
) -> None:
    """Paint changed ground: dates in days, their intervals `width` days to either side."""
    layers.status[where] = status if status is not None else Status.ACTIVE if halt is None else Status.HALTED
    for event, value in (("onset", onset), ("halt", halt)):
        if value is not None:
            getattr(layers, event)[where] = value
            getattr(layers, f"{event}_earliest")[where] = np.asarray(value) - width
            getattr(layers, f"{event}_latest")[where] = np.asarray(value) + width
    layers.confidence[where] = confidence
    layers.quality[where] = quality
    layers.n_changes[where] = 1


def disown(layers: Layers, where: Pixels) -> None:
    """Set every layer of some pixels to its fill, so that they are left to another grid."""
    for name, values in layers._asdict().items():
        values[where] = LAYERS[name].fill


def regions_of(grid: Grid) -> list[Region]:
    """Return all regions of a grid."""
    frame, side = grid.frame, grid.region
    found = []
    for row in range(-(-frame.height // side)):
        for col in range(-(-frame.width // side)):
            top, left = row * side, col * side
            part = frame.window(top, left, min(side, frame.height - top), min(side, frame.width - left))
            found.append(Region(grid.name, row, col, part, 1, part))
    return found


def store_grids(output: Output, painted: Sequence[Painted]) -> tuple[list[Grid], Mapping[str, list[Region]]]:
    """Write each grid's change.zarr; return the grids and their regions, as publish_mosaics takes them."""
    for grid, layers in painted:
        store = output.zarr(f"{grid.name}/change.zarr")
        lay_out_layers(store, grid.frame, grid.region, {})
        write_layers(store, grid, Region(grid.name, 0, 0, grid.frame, 1, grid.frame), layers)
    return [grid for grid, _ in painted], {grid.name: regions_of(grid) for grid, _ in painted}
