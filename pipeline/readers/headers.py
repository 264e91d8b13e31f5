"""The headers of a plan's files: read once, cut to the area, and kept beside the output as Parquet.

What is kept is what a task needs: where the blocks of the area lie. A later run of the same output reads the headers of
new files only. What cannot be read now is tried again by the task that needs it, and is a fault there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.remote import REQUESTS, Access
from groundbreak.pipeline.access.retries import ReadError, with_retries
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Asset, Scene
from groundbreak.pipeline.readers import blocks
from groundbreak.pipeline.readers.cog import BlockLayout, Blocks, Cog, NotByBlocks, read_cog, read_header

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
"""(redacted href, version of the scene)."""

Headers = Mapping[HeaderKey, BlockLayout]
"""Headers."""


def header_key(asset: Asset, scene: Scene) -> HeaderKey:
    """What a header is kept under: a file that was processed again is another."""
    return redact(asset.href), scene.version


def read_headers(
    scenes: Sequence[Scene], bands: Sequence[str], access: Access, known: Headers
) -> tuple[dict[HeaderKey, BlockLayout], dict[HeaderKey, str]]:
    """Headers of all GeoTIFFs that are not known yet.

    Returns
    -------
    (headers, of those known too; why others could not be read)
    """
    wanted = {header_key(s.assets[b], s): s.assets[b] for s in scenes for b in bands if s.assets[b].driver == "GTiff"}
    found = {k: known[k] for k in wanted if k in known}
    failed = {}

    def again(first: tuple[Asset, Exception]) -> BlockLayout | ReadError:
        asset, error = first
        try:
            return with_retries(
                access.attempts, lambda refresh: read_cog(*access.locate(asset.href, refresh=refresh)), error
            )
        except ReadError as last:
            return last

    todo = [k for k in wanted if k not in found]
    # One event loop for the first attempts, which are nearly all: a loop a file takes longer than its header.
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


async def _read_all(assets: Sequence[Asset], access: Access) -> list[BlockLayout | Exception]:
    """The header of each, or what went wrong with it."""
    free = asyncio.Semaphore(REQUESTS)

    async def read(asset: Asset) -> BlockLayout | Exception:
        async with free:
            try:
                # A signature is a request of its own.
                signed = access.token_url is not None
                at = await asyncio.to_thread(access.locate, asset.href) if signed else access.locate(asset.href)
                return await read_header(*at)
            except Exception as error:  # of many kinds; it is tried again
                return error

    return await asyncio.gather(*(read(asset) for asset in assets))


def cut(header: BlockLayout, frame: Frame) -> BlockLayout:
    """A header without the blocks outside a frame."""
    if isinstance(header, NotByBlocks):
        return header
    met = header.frame.overlap(frame)
    if met is None:
        return header

    def part(whole: Blocks) -> Blocks:
        wanted = blocks.block_parts(whole, header.frame, met.source_rows, met.source_cols)
        return whole.only(np.array(sorted(p.block for p in wanted), np.uint32))

    return dataclasses.replace(header, blocks=part(header.blocks), mask=header.mask and part(header.mask))


def load(output: Output) -> Headers:
    """The headers that an output keeps."""
    data = output.get(places.HEADERS) if output.local is None or output.local.exists() else None
    if data is None:
        return {}
    found: dict[HeaderKey, BlockLayout] = {}
    for row in pq.read_table(io.BytesIO(data)).to_pylist():
        frame = Frame(**{f.name: row[f.name] for f in dataclasses.fields(Frame)}) if row["general"] is None else None
        found[row["href"], row["version"]] = (
            NotByBlocks(row["general"])
            if frame is None
            else Cog(frame, _to_blocks(row["blocks"]), row["nodata"], row["mask"] and _to_blocks(row["mask"]))
        )
    return found


def save(known: Headers, output: Output) -> None:
    """Keep headers beside an output, in place of those it kept."""
    rows = []
    for (href, version), header in sorted(known.items()):
        row: dict[str, Any] = {"href": href, "version": version}
        if isinstance(header, NotByBlocks):
            row["general"] = header.why
        else:
            row |= dataclasses.asdict(header.frame) | {"nodata": header.nodata, "blocks": _from_blocks(header.blocks)}
            row["mask"] = header.mask and _from_blocks(header.mask)
        rows.append(row)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, HEADER_COLUMNS), buffer, compression="zstd")
    output.put(places.HEADERS, buffer.getvalue())


def _from_blocks(part: Blocks) -> dict[str, Any]:
    rows, cols = part.shape
    value = {f.name: getattr(part, f.name) for f in dataclasses.fields(Blocks) if f.name != "shape"}
    return value | {"rows": rows, "cols": cols}


def _to_blocks(value: dict[str, Any]) -> Blocks:
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
