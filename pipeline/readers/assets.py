"""Reading one asset into a window of the cube: from the blocks that lie in its file, or the general way, by GDAL.

Fetching waits and decoding computes, so they are two calls: threads fetch many assets at once, and a task decodes them
one after the other on its own core. The blocks of a local file are read when they are decoded, so that they are still
in the processor's cache; the system is advised to have them ready by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import BoundedSemaphore

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.access import stamps
from groundbreak.pipeline.access.hrefs import is_url
from groundbreak.pipeline.access.range_files import Store
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import with_retries
from groundbreak.pipeline.access.troubles import Replaced
from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Asset, Mask
from groundbreak.pipeline.readers import blocks, gdal
from groundbreak.pipeline.readers.blocks import BlockPart, Numbers
from groundbreak.pipeline.readers.coded import OnDisk, get_blocks, thread_scratch
from groundbreak.pipeline.readers.cog import BlockLayout, Blocks, Cog, NotByBlocks
from groundbreak.pipeline.readers.formats import read_layout_now
from groundbreak.pipeline.readers.harmonise import harmonise, lookup_table, mask_values
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

READERS = 8
"""GDAL readers at once in a process: they decode and warp in floating point, so there are fewer than requests."""
ON_DISK = "blocks, as they lie in the file"
"""What a plan calls the way of a local file: its blocks are read when they are decoded."""
FETCHED = "blocks, as they lie in the file, fetched ahead"
"""What a plan calls the way of a remote file: its blocks are fetched before they are decoded."""

_GDAL = BoundedSemaphore(READERS)


@dataclass(frozen=True)
class Window:
    """The pixels of the cube that are filled: a band of one observation of a region."""

    frame: Frame
    """Frame of the pixels."""
    mask: Mask | None
    """The mask, where the band is the mask's, whose numbers are kept as they are; None for reflectance."""

    @property
    def fill(self) -> int:
        """The value of a pixel that no asset has."""
        return REFLECTANCE_FILL if self.mask is None else self.mask.nodata

    @property
    def dtype(self) -> str:
        """NumPy's type of the cube's pixels in this band."""
        return "int16" if self.mask is None else self.mask.dtype


@dataclass(frozen=True)
class BlockSet:
    """What a window takes of the blocks of a raster, or of the raster's internal mask."""

    blocks: Blocks
    """Where the blocks lie, and how they are coded."""
    parts: list[BlockPart]
    """The parts of the window, one for each block that meets it."""
    data: dict[int, memoryview] | OnDisk
    """Number of a block -> its bytes; ``get`` returns None for a block that was never written."""


@dataclass(frozen=True)
class Coded:
    """What a window takes of an asset, still coded as it lies in the file."""

    cog: Cog
    """The asset's header."""
    rows: slice
    """Rows of the window that the asset fills."""
    cols: slice
    """Columns of the window that the asset fills."""
    pixels: BlockSet
    """The blocks of its pixels."""
    mask: BlockSet | None
    """The blocks of its internal mask."""


Fetched = Coded | NDArray[np.float32]
"""Coded blocks, or (height, width) float32 digital numbers of a window with NaN where there are none."""


def fetch(asset: Asset, window: Window, access: Access, header: BlockLayout | None) -> Fetched:
    """Fetch what an asset holds of a window, with retries.

    Blocks are not decoded yet; GDAL, where the asset goes the general way, has read the pixels.

    Parameters
    ----------
    asset : Asset
    window : Window
    access : Access
    header : Cog or NotByBlocks, optional
        The asset's header, where it is known already.

    Returns
    -------
    Coded, or (height, width) float32 digital numbers with NaN where there are none.

    Raises
    ------
    ReadError
        The last of ``access.attempts`` attempts has failed.
    """

    def attempt(refresh: bool) -> Fetched:
        return fetch_once(asset, window, access, header, refresh=refresh)

    return with_retries(asset.href, access.attempts, attempt)


