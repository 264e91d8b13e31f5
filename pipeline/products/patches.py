"""Pieces: connected changed ground of one zone's mosaic, with what its pixels say.

A changed pixel is active, halted or resumed; a provisional onset is not ground that changed yet, and is not counted.
Gaps of one pixel are closed before changed pixels are connected (a closing by 2 x 2), so that a road or a compound
broken by a missed pixel stays one piece; ground two or more pixels apart is never joined. What closing adds is the
piece's ground, but gives no date.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio.features
import shapely
import zarr
from affine import Affine
from scipy import ndimage
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from groundbreak.kernels import LAYERS, NO_DATE, OUTSIDE, Status
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.labels import EIGHT, Block, Components, label_blocks
from groundbreak.pipeline.stores.layout import LAYER_CHUNK, layers_frame

CHANGED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)
EDGE = 3
"""Pixels from unowned ground within which a piece may go on in another zone."""
SAMPLED_CENTRES = 200
"""Pixel centres kept of a piece."""
COUNTED = (
    "status",
    "onset",
    "onset_earliest",
    "onset_latest",
    "halt",
    "halt_earliest",
    "halt_latest",
    "confidence",
    "n_changes",
    "quality",
)


@dataclass
class Patch:
    """What is known of one piece; a site is one or more of them."""

    epsg: int
    resolution: float
    polygon: BaseGeometry
    """In the zone's metres; holes below the least area are filled."""
    at_edge: bool
    """It comes near ground that this zone does not own."""
    counts: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    """Layer -> value -> changed pixels; fills are left out."""
    sample: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))
    """(pixel, 3) float64: rank, x, y of at most `SAMPLED_CENTRES` changed pixels, of least rank: evenly spread."""

    @property
    def n_pixels(self) -> int:
        return self.counts["status"].total()


def find_patches(output: Output, epsg: int, min_area_m2: float) -> list[Patch]:
    """The pieces of a zone that may belong to a site: those large enough, and those at the edge of what it owns.

    Memory: a few blocks of the mosaic, some numbers a component, and the outlines and date counts of the pieces.
    """
    mosaic = _Mosaic(output, epsg)
    components = label_blocks(mosaic.blocks, LAYER_CHUNK, mosaic.ground)
    top, left, bottom, right = components.bounds.T
    # Filling holes cannot take a piece beyond its bounding box.
    large = (bottom - top) * (right - left) * mosaic.frame.resolution**2 >= min_area_m2
    wanted = np.concatenate([large | (components.peak > 1), [False]])
    outlines: dict[int, list[Polygon]] = {}
    patches: dict[int, Patch] = {}
    for block in mosaic.blocks:
        _add_block(mosaic, components, wanted, block, outlines, patches)
    for number, patch in patches.items():
        patch.polygon = fill_holes(shapely.union_all(outlines[number]), min_area_m2)
    return [p for p in patches.values() if p.at_edge or p.polygon.area >= min_area_m2]


def fill_holes(geometry: BaseGeometry, min_area_m2: float) -> BaseGeometry:
    """Drop the holes smaller than an area, and the vertices in the middle of straight edges."""
    parts = [
        Polygon(p.exterior, [ring for ring in p.interiors if Polygon(ring).area >= min_area_m2])
        for p in shapely.get_parts(geometry)
    ]
    # A filled hole may have held an island of the same piece.
    return shapely.union_all(parts).simplify(0)


def _add_block(
    mosaic: _Mosaic,
    components: Components,
    wanted: np.ndarray,
    block: Block,
    outlines: dict[int, list[Polygon]],
    patches: dict[int, Patch],
) -> None:
    """Add one block's outlines, counts and sample to the pieces that reach into it."""
    ground = mosaic.ground(block)
    labels = components.labels(block, ground)
    labels[~wanted[labels]] = -1
    inside = labels >= 0
    if not inside.any():
        return
    transform = Affine(*mosaic.window(block).transform)
    # Parts that touch at a corner are kept apart (connectivity 4): as one ring they would be invalid.
    for shape, value in rasterio.features.shapes(labels.astype(np.int32), inside, connectivity=4, transform=transform):
        number = int(value)
        outlines.setdefault(number, []).append(shapely.geometry.shape(shape))
        if number not in patches:
            edge = bool(components.peak[number] > 1)
            patches[number] = Patch(mosaic.frame.epsg, mosaic.frame.resolution, Polygon(), edge)
    status = mosaic.layer(block, "status")
    rows, cols = np.nonzero(inside & np.isin(status, CHANGED))
    if not len(rows):
        return
    owner = labels[rows, cols]
    values = {name: mosaic.layer(block, name)[rows, cols] for name in COUNTED}
    _tidy(values)
    for name, of_pixels in values.items():
        kept = of_pixels != LAYERS[name].fill
        # One number for piece and value (of 16 bits, signed or not): sorting those is much faster than sorting pairs.
        keys, count = np.unique((owner[kept] << 17) + of_pixels[kept] + (1 << 15), return_counts=True)
        for key, n in zip(keys.tolist(), count.tolist(), strict=True):
            patches[key >> 17].counts[name][(key & 0x1FFFF) - (1 << 15)] += n
    x, y = mosaic.window(block).centres()
    ranked = np.column_stack([_rank(rows + block[0] * LAYER_CHUNK, cols + block[1] * LAYER_CHUNK), x[cols], y[rows]])
    for number in np.unique(owner).tolist():
        patches[number].sample = least_ranked(np.concatenate([patches[number].sample, ranked[owner == number]]))


