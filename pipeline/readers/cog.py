"""What the header of a cloud-optimised GeoTIFF says about its blocks: where each lies, and how it is coded.

A header is read once per file, in one small request. A file whose blocks can be read as they are (one band, a coding
and a type that `pipeline.readers.blocks` knows) gives a `Cog`; any other file gives the reason why it goes the general
way, which is GDAL's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.access.range_files import Store
from groundbreak.pipeline.core.frame import MAX_SIDE, Frame
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.readers.geokeys import read_frame
from groundbreak.pipeline.readers.tiff import HEADER_BYTES, MOST_BLOCKS, Directory, Header, Tag, Values

MAX_PIXELS = 200_000 * 200_000
"""A header that claims more pixels is not believed."""

MAX_BLOCK_BYTES = 256 * 2**20
"""A header that claims larger blocks, coded or decoded, is not believed."""

SPARE_BYTES = 65_536
"""Bytes by which a block, coded, may be longer than twice what it decodes to: LZW makes noise half as long again."""

MAX_OFFSET = 2**62
"""A header that claims that a block lies beyond this byte is not believed: no file is so long."""

CODINGS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 50000: "zstd"}
"""Value of TIFF's compression tag -> name of the coding."""

DTYPES = {(1, 8): "u1", (1, 16): "u2", (2, 16): "i2", (3, 32): "f4"}
"""(sample format, bits) -> NumPy's type, without a byte order."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The blocks of one raster of a file. They are numbered from 0, row by row."""

    shape: tuple[int, int]
    """(rows, columns) of a block; blocks at the right edge are padded to it, and so are tiles at the lower edge."""
    padded: bool
    """Whether the blocks of the last row are whole (tiles), or hold only the rows that are left (strips)."""
    dtype: str
    """NumPy's type with the byte order ("<u2"); "bits" for a mask of one bit a pixel."""
    coding: str
    """A value of `CODINGS`."""
    predictor: int
    """TIFF's predictor: 1 none, 2 horizontal differences, 3 floating point."""
    offsets: NDArray[np.uint64]
    """(block,) the first byte of each block that is listed; 0 where the block was never written."""
    lengths: NDArray[np.uint32]
    """(block,) the bytes of each block that is listed; 0 where the block was never written."""
    numbers: NDArray[np.uint32] | None = None
    """(block,) increasing: the numbers of the blocks that are listed; None where all are."""

    def span(self, block: int) -> tuple[int, int]:
        """Return (first byte, bytes) of a block; ``block`` is the number of one that is listed."""
        at = block if self.numbers is None else int(np.searchsorted(self.numbers, block))
        return int(self.offsets[at]), int(self.lengths[at])

    def only(self, numbers: NDArray[np.uint32]) -> Blocks:
        """Return the blocks with fewer of them listed.

        Parameters
        ----------
        numbers : (block,) uint32
            The numbers of the blocks to keep, increasing; all of them are listed.
        """
        at = numbers if self.numbers is None else np.searchsorted(self.numbers, numbers)
        return replace(self, offsets=self.offsets[at], lengths=self.lengths[at], numbers=numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Cog:
    """A raster that can be read block by block."""

    frame: Frame
    blocks: Blocks
    """The blocks of its pixels."""
    nodata: float | None
    """The number that means no pixel, as GDAL writes it into the header."""
    mask: Blocks | None
    """The blocks of its internal mask, which is 0 where there is no pixel; None where the file has no such mask."""
    stamp: str = ""
    """What the file was when its header was read (`pipeline.access.stamps`)."""


@dataclass(frozen=True, slots=True)
class NotByBlocks:
    """A raster that goes the general way, which is GDAL's."""

    why: str
    """The reason, as a plan shows it."""
    frame: Frame | None = None
    """The frame of its pixels, where the header tells it in a way that is understood."""
    stamp: str = field(default="", compare=False)
    """What the file was when its header was read (`pipeline.access.stamps`)."""


BlockLayout = Cog | NotByBlocks
"""What a header says about the blocks of its raster."""


def read_cog(store: Store, path: str) -> BlockLayout:
    """Read the header of one GeoTIFF, and wait for it.

    Parameters
    ----------
    store : Store
        The store of the file's host or bucket.
    path : str
        The file's path in the store.

    Raises
    ------
    ValueError
        The header claims what is not believed, or the file is no TIFF.
    Exception
        An error of obstore or requests: the file cannot be reached.
    """
    return run_coroutine(read_header(store, path))


def check_size(height: int, width: int) -> None:
    """Raise ValueError where a header claims no pixels, or more than are believed."""
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE) or height * width > MAX_PIXELS:
        raise ValueError(f"its header claims {height} x {width} pixels")


