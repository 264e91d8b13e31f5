"""Runs the client of the benchmark for several numbers of regions, ours and bare in turn, and writes a table.

Numbers of regions that are not measured this time keep their rows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed import Client

from benchmarks.machine import processor
from benchmarks.tables import aligned, write

RESULTS = Path(__file__).parents[1] / "results"
LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard")
IDLE = "--preload", "benchmarks.overhead.idle"
ONCE = 1_000_000
"""Regions from which on one round of ours must do: it takes an hour and a half."""
THREADS = 8
"""Of the worker: its tasks wait for files, and compute nothing."""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start a scheduler and a worker, a process each; yield the scheduler's address."""
    file = folder / "scheduler.json"
    dask = str(Path(sys.executable).with_name("dask"))
    serve = [dask, "scheduler", "--port", "0", "--scheduler-file", str(file), *LOOPBACK]
    work = [dask, "worker", "--scheduler-file", str(file), "--nthreads", str(THREADS), "--no-nanny", *LOOPBACK, *IDLE]
    with (folder / "cluster.log").open("wb") as log:
        running = [subprocess.Popen(command, stdout=log, stderr=log) for command in (serve, work)]  # noqa: S603 - ours
    try:
        with Client(scheduler_file=str(file), timeout="60s") as client:
            client.wait_for_workers(1, timeout=60)
            address = str(client.scheduler.address)
        yield address
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def lap(loop: str, folder: Path, regions: int, dates: int, address: str) -> dict[str, float]:
    """Run the client once, in a process of its own."""
    line = [sys.executable, "-m", "benchmarks.overhead.client", loop, str(folder), str(regions), str(dates), address]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(regions: int, dates: int, rounds: int) -> dict[str, Any]:
    """Go through so many regions, bare and ours in turn, and look once what is left to do."""
    found: dict[str, Any] = {"regions": regions, "rounds": rounds, "load": os.getloadavg()[0], "bare": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="overhead") as name:
        folder = Path(name)
        for _ in range(rounds):
            for loop in ("bare", "ours") if regions < ONCE else ("ours",):
                shutil.rmtree(folder / "run", ignore_errors=True)
                (folder / "run").mkdir()
                with cluster(folder) as address:
                    found[loop].append(lap(loop, folder / "run", regions, dates, address))
        with cluster(folder) as address:
            found["resume"] = lap("resume", folder / "run", regions, dates, address)
    return found


def row(found: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of the table, of medians."""
    count = found["regions"]
    pairs = list(zip(found["ours"], found["bare"], strict=False))
    more = [ours["cpu_s"] - bare["cpu_s"] for ours, bare in pairs]
    cpu = [[lap["cpu_s"] for lap in found["bare"]], [lap["cpu_s"] for lap in found["ours"]], more]
    memory = statistics.median(lap["memory_mib"] for lap in found["ours"])
    scan = found["resume"]["wall_s"]
    each = [f"{statistics.median(laps) / count * 1e3:.2f}" if laps else "" for laps in cpu]
    return f"{count:,}", *each, f"{memory:.0f}", f"{scan:.2f}", f"{found['rounds']}", f"{found['load']:.1f}"


def report(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    head = ("regions", "bare, ms", "ours, ms", "more, ms", "memory, MiB", "resume, s", "rounds", "load")
    text = (
        "CPU of the client for each region: a bare loop of `as_completed` over tasks that do nothing, and ours, whose "
        "tasks leave their two records and nothing else, in the same window. Memory is what the client's peak lies "
        "above what it held when it had connected. The last column is the wall time of finding that nothing is left to "
        f"do of an output that is done, the plan's regions being made meanwhile. {result['dates']} dates. Medians of "
        f"rounds in turn, of a million one of ours alone, on {result['processor']}; load is how many others were at "
        "work there before."
    )
    return "\n".join(
        ["# What a region costs the client", "", text, "", *aligned(head, [row(f) for f in result["laps"]]), ""]
    )


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("regions", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="of each number below a million; then one, of ours")
    options = parser.parse_args()
    result: dict[str, Any] = {"dates": options.dates, "processor": processor()}
    laps = {lap["regions"]: lap for lap in _earlier(result)}
    for regions in options.regions:
        laps[regions] = measure(regions, options.dates, options.rounds if regions < ONCE else 1)
        print(" ".join(row(laps[regions])), flush=True)
        result["laps"] = [laps[count] for count in sorted(laps)]
        write(result, RESULTS, "overhead", report(result))
    print(report(result))


def _earlier(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was measured before under the same conditions."""
    path = RESULTS / "overhead.json"
    earlier: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    laps: list[dict[str, Any]] = earlier.pop("laps", [])
    return laps if earlier == result else []


if __name__ == "__main__":
    main()
