"""The result as Markdown, JSON and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.detectors.figure import TRUSTED, draw
from benchmarks.detectors.score import WITHIN
from benchmarks.tables import aligned, write

Row = dict[str, Any]


def markdown(result: Row) -> str:
    """Aligned Markdown tables that read well in a terminal, too."""
    machine, work = result["machine"], result["workloads"]
    dates, missing, pixels = work["dates"], work["missing"], work["pixels"]
    lines = [
        "# Kernels and their peers",
        "",
        f"{machine['processor']}, one core, one thread; Python {machine['python']}; "
        f"load {machine['load'][0]:.1f} before, {machine['load'][1]:.1f} after. "
        f"One core reads {result['read_limit'] / 1e9:.1f} GB/s from memory.",
        "",
        f"Speeds are medians of {work['repeats']} rounds in which all take turns, in processor time; ratios are taken "
        "within a round. *Of limit*: share of the speed at which memory could give the series that is read. Memory is "
        "the peak above what was held before. Slow detectors run on the first pixels of the same arrays; nrt, which "
        "spends milliseconds a date, on enough copies of them. Bringing the arrays into the layout that a peer likes "
        "best is not timed.",
        "",
        f"## Speed of detection: hard ground, {work['changed']:.0%} of it changed, {dates['hard']} dates, "
        f"{missing['hard']:.0%} missing",
        "",
        f"{pixels['thinned']} pixels. *phases* and PELT read ndvi and swir, other readers of one index ndvi. "
        "*From digital numbers*: int16 at 10 m and 20 m and classes at 20 m in memory, to layers, in 10 m pixels.",
        "",
        *_speed(result["thinned"]),
        "",
        f"## Speed on stable ground: one index, {dates['stable']} dates, {missing['stable']:.0%} missing, half history",
        "",
        "Alarms are nominally 5 % for cusum, mosum, CuSum, MoSum and bfast_monitor.",
        "",
        *_speed(result["stable"]),
        "",
        f"## Accuracy: hard ground, half of it changed, {pixels['accuracy']} pixels, all of them for each",
        "",
        "Two years of history without works, which *phases* is not told. Onsets among changed pixels found. "
        "Halts among ended works found (undated = missed); *dated*: among halts given. Provisional onsets count but "
        "where said.",
        "",
        *_accuracy(result["accuracy"]),
        "",
        *_covers(result["accuracy"]),
        *_intervals(result["accuracy"]),
        *_reliability(result["accuracy"]),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        "",
    ]
    return "\n".join(lines)


def store(result: Row, folder: Path) -> list[Path]:
    """Write kernels.json, kernels.md and kernels.png into ``folder``; returns their paths."""
    return write(result, folder, "kernels", markdown(result), draw)


def _speed(rows: Sequence[Row]) -> list[str]:
    head = (
        "detector",
        "reads",
        "pixels/s",
        "x CuSum",
        "x bfast",
        "of limit",
        "peak MiB",
        "KiB/pixel",
        "alarms",
        "pixels",
    )
    return aligned(
        head,
        [
            (row["name"], row["reads"], row["fault"], *[""] * 7)
            if row["fault"]
            else (
                row["name"],
                row["reads"],
                _big(row["pixels_per_s"]),
                *("-" if row[key] is None else f"{row[key]:.3g}" for key in ("ratio", "ratio_fastest")),
                f"{row['of_limit']:.2%}",
                f"{row['peak_mib']:.1f}",
                f"{row['kib_per_pixel']:.1f}",
                _percent(row["alarms"]),
                str(row["pixels"]),
            )
            for row in rows
        ],
    )


def _accuracy(rows: Sequence[Row]) -> list[str]:
    head = (
        "detector",
        "false alarms",
        "recall",
        "onset in 15/30/60 d",
        "median d",
        "halt in 15/30/60 d",
        "dated in 30 d",
        "median d",
        "ongoing called halted",
    )
    return aligned(
        head,
        [
            (row["name"], row["fault"], *[""] * 7)
            if row["fault"]
            else (
                row["name"],
                _percent(row["false_alarms"]),
                _percent(row["recall"]),
                *_within(row["onset"]),
                *_halts(row),
            )
            for row in rows
        ],
    )


def _within(near: Row) -> tuple[str, str]:
    """Shares within so many days, and the median error; dashes where nothing is dated."""
    if near["median_abs_error"] is None:
        return "-", "-"
    shares = " / ".join(_percent(near[f"within_{days}"]) for days in WITHIN)
    return shares, _days(near["median_abs_error"])


def _halts(row: Row) -> tuple[str, str, str, str]:
    """Return the cells of the halts: dashes where a detector never dates one.

    Such a detector is no better for calling none of the ongoing works halted.
    """
    dated = row["halt_dated"]
    if dated["n"] == 0:
        return "-", "-", "-", "-"
    shares, median = _within(row["halt"])
    return shares, _percent(dated["within_30"]), median, _percent(row["ongoing_called_halted"])


def _covers(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table of false alarms and recall by cover."""
    whole = [row for row in rows if not row["fault"]]
    if not whole:
        return []
    covers = list(whole[0]["false_alarms_by_cover"])
    cells = [
        (
            row["name"],
            *(
                f"{_percent(row['false_alarms_by_cover'][cover])}, {_percent(row['recall_by_cover'][cover])}"
                for cover in covers
            ),
        )
        for row in whole
    ]
    return aligned(("false alarms, recall", *covers), cells)


def _intervals(rows: Sequence[Row]) -> list[str]:
    with_intervals = [row for row in rows if not row["fault"] and row["onset_interval"]]
    if not with_intervals:
        return []
    cells = []
    for row in with_intervals:
        for label, part in (("", row), (", clear gaps only", row.get("without_gap"))):
            if part is not None:
                both = (part["onset_interval"], part["halt_interval"])
                cells.append(
                    (
                        row["name"] + label,
                        *(
                            f"{_percent(one['coverage'])}, {_days(one['median_width'])} d" if one["n"] else "-"
                            for one in both
                        ),
                        _percent(part["onset"]["within_30"]),
                        _percent(part["halt_dated"]["within_30"]),
                    )
                )
    head = ("90 % intervals: coverage, median width", "onset", "halt", "onset in 30 d", "dated halt in 30 d")
    return ["", *aligned(head, cells)]


def _reliability(rows: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        if row["name"] in TRUSTED and row.get("reliability"):
            head = (f"confidence of {row['name']}", "stated", "truly changed, onset in 30 d", "pixels")
            cells = [
                (f"{b['low']}-{b['high']} %", f"{b['stated']:.0f} %", _percent(b["true"]), str(b["n"]))
                for b in row["reliability"]
            ]
            lines += ["", *aligned(head, cells)]
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def _days(days: float | None) -> str:
    return "-" if days is None else f"{days:.0f}"


def _big(number: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
