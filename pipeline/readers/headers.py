"""The headers of a plan's files: read once, cut to the area, and kept beside the output as Parquet.

What is kept is what a task needs: where the blocks of the area lie. A later run with the same output reads the headers
of new files only. A header that cannot be read now is tried again by the task that needs it, and is a fault there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from groundbreak.pipeline.access import stamps
from groundbreak.pipeline.access.addresses import identity
from groundbreak.pipeline.access.hrefs import is_url, redact
from groundbreak.pipeline.access.remote import REQUESTS, Access
from groundbreak.pipeline.access.retries import ReadError, with_retries
from groundbreak.pipeline.access.troubles import REPLACED
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.output import DAMAGE, Output
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.core.ticker import Ticker
from groundbreak.pipeline.core.types import Asset, Scene
from groundbreak.pipeline.readers import blocks
from groundbreak.pipeline.readers.cog import BlockLayout, Blocks, Cog, NotByBlocks
from groundbreak.pipeline.readers.formats import read_layout, read_layout_now

LOG = logging.getLogger(__name__)

_BLOCK_COLUMNS = pa.struct(
    [
        ("rows", pa.int32()),
        ("cols", pa.int32()),
        ("padded", pa.bool_()),
        ("dtype", pa.string()),
        ("coding", pa.string()),
        ("predictor", pa.int8()),
        ("numbers", pa.list_(pa.uint32())),
        ("offsets", pa.list_(pa.uint64())),
        ("lengths", pa.list_(pa.uint32())),
    ]
)
HEADER_COLUMNS = pa.schema(
    [
        ("href", pa.string()),
        ("version", pa.string()),
        ("general", pa.string()),
        ("stamp", pa.string()),
        *(
            (f.name, pa.int64() if f.name in ("epsg", "height", "width") else pa.float64())
            for f in dataclasses.fields(Frame)
        ),
        ("nodata", pa.float64()),
        ("blocks", _BLOCK_COLUMNS),
        ("mask", _BLOCK_COLUMNS),
    ]
)

HeaderKey = tuple[str, str]
"""(`identity` of the href, version of the scene)."""

Headers = Mapping[HeaderKey, BlockLayout]
"""`header_key` of an asset -> what the asset's header says."""


def header_key(asset: Asset, scene: Scene) -> HeaderKey:
    """Return the key under which an asset's header is kept; a file that was processed again has another key."""
    return identity(asset.href), scene.version


def read_headers(
    scenes: Sequence[Scene], bands: Sequence[str], access: Access, known: Headers
) -> tuple[dict[HeaderKey, BlockLayout], dict[HeaderKey, str]]:
    """Read the headers of all assets of some scenes that are not known yet.

    Parameters
    ----------
    scenes : sequence of Scene
    bands : sequence of str
        The bands whose assets are looked at.
    access : Access
    known : Headers
        Headers that need not be read again.

    Returns
    -------
    headers : dict
        `header_key` -> what the header says, of all these assets.
    failed : dict
        `header_key` -> why the header could not be read.
    """
    wanted = {header_key(s.assets[b], s): s.assets[b] for s in scenes for b in bands}
    found = {k: known[k] for k in wanted if k in known and _still_there(wanted[k], known[k])}
    failed = {}

    def again(first: tuple[Asset, Exception]) -> BlockLayout | ReadError:
        asset, error = first

        def read(refresh: bool) -> BlockLayout:
            with access.telling_logins(asset.href):
                return read_layout_now(*access.locate(asset.href, refresh=refresh), asset.driver)

        try:
            # A task that needs the header makes all of its attempts: it may be hours later, in another process.
            return with_retries(asset.href, access.attempts, read, error, remembers=False)
        except ReadError as last:
            return last

    todo = [k for k in wanted if k not in found]
    # One event loop makes all first attempts, of which nearly all succeed: a loop for each file would take longer than
    # reading the file's header does.
    answers = run_coroutine(_read_all([wanted[k] for k in todo], access))
    trouble = [(k, answer) for k, answer in zip(todo, answers, strict=True) if isinstance(answer, Exception)]
    found |= {k: answer for k, answer in zip(todo, answers, strict=True) if not isinstance(answer, Exception)}
    with ThreadPoolExecutor(REQUESTS) as pool:
        later = pool.map(again, ((wanted[k], error) for k, error in trouble))
        for (k, _), header in zip(trouble, later, strict=True):
            if isinstance(header, ReadError):
                failed[k] = header.message
            else:
                found[k] = header
    return found, failed


