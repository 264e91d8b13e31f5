"""Pixels in memory as a cube's chunks hold them: each chunk lies in one stretch, and is encoded as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.int16 | np.uint8 | np.uint16]
"""Pixels as a cube stores them: int16 reflectance x 10000, or the classes or bits of the mask, uint8 or uint16."""

LayerPixels = NDArray[np.int16 | np.uint8 | np.uint16]
"""Pixels as layers store them: the type of a layer is in `kernels.LAYERS`."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Pixels (time, y, x) of some observations, cut into chunks; along time there is one chunk."""

    values: Pixels
    """(row, column, time, y, x), contiguous: the chunk at each row and column of chunks."""
    count: int
    """Observations; the chunk holds fill behind them."""
    height: int
    """Rows of an observation; chunks hold fill below them."""
    width: int
    """Columns of an observation; chunks hold fill beside them."""
    fill: int
    """The value of a pixel that is missing."""

    @staticmethod
    def shape(chunks: tuple[int, ...], height: int, width: int) -> tuple[int, ...]:
        """Return the shape of ``values`` for (height, width) pixels, in chunks of (time, y, x)."""
        return -(-height // chunks[1]), -(-width // chunks[2]), *chunks

    def clear(self, t: int) -> None:
        """Set all pixels of an observation to the fill."""
        self.values[:, :, t] = self.fill

    def plane(self, t: int) -> Pixels:
        """Return the pixels (height, width) of an observation: a view where one chunk holds them all, else a copy."""
        whole = self.values[:, :, t].swapaxes(1, 2)
        rows, side_y, cols, side_x = whole.shape
        return whole.reshape(rows * side_y, cols * side_x)[: self.height, : self.width]

    def write(self, t: int, plane: Pixels) -> None:
        """Write the pixels (height, width) of an observation."""
        for chunk, (rows, cols) in self._chunks():
            chunk[t, : rows.stop - rows.start, : cols.stop - cols.start] = plane[rows, cols]

    def stack(self, out: Pixels) -> None:
        """Copy the observations to ``out``, (time, height, width)."""
        for chunk, (rows, cols) in self._chunks():
            out[:, rows, cols] = chunk[: self.count, : rows.stop - rows.start, : cols.stop - cols.start]

    def sample(self, step: int) -> Pixels:
        """Return the observations (time, y, x) at every ``step``-th row and column."""
        (i, y), (j, x) = (
            np.divmod(np.arange(0, size, step), side)
            for size, side in zip((self.height, self.width), self.values.shape[3:], strict=True)
        )
        # Where a slice stands between index arrays, NumPy puts its axis last.
        return np.moveaxis(self.values[i[:, None], j, :, y[:, None], x], -1, 0)[: self.count]

    def _chunks(self) -> list[tuple[Pixels, tuple[slice, slice]]]:
        """Return every chunk, and the rows and columns of an observation that it holds."""
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
