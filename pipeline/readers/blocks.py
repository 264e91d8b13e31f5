"""From a file's bytes to pixels: which blocks a window needs, and how their coding is undone.

Inflating takes nine tenths of the time. So no block is decoded twice; but each is inflated to its end, since that is
where its checksum lies (docs/decisions/0019). Everything else is one pass over the block's pixels: the predictor is
undone, and the number is looked up in a table (which holds nodata, scale and offset at once) and written where the
window has nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.lanes.jit import jit
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.readers.cog import Blocks, Cog
from groundbreak.pipeline.stores.tiles import Pixels

SPARE_BYTES = 1
"""Room behind the memory for a block: LZW has no checksum, but most damage makes a block shorter, or longer, than told.

The other codings say by themselves that a block does not fit.
"""

Numbers = NDArray[np.uint8 | np.uint16 | np.int16 | np.float32]
"""Digital numbers, in native byte order, as a file's blocks hold them."""


def _copy(data: memoryview, out: bytearray | memoryview) -> memoryview:
    """Copy bytes that are not coded: the memory of ``data`` may be needed for the next block."""
    if len(data) != len(out):
        return data  # the caller refuses it
    memoryview(out)[:] = data
    return memoryview(out)


UNDO: dict[str, Callable[[memoryview, bytearray | memoryview], Any]] = {
    "none": _copy,
    "deflate": lambda data, out: imagecodecs.deflate_decode(data, out=out),
    "lzw": lambda data, out: imagecodecs.lzw_decode(data, out=out),
    "zstd": lambda data, out: imagecodecs.zstd_decode(data, out=out),
}
"""Name of a coding -> the function that undoes it: (coded bytes, scratch for all decoded ones) -> decoded bytes."""


@dataclass(frozen=True, slots=True)
class BlockPart:
    """The part of a window that one block fills."""

    block: int
    """Number of the block."""
    rows: int
    """Rows that the block holds: in the last strip there are fewer than in `Blocks.shape`."""
    top: int
    """First row of the block that the window takes."""
    left: int
    """First column of the block that the window takes."""
    into: tuple[slice, slice]
    """(rows, columns) of the window that the block fills."""

    @property
    def bottom(self) -> int:
        """The row of the block after the last one that the window takes."""
        rows = self.into[0]
        return self.top + int(rows.stop - rows.start)


def block_parts(blocks: Blocks, frame: Frame, rows: slice, cols: slice) -> list[BlockPart]:
    """Find the blocks that meet a window of a raster, and what each fills of the window.

    Parameters
    ----------
    blocks : Blocks
        The blocks of the raster.
    frame : Frame
        The frame of the raster.
    rows, cols : slice
        The window, in pixels of the raster; it lies within the raster, and may be empty.
    """
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