def fetch_once(asset: Asset, window: Window, access: Access, header: BlockLayout | None, *, refresh: bool) -> Fetched:
    """Fetch what an asset holds of a window, in one attempt.

    Parameters
    ----------
    asset : Asset
    window : Window
    access : Access
    header : Cog or NotByBlocks, optional
        The asset's header, where it is known already.
    refresh : bool
        An attempt has failed: sign again, go past caches, and read the header again, which must be of the same file.

    Returns
    -------
    Coded, or (height, width) float32 digital numbers with NaN where there are none.

    Raises
    ------
    Exception
        An error of obstore, GDAL, rasterio or stackstac, or ValueError: what came is not what it should be.
    """
    with access.telling_logins(asset.href):
        stamp = "" if header is None else header.stamp
        if isinstance(header, NotByBlocks) and not refresh:
            return _read(asset, window, access, refresh, stamp)
        store, path = access.locate(asset.href, refresh=refresh, stamp=stamp)
        cog = read_layout_now(store, path, asset.driver) if refresh or header is None else header
        if not stamps.agree(stamp, cog.stamp):
            raise Replaced()
        if cog is not header and cog.frame is not None and asset.frame is not None:
            crs.demand_reach(cog.frame, asset.frame, window.frame)
        coded = None if isinstance(cog, NotByBlocks) else _coded(cog, window, store, path)
        return _read(asset, window, access, refresh, cog.stamp) if coded is None else coded


def local_blocks(asset: Asset, window: Window, access: Access, header: BlockLayout | None) -> Coded | None:
    """Return the blocks that a window takes of a local file whose header is known: nothing has to be waited for.

    Parameters
    ----------
    asset : Asset
    window : Window
    access : Access
    header : Cog or NotByBlocks, optional
        The asset's header, where it is known already.

    Returns
    -------
    Coded, or None where the asset has to be fetched.
    """
    if is_url(asset.href) or not isinstance(header, Cog):
        return None
    return _coded(header, window, *access.locate(asset.href))


def _coded(cog: Cog, window: Window, store: Store, path: str) -> Coded | None:
    """Fetch the blocks that a window takes; return None where they lie on another lattice than the window."""
    met = cog.frame.overlap(window.frame)
    if met is None:
        return None

    def take(own: Blocks) -> BlockSet:
        parts = blocks.block_parts(own, cog.frame, met.source_rows, met.source_cols)
        return BlockSet(own, parts, get_blocks(store, path, own, parts, cog.stamp))

    return Coded(cog, met.rows, met.cols, take(cog.blocks), take(cog.mask) if cog.mask is not None else None)


def _read(asset: Asset, window: Window, access: Access, refresh: bool, stamp: str) -> NDArray[np.float32]:
    """Read a window the general way, by one of the GDAL readers of this process."""
    with _GDAL:
        return gdal.read(asset, window.frame, access, nearest=window.mask is not None, refresh=refresh, stamp=stamp)


def place(fetched: Fetched, asset: Asset, window: Window, tiles: Tiles, t: int, *, blank: bool) -> None:
    """Decode what was fetched of an asset, and write it where an observation has no pixel yet.

    Parameters
    ----------
    fetched : Coded or (height, width) float32
        What `fetch` returned.
    asset : Asset
    window : Window
    tiles : Tiles
        The window's pixels in the cube, in, out.
    t : int
        The observation's place in ``tiles``.
    blank : bool
        Whether the observation has no pixels at all, and its memory may hold anything.

    Raises
    ------
    ValueError, OSError
        A block cannot be decoded, or cannot be read. Nothing has been written then.
    """
    if isinstance(fetched, np.ndarray) or not blocks.has_table(fetched.cog):
        shape = tiles.height, tiles.width
        out = np.full(shape, window.fill, window.dtype) if blank else tiles.plane(t)
        met = out if isinstance(fetched, np.ndarray) else out[fetched.rows, fetched.cols]
        numbers = fetched if isinstance(fetched, np.ndarray) else _numbers(fetched, met.shape)
        _fill(numbers, asset, window, met)
        tiles.write(t, out)
        return
    cog = fetched.cog
    table = lookup_table(
        cog.blocks.dtype, cog.nodata, asset.nodata, asset.scale, asset.offset, window.fill, window.dtype
    )
    pixels = fetched.pixels
    decoded = [(part, *_decode(cog, pixels, part, n)) for n, part in enumerate(pixels.parts)]
    covered = sum((rows.stop - rows.start) * (cols.stop - cols.start) for rows, cols in (d[0].into for d in decoded))
    if blank and covered < tiles.height * tiles.width:
        tiles.clear(t)
        blank = False
    for part, block, predicted in decoded:
        rows, cols = part.into
        row, col = fetched.rows.start + rows.start, fetched.cols.start + cols.start
        position = part.top, part.left, row, col, rows.stop - rows.start, cols.stop - cols.start
        blocks.place(block, predicted, position, table, table.dtype.type(window.fill), blank, tiles.values, t)