def _still_there(asset: Asset, header: BlockLayout) -> bool:
    """Tell whether a header that is kept is that of the file as it is now; a server is not asked for that."""
    try:
        return is_url(asset.href) or stamps.agree(header.stamp, stamps.of_local(asset.href))
    except OSError:
        return False


def without_replaced(known: Headers, faults: Iterable[Fault]) -> Headers:
    """Return the headers of the files of which no fault says that they were replaced: the others are read anew."""
    gone = {fault.href for fault in faults if REPLACED in fault.error}
    return {key: header for key, header in known.items() if redact(key[0]) not in gone} if gone else known


async def _read_all(assets: Sequence[Asset], access: Access) -> list[BlockLayout | Exception]:
    """Read the header of each asset in one attempt; return it, or the error."""
    free, ticker = asyncio.Semaphore(REQUESTS), Ticker(f"reading headers: {{}} of {len(assets):,}")

    async def read(asset: Asset) -> BlockLayout | Exception:
        async with free:
            try:
                # Asking for a signature would block the event loop.
                waits = access.may_wait(asset.href)
                at = await asyncio.to_thread(access.locate, asset.href) if waits else access.locate(asset.href)
                return await read_layout(*at, asset.driver)
            except Exception as error:  # there are many kinds, and it is tried again
                return error
            finally:
                ticker.add()

    return await asyncio.gather(*(read(asset) for asset in assets))


def cut(header: BlockLayout, frame: Frame) -> BlockLayout:
    """Return a header that lists only the blocks that meet a frame.

    A header stays as it is where its raster lies on another lattice, or is not read by blocks.
    """
    if isinstance(header, NotByBlocks):
        return header
    met = header.frame.overlap(frame)
    if met is None:
        return header

    def keep(own: Blocks) -> Blocks:
        parts = blocks.block_parts(own, header.frame, met.source_rows, met.source_cols)
        return own.only(np.array(sorted(part.block for part in parts), np.uint32))

    return dataclasses.replace(header, blocks=keep(header.blocks), mask=header.mask and keep(header.mask))


def load(output: Output) -> Headers:
    """Load the headers that are kept beside an output; there are none before its first run.

    A damaged file counts as none: headers are read from the source again then.
    """
    data = output.get(places.HEADERS)
    if data is None:
        return {}
    try:
        return _headers(data)
    except DAMAGE as error:
        LOG.warning("%s is damaged (%s); headers are read from the source again", places.HEADERS, type(error).__name__)
        return {}


def _headers(data: bytes) -> Headers:
    """Return the headers that a Parquet file holds."""
    found: dict[HeaderKey, BlockLayout] = {}
    for row in pq.read_table(io.BytesIO(data)).to_pylist():
        frame = None if row["epsg"] is None else Frame(**{f.name: row[f.name] for f in dataclasses.fields(Frame)})
        found[row["href"], row["version"]] = (
            NotByBlocks(row["general"], frame, row.get("stamp") or "")
            if frame is None or row["general"] is not None
            else Cog(
                frame,
                _to_blocks(row["blocks"]),
                row["nodata"],
                row["mask"] and _to_blocks(row["mask"]),
                row.get("stamp") or "",
            )
        )
    return found


def save(known: Headers, output: Output) -> None:
    """Write headers beside an output, in place of those that were kept there."""
    rows = []
    for (href, version), header in sorted(known.items()):
        row: dict[str, Any] = {"href": href, "version": version, "stamp": header.stamp}
        if header.frame is not None:
            row |= dataclasses.asdict(header.frame)
        if isinstance(header, NotByBlocks):
            row["general"] = header.why
        else:
            row |= {"nodata": header.nodata, "blocks": _from_blocks(header.blocks)}
            row["mask"] = header.mask and _from_blocks(header.mask)
        rows.append(row)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, HEADER_COLUMNS), buffer, compression="zstd")
    output.put(places.HEADERS, buffer.getvalue())


def _from_blocks(own: Blocks) -> dict[str, Any]:
    """Return blocks as a value of the Parquet file."""
    rows, cols = own.shape
    value = {f.name: getattr(own, f.name) for f in dataclasses.fields(Blocks) if f.name != "shape"}
    return value | {"rows": rows, "cols": cols}


def _to_blocks(value: dict[str, Any]) -> Blocks:
    """Return the blocks that a value of the Parquet file stands for."""
    return Blocks(
        (value["rows"], value["cols"]),
        value["padded"],
        value["dtype"],
        value["coding"],
        value["predictor"],
        np.array(value["offsets"], np.uint64),
        np.array(value["lengths"], np.uint32),
        None if value["numbers"] is None else np.array(value["numbers"], np.uint32),
    )
