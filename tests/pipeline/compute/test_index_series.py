"""Digital numbers to index series, block by block, against the whole window at once in plain NumPy, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.abc.store import Store
from zarr.storage import MemoryStore

from groundbreak import kernels
from groundbreak.kernels import Layers
from groundbreak.pipeline.compute import index_series
from groundbreak.pipeline.compute.detection import DetectionSettings, detect_numbers, detect_region, from_cube
from groundbreak.pipeline.compute.index_series import CubeView, mask_tables, merge_days, read_numbers
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import REFLECTANCE_FILL, Grid, Mask, Observation, Region, Slab
from groundbreak.pipeline.stores import store
from groundbreak.pipeline.stores.layout import lay_out_cube
from tests.stores import write_slab

SCL = Mask(band="scl", clear=(4, 5, 6, 7), snow=(11,), nodata=0)
FMASK = Mask(band="fmask", bits=(1, 2, 3, 4), snow_bits=(4,), nodata=255)
FRAME = Frame(32638, 600_000, 4_400_000, 10, 32, 32)
SIDES = {"blue": 10, "nir": 10, "red": 10, "swir16": 20}
INDICES = ("ndvi", "swir", "bsi")
REGION = Region("t", 0, 0, FRAME, 1024, FRAME)


def make_cube(mask: Mask, mask_side: float, count: int = 30) -> tuple[Store, Grid, np.ndarray]:
    """Write a cube with a texture, cloud, snow and nodata; every seventh overpass is on the day of the one before."""
    rng = np.random.default_rng(1)
    day = np.arange(count) - np.arange(count) // 7
    times = np.datetime64("2022-01-01", "ms") + day * np.timedelta64(864_000_000, "ms")
    times += np.arange(count) * np.timedelta64(1, "ms")
    grid = Grid("t", FRAME, FRAME, {**SIDES, mask.band: mask_side}, 32)
    target = MemoryStore()
    lay_out_cube(target, grid, mask, 12, [Observation(str(t), t, ()) for t in times], {"cube": "x"})
    codes = np.array([0, 4, 5, 8, 9, 11] if mask.clear else [0, 0, 2, 16, 32, 64, 255], np.uint8)
    for start in range(0, count, 12):
        slab = Slab(start // 12, start, min(start + 12, count), 12)
        for band, side in grid.bands.items():
            n = round(320 / side)
            values = rng.integers(-200, 9000, (slab.stop - start, n, n)).astype(np.int16)
            values[rng.random(values.shape) < 0.05] = REFLECTANCE_FILL
            if band == mask.band:
                values = rng.choice(codes, values.shape)
            write_slab(target, grid, REGION, slab, band, values)
    return target, grid, times


def plainly(
    target: Store, grid: Grid, mask: Mask, indices: Sequence[str], times: np.ndarray, rows: slice, cols: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the series must be: every band of the whole cube made fine, masked, and cut to the window."""

    def fine(band: str) -> np.ndarray:
        factor = round(grid.bands[band] / 10)
        whole = store.read_band(target, grid, band, slice(0, 32 // factor), slice(0, 32 // factor))
        return whole.repeat(factor, axis=1).repeat(factor, axis=2)[:, rows, cols]

    code = fine(mask.band)
    if mask.bits:
        clear = (code != mask.nodata) & ~np.any([code >> b & 1 == 1 for b in mask.bits], axis=0)
        snow = (code != mask.nodata) & np.any([code >> b & 1 == 1 for b in mask.snow_bits], axis=0)
    else:
        clear, snow = np.isin(code, mask.clear), np.isin(code, mask.snow)
    bands = {}
    for name in kernels.bands_of(indices):
        raw = fine(name)
        bands[name] = raw.astype(np.float32) * np.float32(1e-4)
        bands[name][~clear | (raw == REFLECTANCE_FILL)] = np.nan
    return merge_days(times, np.stack([kernels.compute_index(name, bands) for name in indices]), snow)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50))
def test_classes_and_bits_against_plain_loops(values: list[int]) -> None:
    mask = np.array(values, np.uint8)
    clear, snow = mask_tables(SCL)
    assert clear[mask].tolist() == [v in (4, 5, 6, 7) for v in values]
    assert snow[mask].tolist() == [v == 11 for v in values]
    clear, snow = mask_tables(FMASK)
    assert clear[mask].tolist() == [v != 255 and not v & 0b11110 for v in values]
    assert snow[mask].tolist() == [v != 255 and bool(v & 0b10000) for v in values]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=14), st.integers(0, 2**32 - 1))
