"""pyxccd (C): COLD and S-CCD, one call a pixel, six bands x 10000 as integers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors.series import EPOCH_ORDINAL, Contender, Found, Series, nothing

Ints = NDArray[np.int64]

SINCE_1982 = 723742
"""Ordinal day from which S-CCD counts the start of the model that it still monitors."""
CERTAIN = 100
"""COLD's change probability, percent, of a break that is confirmed."""


class Pixel(NamedTuple):
    """The clear observations of one pixel: ordinal days, (band, observation) reflectance, codes (0 = clear)."""

    ordinals: Ints
    bands: Ints
    thermal: Ints
    qa: Ints


def prepare(series: Series) -> list[Pixel]:
    """Drop what is not clear, for which both would only spend time, and scale to int64, which spares them a cast."""
    assert series.bands is not None
    ordinals = series.days + EPOCH_ORDINAL
    scaled = np.round(np.nan_to_num(series.bands) * 10000).astype(np.int64)
    clear = np.isfinite(series.bands).all(axis=0)
    pixels = []
    for p in range(clear.shape[1]):
        keep = clear[:, p]
        zero = np.zeros(int(keep.sum()), np.int64)
        pixels.append(Pixel(ordinals[keep], np.ascontiguousarray(scaled[:, keep, p]), zero, zero))
    return pixels


def cold(pixels: list[Pixel]) -> Found:
    """COLD. Defaults: 0.99, 6 in a row, lambda 20.

    The onset is the first confirmed break, the halt the start of the segment after the last.
    """
    from pyxccd import cold_detect

    found = nothing(len(pixels))
    for p, pixel in enumerate(pixels):
        segments = cold_detect(pixel.ordinals, *pixel.bands, pixel.thermal, pixel.qa)
        broken = np.flatnonzero(segments["change_prob"] == CERTAIN) if len(segments) else np.zeros(0, np.int64)
        if broken.size:
            found.detected[p] = True
            found.onset[p] = segments["t_break"][broken[0]] - EPOCH_ORDINAL
            if broken[-1] + 1 < len(segments):
                found.halt[p] = segments["t_start"][broken[-1] + 1] - EPOCH_ORDINAL
    return found


def sccd(pixels: list[Pixel]) -> Found:
    """S-CCD. Defaults: 0.99, 6 in a row, lambda 20; read as COLD is, the open model giving the halt."""
    from pyxccd import sccd_detect

    found = nothing(len(pixels))
    for p, pixel in enumerate(pixels):
        result = sccd_detect(pixel.ordinals, *pixel.bands, pixel.qa)
        breaks = np.asarray(result.rec_cg["t_break"]) if len(result.rec_cg) else np.zeros(0, np.int64)
        if breaks.size:
            found.detected[p] = True
            found.onset[p] = breaks[0] - EPOCH_ORDINAL
            model = np.atleast_1d(result.nrt_model)  # one record, with or without an axis; empty while it waits
            if model.size:
                start = int(model["t_start_since1982"][0]) + SINCE_1982
                if start > breaks[-1]:
                    found.halt[p] = start - EPOCH_ORDINAL
    return found


CONTENDERS = (
    Contender("pyxccd COLD", "pyxccd", "6 bands", prepare, cold, 512, 10**9, bytes_read=24),
    Contender("pyxccd S-CCD", "pyxccd", "6 bands", prepare, sccd, 512, 10**9, bytes_read=24),
)
