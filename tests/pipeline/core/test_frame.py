"""Frames: which rasters lie on one lattice, and what they share, against coordinates worked out pixel by pixel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbreak.pipeline.core.frame import Frame

SIZES = st.sampled_from([0.5, 2.5, 9.87, 10.0, 10.0032, 17.12335, 30.0])


@given(SIZES, st.integers(-400, 400), st.integers(-400, 400), st.integers(1, 200), st.integers(1, 200))
def test_noise_does_not_make_another_lattice(size: float, row: int, col: int, height: int, width: int) -> None:
    own = Frame(32638, 600_000.3, 4_400_000.7, size, 150, 170)
    other = own.window(row, col, height, width)
    noisy = Frame(other.epsg, other.x0 + 1e-9, other.y0 - 1e-9, size * (1 + 1e-12), height, width)
    assert own.shift(noisy) == (row, col)
    met = own.overlap(noisy)
    assert met is not None
    rows = [r for r in range(height) if 0 <= row + r < own.height]
    cols = [c for c in range(width) if 0 <= col + c < own.width]
    assert list(range(height))[met.rows] == rows
    assert list(range(width))[met.cols] == cols
    assert list(range(own.height))[met.source_rows] == [row + r for r in rows]
    whole = own.union(noisy)
    assert own.shift(whole) == (min(row, 0), min(col, 0))
    assert whole.height == max(row + height, 150) - min(row, 0)


@pytest.mark.parametrize(
    "other",
    [
        Frame(32639, 600_000, 4_400_000, 10, 100, 100),
        Frame(32638, 600_005, 4_400_000, 10, 100, 100),
        Frame(32638, 600_000, 4_400_000.02, 10, 100, 100),
        Frame(32638, 600_000, 4_400_000, 20, 50, 50),
        Frame(32638, 600_000, 4_400_000, 10.0032, 100, 100),
        Frame(32638, 600_000, 4_400_000, 20, 1, 1),
    ],
)
def test_another_crs_size_or_phase_is_another_lattice(other: Frame) -> None:
    assert Frame(32638, 600_000, 4_400_000, 10, 100, 100).shift(other) is None


@given(SIZES, st.integers(1, 9), st.integers(1, 300), st.integers(1, 300))
def test_coarser_pixels_cover_the_same_ground(size: float, factor: int, height: int, width: int) -> None:
    coarse = Frame(32638, 0, 0, size, height, width).at(size * factor)
    assert (coarse.height, coarse.width) == (-(-height // factor), -(-width // factor))
