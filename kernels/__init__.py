"""When ground began to change and when it stopped, from series of spectral indices.

NumPy and numba only. `detect` turns (index, time, ...pixels) into `Layers`;
`LAYERS` says what each layer means, `DETECTORS` and `INDICES` what there is.
"""

from groundbreak.kernels.detect import check, detect, warm_up
from groundbreak.kernels.indices import DEFAULT_INDICES, INDICES, Index, bands_of, compute_index
from groundbreak.kernels.layers import LAYERS, NO_DATE, OUTSIDE, Layers, LayerSpec, Quality, Status, empty_layers
from groundbreak.kernels.registry import DETECTORS, Detector

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
    "check",
    "compute_index",
    "detect",
    "empty_layers",
    "warm_up",
]
