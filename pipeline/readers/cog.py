"""What the header of a cloud-optimised GeoTIFF says about its blocks: where each lies, and how it is coded.

A header is read once per file, in one small request. A file whose blocks can be read as they are (one band, a coding
and a type that `pipeline.readers.blocks` knows) gives a `Cog`; any other file gives the reason why it goes the general
way, which is GDAL's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from async_tiff import TIFF, GeoKeyDirectory, ImageFileDirectory
from async_tiff.enums import Endianness
from numpy.typing import NDArray

from groundbreak.pipeline.access.range_files import Store
from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.loop import run_coroutine

HEADER_BYTES = 16_384
"""Bytes that one request fetches: the header of a tile of 10 980 pixels in blocks of 1024, its overviews included."""

MAX_PIXELS = 200_000 * 200_000
"""A header that claims more pixels is not believed."""

MAX_BLOCK_BYTES = 256 * 2**20
"""A header that claims larger blocks, coded or decoded, is not believed."""

MAX_OFFSET = 2**62
"""A header that claims that a block lies beyond this byte is not believed: no file is so long."""

CODINGS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 50000: "zstd"}
"""Value of TIFF's compression tag -> name of the coding."""

DTYPES = {(1, 8): "u1", (1, 16): "u2", (2, 16): "i2", (3, 32): "f4"}
"""(sample format, bits) -> NumPy's type, without a byte order."""

NO_CODE = "its CRS has no EPSG code"
"""Why a raster goes the general way whose header does not tell its CRS in a way that is understood here."""

USER_DEFINED = 32767
"""Value of a GeoTIFF key that says that other keys describe what is meant."""

SQUARE = 1e-9
"""Pixels whose height differs from their width by a greater share are not square."""


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
        The header claims what is not believed.
    Exception
        An error of obstore or async-tiff: the file cannot be reached, or is no TIFF.
    """
    return run_coroutine(read_header(store, path))


def check_size(height: int, width: int) -> None:
    """Raise ValueError where a header claims more pixels than are believed."""
    if height * width > MAX_PIXELS:
        raise ValueError(f"its header claims {height} x {width} pixels")


async def read_header(store: Store, path: str) -> BlockLayout:
    """Read the header of one GeoTIFF, in a coroutine, so that many are read at once.

    Parameters
    ----------
    store : Store
        The store of the file's host or bucket.
    path : str
        The file's path in the store.

    Raises
    ------
    ValueError
        The header claims what is not believed.
    Exception
        An error of obstore or async-tiff: the file cannot be reached, or is no TIFF.
    """
    tiff = await TIFF.open(path, store=store, prefetch=HEADER_BYTES)
    order = "<" if tiff.endianness == Endianness.LittleEndian else ">"
    first, *others = tiff.ifds
    nodata = _nodata(first.gdal_nodata)
    # Whoever reads the file: GDAL takes the header for pixels where blocks are placed there.
    listed = _listed(first)
    if listed is not None and nodata is not None and not listed[1].any():
        raise ValueError("none of its blocks was ever written")
    frame, blocks = _frame(first), _blocks(first, order)
    if isinstance(frame, NotByBlocks):
        return frame
    if isinstance(blocks, NotByBlocks):
        return NotByBlocks(blocks.why, frame)
    masks = [ifd for ifd in others if (ifd.new_subfile_type or 0) & 5 == 4]  # a mask, but not that of an overview
    mask = _blocks(masks[0], order) if masks else None
    if isinstance(mask, NotByBlocks):
        return NotByBlocks(f"its mask: {mask.why}", frame)
    return Cog(frame, blocks, nodata, mask)


def _frame(ifd: ImageFileDirectory) -> Frame | NotByBlocks:
    """Return where a raster's pixels lie, or why its blocks cannot be used."""
    height, width = ifd.image_height, ifd.image_width
    check_size(height, width)
    keys, size, tie = ifd.geo_key_directory, ifd.model_pixel_scale, ifd.model_tiepoint
    epsg = _epsg(keys)
    if epsg is None:
        return NotByBlocks(NO_CODE)
    if size is None or tie is None or len(tie) != 6 or abs(size[0] - size[1]) > SQUARE * size[0]:
        return NotByBlocks("its pixels are not square and north up")
    half = 0.5 if keys is not None and keys.raster_type == 2 else 0.0  # the tie point is a pixel's centre
    x0, y0 = tie[3] - (tie[0] + half) * size[0], tie[4] + (tie[1] + half) * size[1]
    return Frame(epsg, x0, y0, size[0], height, width)


