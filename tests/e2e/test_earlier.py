"""An output of the version before stays usable: it is detected on again, and grows, without reading a source again.

`earlier/schema-1.zip` holds the output that version 0.1.0, before lattices were fixed by the first plan, left of the
source that `source` writes here.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core.config import Config
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, lonlat_box, works, write_source

WEST = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
EAST = Tile("38TQK", 32638, 600_300, 4_400_000, 64)
DATES = days("2021-01-03", 76, 15)
SITE = 600_350, 4_399_700, 100, 80
BOX = lonlat_box(32638, 600_200, 4_399_600, 600_700, 4_399_900)
KEPT = Path(__file__).parent / "earlier" / "schema-1.zip"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    with zipfile.ZipFile(KEPT) as kept:
        kept.extractall(tmp_path / "out")
    return tmp_path / "out"


def source(folder: Path, count: int) -> None:
    write_source(folder / "source", [WEST, EAST], DATES[:count], works(DATES, SITE, "2022-01-13", "2022-05-28"))


def config(folder: Path, end: str = "2022-12-31") -> Config:
    return configure(folder, BOX, f"2021-01-01/{end}")


def cubes(output: Path) -> dict[str, str]:
    """Return the pixels of all cubes: key -> digest of the object."""
    found = zarr_bytes(output).items()
    return {key: value for key, value in found if "cube.zarr" in key and key.partition("/c/")[2].count("/") == 2}


def test_it_is_detected_on_again_without_a_source(output: Path, client: Client) -> None:
    before, sites = cubes(output), pq.read_table(output / "sites.parquet").to_pylist()
    result = api.redetect(config(output.parent), client)
    assert not result.outcome.failed
    assert cubes(output) == before
    after = pq.read_table(output / "sites.parquet").to_pylist()
    assert [(s["onset"], s["halt"]) for s in after] == [(s["onset"], s["halt"]) for s in sites]


def test_a_run_builds_nothing_again(output: Path, client: Client) -> None:
    source(output.parent, 52)
    before = cubes(output)
    result = api.run(config(output.parent), client)
    assert not result.outcome.failed
    assert not result.faults
    assert result.outcome.skipped >= 10
    assert result.outcome.done <= 2
    assert cubes(output) == before


def test_it_grows_by_later_dates(output: Path, client: Client, tmp_path: Path) -> None:
    source(output.parent, 76)
    before = cubes(output)
    result = api.run(config(output.parent, "2024-12-31"), client)
    assert not result.outcome.failed
    assert not result.faults
    after = cubes(output)
    # Four slabs were full; the fifth held four of twelve observations and is replaced as it grows.
    full = {key: value for key, value in before.items() if int(key.split("/c/")[1].split("/")[0]) < 4}
    assert len(full) == len(before) * 4 // 5
    assert full.items() <= after.items()
    # All is as if it had been built at once.
    fresh = tmp_path / "fresh"
    shutil.copytree(tmp_path / "source", fresh / "source")
    api.run(config(fresh, "2024-12-31"), client)
    assert cubes(fresh / "out") == after
