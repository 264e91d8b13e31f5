"""Patches: connected changed ground of one zone's mosaic, with what its pixels say.

A changed pixel is active, halted or resumed. A pixel with a provisional onset has not surely changed yet, and is not
counted. Gaps of one pixel are closed before changed pixels are connected (a closing by 2 x 2), so that a road or a
compound in which a pixel was missed stays one patch; ground that is two or more pixels apart is never joined. The
pixels that closing adds belong to the patch's ground, but give no date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from groundbreak.kernels import LAYERS, NO_DATE, Status
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.labels import Block, BlockLabels, Components, join_blocks, label_block
from groundbreak.pipeline.products.zone import CHANGED, Zone, strips, written_blocks
from groundbreak.pipeline.stores.layout import LAYER_CHUNK, layers_frame
from groundbreak.pipeline.stores.tiles import LayerPixels

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


def _no_counts() -> dict[str, Counter[int]]:
    return {name: Counter() for name in COUNTED}


def _no_sample() -> NDArray[np.float64]:
    return np.empty((0, 3))


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
    counts: dict[str, Counter[int]] = field(default_factory=_no_counts)
    """Name of a layer -> value -> changed pixels with that value; fills are left out."""
    sample: NDArray[np.float64] = field(default_factory=_no_sample)
    """(pixel, 3) rank, x and y of at most `SAMPLED_CENTRES` changed pixels: those of least rank, evenly spread."""

    @property
    def n_pixels(self) -> int:
        """Changed pixels of the patch."""
        return self.counts["status"].total()


@dataclass(frozen=True)
class ZoneStrip:
    """A job: look at a strip of blocks of a zone's mosaic."""

    output: Output
    """Holds the mosaic."""
    epsg: int
    blocks: tuple[Block, ...]
    min_area_m2: float = 0.0
    """Least area of a site, m2."""
    numbers: tuple[Mapping[int, int], ...] = ()
    """For each block: label -> component, of those that reach the block's border and may belong to a site."""


@dataclass
class Part:
    """What one block holds of a component."""

    outlines: list[Polygon] = field(default_factory=list)
    """Its outlines in the zone's metres."""
    counts: dict[str, Counter[int]] = field(default_factory=_no_counts)
    """As those of a `Patch`."""
    sample: NDArray[np.float64] = field(default_factory=_no_sample)
    """As that of a `Patch`."""


def find_patches(output: Output, epsg: int, min_area_m2: float, apply: Mapper = here) -> list[Patch]:
    """Find the patches of a zone that may belong to a site: those large enough, and those at the edge of the zone.

    Blocks are jobs: each is labelled, and then, when it is known what belongs together, its parts are taken. Memory
    holds some numbers for each component, and outlines and counts of the patches.

    Parameters
    ----------
    output : Output
        Holds the mosaic.
    epsg : int
        EPSG code of the zone.
    min_area_m2 : float
        Least area of a site, m2.
    apply : Mapper
        Does the jobs.
    """
    frame = layers_frame(output.zarr(places.mosaic(epsg)))
    rows = list(strips(written_blocks(output, epsg)))
    labelled = apply(label_strip, (ZoneStrip(output, epsg, blocks) for blocks in rows))
    components = join_blocks(chain.from_iterable(labelled))
    top, left, bottom, right = components.bounds.T
    # Filling holes cannot make a patch larger than its bounding box.
    wanted = ((bottom - top) * (right - left) * frame.resolution**2 >= min_area_m2) | (components.peak > 1)
    strip = partial(_wanted_strip, output, epsg, min_area_m2, components, wanted)
    jobs = (job for blocks in rows if (job := strip(blocks)).blocks)
    parts: dict[int, list[Part]] = {}
    patches: list[Patch | int] = []
    for found in chain.from_iterable(apply(take_parts, jobs)):
        if isinstance(found, Patch):
            patches.append(found)
            continue
        number, part = found
        if number not in parts:
            patches.append(number)
        parts.setdefault(number, []).append(part)
    whole = (
        p if isinstance(p, Patch) else _patch(frame, parts[p], bool(components.peak[p] > 1), min_area_m2)
        for p in patches
    )
    return [p for p in whole if p.at_edge or p.polygon.area >= min_area_m2]