def _epsg(keys: GeoKeyDirectory | None) -> int | None:
    """Return the EPSG code of a raster's CRS, by its keys; that of a UTM zone is evident though it is not written."""
    if keys is None:
        return None
    code: int | None = keys.projected_type or keys.geographic_type
    if code != USER_DEFINED:
        return code
    south, zone = divmod((keys.projection or 0) - 16000, 100)
    datum = keys.geog_geodetic_datum in (None, USER_DEFINED, 6326)
    shape = (keys.geog_semi_major_axis, keys.geog_inv_flattening) == crs.WGS84
    if (keys.projected_type, keys.proj_linear_units) != (USER_DEFINED, 9001) or not (datum and shape):
        return None
    return crs.utm_epsg(zone, south == 1) if south in (0, 1) and 1 <= zone <= 60 else None


def _blocks(ifd: ImageFileDirectory, order: str) -> Blocks | NotByBlocks:
    """Return the blocks of a raster or mask, or why they cannot be used; ``order`` is the file's byte order."""
    bits, formats = ifd.bits_per_sample, ifd.sample_format
    if ifd.samples_per_pixel != 1:
        return NotByBlocks(f"{ifd.samples_per_pixel} samples a pixel")
    kind = DTYPES.get((int(formats[0]) if formats else 1, bits[0]))
    dtype = "bits" if bits[0] == 1 else kind and (order + kind if kind != "u1" else kind)
    if dtype is None:
        return NotByBlocks(f"{bits[0]} bits of sample format {int(formats[0])}")
    coding = CODINGS.get(int(ifd.compression))
    if coding is None:
        return NotByBlocks(f"compression {int(ifd.compression)}")
    predictor = int(ifd.predictor or 1)
    if predictor not in (1, 2, 3) or (predictor == 3 and not dtype.endswith("f4")):
        return NotByBlocks(f"predictor {predictor}")
    tiled = ifd.tile_offsets is not None
    rows, cols = (
        (ifd.tile_height, ifd.tile_width)
        if tiled
        else (min(ifd.rows_per_strip or ifd.image_height, ifd.image_height), ifd.image_width)
    )
    listed = _listed(ifd)
    if not rows or not cols or listed is None:
        return NotByBlocks("its blocks are not listed")
    if rows * cols * 4 > MAX_BLOCK_BYTES:
        return NotByBlocks(f"blocks of {rows} x {cols}")
    count = math.ceil(ifd.image_height / rows) * math.ceil(ifd.image_width / cols)
    at, size = listed
    if {len(at), len(size)} != {count}:
        raise ValueError("its header lists too few blocks")
    if size.max() > MAX_BLOCK_BYTES or at.max() > MAX_OFFSET:
        raise ValueError(f"its header claims blocks of {size.max()} bytes, up to byte {at.max()}")
    return Blocks((rows, cols), tiled, dtype, coding, predictor, at, size)


def _listed(ifd: ImageFileDirectory) -> tuple[NDArray[np.uint64], NDArray[np.uint32]] | None:
    """Return (offsets, lengths) of a raster's blocks, or None; ValueError is raised for blocks at the header itself."""
    tiled = ifd.tile_offsets is not None
    offsets, lengths = (ifd.tile_offsets, ifd.tile_byte_counts) if tiled else (ifd.strip_offsets, ifd.strip_byte_counts)
    if offsets is None or lengths is None:
        return None
    at, size = np.asarray(offsets, np.uint64), np.asarray(lengths, np.uint32)
    if len(at) == len(size) and (size[at == 0] != 0).any():
        raise ValueError("its header places blocks at byte 0, where the header itself lies")
    return at, size


def _nodata(text: Any) -> float | None:
    """Return GDAL's nodata value, which is kept as text, or None where it is no number."""
    try:
        return None if text is None else float(str(text).strip().strip("\0"))
    except ValueError:
        return None
