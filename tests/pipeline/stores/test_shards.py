"""Shards that are encoded at once: what Zarr reads of them, and what Zarr itself would have written."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore, StorePath

from groundbreak.pipeline.access.providers import SCL
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Grid, Observation, Region, Slab
from groundbreak.pipeline.stores.layout import band_path, lay_out_cube
from groundbreak.pipeline.stores.shards import Encoder, shard_of
from groundbreak.pipeline.stores.store import encode_slab, read_band
from tests.stores import tiled, write_slab

FRAME = Frame(32638, 500_000, 4_400_000, 10, 768, 640)
GRID = Grid("t", FRAME, FRAME, {"red": 10, "swir16": 20, "scl": 20}, 512)


def region(row: int, col: int, height: int, width: int, window: tuple[int, int, int, int]) -> Region:
    """Return a region, and the part of it (row, column, height, width) that the cube holds."""
    frame = FRAME.window(row * 512, col * 512, height, width)
    return Region("t", row, col, frame, 1, frame.window(*window))


REGIONS = [
    region(0, 0, 512, 512, (256, 0, 256, 512)),
    region(0, 1, 512, 128, (0, 0, 512, 128)),
    region(1, 0, 256, 512, (0, 256, 256, 256)),
    region(1, 1, 256, 128, (0, 0, 256, 128)),
]


def cube(depth: int, count: int) -> MemoryStore:
    """Lay out an empty cube of ``count`` observations."""
    target = MemoryStore()
    times = np.datetime64("2022-01-01", "ms") + np.arange(count) * np.timedelta64(1, "D")
    lay_out_cube(target, GRID, SCL, depth, [Observation(str(t), t, ()) for t in times], {"cube": "x"})
    return target


async def put(target: MemoryStore, key: str, data: memoryview | None) -> None:
    """Write an object into a store, as a task does."""
    at = StorePath(target, key)
    await (at.delete() if data is None else at.set(default_buffer_prototype().buffer.from_bytes(bytes(data))))


@pytest.mark.parametrize(("depth", "count"), [(12, 29), (24, 26), (5, 7)])
def test_zarr_reads_what_it_would_have_written(depth: int, count: int) -> None:
    rng, encoder = np.random.default_rng(depth), Encoder()
    ours, theirs = cube(depth, count), cube(depth, count)
    for region in REGIONS:
        for index, start in enumerate(range(0, count, depth)):
            slab = Slab(index, start, min(start + depth, count), depth)
            for band, side in GRID.bands.items():
                frame = region.window.at(side)
                shape = slab.stop - start, frame.height, frame.width
                values = rng.integers(-300, 9000, shape).astype(np.int16)
                values[:, : frame.height // 2] = REFLECTANCE_FILL  # whole chunks of nothing
                if band == "scl":
                    values = rng.integers(0, 2, shape).astype(np.uint8)
                write_slab(theirs, GRID, region, slab, band, values)
                shard = shard_of(GRID, SCL, depth, band)
                split = np.split(values, range(shard.chunks[0], len(values), shard.chunks[0]))
                parts = [tiled(part, shard.chunks, shard.fill) for part in split]
                key, data = encode_slab(GRID, SCL, region, slab, band, parts, encoder)
                zarr.core.sync.sync(put(ours, key, data))
    for band in GRID.bands:
        path = band_path(GRID, band)
        whole = np.asarray(zarr.open_array(theirs, path=path, mode="r")[:])
        assert np.array_equal(zarr.open_array(ours, path=path, mode="r")[:], whole)
        for _ in range(8):  # windows of all sizes, within chunks, across shards
            rows, cols = (slice(*sorted(rng.integers(0, n + 1, 2).tolist())) for n in whole.shape[1:])
            for target in (ours, theirs):
                assert np.array_equal(read_band(target, GRID, band, rows, cols), whole[:, rows, cols])
    assert {k: len(v) for k, v in ours._store_dict.items()} == {k: len(v) for k, v in theirs._store_dict.items()}


def test_nothing_but_fill_is_no_object() -> None:
    shard = shard_of(GRID, SCL, 12, "red")
    empty = np.full(shard.shape, shard.fill, shard.dtype)
    assert Encoder().encode(shard, [tiled(empty, shard.chunks, shard.fill)]) is None
    empty[5, 100, 200] = 1
    data = Encoder().encode(shard, [tiled(empty, shard.chunks, shard.fill)])
    assert data is not None
    assert len(data) < 10_000  # one chunk of many, and the index


def test_an_object_that_decayed_is_named() -> None:
    target, region, key = cube(12, 12), REGIONS[1], "10m/red/c/0/0/1"
    values = np.random.default_rng(0).integers(0, 9000, (12, 512, 128)).astype(np.int16)
    parts = [tiled(values, (12, 128, 128), REFLECTANCE_FILL)]
    _, data = encode_slab(GRID, SCL, region, Slab(0, 0, 12, 12), "red", parts, Encoder())
    assert data is not None
    good = bytes(data)

    def read(kept: bytes) -> np.ndarray:
        zarr.core.sync.sync(put(target, key, memoryview(kept)))
        return read_band(target, GRID, "red", slice(0, 512), slice(512, 640))

    assert np.array_equal(read(good), values)
    for byte, why in ((-1, "index does not match"), (-20, "index does not match"), (0, "cannot be decoded")):
        bad = bytearray(good)
        bad[byte] ^= 0x55
        with pytest.raises(ValueError, match=f"{key} is damaged: .*{why}"):
            read(bytes(bad))
    with pytest.raises(ValueError, match="is damaged: it is shorter"):
        read(good[100_000:])
