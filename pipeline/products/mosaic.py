"""The published layers: for each zone one mosaic of the pixels that its grids own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels import LAYERS
from groundbreak.kernels.layers import OUTSIDE
from groundbreak.pipeline.core import crs, places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.summing import SummingStore
from groundbreak.pipeline.core.types import Grid, Region
from groundbreak.pipeline.products.labels import Block
from groundbreak.pipeline.products.zone import block_window, strips
from groundbreak.pipeline.stores.layer_chunks import LayerChunks, write_chunk, write_encoded
from groundbreak.pipeline.stores.layout import LAYER_CHUNK, lay_out_layers, layers_frame
from groundbreak.pipeline.stores.tiles import LayerPixels

SNAP = 1e-6
"""Pixels by which bounds may lie beyond the lattice without growing it by a pixel."""

REMEDY = "`groundbreak verify` finds what is damaged, and `groundbreak run` mends it"
"""What to do about damaged layers."""


@dataclass(frozen=True)
class MosaicStrip:
    """A job: put a strip of blocks of a zone's mosaic together. What blocks share is read from the stores' roots."""

    output: Output
    """Holds the layers of the grids."""
    target: Output
    """Holds the mosaic, laid out and still empty."""
    epsg: int
    grids: tuple[str, ...]
    """Names of the zone's grids, by the order in which pixels are taken from them."""
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Written:
    """What was written of a mosaic."""

    objects: int = 0
    """Chunks."""
    checksum: int = 0
    """Sum of `chunk_number` over the chunks, modulo 2^64: the order in which they were written plays no part."""

    @property
    def described(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        return {"objects": self.objects, "checksum": f"{self.checksum:016x}"}

    def __add__(self, other: Written) -> Written:
        return Written(self.objects + other.objects, (self.checksum + other.checksum) % 2**64)


def publish_mosaics(
    output: Output,
    target: Output,
    grids: Sequence[Grid],
    regions: Mapping[str, Sequence[Region]],
    attrs: Mapping[str, Any],
    apply: Mapper = here,
) -> dict[int, Written]:
    """Write `change/<epsg>.zarr` for every zone: the pixels that the zone's grids own, on one lattice.

    The lattice has the pixels and the phase of the zone's finest grid (the first by name among equals) and covers the
    zone's regions. From a grid that is coarser or out of phase, each pixel of the lattice takes the one that holds its
    centre, since dates must never be averaged; at the seam with such a grid a pixel that neither grid owns stays
    outside. Chunks in which nothing is owned are not written. Memory holds the layers of one chunk.

    Parameters
    ----------
    output : Output
        Holds the layers of the grids.
    target : Output
        Gets the mosaics.
    grids : sequence of Grid
    regions : mapping
        Name of a grid -> its regions; only their ground is read.
    attrs : mapping
        What the root of each store keeps under "groundbreak".
    apply : Mapper
        Does the jobs, each of which writes whole chunks of a mosaic.

    Returns
    -------
    dict: EPSG code of a zone -> what was written of it; the codes are ascending.
    """
    zones: dict[int, list[Grid]] = {}
    for grid in sorted(grids, key=lambda g: (g.frame.resolution, g.name)):
        if regions.get(grid.name):
            zones.setdefault(grid.frame.epsg, []).append(grid)
    written = {}
    for epsg, members in sorted(zones.items()):
        frames = [region.frame for grid in members for region in regions[grid.name]]
        frame = _union(members[0].frame, frames)
        lay_out_layers(target.zarr(places.mosaic(epsg)), frame, LAYER_CHUNK, attrs)
        names = tuple(g.name for g in members)
        jobs = (MosaicStrip(output, target, epsg, names, blocks) for blocks in strips(_chunks(frame, frames)))
        written[epsg] = sum(apply(write_strip, jobs), Written())
    return written


def write_strip(job: MosaicStrip) -> Written:
    """Put the blocks of a strip together and write them."""
    place = places.mosaic(job.epsg)
    store = SummingStore(job.target, place)
    zone = layers_frame(store)
    with job.output.understood(" or ".join(map(places.layers, job.grids)), REMEDY):
        sources = [LayerChunks(job.output, places.layers(name)) for name in job.grids]
        for row, col in job.blocks:
            window = block_window(zone, (row, col))
            if (same := _same_chunk(window, sources)) is not None:
                source, at = same
                for name in LAYERS:
                    write_encoded(store, name, (row, col), source.encoded(name, *at))
            elif (chunk := _assemble(window, sources)) is not None:
                for name, values in chunk.items():
                    write_chunk(store, name, (row, col), LAYER_CHUNK, values)
    numbers = (chunk_number(key.removeprefix(f"{place}/"), total) for key, total in store.checksums.items())
    return Written(len(store.checksums), sum(numbers) % 2**64)


def chunk_number(key: str, checksum: str) -> int:
    """Return the number by which a chunk enters the checksum of its store: the first 8 bytes of a SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{key} {checksum}".encode()).digest()[:8])


def _union(lattice: Frame, frames: Sequence[Frame]) -> Frame:
    """Return the least frame on a lattice that covers some frames."""
    size = lattice.resolution
    left, bottom, right, top = zip(*(f.bounds for f in frames), strict=True)
    col0 = math.floor((min(left) - lattice.x0) / size + SNAP)
    col1 = math.ceil((max(right) - lattice.x0) / size - SNAP)
    row0 = math.floor((lattice.y0 - max(top)) / size + SNAP)
    row1 = math.ceil((lattice.y0 - min(bottom)) / size - SNAP)
    return lattice.window(row0, col0, row1 - row0, col1 - col0)


def _chunks(frame: Frame, frames: Sequence[Frame]) -> set[tuple[int, int]]:
    """Return (row, column) of the chunks of a frame that others touch."""
    side = LAYER_CHUNK * frame.resolution
    found: set[tuple[int, int]] = set()
    for other in frames:
        left, bottom, right, top = other.bounds
        rows = range(math.floor((frame.y0 - top) / side), math.ceil((frame.y0 - bottom) / side))
        cols = range(math.floor((left - frame.x0) / side), math.ceil((right - frame.x0) / side))
        found.update(product(rows, cols))
    return {(r, c) for r, c in found if 0 <= r * LAYER_CHUNK < frame.height and 0 <= c * LAYER_CHUNK < frame.width}


def _same_chunk(window: Frame, sources: Sequence[LayerChunks]) -> tuple[LayerChunks, Block] | None:
    """Find the chunk of the only source near a window that is that chunk of the mosaic, byte by byte; None if none is.

    Its grid owns every pixel of it, so it need not be put together and encoded again.
    """
    near = [source for source in sources if crs.meet(source.frame, window)]
    if len(near) != 1 or (window.height, window.width) != (LAYER_CHUNK, LAYER_CHUNK):
        return None
    source, at = near[0], near[0].frame.shift(window)
    if source.side != LAYER_CHUNK or at is None or any(n % LAYER_CHUNK for n in at):
        return None
    rows, cols = (slice(first, first + LAYER_CHUNK) for first in at)
    if min(at) < 0 or rows.stop > source.frame.height or cols.stop > source.frame.width:
        return None
    is_owned = (source.read("status", rows, cols) != OUTSIDE).all()
    return (source, (rows.start // LAYER_CHUNK, cols.start // LAYER_CHUNK)) if is_owned else None


def _assemble(window: Frame, sources: Sequence[LayerChunks]) -> dict[str, LayerPixels] | None:
    """Put the layers (y, x) of a window together; a pixel is that of its first owner. None where there is no owner."""
    shape = (window.height, window.width)
    chunk: dict[str, LayerPixels] | None = None
    free = np.ones(shape, bool)
    for source in sources:
        frame = source.frame
        rows, row_at, into_rows = _nearest(window.centres()[1], frame.y0, -frame.resolution, frame.height)
        cols, col_at, into_cols = _nearest(window.centres()[0], frame.x0, frame.resolution, frame.width)
        if not len(row_at) or not len(col_at):
            continue
        aligned = len(row_at) == rows.stop - rows.start and len(col_at) == cols.stop - cols.start
        pick, into = slice(None) if aligned else np.ix_(row_at, col_at), (into_rows, into_cols)
        status = source.read("status", rows, cols)
        owned = (status[pick] != OUTSIDE) & free[into]
        if not owned.any():
            continue
        if chunk is None:
            chunk = {name: np.full(shape, layer.fill, layer.dtype) for name, layer in LAYERS.items()}
        for name, values in chunk.items():
            layer = status if name == "status" else source.read(name, rows, cols)
            np.copyto(values[into], layer[pick], where=owned)
        free[into] &= ~owned
    return chunk


def _nearest(
    centres: NDArray[np.float64], origin: float, step: float, size: int
) -> tuple[slice, NDArray[np.int64], slice]:
    """Find the source pixels that hold pixel centres, along one axis.

    Returns
    -------
    read : slice of the source to be read
    positions : (n,) int64, where in that slice each of the n centres lies that the source reaches
    reached : slice of these centres
    """
    index = np.floor((centres - origin) / step).astype(np.int64)
    inside = np.flatnonzero((index >= 0) & (index < size))
    if not len(inside):
        return slice(0, 0), inside, slice(0, 0)
    index = index[inside]
    return slice(int(index[0]), int(index[-1]) + 1), index - index[0], slice(int(inside[0]), int(inside[-1]) + 1)
