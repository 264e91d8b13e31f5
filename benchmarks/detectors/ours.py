"""Our detectors and their parts, as the pipeline runs them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detectors.series import JOINT, Bools, Contender, Doubles, Found, Series, nothing
from groundbreak import kernels
from groundbreak.kernels.layers import NO_DATE, Layers, Quality, Status, empty_layers
from groundbreak.kernels.phases import model
from groundbreak.kernels.phases.detector import screen_pixels
from groundbreak.pipeline.compute.detection import DetectionSettings, detect_numbers
from groundbreak.pipeline.compute.index_series import CubeView, DigitalNumbers
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, REFLECTANCE_SCALE, Grid, Mask

REPORTED = (Status.PROVISIONAL, Status.ACTIVE, Status.HALTED, Status.RESUMED)
CONFIRMED = REPORTED[1:]

FRAME = Frame(32638, 0.0, 0.0, 10.0, 1, 1)
GRID = Grid("bench", FRAME, FRAME, {"red": 10.0, "nir": 10.0, "swir16": 20.0, "scl": 20.0}, 128)
"""Only its bands are asked for here."""
SCL = Mask(band="scl", clear=(4,), snow=(11,), nodata=0)
COARSE = {"red": 1, "nir": 1, "swir16": 2, "scl": 2}
"""Bands of `JOINT` and the mask, and how many 10 m pixels wide each one's are."""
ACROSS = 64
"""20 m pixels side by side in the window of digital numbers."""


def prefer(names: tuple[str, ...]) -> Callable[[Series], Series]:
    """Return a function that picks the indices ``names``, in the cube's own layout, which is what the kernels read."""
    return lambda series: series.pick(names)


def screen_alone(series: Series) -> Found:
    """Run the part of `phases` that sees every pixel: it gives no dates, only whether to look closer."""
    settings = model.Settings(**kernels.DETECTORS["phases"].defaults)
    n_pixel = series.indices.shape[2]
    flagged, _ = screen_pixels(series.indices, series.days, settings, empty_layers((n_pixel,)))
    found = nothing(n_pixel)
    found.detected[flagged] = True
    return found


def phases(series: Series) -> Found:
    """Run `phases` with its defaults; it is not told where the history ends."""
    return read(kernels.detect(series.indices, series.dates, snow=series.snow))


def phases_confirmed(series: Series) -> Found:
    """Run `phases`, and leave provisional onsets out."""
    return read(kernels.detect(series.indices, series.dates, snow=series.snow), CONFIRMED)


def monitoring(name: str) -> Callable[[Series], Found]:
    """Return a function that runs `cusum` or `mosum`, which are told where the history ends, as nrt is."""
    return lambda series: read(kernels.detect(series.indices, series.dates, name, history_end=series.history_end))


class Window(NamedTuple):
    """Digital numbers of a window, and which of its 10 m pixels hold the series' pixels."""

    numbers: DigitalNumbers
    owned: Bools
    n_pixel: int


def digital(series: Series) -> Window:
    """Return the bands as a cube holds them: int16 and classes, 10 m and 20 m; four 10 m pixels for every pixel."""
    assert series.bands is not None
    size = series.bands.shape[2]
    at = np.arange(-(-size // ACROSS) * ACROSS) % size
    here = dict(zip(("blue", "green", "red", "nir", "swir16", "swir22"), series.bands, strict=True))
    bands: dict[str, np.ndarray] = {}
    for name, factor in COARSE.items():
        if name == "scl":
            own = np.where(np.isfinite(here["red"]), np.uint8(4), np.uint8(8))
            own[np.zeros(own.shape, np.bool_) if series.snow is None else series.snow] = 11
        else:
            own = np.nan_to_num(here[name] / REFLECTANCE_SCALE, nan=REFLECTANCE_FILL).round().astype(np.int16)
        image = own[:, at].reshape(len(own), -1, ACROSS)
        side = 2 // factor
        bands[name] = np.ascontiguousarray(image.repeat(side, axis=1).repeat(side, axis=2))
    owned = (np.arange(at.size) < size).reshape(-1, ACROSS).repeat(2, axis=0).repeat(2, axis=1)
    times = series.dates.astype("datetime64[ms]")
    lead = dict.fromkeys(COARSE, (0, 0))
    return Window(DigitalNumbers(CubeView(GRID, SCL, JOINT, times), owned.shape, bands, COARSE, lead), owned, size)


def phases_from_numbers(window: Window) -> Found:
    """Run `phases` as a detection task does once its strip is read; return the first of each four 10 m pixels."""
    out = empty_layers(window.owned.shape)
    detect_numbers(window.numbers, window.owned, DetectionSettings("phases", None), out)
    some: list[Any] = [layer[::2, ::2].ravel()[: window.n_pixel] for layer in out]
    return read(Layers(*some))


def read(layers: Layers, reported: Collection[Status] = REPORTED) -> Found:
    """Turn layers into what the scores want; a halt counts where the last activity has ended."""
    detected = np.isin(layers.status, list(reported))
    halted = layers.status == Status.HALTED

    def dates(layer: np.ndarray, where: np.ndarray) -> Doubles:
        return np.where(where & (layer != NO_DATE), layer.astype(np.float64), np.nan)

    return Found(
        detected=detected,
        onset=dates(layers.onset, detected),
        halt=dates(layers.halt, halted),
        onset_low=dates(layers.onset_earliest, detected),
        onset_high=dates(layers.onset_latest, detected),
        halt_low=dates(layers.halt_earliest, halted),
        halt_high=dates(layers.halt_latest, halted),
        confidence=np.where(detected & (layers.confidence <= 100), layers.confidence.astype(np.float64), np.nan),
        gap=(layers.quality & (Quality.GAP_AT_ONSET | Quality.GAP_AT_HALT)) != 0,
    )


def _ours(name: str, indices: tuple[str, ...], run: Callable[[Any], Found], most: int, **others: Any) -> Contender:
    reads = f"{len(indices)} index" if len(indices) == 1 else f"{len(indices)} indices"
    settings: dict[str, Any] = {"bytes_read": 4 * len(indices), "ours": True, "indices": indices, **others}
    return Contender(
        name,
        "groundbreak",
        settings.pop("reads", reads),
        settings.pop("prepare", prefer(indices)),
        run,
        most,
        10**9,
        **settings,
    )


ONE, THREE = ("ndvi",), kernels.DEFAULT_INDICES

CONTENDERS = (
    _ours("screen", ONE, screen_alone, 32768),
    _ours("cusum", ONE, monitoring("cusum"), 32768),
    _ours("mosum", ONE, monitoring("mosum"), 32768),
    _ours("phases", JOINT, phases, 16384),
    _ours("phases, confirmed only", JOINT, phases_confirmed, 0, timed=False),
    _ours("phases, 3 indices", THREE, phases, 16384),
    # 10 m red and nir, 20 m swir16 and classes
    _ours(
        "phases from digital numbers",
        JOINT,
        phases_from_numbers,
        4096,
        reads="int16, SCL",
        prepare=digital,
        bytes_read=2 + 2 + 0.5 + 0.25,
        copies=4,
    ),
)
"""`phases` reads `JOINT` where nothing else is said, and tells provisional onsets with the rest."""
