"""What a file's digital numbers become in a cube: reflectance x 10000, or a mask's classes as they are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from groundbreak.pipeline.core.types import REFLECTANCE_SCALE
from groundbreak.pipeline.stores.tiles import Pixels


@lru_cache(maxsize=64)
def lookup_table(
    dtype: str,
    file_nodata: float | None,
    item_nodata: float | None,
    scale: float,
    offset: float,
    fill: int,
    out: str,
) -> Pixels:
    """Return what every number of a type becomes in the cube.

    Parameters
    ----------
    dtype : str
        NumPy's type of the numbers, of one or two bytes.
    file_nodata, item_nodata : float or None
        The numbers that mean no observation, by the file's header and by the item.
    scale, offset : float
        reflectance = scale * number + offset
    fill : int
        What a number that means no observation becomes.
    out : str
        NumPy's type of the cube: int16 for reflectance; uint8 or uint16 for a mask, whose numbers stay as they are.

    Returns
    -------
    (256,) or (65536,) of the type ``out``; read-only, since callers share it. Negative numbers stand where their bits,
    read as an unsigned number, say.
    """
    kind = np.dtype(dtype).newbyteorder("=")
    values = np.arange(256**kind.itemsize, dtype=f"u{kind.itemsize}").view(kind).astype(np.float32)
    table = harmonise(values, scale, offset) if out == "int16" else mask_values(values, fill, out)
    for nodata in (file_nodata, item_nodata):
        if nodata is not None:
            table[values == nodata] = fill
    table.flags.writeable = False
    return table


def mask_values(numbers: NDArray[np.float32], fill: int, out: str) -> Pixels:
    """Return the numbers of a mask in the type that its cube has.

    Parameters
    ----------
    numbers : (...) float32
        Whole numbers without NaN.
    fill : int
        What a number beyond the type's range becomes: no rule names it, so it cannot be clear.
    out : str
        uint8 or uint16.
    """
    fits = (numbers >= 0) & (numbers <= np.iinfo(out).max)
    return np.where(fits, numbers, np.float32(fill)).astype(out)


def harmonise(numbers: NDArray[np.float32], scale: float, offset: float) -> NDArray[np.int16]:
    """Turn digital numbers into reflectance x 10000.

    Values beyond the range of int16 (reflectance above 3.2767: saturated snow and cloud) are clipped to it.

    Parameters
    ----------
    numbers : (...) float32
        Digital numbers without NaN.
    scale, offset : float
        reflectance = scale * number + offset

    Returns
    -------
    (...) int16, reflectance x 10000.
    """
    scaled = np.rint(numbers * np.float64(scale / REFLECTANCE_SCALE) + offset / REFLECTANCE_SCALE)
    return np.clip(scaled, -32767, 32767).astype(np.int16)
