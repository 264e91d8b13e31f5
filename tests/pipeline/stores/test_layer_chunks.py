"""Chunks of layers, read and written without Zarr, against Zarr: the same numbers, and the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from groundbreak.kernels import LAYERS
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.summing import SummingStore
from groundbreak.pipeline.stores.layer_chunks import LayerChunks, write_chunk
from groundbreak.pipeline.stores.layout import lay_out_layers
from tests.stores import zarr_bytes

FRAME = Frame(32638, 600_000, 4_400_000, 10, 150, 90)
SIDE = 32
WRITTEN = (0, 0), (1, 2), (4, 1), (4, 2)
"""Chunks that hold something."""


def made(folder: Path) -> tuple[Output, dict[str, np.ndarray]]:
    """Lay layers out, and write numbers into some of their chunks with Zarr."""
    output, rng = Output(str(folder)), np.random.default_rng(0)
    lay_out_layers(output.zarr("change.zarr"), FRAME, SIDE, {})
    root = zarr.open_group(output.zarr("change.zarr"), mode="r+")
    values = {}
    for name, layer in LAYERS.items():
        whole = np.full((FRAME.height, FRAME.width), layer.fill, layer.dtype)
        for row, col in WRITTEN:
            part = whole[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE]
            part[...] = np.where(rng.random(part.shape) < 0.7, rng.integers(0, 250, part.shape), layer.fill)
        root[name][...] = whole  # type: ignore[index]
        values[name] = whole
    return output, values


def test_windows_are_read_as_zarr_reads_them(tmp_path: Path) -> None:
    output, values = made(tmp_path)
    chunks, rng = LayerChunks(output, "change.zarr"), np.random.default_rng(1)
    assert (chunks.frame, chunks.side) == (FRAME, SIDE)
    for _ in range(100):
        top, left = int(rng.integers(0, 150)), int(rng.integers(0, 90))
        window = slice(top, top + int(rng.integers(0, 90))), slice(left, left + int(rng.integers(0, 60)))
        name = str(rng.choice(list(LAYERS)))
        found = chunks.read(name, *window)
        assert found.dtype == LAYERS[name].dtype
        np.testing.assert_array_equal(found, values[name][window])


def test_the_bytes_are_those_that_zarr_writes(tmp_path: Path) -> None:
    _, values = made(tmp_path / "zarr")
    output = Output(str(tmp_path / "ours"))
    lay_out_layers(output.zarr("change.zarr"), FRAME, SIDE, {})
    store = SummingStore(output, "change.zarr")
    for name, whole in values.items():
        for row in range(5):
            for col in range(3):
                part = whole[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE]
                write_chunk(store, name, (row, col), SIDE, part)
    assert zarr_bytes(tmp_path / "ours") == zarr_bytes(tmp_path / "zarr")
    assert store.checksums.keys() == {
        f"change.zarr/{n}/c/{r}/{c}" for n in LAYERS for r, c in ((0, 0), (1, 2), (4, 1), (4, 2))
    }


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"no chunk" + data, lambda _: b""])
def test_a_damaged_chunk_is_named(damage: object, tmp_path: Path) -> None:
    output, _ = made(tmp_path)
    path = tmp_path / "change.zarr/onset/c/1/2"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match="onset/c/1/2 is damaged"):
        LayerChunks(output, "change.zarr").read("onset", slice(0, 64), slice(0, 90))
