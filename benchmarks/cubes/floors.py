"""The floor under every builder: what none of them can do without, timed alone.

Every block is inflated, down to the last row that the area needs, and its predictor is undone; every chunk is encoded.
The bytes are in memory already, and so is the memory that the pixels are put into.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc, zstd
from obstore.store import LocalStore

from benchmarks.cubes.job import BANDS, MASK, SPACE_CHUNK, TIME_CHUNK, Job
from groundbreak.kernels.lanes.jit import jit
from groundbreak.pipeline.readers.blocks import BlockPart, decode
from groundbreak.pipeline.readers.cog import Blocks, Cog, read_cog


def run(job: Job) -> dict[str, Any]:
    """Seconds of the processor that decoding and encoding take."""
    seconds = {"decode_s": 0.0, "encode_s": 0.0}
    for band in (*BANDS, MASK):
        coded = list(_coded(job, band))
        shape, dtype = coded[0][0].shape, np.uint8 if band == MASK else np.uint16
        scratch = bytearray(shape[0] * shape[1] * np.dtype(dtype).itemsize)
        pixels = np.full((len(coded), *shape), 1, dtype)
        begun = time.process_time()
        for place, (blocks, part, data) in enumerate(coded):
            _undo(decode(data, blocks, part, scratch), pixels[place])
        seconds["decode_s"] += time.process_time() - begun
        rows, cols = (side // 2 if band == MASK else side for side in job.shape)
        # As many pixels as the area has; where it lies on several blocks, those of the first.
        seconds["encode_s"] += _encode(pixels[:: len(job.blocks), :rows, :cols], band)
    return seconds


def _coded(job: Job, band: str) -> Iterator[tuple[Blocks, BlockPart, memoryview]]:
    """Yield the layout of a file, the part of a block that is taken, and the block's bytes as the file holds them.

    The dates of a tile come one after the other. The part is whole rows, from the block's top to the area's lower edge.
    """
    store = LocalStore()
    for feature in json.loads(Path(job.items).read_text())["features"]:
        tile = feature["properties"]["grid:code"].removeprefix("MGRS-")
        path = Path(feature["assets"][band]["href"])
        cog = read_cog(store, str(path).lstrip("/"))
        assert isinstance(cog, Cog)
        assert (cog.blocks.coding, cog.blocks.predictor) == ("deflate", 2)
        height, width = cog.blocks.shape
        across = -(-cog.frame.width // width)
        edge = round((cog.frame.y0 - job.bounds[1]) / cog.frame.resolution)
        for row, col in ((row, col) for code, row, col in job.blocks if code == tile):
            start, length = cog.blocks.span(row * across + col)
            with path.open("rb") as file:
                file.seek(start)
                into = slice(0, min(height, edge - row * height)), slice(0, width)
                part = BlockPart(row * across + col, height, 0, 0, into)
                yield cog.blocks, part, memoryview(file.read(length))


@jit
def _undo(differences: np.ndarray, out: np.ndarray) -> None:
    for i in range(differences.shape[0]):
        level = 0
        for j in range(differences.shape[1]):
            level += differences[i, j]
            out[i, j] = level  # wraps


def _encode(pixels: np.ndarray, band: str) -> float:
    """Seconds of the codecs alone, chunk by chunk."""
    blosc.set_nthreads(1)
    spent = 0.0
    for corner in itertools.product(*(range(0, n, s) for n, s in zip(pixels.shape, _CHUNK, strict=True))):
        chunk = np.ascontiguousarray(pixels[tuple(slice(c, c + s) for c, s in zip(corner, _CHUNK, strict=True))])
        begun = time.process_time()
        if band == MASK:
            zstd.compress(chunk, 1)
        else:
            blosc.compress(chunk, b"lz4", 5, blosc.BITSHUFFLE)
        spent += time.process_time() - begun
    return spent


_CHUNK = (TIME_CHUNK, SPACE_CHUNK, SPACE_CHUNK)
