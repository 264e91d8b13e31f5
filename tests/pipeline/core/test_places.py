"""Names of tasks say what they are of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groundbreak.pipeline.core import places

GRIDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)


@given(GRIDS, st.integers(0, 999), st.integers(0, 999), st.integers(0, 9999))
def test_a_task_names_its_region_and_its_slab(grid: str, row: int, col: int, slab: int) -> None:
    region = f"{grid}/r{row:03d}c{col:03d}"
    build, detect = places.build_task(region, slab), places.detect_task(region)
    assert places.region_of(build) == places.region_of(detect) == region
    assert places.slab_of(build) == slab
    assert build.startswith(f"{places.BUILD}/{grid}/")
    assert detect.startswith(f"{places.DETECT}/{grid}/")
    assert places.record(build) != places.record(detect)
