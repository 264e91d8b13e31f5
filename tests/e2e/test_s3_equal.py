"""A run from S3 to S3 against the same run from disk to disk: the same objects, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import obstore
import pyarrow.parquet as pq
from distributed import Client
from obstore.store import S3Store

from groundbreak.pipeline import api
from tests.stores import output_bytes
from tests.world import Tile, configure, days, lonlat_box, works, write_source

WEST = Tile("38TPK", 32638, 600_000, 4_400_000, size=64)
EAST = Tile("38TQK", 32638, 600_400, 4_400_000, size=64)
BOX = lonlat_box(32638, 600_200, 4_399_500, 600_900, 4_399_800)
DATES = days("2021-01-03", 42, 16)
SITE = 600_520, 4_399_650, 160, 100
"""Centre x and y, half the width and half the height of the works, over the tiles' seam; metres."""
OWN = {"headers.parquet", "plan.json", "run.json", "ledger/ledger.parquet", "ledger/leases/00000001.json"}
"""Objects that differ: they tell of hrefs and how they are read, of when the run was and how long it took."""


def run(folder: Path, client: Client, out: str, **settings: Any) -> tuple[dict[str, str], Any]:
    """Key -> sha256 of every object that a whole run leaves; and its plan, apart from how assets are read."""
    span = f"{DATES[0]}/{DATES[-1]}"
    result = api.run(configure(folder, BOX, span, out=out, detect={"indices": ["ndvi"]}, **settings), client)
    assert not result.faults
    assert not result.outcome.failed
    plan = json.loads(result.output.get("plan.json") or b"")
    del plan["source"]
    for grid in plan["grids"]:
        del grid["ways"]
    return output_bytes(result.output), plan


def test_from_s3_to_s3_equals_from_disk_to_disk(endpoint: str, tmp_path: Path, client: Client) -> None:
    write_source(tmp_path / "source", [WEST, EAST], DATES, works(DATES, SITE, "2022-01-20", "2022-06-15"))
    archive = S3Store("archive")
    read = {"items.json", "red.tif", "nir.tif", "scl.tif"}
    for path in (p for p in (tmp_path / "source").rglob("*") if p.name in read):
        obstore.put(archive, f"equal/{path.relative_to(tmp_path / 'source')}", path.read_bytes())
    disk, plan = run(tmp_path, client, "disk")
    source = {"s3_endpoint": endpoint, "s3_region": "us-east-1"}
    s3, same_plan = run(tmp_path, client, "s3://results/equal", items="s3://archive/equal/items.json", source=source)
    assert disk.keys() == s3.keys()
    assert plan == same_plan
    assert {k for k in disk if disk[k] != s3[k]} <= OWN
    stores = {key.partition(".zarr")[0] for key in s3 if ".zarr" in key}
    assert stores == {f"{t.code}/{store}" for t in (WEST, EAST) for store in ("cube", "change")} | {"change/32638"}
    (site,) = pq.read_table(tmp_path / "disk/sites.parquet").to_pylist()
    assert site["status"] == "halted"
