"""The result as Markdown, JSON and a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.detectors.figure import draw

Row = dict[str, Any]


def markdown(result: Row) -> str:
    """Aligned Markdown tables that read well in a terminal, too."""
    machine, work = result["machine"], result["workloads"]
    lines = [
        "# Kernels and their peers",
        "",
        f"{machine['processor']}, one core, one thread; Python {machine['python']}; "
        f"load {machine['load']:.1f} before, {machine['load_after']:.1f} after.",
        f"One core reads at most {_big(result['read_limit'])} pixels/s from memory ({work['dates']} dates, float32).",
        "",
        f"## Speed: {work['dates']} dates, {work['missing']:.0%} missing, stable ground, half of it history",
        "",
        f"Median of {work['repeats']} alternating repeats, in processor time, which other jobs on the machine disturb "
        "less. Memory is the peak above what was held before the run. Slow detectors run on the first pixels of the "
        "same arrays; bringing them into the layout that a detector likes best is not timed. One that reads several "
        "indices jointly gets one here. Alarms are nominally 5 % for CuSum, MoSum and bfast_monitor.",
        "",
        *_speed(result["speed"]),
        "",
        f"## Accuracy: hard ground, {work['pixels']} pixels, all of them for each",
        "",
        "Two years of history without works, which the detectors of this project are not told. "
        f"{work['indices']} indices for one that reads several jointly, else the first. Onsets among changed pixels "
        "found. Halts among ended works found: all (undated = missed) / those dated.",
        "",
        *_accuracy(result["accuracy"]),
        *_intervals(result["accuracy"]),
        *_reliability(result["accuracy"]),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        "",
    ]
    return "\n".join(lines)


def store(result: Row, folder: Path) -> list[Path]:
    """Write kernels.json, kernels.md and kernels.png into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"kernels.{suffix}" for suffix in ("json", "md", "png")]
    paths[0].write_text(json.dumps(result, indent=1) + "\n")
    paths[1].write_text(markdown(result))
    draw(result, paths[2])
    return paths


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns line up: the first to the left, the others to the right."""
    width = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(width[0]), *(cell.rjust(w) for cell, w in zip(row[1:], width[1:], strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join(["-" * (width[0] + 2), *("-" * (w + 1) + ":" for w in width[1:])]) + "|"
    return [line(head), rule, *(line(row) for row in rows)]


def _speed(rows: Sequence[Row]) -> list[str]:
    head = ("detector", "reads", "pixels/s", "x CuSum", "peak MiB", "KiB/pixel", "alarms", "pixels")
    return aligned(
        head,
        [
            (row["name"], row["reads"], row["fault"], *[""] * 5)
            if row["fault"]
            else (
                row["name"],
                row["reads"],
                _big(row["pixels_per_s"]),
                "-" if row["ratio"] is None else f"{row['ratio']:.3g}",
                f"{row['peak_mib']:.1f}",
                f"{row['peak_mib'] * 1024 / row['pixels']:.1f}",
                _percent(row["alarms"]),
                str(row["pixels"]),
            )
            for row in rows
        ],
    )


def _accuracy(rows: Sequence[Row]) -> list[str]:
    head = (
        "detector",
        "false alarms (crops)",
        "recall (crops)",
        "onset in 15/30/60 d",
        "median d",
        "halt in 30 d, all/dated",
        "median d",
        "ongoing called halted",
    )
    return aligned(
        head,
        [
            (row["name"], row["fault"], *[""] * 6)
            if row["fault"]
            else (
                row["name"],
                f"{_percent(row['false_alarms'])} ({_percent(_crops(row['false_alarms_by_cover']))})",
                f"{_percent(row['recall'])} ({_percent(_crops(row['recall_by_cover']))})",
                " / ".join(_percent(row["onset"][f"within_{k}"]) for k in (15, 30, 60)),
                _days(row["onset"]["median_abs_error"]),
                *_halts(row),
            )
            for row in rows
        ],
    )


def _halts(row: Row) -> tuple[str, str, str]:
    """A detector that never dates a halt is no better for calling none of the ongoing works halted."""
    dated = row["halt_dated"]
    if dated["n"] == 0:
        return "-", "-", "-"
    within = f"{_percent(row['halt']['within_30'])} / {_percent(dated['within_30'])}"
    return within, _days(dated["median_abs_error"]), _percent(row["ongoing_called_halted"])


def _intervals(rows: Sequence[Row]) -> list[str]:
    with_intervals = [row for row in rows if not row["fault"] and row["onset_interval"]]
    if not with_intervals:
        return []
    cells = []
    for row in with_intervals:
        for label, part in (("", row), (", without gaps", row.get("without_gap"))):
            if part is not None:
                both = (part["onset_interval"], part["halt_interval"])
                cells.append(
                    (
                        row["name"] + label,
                        *(f"{_percent(one['coverage'])}, {_days(one['median_width'])} d" for one in both),
                        _percent(part["onset"]["within_30"]),
                        _percent(part["halt_dated"]["within_30"]),
                    )
                )
    head = ("90 % intervals: coverage, median width", "onset", "halt", "onset in 30 d", "dated halt in 30 d")
    return ["", *aligned(head, cells)]


def _reliability(rows: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        if row.get("reliability"):
            head = (f"confidence of {row['name']}", "stated", "truly changed, onset in 30 d", "pixels")
            cells = [
                (f"{b['low']}-{b['high']} %", f"{b['stated']:.0f} %", _percent(b["true"]), str(b["n"]))
                for b in row["reliability"]
            ]
            lines += ["", *aligned(head, cells)]
    return lines


def _crops(by_cover: dict[str, float | None]) -> float | None:
    return next((share for cover, share in by_cover.items() if cover.startswith("crop")), None)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def _days(days: float | None) -> str:
    return "-" if days is None else f"{days:.0f}"


def _big(number: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
