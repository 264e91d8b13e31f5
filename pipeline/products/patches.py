"""Patches: connected changed ground of one zone's mosaic, with what its pixels say.

A changed pixel is active, halted or resumed. A pixel with a provisional onset has not surely changed yet, and is not
counted. Gaps of one pixel are closed before changed pixels are connected (a closing by 2 x 2), so that a road or a
compound in which a pixel was missed stays one patch; ground that is two or more pixels apart is never joined. The
pixels that closing adds belong to the patch's ground, but give no date.
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
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from groundbreak.kernels import LAYERS, NO_DATE, OUTSIDE, Status
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.labels import EIGHT, Block, Components, label_blocks
from groundbreak.pipeline.stores.layout import LAYER_CHUNK, layers_frame
from groundbreak.pipeline.stores.tiles import LayerPixels

CHANGED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)
"""The statuses of changed pixels."""
EDGE_PIXELS = 3
"""Distance from unowned ground, in pixels, within which a patch may go on in another zone."""
SAMPLED_CENTRES = 200
"""Pixel centres that are kept of a patch, at most."""
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
"""The layers whose values are counted over the pixels of a patch."""


@dataclass
class Patch:
    """Connected changed ground of one zone; a site is one patch, or several in different zones."""

    epsg: int
    """EPSG code of the zone."""
    resolution: float
    """Side of a pixel, metres."""
    polygon: BaseGeometry
    """The outline in the zone's metres; holes smaller than the least area of a site are filled."""
    at_edge: bool
    """Whether the patch comes near ground that this zone does not own."""
    counts: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    """Name of a layer -> value -> changed pixels with that value; fills are left out."""
    sample: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    """(pixel, 3) rank, x and y of at most `SAMPLED_CENTRES` changed pixels: those of least rank, evenly spread."""

    @property
    def n_pixels(self) -> int:
        """Changed pixels of the patch."""
        return self.counts["status"].total()


def find_patches(output: Output, epsg: int, min_area_m2: float) -> list[Patch]:
    """Find the patches of a zone that may belong to a site: those large enough, and those at the edge of the zone.

    Memory holds a few blocks of the mosaic, some numbers for each component, and outlines and counts of the patches.

    Parameters
    ----------
    output : Output
    epsg : int
        EPSG code of the zone.
    min_area_m2 : float
        Least area of a site, m2.
    """
    mosaic = _Mosaic(output, epsg)
    components = label_blocks(mosaic.blocks, LAYER_CHUNK, mosaic.ground)
    top, left, bottom, right = components.bounds.T
    # Filling holes cannot make a patch larger than its bounding box.
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
    """Remove the holes of polygons that are smaller than an area, and the vertices within straight edges.

    Parameters
    ----------
    geometry : Polygon or MultiPolygon
        Polygons in a projected CRS.
    min_area_m2 : float
        Holes of this area or more stay, m2.
    """
    parts = [
        Polygon(p.exterior, [ring for ring in p.interiors if Polygon(ring).area >= min_area_m2])
        for p in shapely.get_parts(geometry)
    ]
    # A filled hole may have held an island of the same patch.
    return shapely.union_all(parts).simplify(0)


def _add_block(
    mosaic: _Mosaic,
    components: Components,
    wanted: NDArray[np.bool_],
    block: Block,
    outlines: dict[int, list[Polygon]],
    patches: dict[int, Patch],
) -> None:
    """Add the outlines, counts and samples of one block to the patches that reach into it."""
    ground = mosaic.ground(block)
    labels = components.labels(block, ground)
    labels[~wanted[labels]] = -1
    inside = labels >= 0
    if not inside.any():
        return
    transform = Affine(*mosaic.window(block).transform)
    # Parts that touch at a corner only are kept apart (connectivity 4): as one ring they would be invalid.
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
        # One number stands for patch and value (16 bits, signed or not): sorting it is much faster than sorting pairs.
        keys, count = np.unique((owner[kept] << 17) + of_pixels[kept] + (1 << 15), return_counts=True)
        for key, n in zip(keys.tolist(), count.tolist(), strict=True):
            patches[key >> 17].counts[name][(key & 0x1FFFF) - (1 << 15)] += n
    x, y = mosaic.window(block).centres()
    ranked = np.column_stack([_rank(rows + block[0] * LAYER_CHUNK, cols + block[1] * LAYER_CHUNK), x[cols], y[rows]])
    for number in np.unique(owner).tolist():
        patches[number].sample = least_ranked(np.concatenate([patches[number].sample, ranked[owner == number]]))


def least_ranked(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows of a sample that have the least rank.

    Parameters
    ----------
    sample : (pixel, 3) float64
        Rank, x and y of each pixel.

    Returns
    -------
    (pixel, 3) float64, at most `SAMPLED_CENTRES` rows, by increasing rank.
    """
    return sample[np.lexsort((sample[:, 2], sample[:, 1], sample[:, 0]))[:SAMPLED_CENTRES]]


def _rank(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the ranks of pixels, in [0, 1): the pixels below any threshold are evenly spread (the R2 sequence)."""
    return (0.7548776662466927 * cols + 0.5698402909980532 * rows) % 1.0


def _tidy(values: dict[str, LayerPixels]) -> None:
    """Make dates countable: keep a halt only where the pixel halted, and give every date an interval."""
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
        # Only chunks that hold owned ground were written, and no other can hold a change.
        keys = (key.split("/status/c/")[-1].split("/") for key in output.list(f"{path}/status/c"))
        self.blocks: list[Block] = sorted((int(row), int(col)) for row, col in keys)

    def window(self, block: Block) -> Frame:
        """Return the frame of a block."""
        top, left = block[0] * LAYER_CHUNK, block[1] * LAYER_CHUNK
        height, width = min(LAYER_CHUNK, self.frame.height - top), min(LAYER_CHUNK, self.frame.width - left)
        return self.frame.window(top, left, height, width)

    def layer(self, block: Block, name: str) -> LayerPixels:
        """Read a layer of a block, (y, x) as stored."""
        top, left = block[0] * LAYER_CHUNK, block[1] * LAYER_CHUNK
        return np.asarray(self._arrays[name][top : top + LAYER_CHUNK, left : left + LAYER_CHUNK])

    def ground(self, block: Block) -> NDArray[np.uint8]:
        """Return the changed ground of a block, (y, x): 1, or 2 within `EDGE_PIXELS` of unowned ground; 0 elsewhere."""
        top, left = block[0] * LAYER_CHUNK - EDGE_PIXELS, block[1] * LAYER_CHUNK - EDGE_PIXELS
        side = LAYER_CHUNK + 2 * EDGE_PIXELS
        status = np.full((side, side), OUTSIDE, np.uint8)
        part = self._arrays["status"][max(top, 0) : top + side, max(left, 0) : left + side]
        row, col = max(-top, 0), max(-left, 0)
        status[row : row + part.shape[0], col : col + part.shape[1]] = part
        outside = status == OUTSIDE
        closed = ndimage.binary_closing(np.isin(status, CHANGED), np.ones((2, 2), bool)) & ~outside
        ground = closed.astype(np.uint8)
        if outside.any():
            ground[closed & ndimage.binary_dilation(outside, EIGHT, EDGE_PIXELS)] = 2
        window = self.window(block)
        rows, cols = (slice(EDGE_PIXELS, EDGE_PIXELS + size) for size in (window.height, window.width))
        return np.asarray(ground[rows, cols])
