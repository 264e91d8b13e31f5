"""Where everything lies in an output, and what its tasks are called: the only place where keys are spelt.

A key is a path below the output's root, with slashes, on disk and on an object store alike.
"""

from __future__ import annotations

PLAN = "plan.json"
HEADERS = "headers.parquet"
SITES = "sites.parquet"
REPORT = "report.html"
FAULTS = "faults.parquet"
RUN = "run.json"

LEDGER = "ledger/ledger.parquet"
RECORDS = "ledger/records"
PARTS = "ledger/parts"
"""Where a run that goes on keeps the records of regions that are done, some thousand in a file."""
LOCK = "ledger/lock.json"
"""The lock of version 0.1.0, which knew no leases; it is still respected."""
LEASES = "ledger/leases"
PUBLISHING = "ledger/publishing"
"""Where a publication is put together before it takes the place of the one that stands; nothing is left there."""

BUILD, DETECT = "build", "detect"
"""The two kinds of task that leave a completion record."""


def cube(grid: str) -> str:
    """Return the key of a grid's cube, a Zarr store."""
    return f"{grid}/cube.zarr"


def layers(grid: str) -> str:
    """Return the key of a grid's own layers, a Zarr store."""
    return f"{grid}/change.zarr"


def mosaic(epsg: int) -> str:
    """Return the key of the published layers of a zone, a Zarr store."""
    return f"change/{epsg}.zarr"


def coverage(region: str) -> str:
    """Return the key of the coverage of a region, by date, beside the layers of its grid; by the region's key."""
    grid, _, name = region.rpartition("/")
    return f"{grid}/coverage/{name}.bin"


def record(task: str) -> str:
    """Return the key of a task's completion record, until it is folded into the ledger's table."""
    return f"{RECORDS}/{task}.json"


def part(lease: int, moment: int) -> str:
    """Return the key of a file of records: those of later leases, and of later moments, come later in order."""
    return f"{PARTS}/{lease:08d}-{moment:020d}.parquet"


def lease(number: int) -> str:
    """Return the key of the lease with a number."""
    return f"{LEASES}/{number:08d}.json"


def build_task(region: str, slab: int) -> str:
    """Return the name of the task that builds a slab of a region; ``region`` is the region's key."""
    return f"{BUILD}/{region}/s{slab:04d}"


def detect_task(region: str) -> str:
    """Return the name of the task that detects on a region; ``region`` is the region's key."""
    return f"{DETECT}/{region}"


def kind_of(task: str) -> str:
    """Return the kind of a task: `BUILD` or `DETECT`."""
    return task.partition("/")[0]


def region_of(task: str) -> str:
    """Return the key of the region that a task belongs to: "38TPK/r000c001"."""
    kind, _, rest = task.partition("/")
    return rest.rpartition("/")[0] if kind == BUILD else rest


def grid_of(task: str) -> str:
    """Return the name of the grid that a task belongs to."""
    return task.split("/", 2)[1]


def slab_of(build: str) -> int:
    """Return the number of the slab that a build task builds."""
    return int(build.rpartition("/s")[2])
