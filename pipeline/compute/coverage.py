"""Coverage: the share of a region's owned pixels that each observation really delivered, and what failed reads took.

A pixel that is missing has one of two reasons: its file says that there is none (nodata, or ground beside the swath),
or a read has failed, which is a fault. Both are kept for every region and date, in two bytes. Of an observation in
which a read has failed, all that is missing counts as taken by it: rather too much is called lost than too little.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.compute.detection import ReadRows
from groundbreak.pipeline.compute.index_series import DigitalNumbers
from groundbreak.pipeline.core.types import REFLECTANCE_FILL

WHOLE = 255
"""The byte of a share of one; 0 is none, and what lies between is never rounded to either."""


class Coverage:
    """Reads rows for detection, and counts what each observation holds of them.

    Parameters
    ----------
    read : callable
        Gives the digital numbers of some rows of a region's window.
    owned : (height, width) bool
        The window's pixels that the region owns.
    """

    def __init__(self, read: ReadRows, owned: NDArray[np.bool_]) -> None:
        self._read, self._owned = read, owned
        self._counts: dict[str, NDArray[np.int64]] = {}
        self.read_s = 0.0
        """Seconds that reading took."""

    def __call__(self, rows: slice) -> DigitalNumbers:
        """Read rows, count, and return them."""
        began = perf_counter()
        numbers = self._read(rows)
        self.read_s += perf_counter() - began
        mask = numbers.view.mask
        for band, values in numbers.bands.items():
            weights = _weights(self._owned[rows], numbers.factors[band], numbers.lead[band], values.shape[1:])
            fill = mask.nodata if band == mask.band else REFLECTANCE_FILL
            counted = np.array([_weigh(plane != fill, weights) for plane in values], np.int64)
            self._counts[band] = self._counts.get(band, 0) + counted
        return numbers

    def delivered(self) -> NDArray[np.int64]:
        """Return (time,) owned pixels that each observation holds in its worst band; empty where nothing was read."""
        return np.stack(list(self._counts.values())).min(axis=0) if self._counts else np.empty(0, np.int64)

    def pack(self, faulty: Collection[int]) -> bytes:
        """Pack the coverage of the region; empty where nothing was read, since the region had failed before.

        Parameters
        ----------
        faulty : collection of int
            Positions of the observations of which a read has failed.

        Returns
        -------
        bytes, two for each observation: the share of the owned pixels that was delivered, and the share that failed
        reads took. The rest of an observation is ground for which its files hold no pixels.
        """
        delivered, owned = self.delivered(), int(self._owned.sum())
        lost = np.where(np.isin(np.arange(len(delivered)), list(faulty)), owned - delivered, 0)
        return np.column_stack([_byte(delivered, owned), _byte(lost, owned)]).tobytes()


def unpack(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares (time,) that were delivered, and that failed reads took, 0 to 1."""
    shares = np.frombuffer(data, np.uint8).reshape(-1, 2) / WHOLE
    return shares[:, 0], shares[:, 1]


def _byte(count: NDArray[np.int64], whole: int) -> NDArray[np.uint8]:
    """Return shares of a whole as bytes; only none is 0, and only all is `WHOLE`."""
    inner = np.clip(np.rint(count / max(whole, 1) * WHOLE), 1, WHOLE - 1)
    return np.where(count == 0, 0, np.where(count == whole, WHOLE, inner)).astype(np.uint8)


def _weights(
    owned: NDArray[np.bool_], factor: int, lead: tuple[int, int], shape: Sequence[int]
) -> list[tuple[int, NDArray[np.bool_] | None]]:
    """Tell how many owned pixels a band's own pixels hold: (how many, which own pixels); None for all of them."""
    if owned.all() and owned.size == factor**2 * shape[0] * shape[1]:
        return [(factor**2, None)]
    whole = np.zeros((shape[0] * factor, shape[1] * factor), np.uint8)
    whole[lead[0] : lead[0] + owned.shape[0], lead[1] : lead[1] + owned.shape[1]] = owned
    held = whole if factor == 1 else whole.reshape(shape[0], factor, shape[1], factor).sum(axis=(1, 3), dtype=np.int32)
    return [(int(n), held == n) for n in np.unique(held) if n]


def _weigh(there: NDArray[np.bool_], weights: Sequence[tuple[int, NDArray[np.bool_] | None]]) -> int:
    """Return the owned pixels that lie in the band's own pixels that are there."""
    return sum(n * int(np.count_nonzero(there if where is None else there & where)) for n, where in weights)