def check_block(rows: int, cols: int, pixel: int) -> None:
    """Raise ValueError where a header claims blocks of more bytes than are believed; a pixel has ``pixel`` of them."""
    if rows * cols * pixel > MAX_BLOCK_BYTES:
        raise ValueError(f"its header claims blocks of {rows} x {cols} pixels, {rows * cols * pixel} bytes")


async def read_header(store: Store, path: str, start: bytes | None = None) -> BlockLayout:
    """Read the header of one GeoTIFF, in a coroutine, so that many are read at once.

    Parameters
    ----------
    store : Store
        The store of the file's host or bucket.
    path : str
        The file's path in the store.
    start : bytes, optional
        The file's first bytes, as `read_start` returns them, where they are known already.

    Raises
    ------
    ValueError
        The header claims what is not believed, or the file is no TIFF.
    Exception
        An error of obstore or requests: the file cannot be reached.
    """
    header = Header(store, path, await read_start(store, path) if start is None else start)
    first, *others = await header.directories()
    size = await _size(first)
    for directory in others:  # GDAL, where it reads the file, may take any of them
        await _block_shape(directory, *await _size(directory))
    nodata = _nodata(await first.values(Tag.NODATA))
    # Whoever reads the file: GDAL takes the header for pixels where blocks are placed there.
    listed = await _listed(first, *size)
    if listed is not None and nodata is not None and not listed.lengths.any():
        raise ValueError("none of its blocks was ever written")
    frame = await read_frame(first, *size)
    if isinstance(frame, str):
        return NotByBlocks(frame)
    blocks = await _blocks(first, header.order, listed)
    if isinstance(blocks, NotByBlocks):
        return NotByBlocks(blocks.why, frame)
    mask = None
    for directory in others:
        if await directory.number(Tag.SUBFILE) & 5 == 4:  # a mask, but not that of an overview
            if await _size(directory) != size:
                return NotByBlocks("its mask: of another size", frame)
            mask = await _blocks(directory, header.order, await _listed(directory, *size))
            break
    if isinstance(mask, NotByBlocks):
        return NotByBlocks(f"its mask: {mask.why}", frame)
    return Cog(frame, blocks, nodata, mask)


async def read_start(store: Store, path: str) -> bytes:
    """Fetch the first bytes of a file, in which nearly every header ends."""
    return bytes(await store.get_range_async(path, start=0, end=HEADER_BYTES))


async def _size(directory: Directory) -> tuple[int, int]:
    """Return the (rows, columns) of a raster, or raise ValueError where they are not believed."""
    height, width = await directory.number(Tag.HEIGHT), await directory.number(Tag.WIDTH)
    check_size(height, width)
    return height, width


@dataclass(frozen=True, slots=True)
class _Listed:
    """Where a directory says that its blocks lie, however they are coded."""

    shape: tuple[int, int]
    tiled: bool
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint32]


