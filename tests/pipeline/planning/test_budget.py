"""Strips of rows: no chunk is decoded twice where its row fits the budget."""

from __future__ import annotations

import pytest

from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Grid
from groundbreak.pipeline.planning.budget import DETECT_BUDGET, STRIP_BYTES, strip_rows
from groundbreak.pipeline.stores.shards import chunk_step

FRAME = Frame(32638, 500_000, 4_400_000, 10, 10_980, 10_980)
FINE, COARSE = ("blue", "nir", "red"), ("swir16", "scl")
GRID = Grid("t", FRAME, FRAME, dict.fromkeys(FINE, 10) | dict.fromkeys(COARSE, 20), 1024)
INDICES = ("ndvi", "bsi", "swir")


@pytest.mark.parametrize("count", [1, 12, 70, 76, 120, 365, 2000])
@pytest.mark.parametrize("width", [128, 1024])
def test_strips_are_whole_rows_of_chunks_or_as_many_as_fit(count: int, width: int) -> None:
    rows = strip_rows(GRID, FRAME.window(0, 0, 1024, width), count, INDICES)
    step, size = chunk_step(GRID), width * count * (3 * 2 + (2 + 1) / 4)
    assert step == 256
    assert rows % 2 == 0
    assert rows * size <= DETECT_BUDGET
    if step * size <= DETECT_BUDGET:
        assert rows % step == 0
        assert rows == step or rows * size <= STRIP_BYTES
        assert (rows + step) * size > STRIP_BYTES
    else:
        assert 2 * rows * size > DETECT_BUDGET
