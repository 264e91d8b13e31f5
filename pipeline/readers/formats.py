"""What the bytes of a file say it is: GeoTIFF or JPEG 2000, whatever its item says.

Items are wrong about this now and then, so the first bytes decide, but between these two alone: no other driver of GDAL
is ever asked to look at a file.
"""

from __future__ import annotations

from collections.abc import Buffer
from dataclasses import replace

from groundbreak.pipeline.access.range_files import RangeFile, Store, stamp_of
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.readers.cog import BlockLayout, NotByBlocks, read_header

DRIVERS = ("GTiff", "JP2OpenJPEG")
"""The drivers of GDAL that may open a file."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""How files begin: TIFF and BigTIFF in both byte orders; JPEG 2000 with its boxes, and as a bare codestream."""


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
        An error of obstore or async-tiff: the file cannot be reached.
    """
    try:
        layout = await _read_layout(store, path, driver)
    except Exception as error:
        # async-tiff turns an error of our requests into a text.
        if isinstance(store, RangeFile) and store.error is not None:
            raise store.error from None
        raise error from None
    return replace(layout, stamp=stamp_of(store, path))


async def _read_layout(store: Store, path: str, driver: str) -> BlockLayout:
    """Read what a file's header says about its blocks."""
    if driver != "GTiff":
        found = await _sniff(store, path)
        return await read_header(store, path) if found == "GTiff" else NotByBlocks(f"{driver}, not GeoTIFF")
    try:
        return await read_header(store, path)
    except Exception as error:
        # Only now is a second request worth its while: nearly all files are what their items say.
        if not _is_about_the_content(error) or await _sniff(store, path) != "JP2OpenJPEG":
            raise
        return NotByBlocks("JPEG 2000 by its bytes, though its item says GeoTIFF")


def read_layout_now(store: Store, path: str, driver: str) -> BlockLayout:
    """Call `read_layout`, and wait for it."""
    return run_coroutine(read_layout(store, path, driver))


def _is_about_the_content(error: Exception) -> bool:
    """Tell whether reading a header failed because of what came, and not because nothing did."""
    return not isinstance(error, OSError) and "Error performing" not in str(error)


async def _sniff(store: Store, path: str) -> str:
    """Return the driver of a file by its first bytes, or raise ValueError."""
    return format_of(await store.get_range_async(path, start=0, end=12))


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
