"""What tasks take against what the plan projects, in processes of their own, as workers are started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from groundbreak.pipeline.testing import ArchiveServer
from tests.world import SIDES, Tile, days, item, lonlat_box, write_items, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, size=1024)
FILES = 12


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tile of one region, whose pixels deflate as Sentinel-2's do; 600 dates have the files of twelve."""
    folder = tmp_path_factory.mktemp("memory")
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:1024, :1024]
    ground = 1500 + 600 * np.sin(cols / 91) * np.cos(rows / 57)
    for number in range(FILES):
        for band, side in SIDES.items():
            n = TILE.size * 10 // side
            values = np.rint(ground[:n, :n] + rng.normal(0, 40, (n, n))).astype(np.uint16)
            if band == "scl":
                values = np.where(values > 2000, 9, 4).astype(np.uint8)
            write_tif(folder / str(number) / f"{band}.tif", values, TILE.frame(side), block=512)
    for count in (6, 60, 600):
        features = []
        for number, date in enumerate(days("2010-01-03", count, 3)):
            feature = item(TILE, date, baseline="02.14")
            for band, asset in feature["assets"].items():
                asset["href"] = f"./{number % FILES}/{band}.tif"
            features.append(feature)
        write_items(folder, features).rename(folder / f"items-{count}.json")
    for side in (512, 1024):
        box = lonlat_box(32638, 600_050, 4_400_050 - side * 10, 600_000 + side * 10 - 50, 4_399_950)
        (folder / f"area-{side}.json").write_text(json.dumps(box))
    return folder


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is Linux's to tell")
def test_tasks_take_what_the_plan_projects(archive: Path) -> None:
    # As dask starts its workers: what is freed goes back to the system.
    env = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    with ArchiveServer(archive) as server:
        command = [sys.executable, "-m", "tests.e2e.task_memory", str(archive), server.url]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    table = [(*case, kind, *sizes) for *case, kinds in found for kind, sizes in kinds.items()]
    kinds = ["build", "detect", "region"]
    assert [row[3] for row in table] == [*kinds, *kinds, *kinds[:2], *kinds, *kinds]
    # What a task takes in any case outweighs six observations.
    wrong = [row for row in table if not row[-2] <= row[-1] or (row[0] > 6 and row[-1] > 2 * row[-2])]
    assert not wrong, table
