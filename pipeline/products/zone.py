"""A zone's published layers as they are worked on: block by block, in strips that are one job each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundbreak.kernels import OUTSIDE, Status
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.labels import EIGHT, Block
from groundbreak.pipeline.stores.layer_chunks import LayerChunks
from groundbreak.pipeline.stores.layout import LAYER_CHUNK
from groundbreak.pipeline.stores.tiles import LayerPixels

CHANGED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)
"""The statuses of changed pixels."""
EDGE_PIXELS = 3
"""Distance from unowned ground, in pixels, within which a patch may go on in another zone."""
STRIP = 4
"""Blocks of a row that are one job, at most: opening stores takes about as long as one block."""


def strips(blocks: Iterable[Block]) -> Iterator[tuple[Block, ...]]:
    """Cut blocks into strips of at most `STRIP` of one row, in the order in which they are scanned."""
    for _, row in groupby(sorted(blocks), key=lambda block: block[0]):
        members = list(row)
        yield from (tuple(members[n : n + STRIP]) for n in range(0, len(members), STRIP))


def block_window(frame: Frame, block: Block) -> Frame:
    """Return the frame of a block of a zone's frame."""
    top, left = block[0] * LAYER_CHUNK, block[1] * LAYER_CHUNK
    height, width = min(LAYER_CHUNK, frame.height - top), min(LAYER_CHUNK, frame.width - left)
    return frame.window(top, left, height, width)


def written_blocks(output: Output, epsg: int) -> list[Block]:
    """List the blocks of a zone in which ground is owned: no other was written, and no other can hold a change."""
    prefix = f"{places.mosaic(epsg)}/status/c"
    keys = (key.removeprefix(prefix).strip("/").split("/") for key in output.list(prefix))
    return sorted((int(row), int(col)) for row, col in keys)


class Zone:
    """The published layers of a zone, read by block."""

    def __init__(self, output: Output, epsg: int) -> None:
        self._chunks = LayerChunks(output, places.mosaic(epsg))
        self.frame: Frame = self._chunks.frame

    def window(self, block: Block) -> Frame:
        """Return the frame of a block."""
        return block_window(self.frame, block)

    def layer(self, block: Block, name: str) -> LayerPixels:
        """Read a layer of a block, (y, x) as stored."""
        top, left = block[0] * LAYER_CHUNK, block[1] * LAYER_CHUNK
        return self.read(name, slice(top, top + LAYER_CHUNK), slice(left, left + LAYER_CHUNK))

    def read(self, name: str, rows: slice, cols: slice) -> LayerPixels:
        """Read a layer of a window, (y, x) as stored."""
        return self._chunks.read(name, rows, cols)

    def ground(self, block: Block) -> NDArray[np.uint8]:
        """Return the changed ground of a block, (y, x): 1, or 2 within `EDGE_PIXELS` of unowned ground; 0 elsewhere."""
        top, left = block[0] * LAYER_CHUNK - EDGE_PIXELS, block[1] * LAYER_CHUNK - EDGE_PIXELS
        side = LAYER_CHUNK + 2 * EDGE_PIXELS
        status = np.full((side, side), OUTSIDE, np.uint8)
        part = self.read("status", slice(max(top, 0), top + side), slice(max(left, 0), left + side))
        row, col = max(-top, 0), max(-left, 0)
        status[row : row + part.shape[0], col : col + part.shape[1]] = part
        outside = status == OUTSIDE
        closed = closed_gaps(np.isin(status, CHANGED)) & ~outside
        ground = closed.astype(np.uint8)
        if outside.any():
            ground[closed & ndimage.binary_dilation(outside, EIGHT, EDGE_PIXELS)] = 2
        window = self.window(block)
        rows, cols = (slice(EDGE_PIXELS, EDGE_PIXELS + size) for size in (window.height, window.width))
        return np.asarray(ground[rows, cols])


def closed_gaps(changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close gaps of one pixel: the closing by a square of 2 x 2, ten times as fast as SciPy does it for any shape."""
    wide = changed.copy()
    wide[:-1] |= changed[1:]
    wide[:, :-1] |= wide[:, 1:].copy()
    out = np.zeros_like(wide)
    out[1:] = wide[1:] & wide[:-1]
    out[:, 1:] &= out[:, :-1].copy()
    out[:, 0] = False
    return out