def decode(data: memoryview, blocks: Blocks, part: BlockPart, scratch: bytearray | memoryview | None = None) -> Numbers:
    """Undo a block's coding, and return it down to the last row that a window takes; differences between columns stay.

    Parameters
    ----------
    data : memoryview
        The block's bytes, as they lie in the file.
    blocks : Blocks
        How the block is coded.
    part : BlockPart
        The part of the window that the block fills.
    scratch : bytearray or memoryview, optional
        Memory for the decoded bytes; used if it holds the whole block and `SPARE_BYTES`. New memory, used otherwise,
        has to be cleared first.

    Returns
    -------
    (part.bottom, columns) uint8, uint16 or float32 in native byte order. Numbers that the file holds as int16 come as
    uint16, so that sums of differences wrap.

    Raises
    ------
    ValueError
        The bytes are not what the header says, or not what their checksum says, where their coding has one.
    """
    cols = blocks.shape[1]
    if blocks.dtype == "bits":
        raw = _rows(data, blocks, -(-cols // 8), part, scratch)
        return np.unpackbits(raw, axis=1)[:, :cols]
    dtype = np.dtype(blocks.dtype)
    raw = _rows(data, blocks, cols * dtype.itemsize, part, scratch)
    if blocks.predictor == 3:
        values = raw.view(dtype.newbyteorder("="))
        return np.asarray(imagecodecs.floatpred_decode(values.view(dtype), axis=-1)).astype("f4", copy=False)
    values = raw.view(dtype.str.replace("i", "u"))
    return values if values.dtype.isnative else values.byteswap().view(values.dtype.newbyteorder("="))


def _rows(
    data: memoryview, blocks: Blocks, line: int, part: BlockPart, scratch: bytearray | memoryview | None
) -> NDArray[np.uint8]:
    """Return the bytes, (part.bottom, line), of a block whose rows are ``line`` bytes long.

    The last strip may hold rows that the raster does not have: GDAL writes strips of nodata alone so.
    """
    try:
        return _inflate(data, blocks.coding, line, part, scratch)
    except ValueError:
        if part.rows == blocks.shape[0]:
            raise
        return _inflate(data, blocks.coding, line, replace(part, rows=blocks.shape[0]), None)


def _inflate(
    data: memoryview, coding: str, line: int, part: BlockPart, scratch: bytearray | memoryview | None
) -> NDArray[np.uint8]:
    """Return the bytes, (part.bottom, line), of a block whose rows are ``line`` bytes long."""
    size, wanted = part.rows * line, part.bottom * line
    room = size + (SPARE_BYTES if coding == "lzw" else 0)
    out = scratch if scratch is not None and len(scratch) >= room else bytearray(room)
    try:
        got = np.frombuffer(UNDO[coding](data, memoryview(out)[:room]), np.uint8)
    except RuntimeError as error:
        raise ValueError(f"a block cannot be decoded ({error})") from None
    if got.size != size:
        raise ValueError(f"a block holds {'more' if got.size > size else got.size} bytes instead of {size}")
    return got[:wanted].reshape(part.bottom, line)


@jit
def place(
    block: Numbers,
    predicted: bool,
    position: tuple[int, int, int, int, int, int],
    table: Pixels,
    fill: Any,
    blank: bool,
    tiles: Pixels,
    t: int,
) -> None:
    """Look a block's numbers up in a table, and write what is found there where an observation has no pixel yet.

    Parameters
    ----------
    block : (rows, columns) uint8 or uint16
        Numbers that `decode` returned.
    predicted : bool
        Whether the numbers are horizontal differences.
    position : tuple of six int
        First row and column in the block, first row and column in the observation, rows and columns.
    table : (256,) or (65536,) int16, uint8 or uint16
        What each number becomes; ``fill`` for nodata.
    fill : np.int16, np.uint8 or np.uint16
        The value of pixels that the observation does not have yet.
    blank : bool
        Whether all pixels are written: the observation has none, and its memory may hold anything.
    tiles : (row, column, time, y, x) int16, uint8 or uint16, in, out
        Values of `pipeline.stores.tiles.Tiles`, contiguous.
    t : int
        The observation's place along time.
    """
    top, left, row, col, height, width = position
    _, across, depth, side_y, side_x = tiles.shape
    # Indices are unsigned, since a signed one has its sign checked at every pixel. The array is one long row, since
    # making a view of some hundred pixels takes as long as placing them.
    flat, one = tiles.reshape(-1), np.uint64(1)
    last = np.uint64(table.size - 1)  # sums of differences wrap: they are cut where they are looked up
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


def undo_predictor(block: Numbers, blocks: Blocks) -> Numbers:
    """Undo the differences between the columns of a block: the slow way, for numbers that have no table.

    Parameters
    ----------
    block : (rows, columns) uint8, uint16 or float32
        What `decode` returned.
    blocks : Blocks
        How the block is coded.

    Returns
    -------
    (rows, columns) in the type that the file holds.
    """
    if blocks.predictor == 2:
        whole = block.view(f"u{block.dtype.itemsize}").cumsum(axis=1, dtype=f"u{block.dtype.itemsize}")
        block = whole.view(block.dtype)
    return block.view("i2") if blocks.dtype.endswith("i2") else block


def has_table(cog: Cog) -> bool:
    """Tell whether `place` can be used: numbers are of one or two bytes, and there is no internal mask beside them."""
    return cog.mask is None and np.dtype(cog.blocks.dtype).itemsize <= 2
