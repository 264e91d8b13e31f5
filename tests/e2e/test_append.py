"""A year in four steps: the same as all at once, and what is finished is never written again."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr
from distributed import Client

from groundbreak.kernels import Status
from groundbreak.pipeline import api
from groundbreak.pipeline.api import Result
from groundbreak.pipeline.running.ledger import Ledger
from tests.stores import zarr_bytes
from tests.world import SIDES, Tile, configure, days, lonlat_box, works, write_source

WEST = Tile("38TPK", 32638, 600_000, 4_400_000, size=64)
EAST = Tile("38TQK", 32638, 600_400, 4_400_000, size=64)
BOX = lonlat_box(32638, 600_200, 4_399_500, 600_900, 4_399_800)
DATES = days("2021-01-03", 54, 14)
ONSET, HALT = "2022-01-20", "2022-06-15"
SITE = 600_520, 4_399_650, 160, 100
"""Centre x and y, half the width and half the height of the works, over the tiles' seam; metres."""
SLAB = 12
STEPS = (20, 28, 36, 44, 54)
"""Observations of a first run over the year before, and after each step: behind the full slabs a tail, one that grows
or fills, or none."""


def run(folder: Path, out: str, count: int, client: Client) -> Result:
    """Run up to the date of an observation."""
    span = f"{DATES[0]}/{DATES[count - 1]}"
    result = api.run(configure(folder, BOX, span, output={"path": out}, cube={"slab": SLAB}), client)
    assert not result.outcome.failed
    assert not result.faults
    return result


def finished(out: Path, count: int) -> dict[Path, tuple[bytes, int]]:
    """Return bytes and time of writing of every object of a full slab."""
    shards = [p for band in SIDES for p in out.glob(f"*/cube.zarr/*/{band}/c/*/*/*")]
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in shards if int(p.parts[-3]) < count // SLAB}


def decoded(out: Path) -> dict[str, xr.Dataset]:
    """Every cube and all layers, as a reader sees them."""
    stores = [*out.glob("*/cube.zarr/*m"), *out.glob("*/change.zarr"), *out.glob("change/*.zarr")]
    return {str(s.relative_to(out)): xr.load_dataset(s, engine="zarr", consolidated=False) for s in stores}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("year")
    write_source(folder / "source", [WEST, EAST], DATES, works(DATES, SITE, ONSET, HALT))
    return folder


def test_a_year_in_four_steps_equals_all_at_once(folder: Path, client: Client) -> None:
    out = folder / "grown"
    kept: dict[Path, tuple[bytes, int]] = {}
    before = 0
    for count in STEPS:
        result = run(folder, "grown", count, client)
        after = finished(out, count)
        assert len(after) == 2 * len(SIDES) * (count // SLAB)
        assert {p: after[p] for p in kept} == kept
        # Of both grids: the slabs that were full, and nothing else, were not built again.
        builds = [t for t in Ledger(result.output).records if t.startswith("build/")]
        assert len(builds) == 2 * -(-count // SLAB)
        assert result.outcome.skipped == 2 * (before // SLAB)
        kept, before = after, count
    run(folder, "whole", len(DATES), client)
    grown, whole = decoded(out), decoded(folder / "whole")
    assert grown.keys() == whole.keys()
    assert len(grown) == 7  # cubes of two grids and resolutions, layers of two grids and of the zone
    for name, expected in whole.items():
        xr.testing.assert_identical(grown[name], expected)
    assert (whole["change/32638.zarr"].status == Status.HALTED).any()
    assert zarr_bytes(out) == zarr_bytes(folder / "whole")
    assert (out / "sites.parquet").read_bytes() == (folder / "whole/sites.parquet").read_bytes()


def test_an_earlier_end_drops_a_tail_and_a_later_one_builds_it_again(folder: Path, client: Client) -> None:
    run(folder, "waving", 28, client)
    run(folder, "waving", 24, client)
    assert not list((folder / "waving").glob("*/cube.zarr/*/*/c/2/*/*"))
    run(folder, "waving", 28, client)
    run(folder, "steady", 28, client)
    assert zarr_bytes(folder / "waving") == zarr_bytes(folder / "steady")
