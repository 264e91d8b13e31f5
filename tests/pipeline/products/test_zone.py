"""Gaps between changed pixels are closed as SciPy closes them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from groundbreak.pipeline.products.zone import closed_gaps


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9, 1.0])
def test_gaps_of_one_pixel_are_closed(share: float) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (2, 3), (40, 50), (37, 1)):
        changed = rng.random(shape) < share
        np.testing.assert_array_equal(closed_gaps(changed), ndimage.binary_closing(changed, np.ones((2, 2), bool)))