def warm_up() -> None:
    """Compile the functions that the usual files need: uint16 reflectance and uint8 classes."""
    for kind, out in (("u2", "int16"), ("u1", "uint8")):
        table, values = lookup_table(kind, None, None, 1e-4, 0.0, 0, out), np.zeros((1, 1, 1, 1, 1), out)
        blocks.place(np.zeros((1, 1), kind), True, (0, 0, 0, 0, 1, 1), table, values.dtype.type(0), True, values, 0)


def _decode(cog: Cog, pixels: BlockSet, part: BlockPart, use: int) -> tuple[Numbers, bool]:
    """Return a block's numbers and whether they are still differences; a block never written holds nodata, or zero.

    The numbers lie in this thread's scratch of that ``use`` until it decodes another block into it.
    """
    data = pixels.data.get(part.block)
    if data is not None:
        size = part.rows * cog.blocks.shape[1] * np.dtype(cog.blocks.dtype).itemsize
        scratch = thread_scratch(use, size + blocks.SPARE_BYTES)
        return blocks.decode(data, cog.blocks, part, scratch), cog.blocks.predictor == 2
    dtype = np.dtype(cog.blocks.dtype.replace("i", "u")).newbyteorder("=")
    empty = np.zeros((part.bottom, cog.blocks.shape[1]), dtype)
    if cog.nodata is not None and float(cog.nodata).is_integer():
        empty[:] = int(cog.nodata) & (256**dtype.itemsize - 1)
    return empty, False


def _numbers(fetched: Coded, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Decode floating point, and pixels with an internal mask: (height, width), NaN where nodata or masked."""
    nodata = fetched.cog.nodata
    out = _assemble(fetched.pixels, shape, nodata or 0)
    if nodata is not None:
        out[out == np.float32(nodata)] = np.nan
    if fetched.mask is not None:
        out[_assemble(fetched.mask, shape, 0) == 0] = np.nan
    return out


def _assemble(taken: BlockSet, shape: tuple[int, ...], empty: float) -> NDArray[np.float32]:
    """Decode a set of blocks into one array (height, width), which is ``empty`` where a block was never written."""
    out = np.full(shape, empty, np.float32)
    for part in taken.parts:
        if (data := taken.data.get(part.block)) is not None:
            values = blocks.undo_predictor(blocks.decode(data, taken.blocks, part), taken.blocks)
            into = out[part.into]
            into[:] = values[part.top : part.top + into.shape[0], part.left : part.left + into.shape[1]]
    return out


def _fill(numbers: NDArray[np.float32], asset: Asset, window: Window, out: Pixels) -> None:
    """Write an asset's numbers, (height, width), into the pixels that are still fill."""
    use = (out == window.fill) & ~np.isnan(numbers)
    if asset.nodata is not None:
        # The file's own nodata is NaN already; an item may name another number that its file does not.
        use &= numbers != asset.nodata
    if window.mask is None:
        out[use] = harmonise(numbers[use], asset.scale, asset.offset)
    else:
        out[use] = mask_values(numbers[use], window.fill, window.dtype)
