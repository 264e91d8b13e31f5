"""Time and score our detectors and their peers: one core, the same arrays, alternating repeats, medians.

python -m benchmarks.detectors [--quick] [--ours phases ...] [--peers ...] [--folder benchmarks/results]
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

import numpy as np

from benchmarks.detectors.memory import read_limit
from benchmarks.detectors.ours import CONTENDERS
from benchmarks.detectors.peers import FASTEST, PEERS, REFERENCE, preload
from benchmarks.detectors.score import score
from benchmarks.detectors.series import Contender, Series
from benchmarks.detectors.table import markdown, store
from benchmarks.detectors.worker import Worker
from benchmarks.detectors.workloads import THINNED, THINNED_PIXELS, Truth, hard_case, speed_series
from benchmarks.machine import processor
from groundbreak import kernels

Row = dict[str, Any]


def main() -> None:
    """Run the workloads, print the tables, and store them with the figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detectors", description=__doc__)
    parser.add_argument("--ours", nargs="*", help="ours whose names begin so; default all")
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
    chosen = [
        contender
        for every, names in ((CONTENDERS, options.ours), (PEERS, options.peers))
        for contender in every
        if names is None or any(contender.name.startswith(name) for name in names)
    ]
    preload({c.package for c in chosen if not c.ours})
    kernels.warm_up()  # once, here: what is forked from this process has it compiled
    share = 8 if options.quick else 1
    load = [os.getloadavg()[0]]
    stable = speed_series(max(c.most_speed for c in chosen) // share, options.seed)
    thinned, _ = hard_case(THINNED_PIXELS // share, options.seed, THINNED)
    hard, truth = hard_case(options.pixels, options.seed)
    result: Row = {
        "versions": {c.package: _version(c.package) for c in chosen},
        "read_limit": (limit := read_limit()),
        "stable": time_all(chosen, stable, options.repeats, share, limit),
        "thinned": time_all(chosen, thinned, options.repeats, share, limit),
        "accuracy": score_all(chosen, hard, truth),
        "workloads": {
            "dates": {"stable": stable.dates.size, "hard": hard.dates.size},
            "missing": {name: float(np.isnan(s.indices[0]).mean()) for name, s in (("stable", stable), ("hard", hard))},
            "changed": THINNED,
            "repeats": options.repeats,
            "pixels": {"thinned": thinned.indices.shape[2], "accuracy": options.pixels},
            "seed": options.seed,
        },
    }
    load.append(os.getloadavg()[0])
    result["machine"] = {"processor": processor(), "python": platform.python_version(), "load": load}
    print(markdown(result))
    for path in store(result, options.folder):
        print(f"wrote {path}")


def time_all(contenders: Sequence[Contender], series: Series, repeats: int, share: int, limit: float) -> list[Row]:
    """Pixels per second and peak memory; contenders take turns, so that all meet the same load.

    Parameters
    ----------
    share : fewer pixels than a contender's most, by this factor
    limit : bytes per second that memory gives
    """
    timed = [c for c in contenders if c.timed and set(c.indices) <= set(series.names)]
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(c, series, max(c.most_speed // share, 64), c.least_speed // share))
            for c in timed
        ]
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
            # 10 m pixels, where digital numbers hold four of them for every pixel of the series
            speeds = [worker.n_pixel * worker.contender.copies / lap.seconds for lap in mine]
            row |= {
                "pixels_per_s": statistics.median(speeds),
                "speeds": speeds,
                "of_limit": statistics.median(speeds) * worker.contender.bytes_read * series.dates.size / limit,
                "peak_mib": max(lap.peak_mib for lap in mine),
                "kib_per_pixel": max(lap.peak_mib for lap in mine) * 1024 / worker.n_pixel / worker.contender.copies,
                "alarms": float(mine[0].found.detected.mean()),
            }
        rows.append(row)
    for key, name in (("ratio", REFERENCE), ("ratio_fastest", FASTEST)):
        base = next((row.get("speeds") for row in rows if row["name"] == name), None)
        for row in rows:
            # A ratio each time round, as the load of the machine shifts between them.
            pairs = zip(row.get("speeds", ()), base or (), strict=False)
            ratios = [mine / its for mine, its in pairs]
            row[key] = statistics.median(ratios) if ratios else None
    return rows


def score_all(contenders: Sequence[Contender], series: Series, truth: Truth) -> list[Row]:
    """Scores on hard ground, once each."""
    rows = []
    for contender in contenders:
        with Worker(contender, series, contender.most_accuracy) as worker:
            worker.warm()
            lap = worker.lap()
            row: Row = _head(worker)
            if lap is not None:
                part = type(truth)(*(column[: worker.n_pixel] for column in truth))
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


if __name__ == "__main__":
    main()
