"""Coverage against counting pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.pipeline.compute.coverage import Coverage, unpack
from groundbreak.pipeline.compute.detection import from_memory
from groundbreak.pipeline.compute.index_series import CubeView
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Grid, Mask, Region

SCL = Mask(band="scl", clear=(4, 5), nodata=0)
FRAME = Frame(32638, 600_000, 4_400_000, 10, 26, 20)
GRID = Grid("t", FRAME, FRAME, {"nir": 10, "red": 10, "scl": 20}, 26)
REGION = Region("t", 0, 0, FRAME, 1, FRAME)
TIMES = (np.datetime64("2022-01-01") + np.arange(6) * np.timedelta64(10, "D")).astype("datetime64[ms]")
VIEW = CubeView(GRID, SCL, ("ndvi",), TIMES)


def pixels(seed: int) -> dict[str, np.ndarray]:
    """Make six observations: whole, empty, and with more and more of each band missing."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for band, (height, width) in {"nir": (26, 20), "red": (26, 20), "scl": (13, 10)}.items():
        fill = 0 if band == "scl" else REFLECTANCE_FILL
        values = np.full((6, height, width), 5, np.uint8 if band == "scl" else np.int16)
        for t, share in enumerate((0.0, 1.0, 0.1, 0.3, 0.5, 0.8)):
            values[t][rng.random((height, width)) < share] = fill
        arrays[band] = values
    return arrays


def by_pixel(arrays: dict[str, np.ndarray], owned: np.ndarray) -> list[int]:
    """Count, for each observation, the owned pixels that its worst band holds."""
    found = []
    for t in range(6):
        counts = []
        for band, values in arrays.items():
            factor, fill = (2, 0) if band == "scl" else (1, REFLECTANCE_FILL)
            rows, cols = np.nonzero(owned)
            counts.append(sum(values[t, r // factor, c // factor] != fill for r, c in zip(rows, cols, strict=True)))
        found.append(int(min(counts)))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rows", [26, 6])
def test_every_owned_pixel_is_counted_once(seed: int, rows: int) -> None:
    arrays = pixels(seed)
    rng = np.random.default_rng(seed)
    owned = np.ones((26, 20), bool) if seed == 0 else rng.random((26, 20)) < 0.4
    read = Coverage(from_memory(arrays, VIEW, REGION), owned)
    for top in range(0, 26, rows):
        read(slice(top, min(top + rows, 26)))
    expected = by_pixel(arrays, owned)
    assert read.delivered().tolist() == expected
    delivered, lost = unpack(read.pack([4]))
    np.testing.assert_allclose(delivered, np.array(expected) / owned.sum(), atol=1 / 255)
    assert (delivered[0], delivered[1]) == (1, 0)
    np.testing.assert_allclose(lost, [0, 0, 0, 0, 1 - expected[4] / owned.sum(), 0], atol=1 / 255)


def test_a_single_pixel_is_neither_none_nor_all() -> None:
    arrays = pixels(0)
    for values in arrays.values():
        values[:] = 5
    arrays["red"][2, 3, 4] = REFLECTANCE_FILL
    arrays["red"][3] = REFLECTANCE_FILL
    arrays["red"][3, 3, 4] = 5
    read = Coverage(from_memory(arrays, VIEW, REGION), np.ones((26, 20), bool))
    read(slice(0, 26))
    delivered, lost = unpack(read.pack([2]))
    assert 0 < delivered[3] < delivered[2] < 1 == delivered[0]
    assert 0 < lost[2] < 0.02


def test_a_region_that_had_failed_before_has_none() -> None:
    assert Coverage(from_memory(pixels(0), VIEW, REGION), np.ones((26, 20), bool)).pack([1]) == b""
