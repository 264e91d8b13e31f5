"""One picture: how fast, how true, a line a detector; and whether stated confidence holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Row = dict[str, Any]

OURS, THEIRS, INK, FAINT = "#b5542b", "#8c98a4", "#22262a", "#d9dde1"
DOTS = (
    ("onset", "within_30", "onset within 30 d", "o", "#d9961a"),
    ("halt", "within_30", "halt within 30 d, of ended works found", "s", "#2f6f8f"),
    ("recall", None, "recall", "D", "#5b8c3e"),
    ("false_alarms", None, "false alarms", "X", "#22262a"),
)

TRUSTED = ("phases", "phases, 3 indices")
"""Detectors whose confidence is drawn."""


def draw(result: Row, path: Path) -> None:
    """Draw ``result`` to a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = sorted(
        (row for row in result["thinned"] if not row["fault"]), key=lambda row: (row["ours"], row["pixels_per_s"])
    )
    pyplot.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "ytick.color": INK})
    figure, (speed, truth, trust) = pyplot.subplots(
        1, 3, figsize=(16, 2.2 + 0.36 * len(rows)), width_ratios=(1.25, 1, 0.8), layout="constrained"
    )
    _speed(speed, rows, result)
    _truth(truth, rows, {row["name"]: row for row in result["accuracy"] if not row["fault"]})
    _trust(trust, result["accuracy"])
    for axes in (speed, truth, trust):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _speed(axes: Any, rows: list[Row], result: Row) -> None:
    """Bars on hard ground, rings on stable ground."""
    stable = {row["name"]: row for row in result["stable"] if not row["fault"]}
    places = range(len(rows))
    axes.barh(
        places,
        [row["pixels_per_s"] for row in rows],
        color=[OURS if row["ours"] else THEIRS for row in rows],
        height=0.62,
    )
    for place, row in zip(places, rows, strict=True):
        ends = [row["pixels_per_s"]]
        if row["name"] in stable:
            ends.append(stable[row["name"]]["pixels_per_s"])
            axes.scatter(ends[1], place, marker="o", s=36, facecolor="white", edgecolor=INK, zorder=3)
        axes.text(max(ends) * 1.3, place, _label(row), va="center", fontsize=9)
    axes.scatter([], [], marker="o", s=36, facecolor="white", edgecolor=INK, label="stable ground, one index")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    axes.set(xscale="log", xlim=(50, 60 * max(row["pixels_per_s"] for row in rows)))
    axes.set_xlabel("pixels per second, one core (log); in brackets: x nrt CuSum")
    axes.set_yticks(places, [row["name"] for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_title(f"Speed: hard ground, {result['workloads']['changed']:.0%} changed", loc="left", fontsize=11)


def _truth(axes: Any, rows: list[Row], truths: dict[str, Row]) -> None:
    """Shares of the accuracy workload, on the lines of the bars."""
    for place, row in enumerate(rows):
        found = truths.get(row["name"])
        axes.axhline(place, color=FAINT, linewidth=0.8, zorder=0)
        if found is None:
            continue
        for name, key, _, marker, colour in DOTS:
            share = found[name][key] if key else found[name]
            dated = not key or found[name]["median_abs_error"] is not None
            if share is not None and dated:
                axes.scatter(100 * share, place, marker=marker, color=colour, s=42, zorder=2)
    for _, _, label, marker, colour in DOTS:
        axes.scatter([], [], marker=marker, color=colour, s=42, label=label)
    axes.set(xlim=(-3, 103), xlabel="% of pixels", ylim=(-0.7, len(rows) - 0.3))
    axes.set_yticks(range(len(rows)), [""] * len(rows))
    axes.set_title("Accuracy: hard ground, half changed", loc="left", fontsize=11)
    axes.xaxis.grid(True, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False, fontsize=9)


def _trust(axes: Any, rows: list[Row]) -> None:
    """Stated confidence against the share that was true, a line a detector; dots as large as they hold pixels."""
    axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    lines = [row for row in rows if not row["fault"] and row["name"] in TRUSTED and row.get("reliability")]
    for row, colour in zip(lines, ("#b5542b", "#2f6f8f"), strict=False):
        bins = row["reliability"]
        most = max(b["n"] for b in bins)
        stated, true = [b["stated"] for b in bins], [100 * b["true"] for b in bins]
        axes.plot(stated, true, color=colour, linewidth=1.2, label=row["name"])
        axes.scatter(stated, true, color=colour, s=[12 + 110 * b["n"] / most for b in bins], zorder=2)
    axes.set(xlim=(0, 103), ylim=(0, 103), xlabel="stated confidence, %", ylabel="truly changed, onset within 30 d, %")
    axes.set_title("Confidence: hard ground, half changed", loc="left", fontsize=11)
    axes.grid(True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _label(row: Row) -> str:
    number = row["pixels_per_s"]
    text = f"{number / 1e6:.2g} M" if number >= 1e6 else f"{number / 1e3:.3g} k" if number >= 1e3 else f"{number:.0f}"
    ratio = row["ratio"]
    return text if ratio is None else f"{text}  ({ratio:.0f}x)" if ratio >= 10 else f"{text}  ({ratio:.2g}x)"
