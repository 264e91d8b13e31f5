"""One lap of one contender, in a process that does nothing else: ``python -m benchmarks.cubes.worker REQUEST ANSWER``.

A process each lap, since GDAL and its peers keep what they have read. Imports, compilation and a cube of a few pixels
come before the clock starts; a run whose requests are counted may come after it has stopped.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.cubes.job import Job
from benchmarks.machine import PeakMemory

TOUCHED = 2 << 30
"""Bytes that are touched before a lap: more than any lap holds. A quarter of it goes to files, more than any writes."""


def main() -> None:
    """Answer a request: {"cpu", "module", "warm", "job", "after"}, the last three as `Job`, "after" or null."""
    request = json.loads(Path(sys.argv[1]).read_text())
    # Before anything is imported: pools ask how many cores there are.
    os.sched_setaffinity(0, {request["cpu"]})
    module = importlib.import_module(f"benchmarks.cubes.{request['module']}")
    if hasattr(module, "warm_up"):
        module.warm_up()
    module.run(Job(**request["warm"]))
    answer = lap(module, Job(**request["job"]))
    if request["after"] is not None:
        module.run(Job(**request["after"]))
    Path(sys.argv[2]).write_text(json.dumps(answer))


def lap(module: Any, job: Job) -> dict[str, Any]:
    """Run a contender's module once.

    Returns
    -------
    its own figures, and cpu_s, of it system_s, wall_s, peak_mib (above what was held before)
    """
    _touch(Path(job.out).parent)
    memory = PeakMemory()
    (user, system), clock = _cpu(), time.perf_counter()
    figures = module.run(job)
    wall_s, (user_s, system_s) = time.perf_counter() - clock, _cpu()
    cpu_s, system_s = user_s + system_s - user - system, system_s - system
    return {**figures, "cpu_s": cpu_s, "system_s": system_s, "wall_s": wall_s, "peak_mib": memory.mib()}


def _touch(folder: Path) -> None:
    """Touch the memory that a lap will need, for itself and for files it writes.

    A virtual machine may get a page from its host only when it first touches it, at six to ten times the price of
    clearing it: who pays that is chance, and no builder's doing.
    """
    bytearray(b"1") * TOUCHED
    path = folder / "touched"
    with path.open("wb") as file:
        for _ in range(TOUCHED >> 22):
            file.write(bytes(1 << 20))
    path.unlink()


def _cpu() -> tuple[float, float]:
    """Return processor seconds, user and system, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime for u in used), sum(u.ru_stime for u in used)


if __name__ == "__main__":
    main()
