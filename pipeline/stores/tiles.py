"""Pixels as a cube's chunks hold them: each chunk in one piece, which is encoded as it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.int16 | np.uint8]
"""Pixels as a cube stores them: int16 reflectance x 10000, or the mask's uint8."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """(time, y, x) pixels, cut into chunks."""

    values: Pixels
    """(row, column, time, y, x), contiguous: the chunk at every row and column of chunks."""
    count: int
    """Observations; chunks are filled up behind them."""
    height: int
    width: int
    """Of an observation; chunks are filled up beside it."""
    fill: int

    @staticmethod
    def shape(chunks: tuple[int, ...], height: int, width: int) -> tuple[int, ...]:
        """Of the values of so many pixels, in chunks of (time, y, x)."""
        return -(-height // chunks[1]), -(-width // chunks[2]), *chunks

    def clear(self, t: int) -> None:
        """Fill an observation."""
        self.values[:, :, t] = self.fill

    def plane(self, t: int) -> Pixels:
        """(height, width) of an observation: a copy, or a view of what lies in one chunk."""
        whole = self.values[:, :, t].swapaxes(1, 2)
        rows, side_y, cols, side_x = whole.shape
        return whole.reshape(rows * side_y, cols * side_x)[: self.height, : self.width]

    def write(self, t: int, plane: Pixels) -> None:
        """Put an observation, (height, width)."""
        for part, (rows, cols) in self._parts():
            part[t, : rows.stop - rows.start, : cols.stop - cols.start] = plane[rows, cols]

    def stack(self, out: Pixels) -> None:
        """Copy to (time, height, width)."""
        for part, (rows, cols) in self._parts():
            out[:, rows, cols] = part[: self.count, : rows.stop - rows.start, : cols.stop - cols.start]

    def sample(self, step: int) -> Pixels:
        """(time, y, x) of every ``step``-th row and column."""
        (i, y), (j, x) = (
            np.divmod(np.arange(0, size, step), side)
            for size, side in zip((self.height, self.width), self.values.shape[3:], strict=True)
        )
        # Indices on both sides of a slice: its axis comes last.
        return np.moveaxis(self.values[i[:, None], j, :, y[:, None], x], -1, 0)[: self.count]

    def _parts(self) -> list[tuple[Pixels, tuple[slice, slice]]]:
        """Every chunk, and the rows and columns that it holds."""
        rows, cols, _, side_y, side_x = self.values.shape
        return [
            (
                self.values[i, j],
                (
                    slice(i * side_y, min((i + 1) * side_y, self.height)),
                    slice(j * side_x, min((j + 1) * side_x, self.width)),
                ),
            )
            for i in range(rows)
            for j in range(cols)
        ]
