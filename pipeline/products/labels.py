"""Connected components of a raster that is never in memory whole.

Each block is labelled on its own; blocks that touch say which of their labels are one component, and the connected
components of that graph of labels are the raster's. Memory: one block, the border of one row of blocks, and a few
numbers a component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse

EIGHT = np.ones((3, 3), bool)
"""Pixels that touch at a corner are connected."""

Block = tuple[int, int]
"""(row, column) of a block on the lattice of blocks."""


@dataclass(frozen=True)
class Components:
    """The components of a raster, numbered from 0 in the order in which a scan of the blocks meets them."""

    pixels: np.ndarray
    """(component,) int64."""
    bounds: np.ndarray
    """(component, 4) int64: first row, first column, last row + 1, last column + 1, in the whole raster."""
    peak: np.ndarray
    """(component,) uint8: the largest value of its pixels."""
    _first: dict[Block, int]
    """Block -> how many labels the blocks before it have."""
    _component: np.ndarray
    """(label,) int64: the component of each block's label."""

    def __len__(self) -> int:
        return len(self.pixels)

    def labels(self, block: Block, values: np.ndarray) -> np.ndarray:
        """(y, x) int64: the component of each pixel of a block, -1 on the background.

        Parameters
        ----------
        values : (y, x) uint8, what `read` gave for this block
        """
        local, count = ndimage.label(values, EIGHT)
        first = self._first[block]
        numbers = np.concatenate([[-1], self._component[first : first + count]])
        return np.asarray(numbers[local])


def label_blocks(blocks: Iterable[Block], side: int, read: Callable[[Block], np.ndarray]) -> Components:
    """Label a raster block by block (8-connectivity).

    Parameters
    ----------
    blocks : the blocks that are read; what lies elsewhere is background
    side : pixels of a block's side; the last row and column of blocks may be smaller
    read : block -> (y, x) uint8, 0 on the background; other values are foreground, whatever they are

    Returns
    -------
    Components, the same as if the whole raster had been labelled at once.
    """
    first: dict[Block, int] = {}
    bottoms: dict[Block, np.ndarray] = {}
    right: tuple[Block, np.ndarray] | None = None
    pairs, pixels, bounds, peaks = [np.empty((0, 2), np.int64)], [], [], []
    total = 0
    for row, col in sorted(blocks):
        values = read((row, col))
        local, count = ndimage.label(values, EIGHT)
        first[row, col] = total
        pixels.append(np.bincount(local.ravel(), minlength=count + 1)[1:])
        bounds.append(_bounds(local, count) + np.tile([row * side, col * side], 2))
        peaks.append(np.asarray(ndimage.maximum(values, local, np.arange(1, count + 1)), np.uint8).reshape(count))
        # Labels of the whole raster start at 1, so that 0 stays background while borders are compared.
        numbered = np.where(local > 0, local.astype(np.int64) + total, 0)
        pairs.append(_touching(_above(bottoms, row, col, numbered.shape[1]), numbered[0]))
        if right is not None and right[0] == (row, col - 1):
            pairs.append(_touching(np.pad(right[1], 1), numbered[:, 0]))
        right = (row, col), numbered[:, -1]
        bottoms = {block: edge for block, edge in bottoms.items() if block >= (row - 1, col - 1)}
        bottoms[row, col] = numbered[-1]
        total += count
    component, n = _join(np.concatenate(pairs) - 1, total)
    return Components(*_gather(component, n, pixels, bounds, peaks), first, component)


def _bounds(local: np.ndarray, count: int) -> np.ndarray:
    boxes = [(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(local)]
    return np.array(boxes, np.int64).reshape(count, 4)


def _above(bottoms: dict[Block, np.ndarray], row: int, col: int, width: int) -> np.ndarray:
    """(width + 2,) labels of the row of pixels above a block, one more at either end."""
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


def _touching(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(pair, 2): labels on both sides of a border; `outer` is one pixel longer at either end."""
    n = len(inner)
    both = np.concatenate([np.column_stack([outer[shift : shift + n], inner]) for shift in range(3)])
    return np.unique(both[(both > 0).all(axis=1)], axis=0)


def _join(pairs: np.ndarray, total: int) -> tuple[np.ndarray, int]:
    """(label,) component numbers in order of first label, and how many components there are."""
    graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
    _, found = sparse.csgraph.connected_components(graph, directed=False)
    _, earliest, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(earliest), np.int64)
    rank[np.argsort(earliest)] = np.arange(len(earliest))
    return rank[inverse], len(earliest)


def _gather(
    component: np.ndarray, n: int, pixels: list[np.ndarray], bounds: list[np.ndarray], peaks: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Figures of labels -> figures of components."""
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