def _wanted_strip(
    output: Output,
    epsg: int,
    min_area_m2: float,
    components: Components,
    wanted: NDArray[np.bool_],
    blocks: tuple[Block, ...],
) -> ZoneStrip:
    """Make the job that takes the parts of a strip: of its blocks those into which a wanted component reaches."""
    numbers = {}
    for block in blocks:
        if wanted[components.of_block(block)].any():
            labels, mine = components.at_border(block)
            kept = wanted[mine]
            numbers[block] = dict(zip(labels[kept].tolist(), mine[kept].tolist(), strict=True))
    return ZoneStrip(output, epsg, tuple(numbers), min_area_m2, tuple(numbers.values()))


def _patch(frame: Frame, parts: Sequence[Part], at_edge: bool, min_area_m2: float) -> Patch:
    """Put a patch together from its parts, block by block."""
    outlines = [outline for part in parts for outline in part.outlines]
    polygon = fill_holes(shapely.union_all(outlines), min_area_m2)
    counts, sample = _no_counts(), _no_sample()
    for part in parts:
        for name, counted in part.counts.items():
            counts[name].update(counted)
        sample = least_ranked(np.concatenate([sample, part.sample]))
    return Patch(frame.epsg, frame.resolution, polygon, at_edge, counts, sample)


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


def label_strip(job: ZoneStrip) -> list[BlockLabels]:
    """Label the changed ground of each block of a strip."""
    zone = Zone(job.output, job.epsg)
    return [label_block(block, LAYER_CHUNK, zone.ground(block))[1] for block in job.blocks]


def take_parts(job: ZoneStrip) -> list[Patch | tuple[int, Part]]:
    """Take what the blocks of a strip hold of the wanted components.

    Returns
    -------
    list of what may belong to a site: whole patches, which end within a block, and (component, part) of the others.
    """
    zone, found = Zone(job.output, job.epsg), list[Patch | tuple[int, Part]]()
    for block, numbers in zip(job.blocks, job.numbers, strict=True):
        local, labels = label_block(block, LAYER_CHUNK, zone.ground(block))
        top, left, bottom, right = labels.bounds.T
        wanted = (bottom - top) * (right - left) * zone.frame.resolution**2 >= job.min_area_m2
        wanted |= labels.peaks > 1
        for edge in labels.edges:
            wanted[edge[edge > 0] - 1] = False
        wanted[np.array(list(numbers), np.int64) - 1] = True
        for number, part in _parts(zone, block, np.where(np.concatenate([[False], wanted])[local], local, -1)).items():
            if number in numbers:
                found.append((numbers[number], part))
                continue
            patch = _patch(zone.frame, [part], bool(labels.peaks[number - 1] > 1), job.min_area_m2)
            if patch.at_edge or patch.polygon.area >= job.min_area_m2:
                found.append(patch)
    return found


def _parts(zone: Zone, block: Block, labels: NDArray[np.int32]) -> dict[int, Part]:
    """Take outlines, counts and samples of a block: label -> part; ``labels`` (y, x) are -1 where nothing is wanted."""
    parts: dict[int, Part] = {}
    inside = labels >= 0
    transform = Affine(*zone.window(block).transform)
    # Parts that touch at a corner only are kept apart (connectivity 4): as one ring they would be invalid.
    for shape, value in rasterio.features.shapes(labels, inside, connectivity=4, transform=transform):
        parts.setdefault(int(value), Part()).outlines.append(shapely.geometry.shape(shape))
    rows, cols = np.nonzero(inside & np.isin(zone.layer(block, "status"), CHANGED))
    if not len(rows):
        return parts
    owner = labels[rows, cols].astype(np.int64)
    values = {name: zone.layer(block, name)[rows, cols] for name in COUNTED}
    _tidy(values)
    for name, of_pixels in values.items():
        kept = of_pixels != LAYERS[name].fill
        # One number stands for patch and value (16 bits, signed or not): sorting it is much faster than sorting pairs.
        keys, count = np.unique((owner[kept] << 17) + of_pixels[kept] + (1 << 15), return_counts=True)
        for key, n in zip(keys.tolist(), count.tolist(), strict=True):
            parts[key >> 17].counts[name][(key & 0x1FFFF) - (1 << 15)] += n
    x, y = zone.window(block).centres()
    ranked = np.column_stack([_rank(rows + block[0] * LAYER_CHUNK, cols + block[1] * LAYER_CHUNK), x[cols], y[rows]])
    for number in np.unique(owner).tolist():
        parts[number].sample = least_ranked(ranked[owner == number])
    return parts


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
