"""One asset onto a window of the cube: its blocks as they lie in the file, or the general way.

Fetching waits and decoding computes, so they are two calls: many assets are fetched at once by threads, and a task
decodes them one after the other on its own core. A local file's blocks are read as they are decoded, while they are in
the processor's cache; the system is told to have them ready by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import BoundedSemaphore

import numpy as np
from obstore.store import ObjectStore

from groundbreak.pipeline.access.hrefs import is_url
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import with_retries
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, Asset, Mask
from groundbreak.pipeline.readers import blocks, gdal
from groundbreak.pipeline.readers.coded import OnDisk, get_blocks, thread_scratch
from groundbreak.pipeline.readers.cog import BlockLayout, Blocks, Cog, NotByBlocks, read_cog
from groundbreak.pipeline.stores.tiles import Tiles

READERS = 8
"""GDAL's readers decode and warp, and hold windows of floating point: fewer of them than of requests."""

ON_DISK = "blocks, as they lie in the file"
FETCHED = "blocks, as they lie in the file, fetched ahead"
"""Ways of blocks, as a plan tells them: those of local files are read when they are due."""

_GDAL = BoundedSemaphore(READERS)


@dataclass(frozen=True)
class Window:
    """What is filled: a band of one observation."""

    frame: Frame
    mask: Mask | None
    """The rule, where the band is the mask's: numbers are kept as they are."""

    @property
    def fill(self) -> int:
        """What means no observation."""
        return REFLECTANCE_FILL if self.mask is None else self.mask.nodata

    @property
    def dtype(self) -> type[np.int16] | type[np.uint8]:
        """Of the cube's band."""
        return np.int16 if self.mask is None else np.uint8


@dataclass(frozen=True)
class BlockSet:
    """What a window takes of the blocks of a raster, or of its mask."""

    whole: Blocks
    pieces: list[blocks.BlockPart]
    data: dict[int, memoryview] | OnDisk
    """Block -> its bytes; None where it was never written."""


@dataclass(frozen=True)
class Coded:
    """An asset's blocks as they lie in the file."""

    cog: Cog
    rows: slice
    cols: slice
    """Of the window, which the asset meets."""
    pixels: BlockSet
    mask: BlockSet | None
    """The internal mask's."""


Fetched = Coded | np.ndarray
"""Blocks, or (height, width) float32 numbers with NaN where there are none."""


def fetch(asset: Asset, window: Window, access: Access, header: BlockLayout | None) -> Fetched:
    """Get what an asset holds of a window; nothing is decoded yet, but where it goes the general way.

    Parameters
    ----------
    header : where it is known already

    Raises
    ------
    ReadError
        After `access.attempts` attempts.
    """
    return with_retries(access.attempts, lambda refresh: fetch_once(asset, window, access, header, refresh=refresh))


def fetch_once(asset: Asset, window: Window, access: Access, header: BlockLayout | None, *, refresh: bool) -> Fetched:
    """One attempt; a header that is known is read again on a ``refresh``, since the file may have been replaced."""
    if asset.driver != "GTiff":
        return _read(asset, window, access, refresh)
    store, path = access.locate(asset.href, refresh=refresh)
    cog = read_cog(store, path) if refresh or header is None else header
    coded = None if isinstance(cog, NotByBlocks) else _coded(cog, window, store, path)
    return _read(asset, window, access, refresh) if coded is None else coded


def local_blocks(asset: Asset, window: Window, access: Access, header: BlockLayout | None) -> Coded | None:
    """What `fetch` gives, where that waits for nothing: the blocks of a local file whose header is known."""
    if is_url(asset.href) or not isinstance(header, Cog):
        return None
    return _coded(header, window, *access.locate(asset.href))


def _coded(cog: Cog, window: Window, store: ObjectStore, path: str) -> Coded | None:
    """The blocks that a window needs; None where they lie on another lattice."""
    met = cog.frame.overlap(window.frame)
    if met is None:
        return None

    def part(whole: Blocks) -> BlockSet:
        wanted = blocks.block_parts(whole, cog.frame, met.source_rows, met.source_cols)
        return BlockSet(whole, wanted, get_blocks(store, path, whole, wanted))

    return Coded(cog, met.rows, met.cols, part(cog.blocks), part(cog.mask) if cog.mask is not None else None)


def _read(asset: Asset, window: Window, access: Access, refresh: bool) -> np.ndarray:
    with _GDAL:
        return gdal.read(asset, window.frame, access, nearest=window.mask is not None, refresh=refresh)


