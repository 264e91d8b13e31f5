"""Stores laid out from documents of our own: what Zarr makes of them, and what it would have written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore, WrapperStore

from groundbreak.kernels import LAYERS
from groundbreak.pipeline.access.providers import SCL
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput, Grid, Observation
from groundbreak.pipeline.stores.layout import STORE_SCHEMA, lay_out_cube, lay_out_layers, layers_frame, read_meta

FRAME = Frame(32638, 500_000, 4_400_000, 10, 768, 640)
GRID = Grid("t", FRAME, FRAME, {"red": 10, "scl": 20}, 256)
STEP = np.timedelta64(1, "D")


def observations(count: int) -> list[Observation]:
    """Return one observation a day."""
    return [Observation(str(t), t, ()) for t in np.datetime64("2022-01-01", "ms") + np.arange(count) * STEP]


def lay_out(target: Store, count: int) -> None:
    """Lay out a cube of so many observations, in slabs of 24."""
    listed = observations(count)
    lay_out_cube(target, GRID, SCL, 24, listed, {"cube": "x", "observations": [o.id for o in listed]})


def documents(target: MemoryStore, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an array's metadata as Zarr reads them, and as Zarr writes them for an array of the same kind."""
    array = zarr.open_array(target, path=path, mode="r")
    metadata: Any = array.metadata  # of version 3, which names dimensions
    codec = {"int16": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2), "uint8": ZstdCodec(level=1)}
    theirs = zarr.create_array(
        MemoryStore(),
        shape=array.shape,
        chunks=array.chunks,
        shards=array.shards,
        dtype=array.dtype,
        fill_value=array.fill_value,
        compressors=codec[array.dtype.name] if array.shards else ZstdCodec(level=3) if "/" not in path else None,
        dimension_names=metadata.dimension_names,
        attributes=array.attrs.asdict(),
    )
    return array.metadata.to_dict(), theirs.metadata.to_dict()


def test_documents_are_those_that_zarr_writes() -> None:
    target = MemoryStore()
    lay_out(target, 30)
    for path in ("10m/red", "20m/scl", "10m/time", "20m/x", "10m/spatial_ref"):
        ours, theirs = documents(target, path)
        assert ours == theirs, path
    lay_out_layers(target, FRAME, 256, {"cube": "x"})
    for name in LAYERS:
        ours, theirs = documents(target, name)
        assert ours == theirs, name
    assert layers_frame(target) == FRAME
    assert not [key for key in target._store_dict if key.startswith("10m")]  # replaced


def test_coordinates_are_read_back() -> None:
    target = MemoryStore()
    lay_out(target, 5000)  # more than a chunk of times
    with xr.open_zarr(target, group="20m", consolidated=False) as cube:
        assert np.array_equal(cube.x, 500_000 + 20 * np.arange(320) + 10)
        assert np.array_equal(cube.y, 4_400_000 - 20 * np.arange(384) - 10)
        assert np.array_equal(cube.time, np.array([o.time for o in observations(5000)]))
        assert int(cube.spatial_ref) == 32638


def test_a_longer_list_extends_and_a_shorter_one_drops_slabs() -> None:
    target = MemoryStore()
    lay_out(target, 20)
    red = zarr.open_array(target, path="10m/red", mode="r+")
    red[:] = 7
    lay_out(target, 60)
    red = zarr.open_array(target, path="10m/red", mode="r+")
    assert red.shape == (60, 768, 640)
    assert (np.asarray(red[:20]) == 7).all()
    assert (np.asarray(red[20:]) == -32768).all()
    red[:] = 8
    lay_out(target, 24)
    assert not [key for key in target._store_dict if key.startswith(("10m/red/c/1", "10m/red/c/2"))]
    assert (np.asarray(zarr.open_array(target, path="10m/red", mode="r")[:]) == 8).all()
    assert len(read_meta(target)["observations"]) == 24


class _Order(WrapperStore[MemoryStore]):
    """Notes what is done, in order."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.done: list[str] = []

    async def set(self, key: str, value: Buffer) -> None:
        self.done.append(f"set {key}")
        await super().set(key, value)

    async def delete_dir(self, prefix: str) -> None:
        self.done.append(f"delete {prefix}")
        await super().delete_dir(prefix)


def test_the_root_comes_after_all_that_it_speaks_of_and_goes_first() -> None:
    target = _Order(MemoryStore())
    lay_out(target, 60)
    # The root says first whose store it is, and last that it is whole.
    assert (target.done[0], target.done[-1]) == ("set zarr.json", "set zarr.json")
    assert target.done.count("set zarr.json") == 2
    target.done.clear()
    lay_out(target, 20)
    root = target.done.index("set zarr.json")
    assert sorted(target.done[root + 1 :]) == [f"delete {b}/c/{n}" for b in ("10m/red", "20m/scl") for n in (1, 2)]
    assert all(step.startswith("set ") for step in target.done[:root])


def test_a_store_that_was_never_laid_out_whole_is_begun_anew() -> None:
    target = MemoryStore()
    lay_out(target, 20)
    zarr.open_array(target, path="10m/red", mode="r+")[:] = 7
    document = json.loads(target._store_dict["zarr.json"].to_bytes())
    document["attributes"]["groundbreak"] = {"schema": STORE_SCHEMA}
    target._store_dict["zarr.json"] = default_buffer_prototype().buffer.from_bytes(json.dumps(document).encode())
    assert "cube" not in read_meta(target)
    lay_out(target, 20)
    assert (np.asarray(zarr.open_array(target, path="10m/red", mode="r")[:]) == -32768).all()


def test_what_has_no_root_is_somebody_elses_and_stays() -> None:
    target = MemoryStore()
    lay_out(target, 20)
    del target._store_dict["zarr.json"]
    before = dict(target._store_dict)
    assert read_meta(target) == {}
    with pytest.raises(BadInput, match="groundbreak did not write"):
        lay_out(target, 20)
    assert target._store_dict == before


@pytest.mark.parametrize("key", ["10m/red/zarr.json", "20m/zarr.json", "10m/time/c/0"])
def test_damaged_documents_are_written_again_and_pixels_stay(key: str) -> None:
    target = MemoryStore()
    lay_out(target, 20)
    zarr.open_array(target, path="10m/red", mode="r+")[:] = 7
    before = {k: v.to_bytes() for k, v in target._store_dict.items()}
    target._store_dict[key] = default_buffer_prototype().buffer.from_bytes(b"{half")
    lay_out(target, 20)
    assert {k: v.to_bytes() for k, v in target._store_dict.items()} == before
