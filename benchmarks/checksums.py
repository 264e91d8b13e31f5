"""What it costs to inflate a block to its end, where its checksum lies, though a window takes a part of its rows.

Run by `python -m benchmarks.checksums`, on one thread. Two ways on the same blocks, in turn, in one process: that which
stopped behind the last row wanted (decision 0012), kept here, and the way that groundbreak reads (decision 0019). Both
decode and place all blocks of a window. Prints a table in Markdown: medians of processor time, and their ratio.
"""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np

from groundbreak.pipeline.readers import blocks
from groundbreak.pipeline.readers.blocks import BlockPart, Numbers
from groundbreak.pipeline.readers.cog import Blocks

SIDE, COUNT, ROUNDS = 1024, 12, 15
STORED_RUN = 1 << 16
LAYOUT = Blocks((SIDE, SIDE), True, "<u2", "deflate", 2, np.zeros(1, "u8"), np.zeros(1, "u4"))
Way = Callable[[memoryview, BlockPart, bytearray], Numbers]


def stop_early(data: memoryview, part: BlockPart, scratch: bytearray) -> Numbers:
    """Inflate up to the last row wanted, as decision 0012 had it."""
    size, wanted = part.rows * SIDE * 2, part.bottom * SIDE * 2
    if wanted + STORED_RUN >= size:
        return to_the_end(data, part, scratch)
    try:
        imagecodecs.deflate_decode(data, out=memoryview(scratch)[: wanted + STORED_RUN])
    except RuntimeError as error:
        if "INSUFFICIENT_SPACE" not in str(error):
            raise
    return np.frombuffer(scratch, "<u2", wanted // 2).reshape(part.bottom, SIDE)


def to_the_end(data: memoryview, part: BlockPart, scratch: bytearray) -> Numbers:
    """Inflate all of a block, as it is read."""
    return blocks.decode(data, LAYOUT, part, scratch)


def ground(seed: int) -> bytes:
    """Return a block as GDAL would write it: smooth reflectance with noise, differences between columns, deflated."""
    rng = np.random.default_rng(seed)
    slope = 200 * np.sin(np.arange(SIDE) / 50)
    values = (2000 + slope + rng.normal(0, 12, (SIDE, SIDE))).astype("<u2")
    values[:, 1:] -= values[:, :-1].copy()
    return zlib.compress(values.tobytes(), 6)


def lap(way: Way, coded: list[bytes], part: BlockPart, tiles: np.ndarray, table: np.ndarray) -> float:
    """Decode and place all blocks; return the milliseconds of processor time that each took."""
    scratch = bytearray(SIDE * SIDE * 2 + blocks.SPARE_BYTES)
    height = part.bottom - part.top
    start = time.process_time()
    for data in coded:
        block = way(memoryview(data), part, scratch)
        blocks.place(block, True, (part.top, 0, 0, 0, height, SIDE), table, np.int16(0), True, tiles, 0)
    return (time.process_time() - start) * 1e3 / len(coded)


def main() -> None:
    """Print the table."""
    coded = [ground(seed) for seed in range(COUNT)]
    tiles, table = np.zeros((1, 1, 1, SIDE, SIDE), "i2"), np.arange(65536).astype("i2")
    print("| rows of 1024 | stops early, ms a block | to its end, ms a block | ratio |\n|---:|---:|---:|---:|")
    for rows in (1024, 960, 768, 512, 256, 64):
        part = BlockPart(0, SIDE, 0, 0, (slice(0, rows), slice(0, SIDE)))
        laps = [[lap(way, coded, part, tiles, table) for way in (stop_early, to_the_end)] for _ in range(ROUNDS)][1:]
        early, whole = (statistics.median(times) for times in zip(*laps, strict=True))
        ratio = statistics.median(b / a for a, b in laps)
        print(f"| {rows} | {early:.2f} | {whole:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
