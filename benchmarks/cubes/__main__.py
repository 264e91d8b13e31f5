"""Build the same cubes from the same archive with several builders: one core, rounds in turn, medians.

python -m benchmarks.cubes [--quick] [--repeats 3] [--cases aligned ...] [--only odc-stac ...] [--archive DIR]
                           [--folder benchmarks/results]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import rasterio

from benchmarks.cubes.archive import write_archive
from benchmarks.cubes.cases import CASES
from benchmarks.cubes.contenders import BOTH, HTTP, LOCAL
from benchmarks.cubes.laps import ROOT, Bench
from benchmarks.cubes.serve import Server
from benchmarks.cubes.summary import summarise
from benchmarks.cubes.table import markdown, store
from benchmarks.machine import processor

PACKAGES = ("dask", "imagecodecs", "numba", "obstore", "odc-stac", "odc-loader", "rasterio", "stackstac", "zarr")


def main() -> None:
    """Run the cases, print the tables, and store them with the figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cubes", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=[case.key for case in CASES], help="default all")
    parser.add_argument("--only", nargs="+", help="contenders whose names begin so, beside ours; default all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--archive", type=Path, help="where the archive is kept; else in a temporary folder")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--quick", action="store_true", help="one repeat, a fifth of the dates")
    options = parser.parse_args()
    repeats, dates = (1, 12) if options.quick else (options.repeats, 60)
    cores = sorted(os.sched_getaffinity(0))
    result: dict[str, Any] = {
        "cases": [],
        "versions": {"GDAL": str(rasterio.__gdal_version__), **_versions()},
        "machine": {
            "processor": processor(),
            "python": platform.python_version(),
            "load": [os.getloadavg()[0]] * 2,
        },
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.archive or Path(scratch) / "archive").resolve()
        result["workload"] = {"dates": dates, "repeats": repeats, "deflate": write_archive(folder, dates)}
        with Server(folder, cores[0]) as server:
            bench = Bench(folder, Path(scratch), server, cores[-1], dates)
            for case in CASES:
                if options.cases is not None and case.key not in options.cases:
                    continue
                chosen = [
                    c
                    for c in (LOCAL if case.latency_s is None else HTTP)
                    if options.only is None or c in BOTH or any(c.name.startswith(n) for n in options.only)
                ]
                rows = summarise(case, bench.run(case, chosen, repeats))
                result["cases"].append({"key": case.key, "title": case.title, "figure": case.figure, "rows": rows})
                result["machine"]["load"][1] = os.getloadavg()[0]
                # After every case: a run that is cut short leaves what it has.
                paths = store(result, options.folder)
    print(markdown(result))
    for path in paths:
        print(f"wrote {path}")


def _versions() -> dict[str, str]:
    """Return the versions of the packages that take part; lazycogs lies in an environment of its own."""
    others = [str(path) for path in ROOT.glob(".venv-lazycogs/lib/*/site-packages")]
    found = {name: metadata.version(name) for name in PACKAGES}
    return found | {d.name: d.version for d in metadata.distributions(name="lazycogs", path=others)}


if __name__ == "__main__":
    main()
