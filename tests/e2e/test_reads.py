"""What a run asks a server for: every header once, every block of the area once, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.readers import blocks
from groundbreak.pipeline.readers.cog import Cog, read_cog
from groundbreak.pipeline.readers.tiff import HEADER_BYTES
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.testing import ArchiveServer
from tests.world import SIDES, Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, size=640)
EAST = Tile("38TQK", 32638, 605_400, 4_400_000, size=640)
DATES = days("2021-01-03", 14, 10)


def noisy(band: str, _tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
    """Nothing that could be packed well, so that bytes are counted in earnest."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    return np.random.default_rng(number).integers(1, 9, shape) if band == "scl" else 2000 + 900 * np.sin(x * y + number)


def spans(path: Path, frame_of: Any) -> dict[int, tuple[int, int]]:
    """Block -> (first byte, bytes) of the blocks of a file that meet a frame."""
    cog = read_cog(*Access().locate(str(path)))
    assert isinstance(cog, Cog)
    met = cog.frame.overlap(frame_of(cog.frame.resolution))
    assert met is not None
    wanted = blocks.block_parts(cog.blocks, cog.frame, met.source_rows, met.source_cols)
    return {p.block: cog.blocks.span(p.block) for p in wanted}


def test_every_header_and_every_block_once(tmp_path: Path, client: Client) -> None:
    write_source(tmp_path / "source", [TILE, EAST], DATES, noisy, block=128)
    box = lonlat_box(32638, 604_000, 4_395_000, 607_900, 4_398_000)
    with ArchiveServer(tmp_path / "source") as server:
        settings = configure(
            tmp_path,
            box,
            "2021-01-01/2021-12-31",
            items=f"{server.url}/items.json",
            source={"allow_hosts": ["127.0.0.1"]},
            cube={"region": 128},
        )
        result = api.run(settings, client)
        asked = [r for r in server.requests if r.path.endswith(".tif")]
        planned = api.plan(settings)
        again = len(server.requests)
        api.run(settings, client)
        resumed = [r for r in server.requests[again:] if r.path.endswith(".tif")]
    assert not result.faults
    assert {(r.method, r.outcome) for r in asked} == {("GET", "206")}
    heads = Counter(r.path for r in asked if r.range == f"bytes=0-{HEADER_BYTES - 1}")
    assert set(heads.values()) == {1}
    assert len(heads) == 2 * len(DATES) * len(SIDES)
    fetched = needed = 0
    for g in planned.grids:
        for band in g.grid.bands:
            for date in DATES:
                name = f"{g.grid.name}/{date}_0/{band}.tif"
                wanted: dict[int, tuple[int, int]] = {}
                for region in g.regions:
                    mine = spans(tmp_path / "source" / name, region.window.at)
                    assert not wanted.keys() & mine.keys()  # regions are whole blocks
                    wanted |= mine
                ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", r.range or "") for r in asked if r.path == name]
                runs = sorted((int(m[1]), int(m[2]) + 1) for m in ranges if m and m[0] != f"bytes=0-{HEADER_BYTES - 1}")
                assert all(a[1] <= b[0] for a, b in pairwise(runs))  # no byte twice
                for start, length in wanted.values():
                    assert sum(a <= start and start + length <= b for a, b in runs) == 1
                fetched += sum(b - a for a, b in runs)
                needed += sum(length for _, length in wanted.values())
    assert needed > 10e6
    assert fetched <= 1.05 * needed
    records = list(Ledger(result.output).records.values())
    assert sum(r.bytes_read for r in records) == fetched
    assert sum(r.requests for r in records) == len(asked) - len(heads)
    assert sum(r.retries for r in records) == 0
    assert all(0 <= r.seconds["read"] + r.seconds["write"] <= r.seconds["total"] + 0.01 for r in records)
    assert not resumed  # headers are kept, and every slab is finished
