"""What tasks of a plan take in a process of their own, as JSON: python -m tests.e2e.task_memory FOLDER URL.

Run by test_memory.py, once for all cases, since compiling is most of it. The process is warm, as a worker is, before
anything is measured; what a task takes is the peak of the resident memory above what was held before it.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.planning import planner
from groundbreak.pipeline.readers import cog, formats
from groundbreak.pipeline.readers.cog import NotByBlocks
from groundbreak.pipeline.running import prepared, tasks
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.orders import RegionTask


def resident(key: str) -> int:
    """Return a size from the status that Linux keeps of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def taken[T](call: Callable[[], T]) -> tuple[int, T]:
    """Return the peak of the memory during a call above that before it, bytes, and what the call returns."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = call()
    return resident("VmHWM") - before, result


CASES = [(6, 1024, "blocks"), (60, 1024, "blocks"), (600, 512, "blocks"), (60, 1024, "served"), (60, 512, "general")]
"""(dates, side of the region, way)."""


async def forced(*_: object) -> NotByBlocks:
    """Answer for a file's header that the file cannot be read block by block."""
    return NotByBlocks("forced")


def measure(folder: Path, url: str, dates: int, side: int, way: str) -> dict[str, tuple[int, int]]:
    """Build, detect on, and do in memory, one region of an archive.

    Parameters
    ----------
    url : the folder's, where it is served

    Returns
    -------
    kind of task -> (bytes measured, bytes projected)
    """
    settings: dict[str, Any] = {
        "area": {"bbox": json.loads((folder / f"area-{side}.json").read_text())},
        "source": {
            "items": f"{url}/items-{dates}.json" if way == "served" else f"items-{dates}.json",
            "datetime": "2000-01-01/2039-12-31",
            "allow_hosts": ["127.0.0.1"],
            "accept_offset_step": True,
        },
        "output": {"path": f"out-{dates}-{side}-{way}"},
        "cube": {"region": side},
        "detect": {"indices": ["ndvi", "swir"]},
    }
    config = Config.from_dict(settings, folder)
    with pytest.MonkeyPatch.context() as patched:
        if way == "general":
            for module in (cog, formats):
                patched.setattr(module, "read_header", forced)
        plan = planner.plan(config)
    (planned,) = plan.grids
    (region,) = planned.regions
    output = Output(str(folder / settings["output"]["path"]))
    ledger = Ledger(output)
    (ready,) = prepared.prepare(plan, output, ledger, rebuild=False)
    share, builds = ready.share, ready.builds(region)
    tasks.build(share, builds[0])  # connections, threads and what codecs allocate once are the worker's
    records: list[Record] = []
    peaks = []
    for task in builds:
        peak, record = taken(functools.partial(tasks.build, share, task))
        peaks.append(peak)
        records.append(record)
        ledger.add(record)
    wanted = share.detect(region, records)
    tasks.detect(share, wanted)
    detect, record = taken(lambda: tasks.detect(share, wanted))
    found = {"build": max(peaks), "detect": detect}
    if ready.fits(region):
        whole = RegionTask(region, tuple(builds))
        found["region"], after = taken(lambda: tasks.build_and_detect(share, whole))
        records += after
    assert all(r.state == "done" and not r.faults for r in (*records, record)), record.error
    summary = plan.summary()
    names = {"build": "building task", "detect": "detection task", "region": "task of a whole region"}
    return {kind: (peak, int(summary[f"memory per {names[kind]}"])) for kind, peak in found.items()}


if __name__ == "__main__":
    tasks.warm_up("phases")
    print(json.dumps([[*case, measure(Path(sys.argv[1]), sys.argv[2], *case)] for case in CASES]))