def place(fetched: Fetched, asset: Asset, window: Window, tiles: Tiles, t: int, *, blank: bool) -> None:
    """Write an asset's pixels where an observation has none yet.

    Parameters
    ----------
    t : the observation's place in ``tiles``, which are of the window
    blank : whether nothing at all has been written there, not even that there are no pixels

    Raises
    ------
    ValueError, OSError
        A block cannot be decoded, or read; nothing is written then.
    """
    if isinstance(fetched, np.ndarray) or not blocks.has_table(fetched.cog):
        shape = tiles.height, tiles.width
        out = np.full(shape, window.fill, window.dtype) if blank else tiles.plane(t)
        part = out if isinstance(fetched, np.ndarray) else out[fetched.rows, fetched.cols]
        numbers = fetched if isinstance(fetched, np.ndarray) else _numbers(fetched, part.shape)
        _fill(numbers, asset, window, part)
        tiles.write(t, out)
        return
    cog = fetched.cog
    table = _table(
        cog.blocks.dtype, cog.nodata, asset.nodata, asset.scale, asset.offset, window.fill, window.mask is None
    )
    pixels = fetched.pixels
    decoded = [(piece, *_block(cog, pixels, piece, n)) for n, piece in enumerate(pixels.pieces)]
    covered = sum((rows.stop - rows.start) * (cols.stop - cols.start) for rows, cols in (d[0].into for d in decoded))
    if blank and covered < tiles.height * tiles.width:
        tiles.clear(t)
        blank = False
    for piece, block, predicted in decoded:
        rows, cols = piece.into
        row, col = fetched.rows.start + rows.start, fetched.cols.start + cols.start
        where = piece.top, piece.left, row, col, rows.stop - rows.start, cols.stop - cols.start
        blocks.place(block, predicted, where, table, window.dtype(window.fill), blank, tiles.values, t)


def warm_up() -> None:
    """Compile what the usual files need: uint16 reflectance and uint8 classes."""
    for kind, out, scaled in (("u2", np.int16, True), ("u1", np.uint8, False)):
        table, values = _table(kind, None, None, 1e-4, 0.0, 0, scaled), np.zeros((1, 1, 1, 1, 1), out)
        blocks.place(np.zeros((1, 1), kind), True, (0, 0, 0, 0, 1, 1), table, out(0), True, values, 0)


def _block(cog: Cog, pixels: BlockSet, piece: blocks.BlockPart, number: int) -> tuple[np.ndarray, bool]:
    """A block's numbers, until this thread decodes the next window's of that ``number``, and whether they are still
    predicted; one that was never written holds nodata, or zero.
    """
    data = pixels.data.get(piece.block)
    if data is not None:
        scratch = thread_scratch(number, piece.rows * cog.blocks.shape[1] * np.dtype(cog.blocks.dtype).itemsize)
        return blocks.decode(data, cog.blocks, piece, scratch), cog.blocks.predictor == 2
    dtype = np.dtype(cog.blocks.dtype.replace("i", "u")).newbyteorder("=")
    empty = np.zeros((piece.bottom, cog.blocks.shape[1]), dtype)
    if cog.nodata is not None and float(cog.nodata).is_integer():
        empty[:] = int(cog.nodata) & (256**dtype.itemsize - 1)
    return empty, False


def _numbers(fetched: Coded, shape: tuple[int, int]) -> np.ndarray:
    """(height, width) float32, NaN where nodata or masked: for floating point and internal masks."""
    nodata = fetched.cog.nodata
    out = _assembled(fetched.pixels, shape, nodata or 0)
    if nodata is not None:
        out[out == np.float32(nodata)] = np.nan
    if fetched.mask is not None:
        out[_assembled(fetched.mask, shape, 0) == 0] = np.nan
    return out


def _assembled(part: BlockSet, shape: tuple[int, int], empty: float) -> np.ndarray:
    """(height, width) float32 numbers; ``empty`` where a block was never written."""
    out = np.full(shape, empty, np.float32)
    for piece in part.pieces:
        if (data := part.data.get(piece.block)) is not None:
            values = blocks.numbers(blocks.decode(data, part.whole, piece), part.whole)
            into = out[piece.into]
            into[:] = values[piece.top : piece.top + into.shape[0], piece.left : piece.left + into.shape[1]]
    return out


def _fill(numbers: np.ndarray, asset: Asset, window: Window, out: np.ndarray) -> None:
    use = (out == window.fill) & ~np.isnan(numbers)
    if asset.nodata is not None:
        # The file's own nodata is missing already; an item may name one that its file does not.
        use &= numbers != asset.nodata
    out[use] = (
        harmonise(numbers[use], asset.scale, asset.offset) if window.mask is None else numbers[use].astype(np.uint8)
    )


@lru_cache(maxsize=64)
def _table(
    dtype: str,
    file_nodata: float | None,
    item_nodata: float | None,
    scale: float,
    offset: float,
    fill: int,
    scaled: bool,
) -> np.ndarray:
    """What every number of a type becomes."""
    kind = np.dtype(dtype).newbyteorder("=")
    values = np.arange(256**kind.itemsize, dtype=f"u{kind.itemsize}").view(kind).astype(np.float32)
    table = harmonise(values, scale, offset) if scaled else values.astype(np.uint8)
    for nodata in (file_nodata, item_nodata):
        if nodata is not None:
            table[values == nodata] = fill
    table.flags.writeable = False
    return table


def harmonise(numbers: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Digital numbers as int16 reflectance x 10000.

    Values beyond int16 (reflectance above 3.2767: saturated snow and cloud) are clipped to it.

    Parameters
    ----------
    numbers : float32, any shape, digital numbers without NaN
    scale, offset : reflectance = scale * number + offset
    """
    scaled = np.rint(numbers * np.float64(scale / REFLECTANCE_SCALE) + offset / REFLECTANCE_SCALE)
    return np.clip(scaled, -32767, 32767).astype(np.int16)
