"""Connected components of a raster that is never in memory as a whole.

Each block is labelled on its own, wherever that is done. Where two blocks touch, their borders tell which of their
labels belong to one component, and the connected components of this graph of labels are those of the raster. Who joins
them holds the borders of one row of blocks, and a few numbers for each component.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

EIGHT = np.ones((3, 3), bool)
"""The neighbours of a pixel: pixels that touch at a corner are connected."""

Block = tuple[int, int]
"""(row, column) of a block among the blocks of a raster."""


@dataclass(frozen=True)
class BlockLabels:
    """What joining needs of one block: its components, numbered from 1, and where they reach its border."""

    block: Block
    pixels: NDArray[np.int64]
    """(label,) pixels of each label, the first being label 1."""
    bounds: NDArray[np.int64]
    """(label, 4) first row, first column, last row + 1 and last column + 1, in the whole raster."""
    peaks: NDArray[np.uint8]
    """(label,) the largest value of each label's pixels."""
    edges: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
    """The labels along the top, the bottom, the left and the right of the block; 0 is background."""


@dataclass(frozen=True)
class Components:
    """The components of a raster, numbered from 0 in the order in which a scan of the blocks meets them."""

    pixels: NDArray[np.int64]
    """(component,) pixels of each component."""
    bounds: NDArray[np.int64]
    """(component, 4) first row, first column, last row + 1 and last column + 1, in the whole raster."""
    peak: NDArray[np.uint8]
    """(component,) the largest value of each component's pixels."""
    _labels: dict[Block, slice]
    """Block -> where its labels lie among those of all blocks, counted together."""
    _component: NDArray[np.int64]
    """(label,) the component of each label of all blocks."""
    _borders: dict[Block, NDArray[np.int64]]
    """Block -> its labels that reach the block's border, from 1 on."""

    def __len__(self) -> int:
        """Return the number of components."""
        return len(self.pixels)

    def of_block(self, block: Block) -> NDArray[np.int64]:
        """Return the component (label,) of each label of a block, the first being that of label 1."""
        return self._component[self._labels[block]]

    def at_border(self, block: Block) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the labels of a block that reach its border, and the component of each; all others end within it."""
        labels = self._borders[block]
        return labels, self.of_block(block)[labels - 1]


def label_block(block: Block, side: int, values: NDArray[np.uint8]) -> tuple[NDArray[np.int32], BlockLabels]:
    """Label one block on its own (8-connectivity).

    Parameters
    ----------
    block : tuple of int
    side : int
        Side of a block, pixels; the last row and column of blocks may be smaller.
    values : (y, x) uint8
        0 on the background, anything else on the foreground.

    Returns
    -------
    labels : (y, x) int32, from 1 on; 0 on the background. Equal values have equal labels every time.
    found : BlockLabels
    """
    local, count = ndimage.label(values, EIGHT)
    boxes = [(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(local)]
    bounds = np.array(boxes, np.int64).reshape(count, 4) + np.tile(np.array(block, np.int64) * side, 2)
    peaks = np.zeros(count + 1, np.uint8)
    for value in range(1, int(values.max(initial=0)) + 1):  # few
        peaks[local[values == value]] = value
    peaks = peaks[1:]
    pixels = np.bincount(local.ravel(), minlength=count + 1)[1:]
    edges = local[0].copy(), local[-1].copy(), local[:, 0].copy(), local[:, -1].copy()
    return local, BlockLabels(block, pixels, bounds, peaks, edges)


def join_blocks(blocks: Iterable[BlockLabels]) -> Components:
    """Join the labels of blocks to the components of the raster, which is background where no block is given.

    Parameters
    ----------
    blocks : iterable of BlockLabels
        Row by row, and from left to right within a row.

    Returns
    -------
    Components, equal to those of the whole raster labelled at once.
    """
    labels: dict[Block, slice] = {}
    borders: dict[Block, NDArray[np.int64]] = {}
    bottoms: dict[Block, NDArray[np.int64]] = {}
    right: tuple[Block, NDArray[np.int64]] | None = None
    pairs: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
    pixels: list[NDArray[np.int64]] = []
    bounds: list[NDArray[np.int64]] = []
    peaks: list[NDArray[np.uint8]] = []
    total = 0
    for found in blocks:
        row, col = found.block
        labels[row, col] = slice(total, total + len(found.pixels))
        touching = np.unique(np.concatenate(found.edges)).astype(np.int64)
        borders[row, col] = touching[touching > 0]
        pixels.append(found.pixels)
        bounds.append(found.bounds)
        peaks.append(found.peaks)
        # Labels of the whole raster start at 1, so that 0 stays background while borders are compared.
        top, bottom, left, end = (np.where(e > 0, e.astype(np.int64) + total, 0) for e in found.edges)
        pairs.append(_touching(_above(bottoms, row, col, len(top)), top))
        if right is not None and right[0] == (row, col - 1):
            pairs.append(_touching(np.pad(right[1], 1), left))
        right = (row, col), end
        bottoms = {block: edge for block, edge in bottoms.items() if block >= (row - 1, col - 1)}
        bottoms[row, col] = bottom
        total += len(found.pixels)
    component, n = _join(np.concatenate(pairs) - 1, total)
    return Components(*_gather(component, n, pixels, bounds, peaks), labels, component, borders)


def _above(bottoms: dict[Block, NDArray[np.int64]], row: int, col: int, width: int) -> NDArray[np.int64]:
    """Return the labels (width + 2,) of the row of pixels above a block, with one more pixel at either end."""
    line = np.zeros(width + 2, np.int64)
    for offset, into, out in (
        (-1, slice(0, 1), slice(-1, None)),
        (0, slice(1, -1), slice(None)),
        (1, slice(-1, None), slice(0, 1)),
    ):
        edge = bottoms.get((row - 1, col + offset))
        if edge is not None:
            line[into] = edge[out]
    return line


def _touching(outer: NDArray[np.int64], inner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pairs (pair, 2) of labels that touch across a border; ``outer`` is one pixel longer at either end."""
    n = len(inner)
    both = np.concatenate([np.column_stack([outer[shift : shift + n], inner]) for shift in range(3)])
    return np.unique(both[(both > 0).all(axis=1)], axis=0)


def _join(pairs: NDArray[np.int64], total: int) -> tuple[NDArray[np.int64], int]:
    """Return the component (label,) of each label, in the order of their first labels, and how many there are."""
    graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
    _, found = sparse.csgraph.connected_components(graph, directed=False)
    _, earliest, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(earliest), np.int64)
    rank[np.argsort(earliest)] = np.arange(len(earliest))
    return rank[inverse], len(earliest)


def _gather(
    component: NDArray[np.int64],
    n: int,
    pixels: list[NDArray[np.int64]],
    bounds: list[NDArray[np.int64]],
    peaks: list[NDArray[np.uint8]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Gather the pixels, bounds and peaks of labels into those of components."""
    total = np.zeros(n, np.int64)
    box = np.tile(np.array([np.iinfo(np.int64).max] * 2 + [0] * 2, np.int64), (n, 1))
    peak = np.zeros(n, np.uint8)
    if pixels:
        np.add.at(total, component, np.concatenate(pixels))
        edges = np.concatenate(bounds)
        np.minimum.at(box[:, :2], component, edges[:, :2])
        np.maximum.at(box[:, 2:], component, edges[:, 2:])
        np.maximum.at(peak, component, np.concatenate(peaks))
    return total, box, peak
