"""Damage to an output: objects that are lost or changed, half objects, leases that a dead run has left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

HALVES = {"cut off": b'{"task": "x", "sta', "empty": b"", "garbage": b"\x93NUMPY\x00\xff{[", "another type": b"[1, 2]"}
"""How an object may be half."""


def objects(out: Path) -> list[Path]:
    """Return the chunks of cubes and layers that tasks have written."""
    chunks = [*out.glob("*/cube.zarr/*/*/c/*/*/*"), *out.glob("*/change.zarr/*/c/*/*")]
    return sorted(path for path in chunks if path.is_file() and "#" not in path.name)


def task_of(out: Path, path: Path) -> str:
    """Return the name of the task that writes a chunk."""
    grid, store, *_, row, col = path.relative_to(out).parts
    region = f"{grid}/r{int(row):03d}c{int(col):03d}"
    return f"detect/{region}" if store == "change.zarr" else f"build/{region}/s{int(path.parts[-3]):04d}"


def harm(path: Path, how: str) -> None:
    """Harm an object: it is "lost", "cut", has a "flipped" bit, or is "late": what a task of a dead run has put."""
    data = path.read_bytes()
    if how == "lost":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        path.write_bytes(bytes([data[0] ^ 16]) + data[1:])
    else:
        path.write_bytes(b"late")


def newest_lease(out: Path) -> Path | None:
    """Return the object of the newest lease, if there is one."""
    return max((p for p in (out / "ledger/leases").glob("*.json") if p.stem.isdecimal()), default=None)


def halve_lease(out: Path, half: str) -> bool:
    """Leave half of the newest lease, as old as that of a dead run on another machine; tell whether there is one."""
    path = newest_lease(out)
    if path is None:
        return False
    path.write_bytes(HALVES[half])
    old = time.time() - 3600
    os.utime(path, (old, old))
    return True


def lease_is_free(out: Path) -> bool:
    """Tell whether nobody holds an output."""
    path = newest_lease(out)
    return path is None or bool(json.loads(path.read_bytes())["released"])
