"""Detection of a region: indices, strips, ownership, failure."""

from __future__ import annotations

import numpy as np
import pytest
from zarr.storage import MemoryStore

from groundbreak import kernels
from groundbreak.kernels import OUTSIDE, Quality, Status
from groundbreak.pipeline.compute.detection import DetectionSettings, detect_region, failed_region, from_cube
from groundbreak.pipeline.compute.index_series import CubeView, read_numbers
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Grid, Mask, Observation, Region, Slab
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.layout import lay_out_cube
from tests.stores import write_slab

SCL = Mask(band="scl", clear=(4, 5, 6, 7), snow=(11,), nodata=0)
FRAME = Frame(32638, 600_000, 4_400_000, 10, 32, 32)
GRID = Grid("t", FRAME, FRAME, {"blue": 10, "nir": 10, "red": 10, "swir16": 20, "scl": 20}, 32)
REGION = Region("t", 0, 0, FRAME, 1024, FRAME)


@pytest.fixture(scope="module")
def cube() -> tuple[MemoryStore, np.ndarray]:
    """Write a cube of 30 dates with a texture, cloud and nodata; return it and its times."""
    rng = np.random.default_rng(1)
    times = (np.datetime64("2022-01-01") + np.arange(30) * np.timedelta64(10, "D")).astype("datetime64[ms]")
    target = MemoryStore()
    lay_out_cube(target, GRID, SCL, 12, [Observation(str(t), t, ()) for t in times], {"cube": "x"})
    for start in range(0, 30, 12):
        slab = Slab(start // 12, start, min(start + 12, 30), 12)
        count = slab.stop - slab.start
        for band, side in GRID.bands.items():
            n = 32 if side == 10 else 16
            if band == "scl":
                values = rng.choice(np.array([0, 4, 5, 8, 9, 11], np.uint8), (count, n, n))
            else:
                values = rng.integers(-200, 9000, (count, n, n)).astype(np.int16)
                values[rng.random(values.shape) < 0.05] = REFLECTANCE_FILL
            write_slab(target, GRID, REGION, slab, band, values)
    return target, times


def test_indices_are_masked_and_coarse_bands_repeated(cube: tuple[MemoryStore, np.ndarray]) -> None:
    target, times = cube
    window = read_numbers(target, CubeView(GRID, SCL, ("ndvi", "swir"), times), slice(6, 20), slice(2, 30))
    days, values, snow = window.series(slice(0, 14), slice(0, 28))
    assert values.shape == (2, 30, 14, 28)
    scl = store.read_band(target, GRID, "scl", slice(0, 16), slice(0, 16))
    red = store.read_band(target, GRID, "red", slice(0, 32), slice(0, 32))
    nir = store.read_band(target, GRID, "nir", slice(0, 32), slice(0, 32))
    swir = store.read_band(target, GRID, "swir16", slice(0, 16), slice(0, 16))
    for t, row, col in [(0, 0, 0), (3, 5, 7), (29, 13, 27), (14, 8, 9)]:
        y, x = row + 6, col + 2
        clear = scl[t, y // 2, x // 2] in (4, 5, 6, 7)
        assert snow[t, row, col] == (scl[t, y // 2, x // 2] == 11)
        s, r, n = swir[t, y // 2, x // 2], int(red[t, y, x]), int(nir[t, y, x])
        expected = s * 1e-4 if clear and s != REFLECTANCE_FILL else np.nan
        np.testing.assert_allclose(values[1, t, row, col], expected, rtol=1e-5)
        good = clear and REFLECTANCE_FILL not in (r, n) and r + n != 0
        np.testing.assert_allclose(values[0, t, row, col], (n - r) / (n + r) if good else np.nan, rtol=1e-4)
    assert len(days) == 30


def test_strips_do_not_change_the_result_and_others_ground_is_left_alone(cube: tuple[MemoryStore, np.ndarray]) -> None:
    target, times = cube
    owned = np.zeros((32, 32), bool)
    owned[3:29, 5:20] = True
    read = from_cube(target, CubeView(GRID, SCL, ("ndvi", "swir"), times), REGION)
    settings_ = DetectionSettings("phases", None)
    whole = detect_region(read, owned, settings_, 32, False)
    strips = detect_region(read, owned, settings_, 8, False)
    for name, a, b in zip(kernels.LAYERS, whole, strips, strict=True):
        np.testing.assert_array_equal(a, b, name)
    assert (whole.status[~owned] == OUTSIDE).all()
    assert (whole.status[owned] != OUTSIDE).all()
    faulty = detect_region(read, owned, settings_, 32, True)
    assert (faulty.quality[owned] & Quality.FAULTS_IN_REGION).all()
    assert not (faulty.quality[~owned]).any()


def test_a_failed_region_says_so() -> None:
    owned = np.eye(4, dtype=bool)
    layers = failed_region(owned)
    assert (layers.status[owned] == Status.FAILED).all()
    assert (layers.status[~owned] == OUTSIDE).all()
    assert (layers.onset == kernels.NO_DATE).all()