def least_ranked(sample: np.ndarray) -> np.ndarray:
    """(n, 3) -> the `SAMPLED_CENTRES` rows of least rank."""
    return sample[np.lexsort((sample[:, 2], sample[:, 1], sample[:, 0]))[:SAMPLED_CENTRES]]


def _rank(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """(pixel,) float64 in [0, 1): a dither pattern (the R2 sequence), every threshold of which is evenly spread."""
    return (0.7548776662466927 * cols + 0.5698402909980532 * rows) % 1.0


def _tidy(values: dict[str, np.ndarray]) -> None:
    """Dates that can be counted: a halt only where the pixel halted, an interval wherever there is a date."""
    halted = values["status"] == Status.HALTED
    for event in ("onset", "halt"):
        date = values[event]
        if event == "halt":
            date[~halted] = NO_DATE
        for end, limit in (("earliest", np.minimum), ("latest", np.maximum)):
            ends = values[f"{event}_{end}"]
            values[f"{event}_{end}"] = np.where(
                date == NO_DATE, NO_DATE, np.where(ends == NO_DATE, date, limit(ends, date))
            ).astype(np.int16)


class _Mosaic:
    """A zone's published layers, read by block."""

    def __init__(self, output: Output, epsg: int) -> None:
        path = places.mosaic(epsg)
        store = output.zarr(path)
        self.frame: Frame = layers_frame(store)
        group = zarr.open_group(store, mode="r")
        self._arrays: dict[str, Any] = {name: group[name] for name in COUNTED}
        # Only what is owned was written, and nothing else can hold a change.
        keys = (key.split("/status/c/")[-1].split("/") for key in output.list(f"{path}/status/c"))
        self.blocks: list[Block] = sorted((int(row), int(col)) for row, col in keys)

    def window(self, block: Block) -> Frame:
        top, left = block[0] * LAYER_CHUNK, block[1] * LAYER_CHUNK
        height, width = min(LAYER_CHUNK, self.frame.height - top), min(LAYER_CHUNK, self.frame.width - left)
        return self.frame.window(top, left, height, width)

    def layer(self, block: Block, name: str) -> np.ndarray:
        top, left = block[0] * LAYER_CHUNK, block[1] * LAYER_CHUNK
        return np.asarray(self._arrays[name][top : top + LAYER_CHUNK, left : left + LAYER_CHUNK])

    def ground(self, block: Block) -> np.ndarray:
        """(y, x) uint8 of a block: 1 on closed changed ground, 2 within `EDGE` pixels of unowned ground, else 0."""
        top, left = block[0] * LAYER_CHUNK - EDGE, block[1] * LAYER_CHUNK - EDGE
        side = LAYER_CHUNK + 2 * EDGE
        status = np.full((side, side), OUTSIDE, np.uint8)
        part = self._arrays["status"][max(top, 0) : top + side, max(left, 0) : left + side]
        row, col = max(-top, 0), max(-left, 0)
        status[row : row + part.shape[0], col : col + part.shape[1]] = part
        outside = status == OUTSIDE
        closed = ndimage.binary_closing(np.isin(status, CHANGED), np.ones((2, 2), bool)) & ~outside
        ground = closed.astype(np.uint8)
        if outside.any():
            ground[closed & ndimage.binary_dilation(outside, EIGHT, EDGE)] = 2
        window = self.window(block)
        return np.asarray(ground[EDGE : EDGE + window.height, EDGE : EDGE + window.width])
