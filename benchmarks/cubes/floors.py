"""What no builder can do without: every block inflated and its predictor undone, every chunk encoded.

The bytes are in memory already, and so is the room for the pixels.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numcodecs import blosc, zstd
from obstore.store import LocalStore

from benchmarks.cubes.job import BANDS, MASK, SPACE_CHUNK, TIME_CHUNK, Job
from kernels._jit import jit
from pipeline.cog import Cog, read_cog


def run(job: Job) -> dict[str, Any]:
    """Seconds of the processor that decoding and encoding take."""
    seconds = {"decode_s": 0.0, "encode_s": 0.0}
    for band in (*BANDS, MASK):
        coded = list(_coded(job, band))
        shape = _shape(coded[0][0])
        room = bytearray(shape[0] * shape[1] * (1 if band == MASK else 2))
        raw = np.frombuffer(room, np.uint8 if band == MASK else np.uint16).reshape(shape)
        pixels = np.full((len(coded), *shape), 1, raw.dtype)
        begun = time.process_time()
        for place, (_, data) in enumerate(coded):
            imagecodecs.deflate_decode(data, out=room)
            _undo(raw, pixels[place])
        seconds["decode_s"] += time.process_time() - begun
        rows, cols = (side // 2 if band == MASK else side for side in job.shape)
        # As many pixels as the area has; where it lies on several blocks, those of the first.
        seconds["encode_s"] += _encode(pixels[:: len(job.blocks), :rows, :cols], band)
    return seconds


def _coded(job: Job, band: str) -> Iterator[tuple[Cog, bytes]]:
    """The blocks of a band, a tile's dates one after the other, as their files hold them."""
    store = LocalStore()
    for feature in json.loads(Path(job.items).read_text())["features"]:
        tile = feature["properties"]["grid:code"].removeprefix("MGRS-")
        path = Path(feature["assets"][band]["href"])
        cog = read_cog(store, str(path).lstrip("/"))
        assert isinstance(cog, Cog)
        across = -(-cog.frame.width // cog.blocks.shape[1])
        for row, col in ((row, col) for code, row, col in job.blocks if code == tile):
            start, length = cog.blocks.span(row * across + col)
            with path.open("rb") as file:
                file.seek(start)
                yield cog, file.read(length)


def _shape(cog: Cog) -> tuple[int, int]:
    assert cog.blocks.coding == "deflate" and cog.blocks.predictor == 2
    return cog.blocks.shape


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
