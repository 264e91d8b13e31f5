"""Time and score our detectors and their peers: one core, the same arrays, alternating repeats, medians.

python -m benchmarks.detectors [--quick] [--detectors phases ...] [--peers ...] [--folder benchmarks/results]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import kernels
from benchmarks.detectors.memory import read_limit
from benchmarks.detectors.ours import ours
from benchmarks.detectors.peers import PEERS, REFERENCE, preload
from benchmarks.detectors.score import score
from benchmarks.detectors.series import Contender
from benchmarks.detectors.table import markdown, store
from benchmarks.detectors.worker import Worker
from benchmarks.detectors.workloads import MISSING, N_DATES, hard_case, speed_series

Row = dict[str, Any]


def main() -> None:
    """Run both workloads, print the tables, and store them with the figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detectors", description=__doc__)
    parser.add_argument("--detectors", nargs="*", default=list(kernels.DETECTORS), help="ours, by name")
    parser.add_argument("--peers", nargs="*", help="peers whose names begin so; default all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pixels", type=int, default=4000, help="of the accuracy workload")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to stay on")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--quick", action="store_true", help="one repeat, an eighth of the pixels")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.pixels = 1, max(options.pixels // 8, 100)
    os.sched_setaffinity(0, {options.cpu})
    chosen = [p for p in PEERS if options.peers is None or any(p.name.startswith(name) for name in options.peers)]
    contenders = [*ours(options.detectors), *chosen]
    preload({c.package for c in chosen})
    share = 8 if options.quick else 1
    result: Row = {
        "machine": {"processor": _processor(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "versions": {c.package: _version(c.package) for c in contenders},
        "read_limit": read_limit(N_DATES),
        "speed": time_all(contenders, options.repeats, options.seed, share),
        "accuracy": score_all(contenders, options.pixels, options.seed),
        "workloads": {
            "indices": len(kernels.DEFAULT_INDICES),
            "dates": N_DATES,
            "missing": MISSING,
            "repeats": options.repeats,
            "pixels": options.pixels,
        },
    }
    result["machine"]["load_after"] = os.getloadavg()[0]
    print(markdown(result))
    for path in store(result, options.folder):
        print(f"wrote {path}")


def time_all(contenders: Sequence[Contender], repeats: int, seed: int, share: int) -> list[Row]:
    """Pixels per second and peak memory on stable series; contenders take turns, so that all meet the same load."""
    sizes = [max(c.most_speed // share, 64) for c in contenders]
    series = speed_series(max(sizes), seed)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(c, series, size)) for c, size in zip(contenders, sizes, strict=True)]
        laps: list[list[Any]] = [[] for _ in workers]
        for worker in workers:
            worker.warm()
        for _ in range(repeats):
            for worker, mine in zip(workers, laps, strict=True):
                mine.append(worker.lap())
    rows = []
    for worker, mine in zip(workers, laps, strict=True):
        row: Row = _head(worker)
        if worker.fault is None:
            speeds = [worker.n_pixel / lap.seconds for lap in mine]
            row |= {
                "pixels_per_s": statistics.median(speeds),
                "speeds": speeds,
                "peak_mib": max(lap.peak_mib for lap in mine),
                "alarms": float(mine[0].found.detected.mean()),
            }
        rows.append(row)
    base = next((row.get("speeds") for row in rows if row["name"] == REFERENCE), None)
    for row in rows:
        # A ratio each time round, as the load of the machine shifts between them.
        pairs = zip(row.get("speeds", ()), base or (), strict=False)
        ratios = [mine / its for mine, its in pairs]
        row["ratio"] = statistics.median(ratios) if ratios else None
    return rows


def score_all(contenders: Sequence[Contender], n_pixel: int, seed: int) -> list[Row]:
    """Scores on hard ground, once each."""
    series, truth = hard_case(n_pixel, seed)
    rows = []
    for contender in contenders:
        with Worker(contender, series, contender.most_accuracy) as worker:
            worker.warm()
            lap = worker.lap()
            row: Row = _head(worker)
            if lap is not None:
                part = type(truth)(*(column[: worker.n_pixel] for column in truth))
                row |= {"pixels_per_s": worker.n_pixel / lap.seconds, "peak_mib": lap.peak_mib}
                row |= score(part, lap.found)
            rows.append(row)
    return rows


def _head(worker: Worker) -> Row:
    c = worker.contender
    return {"name": c.name, "ours": c.ours, "reads": c.reads, "pixels": worker.n_pixel, "fault": worker.fault}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "in the tree" if package == "groundbreak" else "not installed"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