def test_overpasses_of_a_day_are_averaged(offsets: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.datetime64("2024-01-01") + np.sort(np.array(offsets)).astype("timedelta64[D]")
    times = times.astype("datetime64[ms]") + np.arange(len(times)).astype("timedelta64[ms]")
    values = rng.normal(size=(2, len(times), 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    snow = rng.random((len(times), 3)) < 0.3
    days, merged, snowy = merge_days(times, values, snow)
    assert (np.diff(days) > np.timedelta64(0, "D")).all()
    for d, day in enumerate(days):
        same = times.astype("datetime64[D]") == day
        for i in range(2):
            for p in range(3):
                clear = [v for v in values[i, same, p] if not np.isnan(v)]
                expected = np.mean(clear) if clear else np.nan
                np.testing.assert_allclose(merged[i, d, p], expected, rtol=1e-5)
        np.testing.assert_array_equal(snowy[d], snow[same].any(axis=0))


@pytest.mark.parametrize(("mask", "side"), [(SCL, 20), (SCL, 10), (FMASK, 10), (FMASK, 20)])
@pytest.mark.parametrize(
    ("rows", "cols"), [(slice(0, 32), slice(0, 32)), (slice(5, 20), slice(3, 30)), (slice(31, 32), slice(0, 1))]
)
@pytest.mark.parametrize("size", [1, 40, 100, 2048])
def test_blocks_are_the_whole_window_bit_for_bit(mask: Mask, side: float, rows: slice, cols: slice, size: int) -> None:
    target, grid, times = make_cube(mask, side)
    days, values, snow = plainly(target, grid, mask, INDICES, times, rows, cols)
    window = read_numbers(target, CubeView(grid, mask, INDICES, times), rows, cols)
    seen = np.zeros(window.shape, int)
    for block in window.blocks(size):
        got = window.series(*block)
        np.testing.assert_array_equal(got[0], days)
        np.testing.assert_array_equal(got[1].view(np.int32), values[(..., *block)].view(np.int32))
        np.testing.assert_array_equal(got[2], snow[(..., *block)])
        seen[block] += 1
    assert (seen == 1).all()
    assert len(days) < len(times)
    assert np.isnan(values).any()
    assert snow.any()


@pytest.mark.parametrize("mask", [SCL, FMASK])
def test_layers_of_the_owned_pixels_are_those_of_the_whole_window(mask: Mask, monkeypatch: pytest.MonkeyPatch) -> None:
    target, grid, times = make_cube(mask, 20, 60)
    every = slice(0, 32)
    owned = np.random.default_rng(2).random((32, 32)) < 0.3
    owned[8:16] = True
    owned[20:24] = False
    days, values, snow = plainly(target, grid, mask, INDICES, times, every, every)
    expected = kernels.detect(values[:, :, owned], days, snow=snow[:, owned], screen=0)
    asked = DetectionSettings("phases", None, {"screen": 0})
    computed = 0
    detect = kernels.detect

    def counted(values: np.ndarray, *args: Any, **kwargs: Any) -> Layers:
        nonlocal computed
        computed += values[0, 0].size
        return detect(values, *args, **kwargs)

    monkeypatch.setattr(kernels, "detect", counted)
    monkeypatch.setattr(index_series.DigitalNumbers.blocks, "__defaults__", (100,))
    got = detect_region(from_cube(target, CubeView(grid, mask, INDICES, times), REGION), owned, asked, 12, False)
    assert computed == owned.sum()
    assert len(np.unique(expected.n_valid)) > 9
    for name, layer in got._asdict().items():
        np.testing.assert_array_equal(layer[owned], getattr(expected, name), name)
        assert (layer[~owned] == kernels.LAYERS[name].fill).all()


@pytest.mark.parametrize("count", [1, 3])
def test_few_observations_are_no_fault(count: int) -> None:
    target, grid, times = make_cube(SCL, 20, count)
    window = read_numbers(target, CubeView(grid, SCL, INDICES, times), slice(0, 32), slice(0, 32))
    out = kernels.empty_layers((32, 32))
    detect_numbers(window, np.ones((32, 32), bool), DetectionSettings("phases", None), out)
    assert (out.status == kernels.Status.TOO_FEW_OBSERVATIONS).all()
    assert out.n_valid.any()