async def _block_shape(directory: Directory, height: int, width: int) -> tuple[int, int]:
    """Return the (rows, columns) of a raster's blocks, or raise ValueError where they are not believed."""
    if Tag.TILE_OFFSETS in directory:
        rows, cols = await directory.number(Tag.TILE_HEIGHT), await directory.number(Tag.TILE_WIDTH)
    else:
        rows, cols = min(await directory.number(Tag.STRIP_ROWS, height), height), width
    check_block(rows, cols, max(await directory.number(Tag.BITS, 1) // 8, 1))
    return rows, cols


async def _listed(directory: Directory, height: int, width: int) -> _Listed | None:
    """Return where the blocks of a raster lie, or None where they are not listed.

    Raises
    ------
    ValueError
        There are not as many as the raster has, or too many, or they lie at the header itself, or beyond any file.
    """
    rows, cols = await _block_shape(directory, height, width)
    tiled = Tag.TILE_OFFSETS in directory
    names = (Tag.TILE_OFFSETS, Tag.TILE_LENGTHS) if tiled else (Tag.STRIP_OFFSETS, Tag.STRIP_LENGTHS)
    if rows <= 0 or cols <= 0 or any(name not in directory for name in names):
        return None
    planes = await directory.number(Tag.SAMPLES, 1) if await directory.number(Tag.PLANES, 1) == 2 else 1
    count = -(-height // rows) * -(-width // cols) * planes
    if not 0 < count <= MOST_BLOCKS:
        raise ValueError(f"its header claims {count} blocks")
    found = [await directory.values(name, count) for name in names]
    at, size = (np.zeros(0, "u8") if one is None else one.astype("u8") for one in found)
    if (size[at == 0] != 0).any():
        raise ValueError("its header places blocks at byte 0, where the header itself lies")
    most = int(size.max())
    if most > MAX_BLOCK_BYTES or at.max() > MAX_OFFSET:
        raise ValueError(f"its header claims blocks of {most} bytes, up to byte {at.max()}")
    return _Listed((rows, cols), tiled, at, size.astype("u4"))


async def _blocks(directory: Directory, order: str, listed: _Listed | None) -> Blocks | NotByBlocks:
    """Return the blocks of a raster or mask, or why they cannot be used; ``order`` is the file's byte order."""
    samples, bits = await directory.number(Tag.SAMPLES, 1), await directory.number(Tag.BITS, 1)
    kind = await directory.number(Tag.SAMPLE_FORMAT, 1)
    if samples != 1:
        return NotByBlocks(f"{samples} samples a pixel")
    known = DTYPES.get((kind, bits))
    dtype = "bits" if bits == 1 else known and (order + known if known != "u1" else known)
    if dtype is None:
        return NotByBlocks(f"{bits} bits of sample format {kind}")
    if await directory.number(Tag.BIT_ORDER, 1) != 1:
        return NotByBlocks("its bits are in reverse order")
    compression = await directory.number(Tag.COMPRESSION, 1)
    coding = CODINGS.get(compression)
    if coding is None:
        return NotByBlocks(f"compression {compression}")
    predictor = await directory.number(Tag.PREDICTOR, 1)
    if predictor not in (1, 2, 3) or (predictor == 3 and not dtype.endswith("f4")):
        return NotByBlocks(f"predictor {predictor}")
    if listed is None:
        return NotByBlocks("its blocks are not listed")
    most = listed.shape[0] * listed.shape[1] * 4
    if most > MAX_BLOCK_BYTES:
        return NotByBlocks(f"blocks of {listed.shape[0]} x {listed.shape[1]}")
    if int(listed.lengths.max()) > 2 * most + SPARE_BYTES:
        raise ValueError(f"its header claims {listed.lengths.max()} bytes for a block of {most}")
    return Blocks(listed.shape, listed.tiled, dtype, coding, predictor, listed.offsets, listed.lengths)


def _nodata(text: Values | None) -> float | None:
    """Return GDAL's nodata value, which is kept as text, or None where it is no number."""
    try:
        return None if text is None else float(text.tobytes().decode("ascii").strip().strip("\0"))
    except ValueError:
        return None
