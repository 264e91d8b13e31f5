"""Indices against closed forms, and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundbreak.kernels import DEFAULT_INDICES, INDICES, bands_of, compute_index
from groundbreak.kernels.indices import BANDS


def reflectance() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return {band: rng.uniform(0.01, 0.6, (4, 5)).astype(np.float32) for band in BANDS}


def test_closed_forms() -> None:
    b = reflectance()
    np.testing.assert_allclose(compute_index("ndvi", b), (b["nir"] - b["red"]) / (b["nir"] + b["red"]))
    up, down = b["swir16"] + b["red"], b["nir"] + b["blue"]
    np.testing.assert_allclose(compute_index("bsi", b), (up - down) / (up + down), rtol=1e-6)
    np.testing.assert_array_equal(compute_index("swir", b), b["swir16"])
    np.testing.assert_array_equal(compute_index("rededge2", b), b["rededge2"])


@pytest.mark.parametrize("name", INDICES)
def test_every_index_keeps_shape_dtype_and_nan(name: str) -> None:
    b = reflectance()
    for band in INDICES[name].bands:
        b[band][0, 0] = np.nan
        b[band][1, 1] = 0.0
    out = compute_index(name, b)
    assert out.shape == (4, 5)
    assert out.dtype == np.float32
    assert np.isnan(out[0, 0])
    if name not in ("swir", "brightness"):
        assert np.isnan(out[1, 1])  # a zero denominator


def test_bands_of() -> None:
    assert bands_of(DEFAULT_INDICES) == ("blue", "red", "nir", "swir16")
    assert bands_of(["swir22", "ndvi"]) == ("red", "nir", "swir22")


def test_refusals() -> None:
    with pytest.raises(ValueError, match="use one of ndvi"):
        bands_of(["nvdi"])
    with pytest.raises(ValueError, match="red is not"):
        compute_index("ndvi", {"nir": np.zeros(3, np.float32)})
