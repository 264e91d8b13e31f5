"""Pixels cut into chunks, against the same pixels in one array."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.stores import tiled

FILL = -1
sides = st.integers(1, 20)


@given(count=st.integers(1, 4), height=sides, width=sides, side_y=sides, side_x=sides, step=st.integers(1, 9))
def test_tiles_hold_what_one_array_holds(
    count: int, height: int, width: int, side_y: int, side_x: int, step: int
) -> None:
    values = np.arange(count * height * width, dtype=np.int16).reshape(count, height, width)
    tiles = tiled(values, (4, side_y, side_x), FILL)
    for t in range(count):
        np.testing.assert_array_equal(tiles.plane(t), values[t])
    np.testing.assert_array_equal(tiles.sample(step), values[:, ::step, ::step])
    out = np.zeros_like(values)
    tiles.stack(out)
    np.testing.assert_array_equal(out, values)
    # Beside the pixels there is nothing but fill.
    assert (tiles.values != FILL).sum() == values.size
    tiles.clear(0)
    assert (tiles.plane(0) == FILL).all()
    assert (tiles.values != FILL).sum() == values[1:].size


def test_a_chunk_is_the_array_that_a_cube_keeps() -> None:
    values = np.random.default_rng(0).integers(0, 9, (3, 100, 70), np.int16)
    tiles = tiled(values, (3, 32, 16), FILL)
    np.testing.assert_array_equal(tiles.values[1, 2], values[:, 32:64, 32:48])
    assert tiles.values[1, 2].flags.c_contiguous
