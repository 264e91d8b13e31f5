"""From a file's bytes to pixels: which blocks a window needs, and what undoes their coding.

Inflating is nine tenths of it, so no block is decoded twice, nor inflated further than to the last row that is wanted,
and everything after is one pass over the block's pixels: the predictor is undone, the number looked up in a table
(nodata, scale and offset at once) and written where the window has nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np

from groundbreak.kernels.lanes.jit import jit
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.readers.cog import Blocks, Cog

STORED = 1 << 16
"""Bytes before the end of its room where inflating may stop for want of room: deflate's longest run of bytes that are
stored as they are, which is refused where it does not fit."""


def _copy(data: memoryview, out: bytearray | memoryview) -> memoryview:
    """What is not coded; the place of ``data`` may be needed for the next."""
    if len(data) != len(out):
        return data  # refused by who asked
    memoryview(out)[:] = data
    return memoryview(out)


UNDO: dict[str, Callable[[memoryview, bytearray | memoryview], Any]] = {
    "none": _copy,
    "deflate": lambda data, out: imagecodecs.deflate_decode(data, out=out),
    "lzw": lambda data, out: imagecodecs.lzw_decode(data, out=out),
    "zstd": lambda data, out: imagecodecs.zstd_decode(data, out=out),
}
"""Coding -> (bytes, room for all of them undone) -> the undone bytes."""


@dataclass(frozen=True, slots=True)
class BlockPart:
    """The part of a window that one block fills."""

    block: int
    rows: int
    """Of the block: fewer than its shape in the last strip."""
    top: int
    left: int
    """First row and column of the block that the window takes."""
    into: tuple[slice, slice]
    """Rows and columns of the window."""

    @property
    def bottom(self) -> int:
        """The row of the block after the last that the window takes."""
        rows = self.into[0]
        return self.top + int(rows.stop - rows.start)


def block_parts(blocks: Blocks, frame: Frame, rows: slice, cols: slice) -> list[BlockPart]:
    """The blocks that meet a window of a raster on ``frame``; the window lies within it, and may be empty."""
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return []
    height, width = blocks.shape
    across = -(-frame.width // width)
    found = []
    for i in range(rows.start // height, -(-rows.stop // height)):
        for j in range(cols.start // width, -(-cols.stop // width)):
            top, left = max(rows.start, i * height), max(cols.start, j * width)
            bottom, right = min(rows.stop, (i + 1) * height), min(cols.stop, (j + 1) * width)
            into = slice(top - rows.start, bottom - rows.start), slice(left - cols.start, right - cols.start)
            whole = height if blocks.padded else min(height, frame.height - i * height)
            found.append(BlockPart(i * across + j, whole, top - i * height, left - j * width, into))
    return found


def decode(
    data: memoryview, blocks: Blocks, piece: BlockPart, scratch: bytearray | memoryview | None = None
) -> np.ndarray:
    """Undo a block's coding, but not its predictor, down to the last row of a piece of it.

    Parameters
    ----------
    room : where to put the bytes, if it is as long as the block: memory that is new has to be cleared first

    Returns
    -------
    (piece.bottom, columns) in native byte order; unsigned where the file holds int16, for the predictor to wrap.

    Raises
    ------
    ValueError
        The bytes are not what the header says.
    """
    cols = blocks.shape[1]
    if blocks.dtype == "bits":
        raw = _inflate(data, blocks.coding, -(-cols // 8), piece, scratch)
        return np.unpackbits(raw, axis=1)[:, :cols]
    dtype = np.dtype(blocks.dtype)
    raw = _inflate(data, blocks.coding, cols * dtype.itemsize, piece, scratch)
    if blocks.predictor == 3:
        values = raw.view(dtype.newbyteorder("="))
        return np.asarray(imagecodecs.floatpred_decode(values.view(dtype), axis=-1)).astype("f4", copy=False)
    values = raw.view(dtype.str.replace("i", "u"))
    return values if values.dtype.isnative else values.byteswap().view(values.dtype.newbyteorder("="))


def _inflate(
    data: memoryview, coding: str, line: int, piece: BlockPart, scratch: bytearray | memoryview | None
) -> np.ndarray:
    """(piece.bottom, line) uint8 of a block whose rows are ``line`` bytes."""
    size, wanted = piece.rows * line, piece.bottom * line
    scratch = scratch if scratch is not None and len(scratch) == size else bytearray(size)
    part = coding == "deflate" and wanted + STORED < size
    try:
        got = np.frombuffer(UNDO[coding](data, memoryview(scratch)[: wanted + STORED] if part else scratch), np.uint8)
    except RuntimeError as error:
        # libdeflate writes as much as has room, and says then that there was more. The checksum lies at the end of the
        # block, and is not reached.
        if not part or "INSUFFICIENT_SPACE" not in str(error):
            raise ValueError(f"a block cannot be decoded ({error})") from None
        got = np.frombuffer(scratch, np.uint8)
    if got.size != size:
        raise ValueError(f"a block holds {got.size} bytes instead of {size}")
    return got[:wanted].reshape(piece.bottom, line)


@jit
def place(
    block: np.ndarray,
    predicted: bool,
    piece: tuple[int, int, int, int, int, int],
    table: np.ndarray,
    fill: Any,
    blank: bool,
    tiles: np.ndarray,
    t: int,
) -> None:
    """Write a block's numbers, looked up in a table, where an observation holds ``fill``; everywhere, if it is
    ``blank``.

    Parameters
    ----------
    block : (rows, columns) uint8 or uint16, of `decode`
    predicted : whether it holds horizontal differences
    piece : first row and column of the block, first row and column of the observation, rows and columns
    table : (256,) or (65536,), what each number becomes; ``fill`` for nodata
    tiles : (row, column, time, y, x), contiguous, in, out
    t : the observation
    """
    top, left, row, col, height, width = piece
    _, across, depth, side_y, side_x = tiles.shape
    # Unsigned, since a signed index is looked at for its sign at every pixel; and one long array, since a view of some
    # hundred pixels takes as long as placing them.
    flat, one = tiles.reshape(-1), np.uint64(1)
    last = np.uint64(table.size - 1)  # differences wrap: the sum is cut where it is looked up
    for r in range(height):
        line = block[top + r]
        number = np.uint64(0)
        if predicted:
            for c in range(left):
                number += line[c]
        i, y = divmod(row + r, side_y)
        begin = 0
        while begin < width:
            j, x = divmod(col + begin, side_x)
            end = min(begin + side_x - x, width)
            at = np.uint64((((i * across + j) * depth + t) * side_y + y) * side_x + x)
            for c in range(np.uint64(left + begin), np.uint64(left + end)):
                number = number + line[c] if predicted else np.uint64(line[c])
                if blank or flat[at] == fill:
                    flat[at] = table[number & last]
                at += one
            begin = end


def numbers(block: np.ndarray, blocks: Blocks) -> np.ndarray:
    """A block's digital numbers, (rows, columns), its predictor undone: the slow way, for what has no table."""
    if blocks.predictor == 2:
        whole = block.view(f"u{block.dtype.itemsize}").cumsum(axis=1, dtype=f"u{block.dtype.itemsize}")
        block = whole.view(block.dtype)
    return block.view("i2") if blocks.dtype.endswith("i2") else block


def has_table(cog: Cog) -> bool:
    """Whether `place` can be used: a number of one or two bytes, and no mask beside it."""
    return cog.mask is None and np.dtype(cog.blocks.dtype).itemsize <= 2
