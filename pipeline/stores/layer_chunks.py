"""The chunks of layers, read and written one by one: Zarr's own way costs ten times what a chunk itself does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import obstore
from numcodecs.zstd import Zstd

from groundbreak.kernels import LAYERS
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.summing import SummingStore
from groundbreak.pipeline.stores.layout import LAYER_LEVEL, layers_frame
from groundbreak.pipeline.stores.tiles import LayerPixels

ZSTD = Zstd(LAYER_LEVEL)
REQUESTS = 8
"""Chunks of a window that are fetched at once."""


class LayerChunks:
    """The layers of a grid or a zone.

    Parameters
    ----------
    output : Output
    place : str
        Key of the store's root.
    """

    def __init__(self, output: Output, place: str) -> None:
        self._zarr, self._place = output.zarr(place), place
        self.frame = layers_frame(self._zarr)
        """Where the pixels lie."""
        document: dict[str, Any] = json.loads(self._get("status/zarr.json") or b"{}")
        self.side = int(document["chunk_grid"]["configuration"]["chunk_shape"][0])
        """Side of a chunk, pixels."""

    def read(self, name: str, rows: slice, cols: slice) -> LayerPixels:
        """Read a layer of a window, (y, x) as stored; the window is cut where the frame ends.

        Raises
        ------
        ValueError
            A chunk is damaged.
        """
        layer, side = LAYERS[name], self.side
        top, left = rows.start, cols.start
        bottom, right = min(rows.stop, self.frame.height), min(cols.stop, self.frame.width)
        out = np.full((max(bottom - top, 0), max(right - left, 0)), layer.fill, layer.dtype)
        places = list(product(range(top // side, -(-bottom // side)), range(left // side, -(-right // side))))
        for (row, col), chunk in zip(places, self._chunks(name, places), strict=True):
            if chunk is None:
                continue
            y, x = row * side, col * side
            first, last = max(y, top), min(y + side, bottom)
            begin, end = max(x, left), min(x + side, right)
            out[first - top : last - top, begin - left : end - left] = chunk[first - y : last - y, begin - x : end - x]
        return out

    def _chunks(self, name: str, places: Sequence[tuple[int, int]]) -> list[LayerPixels | None]:
        """Fetch and decode chunks of a layer, (side, side) each; None where nothing was written."""
        fetch = map if len(places) == 1 else _threads().map
        return list(fetch(lambda place: self._chunk(name, *place), places))

    def encoded(self, name: str, row: int, col: int) -> bytes | None:
        """Return a chunk as it is stored, after a look whether it can be decoded; None where nothing was written.

        Raises
        ------
        ValueError
            The chunk is damaged.
        """
        found = self._fetch(name, row, col)
        return None if found is None else found[0]

    def _chunk(self, name: str, row: int, col: int) -> LayerPixels | None:
        found = self._fetch(name, row, col)
        return None if found is None else found[1]

    def _fetch(self, name: str, row: int, col: int) -> tuple[bytes, LayerPixels] | None:
        """Get a chunk as it is stored, and decoded."""
        key = _key(name, row, col)
        if (data := self._get(key)) is None:
            return None
        try:
            numbers = np.frombuffer(ZSTD.decode(data), LAYERS[name].dtype)
            return data, numbers.reshape(self.side, self.side)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{self._place}/{key} is damaged: it cannot be decoded ({error})") from None

    def _get(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._zarr.store, key).bytes())
        except FileNotFoundError:
            return None


def _key(name: str, row: int, col: int) -> str:
    return f"{name}/c/{row}/{col}"


def write_encoded(store: SummingStore, name: str, place: tuple[int, int], data: bytes | None) -> None:
    """Write a chunk of a layer that is encoded; None where it holds nothing, and has no object."""
    store.put(_key(name, *place), None if data is None else memoryview(data))


def write_chunk(store: SummingStore, name: str, place: tuple[int, int], side: int, values: LayerPixels) -> None:
    """Write a chunk of a layer, as Zarr would: one that holds nothing has no object.

    Parameters
    ----------
    store : SummingStore
        The root of the layers, which are laid out.
    name : str
        The layer.
    place : (int, int)
        Row and column of the chunk.
    side : int
        Side of a chunk, pixels.
    values : (y, x)
        Its pixels; fewer than ``side`` where the frame ends.
    """
    layer = LAYERS[name]
    chunk = np.full((side, side), layer.fill, layer.dtype)
    chunk[: values.shape[0], : values.shape[1]] = values
    write_encoded(store, name, place, ZSTD.encode(chunk) if (chunk != layer.fill).any() else None)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(REQUESTS, thread_name_prefix="layers")
