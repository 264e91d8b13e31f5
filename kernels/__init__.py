"""When ground began to change and when it stopped, from series of spectral indices.

NumPy and numba only. :func:`detect` turns (index, time, ...pixels) into :class:`Layers`;
:data:`LAYERS` says what each layer means, :data:`DETECTORS` and :data:`INDICES` what there is.
"""

from kernels.detect import detect, warm_up
from kernels.indices import DEFAULT_INDICES, INDICES, Index, bands_of, compute
from kernels.layers import (
    LAYERS,
    NO_DATE,
    OUTSIDE,
    Layers,
    LayerSpec,
    Quality,
    Status,
    empty_layers,
)
from kernels.registry import DETECTORS, Detector

__distribution__ = "groundbreak"

__all__ = [
    "DEFAULT_INDICES",
    "DETECTORS",
    "INDICES",
    "LAYERS",
    "NO_DATE",
    "OUTSIDE",
    "Detector",
    "Index",
    "LayerSpec",
    "Layers",
    "Quality",
    "Status",
    "bands_of",
    "compute",
    "detect",
    "empty_layers",
    "warm_up",
]
