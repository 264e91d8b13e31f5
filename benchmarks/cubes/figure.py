"""One picture: seconds of every builder, a panel a case."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

Row = dict[str, Any]

OURS, THEIRS, INK, FLOOR = "#b5542b", "#8c98a4", "#22262a", "#2f6f8f"


def draw(result: Row, path: Path) -> None:
    """Draw ``result`` to a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "ytick.color": INK})
    cases = result["cases"]
    most = max(len(case["rows"]) for case in cases)
    figure, panels = pyplot.subplots(
        1, len(cases), figsize=(7.5 * len(cases), 1.8 + 0.36 * most), layout="constrained", squeeze=False
    )
    for axes, case in zip(panels[0], cases, strict=True):
        _panel(axes, case)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axes: Any, case: Row) -> None:
    """Bars in the case's figure; the floor is a line, since it is seconds of the processor."""
    floor = next((row for row in case["rows"] if "decode_s" in row), None)
    rows = sorted((row for row in case["rows"] if "wall_s" in row), key=lambda row: -row[case["figure"]])
    places = range(len(rows))
    values = [row[case["figure"]] for row in rows]
    axes.barh(places, values, height=0.62, color=[OURS if row["family"] == "groundbreak" else THEIRS for row in rows])
    for place, row, value in zip(places, rows, values, strict=True):
        times = "" if row["ratio"] is None else f"  ({row['ratio']:.1f}x)"
        axes.text(value, place, f" {value:.1f} s{times}", va="center", fontsize=9)
    if floor is not None:
        axes.axvline(floor["cpu_s"], color=FLOOR, linewidth=1.2, linestyle=(0, (4, 3)), label="decode + encode, CPU")
        axes.legend(loc="upper right", frameon=False, fontsize=9)
    axes.set_yticks(places, [row["name"] + (" (best)" if row.get("best") else "") for row in rows])
    axes.set_xlim(0, 1.25 * max(values, default=1))
    axes.set_xlabel("CPU seconds" if case["figure"] == "cpu_s" else "wall seconds")
    axes.set_title(fill(case["title"], 40), loc="left", fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
