"""Names, codes, bits and types of the per-pixel result. The only table of layers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_DATE = -32768
"""Fill of every date layer and of ``magnitude``."""

OUTSIDE = 255
"""Fill of ``status`` (a pixel outside the area) and of ``confidence`` (nothing reported)."""


class Status(IntEnum):
    """What a pixel's series says; `OUTSIDE` marks a pixel that was never looked at."""

    STABLE = 0
    PROVISIONAL = 1
    ACTIVE = 2
    HALTED = 3
    RESUMED = 4
    TOO_FEW_OBSERVATIONS = 5
    FAILED = 6


class Quality(IntFlag):
    """Why a date is less certain than its interval says."""

    GAP_AT_ONSET = 1
    GAP_AT_HALT = 2
    SNOW_SEASON = 4
    RECORD_EDGE = 8
    WEAK_BASELINE = 16
    FAULTS_IN_REGION = 32


GAP_DAYS = 45.0
"""Clear observations farther apart than this around a date set its gap bit."""

EDGE_DAYS = 120.0
"""A date this near to either end of the record sets record_edge."""

WEAK_DAYS = 330.0
"""Normal ground known for less than this sets weak_baseline: it has not seen all seasons."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer of the result."""

    name: str
    """Name of the layer, in stores and in `Layers`."""
    dtype: str
    """NumPy dtype."""
    fill: int
    """Value of pixels that have none."""
    meaning: str
    """What it means, in a line."""
    units: str | None = None
    """CF units of a layer of days; a reader decodes them as dates."""
    scale: float | None = None
    """What a stored number is multiplied by, where it stands for a fraction."""
    flags: type[IntEnum | IntFlag] | None = None
    """Its codes, or its bits; a reader keeps such a layer as whole numbers, so no fill is declared to it."""


_DAYS = "days since 1970-01-01"

LAYERS: dict[str, LayerSpec] = {
    spec.name: spec
    for spec in (
        LayerSpec(
            "status",
            "uint8",
            OUTSIDE,
            "0 stable, 1 provisional (onset not yet confirmed), 2 active, 3 halted, 4 resumed "
            "(active again after a halt), 5 too_few_observations, 6 failed, 255 outside",
            flags=Status,
        ),
        LayerSpec(
            "onset",
            "int16",
            NO_DATE,
            "first changed clear observation of the first change",
            _DAYS,
        ),
        LayerSpec(
            "onset_earliest",
            "int16",
            NO_DATE,
            "start of the 90 % interval of the onset: at most the day after the last clear normal observation",
            _DAYS,
        ),
        LayerSpec("onset_latest", "int16", NO_DATE, "end of the 90 % interval of the onset", _DAYS),
        LayerSpec(
            "halt",
            "int16",
            NO_DATE,
            "last observation still changing, of the last activity",
            _DAYS,
        ),
        LayerSpec("halt_earliest", "int16", NO_DATE, "start of the 90 % interval of the halt", _DAYS),
        LayerSpec(
            "halt_latest",
            "int16",
            NO_DATE,
            "end of the 90 % interval of the halt: at least the next clear observation",
            _DAYS,
        ),
        LayerSpec(
            "last_observation",
            "int16",
            NO_DATE,
            "last clear observation used; a halt close to it is not called",
            _DAYS,
        ),
        LayerSpec(
            "confidence",
            "uint8",
            OUTSIDE,
            "of pixels reported at c, c % truly changed with onset within 30 d",
        ),
        LayerSpec(
            "magnitude",
            "int16",
            NO_DATE,
            "settled (or latest) level minus baseline, first index, x 10000",
            scale=1e-4,
        ),
        LayerSpec("n_valid", "uint16", 0, "clear observations"),
        LayerSpec("n_evidence", "uint16", 0, "clear observations that support the change"),
        LayerSpec("n_changes", "uint8", 0, "separate activities"),
        LayerSpec(
            "quality",
            "uint8",
            0,
            "bits: 1 gap_at_onset, 2 gap_at_halt, 4 snow_season, 8 record_edge, 16 weak_baseline, 32 faults_in_region",
            flags=Quality,
        ),
    )
}


class Layers(NamedTuple):
    """The result of a detection: one array a layer, of one shape, in the order of ``LAYERS``."""

    status: NDArray[np.uint8]
    onset: NDArray[np.int16]
    onset_earliest: NDArray[np.int16]
    onset_latest: NDArray[np.int16]
    halt: NDArray[np.int16]
    halt_earliest: NDArray[np.int16]
    halt_latest: NDArray[np.int16]
    last_observation: NDArray[np.int16]
    confidence: NDArray[np.uint8]
    magnitude: NDArray[np.int16]
    n_valid: NDArray[np.uint16]
    n_evidence: NDArray[np.uint16]
    n_changes: NDArray[np.uint8]
    quality: NDArray[np.uint8]


def empty_layers(shape: tuple[int, ...]) -> Layers:
    """Make layers of ``shape`` that hold their fills: what a pixel outside the area looks like."""
    arrays: list[Any] = [np.full(shape, spec.fill, spec.dtype) for spec in LAYERS.values()]
    return Layers(*arrays)
