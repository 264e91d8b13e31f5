"""The tables as Markdown, and the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cubes.figure import draw
from benchmarks.tables import aligned, write

Row = dict[str, Any]

TIMES = ("CPU s", "of it system", "wall s", "x ours", "CPU x floor")
HEAD = ("builder", *TIMES, "peak MiB", "blocks", "requests", "MiB", "equal")


def markdown(result: Row) -> str:
    """Write the whole report as Markdown that reads well in a terminal, too."""
    machine, work = result["machine"], result["workload"]
    lines = [
        "# Cubes and who builds them",
        "",
        f"{machine['processor']}, one core; Python {machine['python']}; "
        f"load {machine['load'][0]:.1f} before, {machine['load'][1]:.1f} after.",
        "",
        f"1024 x 1024 pixels of 10 m, {work['dates']} dates, three bands as uint16 and the classes at 20 m, from COGs "
        f"in blocks of 1024 (deflate and predictor, {work['deflate']:.2f} : 1), into the same sharded Zarr. Medians of "
        f"{work['repeats']} rounds in which all take turns, a new process each, warmed up on a few pixels of other "
        "files; ratios are taken within a round. *CPU* is user and system time; headers, metadata and planning are in "
        "it. *System*: what the kernel took of it; pages that are new to a virtual machine make it dear, by chance. "
        "*Peak*: memory above what was held before. *Floor*: every block that the area needs inflated (libdeflate) "
        "down to the area's last row, and its predictor undone, every chunk encoded, all in memory. *Equal*: to our "
        "pixels, bit for bit.",
        "",
        "*Blocks* of the three bands, at full resolution: counted for all by the server's log, as often as all of a "
        "block's bytes were fetched; for local files in a further, untimed run over HTTP without GDAL's cache, as are "
        "*requests* and *MiB*. Over 50 ms they are those of the first timed lap.",
        "",
        "REMOTE: 32 KiB at once when a file is opened, neighbouring ranges merged. CACHED: VSI_CACHE as well. "
        "lazycogs has its questions to DuckDB answered from memory, which favours it.",
    ]
    for case in result["cases"]:
        ratio = "x ours: CPU." if case["figure"] == "cpu_s" else "x ours: wall time."
        lines += ["", f"## {case['title']}", "", ratio, "", *aligned(HEAD, [_cells(row) for row in case["rows"]])]
        lines += _differing(case["rows"])
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([*lines, "", f"Versions: {versions}", ""])


def store(result: Row, folder: Path) -> list[Path]:
    """Write cubes.json, cubes.md and cubes.png into ``folder``; returns their paths."""
    return write(result, folder, "cubes", markdown(result), draw)


def _cells(row: Row) -> Sequence[str]:
    if row["fault"] is not None:
        return row["name"], row["fault"][:80], *[""] * 9
    if "decode_s" in row:
        return f"{row['name']} ({row['decode_s']:.2f} + {row['encode_s']:.2f})", f"{row['cpu_s']:.2f}", *["-"] * 9
    traffic = row["traffic"] or {}
    methods = "".join(f", {count} {name}" for name, count in traffic.get("methods", {}).items() if name != "GET")
    return (
        row["name"] + (" (best)" if row.get("best") else ""),
        f"{row['cpu_s']:.2f}",
        f"{row['system_s']:.2f}",
        f"{row['wall_s']:.2f}",
        *("-" if row[key] is None else f"{row[key]:.2f}" for key in ("ratio", "of_floor")),
        f"{row['peak_mib']:.0f}",
        str(traffic.get("blocks", "-")),
        f"{traffic['requests']}{methods}" if traffic else "-",
        f"{traffic['mib']:.0f}" if traffic else "-",
        "-" if row["differing"] is None else "no" if any(row["differing"].values()) else "yes",
    )


def _differing(rows: Sequence[Row]) -> list[str]:
    lines = [
        f"{row['name']} differs in "
        + ", ".join(f"{count} of {band}" for band, count in row["differing"].items() if count)
        for row in rows
        if row["differing"] and any(row["differing"].values())
    ]
    return ["", *lines] if lines else []
