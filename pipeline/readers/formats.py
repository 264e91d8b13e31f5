"""What the bytes of a file say it is: GeoTIFF or JPEG 2000, whatever its item says.

Items are wrong about this now and then, so the first bytes decide, but between these two alone: no other driver of GDAL
is ever asked to look at a file.
"""

from __future__ import annotations

import struct
from collections.abc import Buffer
from dataclasses import replace

from groundbreak.pipeline.access.range_files import Store, stamp_of
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.readers.cog import BlockLayout, NotByBlocks, check_size, read_header, read_start

DRIVERS = ("GTiff", "JP2OpenJPEG")
"""The drivers of GDAL that may open a file."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""How files begin: TIFF and BigTIFF in both byte orders; JPEG 2000 with its boxes, and as a bare codestream."""

_SIZE = b"\xff\x4f\xff\x51"
"""How a codestream of JPEG 2000 begins, inside its boxes or without: with the marker of its size."""


async def read_layout(store: Store, path: str, driver: str) -> BlockLayout:
    """Read what a file's header says about its blocks, whichever of the two formats its item names.

    Parameters
    ----------
    store : Store
        The store of the file's host or bucket.
    path : str
        The file's path in the store.
    driver : str
        The driver that the item names: its format is looked for first.

    Raises
    ------
    ValueError
        The header claims what is not believed, or the file is neither a TIFF nor a JPEG 2000.
    Exception
        An error of obstore or requests: the file cannot be reached.
    """
    start = await read_start(store, path)
    if format_of(start) == "GTiff":
        layout: BlockLayout = await read_header(store, path, start)
    else:
        _check_jp2(start)
        told = "JPEG 2000 by its bytes, though its item says GeoTIFF" if driver == "GTiff" else f"{driver}, not GeoTIFF"
        layout = NotByBlocks(told)
    return replace(layout, stamp=stamp_of(store, path))


def read_layout_now(store: Store, path: str, driver: str) -> BlockLayout:
    """Call `read_layout`, and wait for it."""
    return run_coroutine(read_layout(store, path, driver))


def _check_jp2(start: bytes) -> None:
    """Raise ValueError where a JPEG 2000 claims more pixels than are believed, as far as its first bytes tell."""
    at = start.find(_SIZE)
    if 0 <= at <= len(start) - 24:
        # Behind the marker: its length, what is needed to decode, and where the image ends and begins.
        right, lower, left, upper = struct.unpack_from(">4I", start, at + 8)
        check_size(lower - upper, right - left)


def format_of(start: Buffer) -> str:
    """Return the driver for a file that begins with some bytes.

    Raises
    ------
    ValueError
        They are those of neither format.
    """
    begun = bytes(start)
    for driver, marks in zip(DRIVERS, (_TIFF, _JP2), strict=True):
        if begun.startswith(marks):
            return driver
    raise ValueError("its bytes are neither those of a TIFF nor those of a JPEG 2000 (not a TIFF)")
