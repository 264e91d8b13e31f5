"""Aliases of the arrays that kernels pass to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""float64 of any shape; each docstring says which."""

Ints = NDArray[np.int64]
"""int64 of any shape: days, positions, counts."""

Bools = NDArray[np.bool_]
"""bool of any shape."""
