"""One picture: how fast on the left, how true on the right, a line a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Row = dict[str, Any]

OURS, THEIRS, INK, FAINT = "#b5542b", "#8c98a4", "#22262a", "#d9dde1"
DOTS = (
    ("onset", "within_30", "onset within 30 d", "o", "#d9961a"),
    ("halt", "within_30", "halt within 30 d, of all ended works found", "s", "#2f6f8f"),
    ("recall", None, "recall", "D", "#5b8c3e"),
    ("false_alarms", None, "false alarms", "X", "#22262a"),
)


def draw(result: Row, path: Path) -> None:
    """Draw ``result`` to a PNG: pixels per second on a logarithmic axis, and shares of the accuracy workload."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = sorted(
        (row for row in result["speed"] if not row["fault"]), key=lambda row: (row["ours"], row["pixels_per_s"])
    )
    truths = {row["name"]: row for row in result["accuracy"] if not row["fault"]}
    pyplot.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "ytick.color": INK})
    figure, (speed, truth) = pyplot.subplots(
        1, 2, figsize=(11.5, 1.9 + 0.42 * len(rows)), sharey=True, width_ratios=(1.15, 1), layout="constrained"
    )
    places = range(len(rows))
    colours = [OURS if row["ours"] else THEIRS for row in rows]
    speed.barh(places, [row["pixels_per_s"] for row in rows], color=colours, height=0.62)
    for place, row in zip(places, rows, strict=True):
        speed.text(row["pixels_per_s"] * 1.15, place, _label(row), va="center", fontsize=9)
    speed.axvline(result["read_limit"], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    speed.text(result["read_limit"] / 1.15, -0.75, "memory read limit", ha="right", va="center", fontsize=9)
    speed.set(xscale="log", xlim=(50, result["read_limit"] * 2.2), xlabel="pixels per second, one core (log)")
    speed.set_yticks(places, [row["name"] for row in rows])
    speed.set_ylim(-1.1, len(rows) - 0.4)
    work = result["workloads"]
    speed.set_title(f"Speed: {work['dates']} dates, {work['missing']:.0%} missing", loc="left", fontsize=11)
    for place, row in zip(places, rows, strict=True):
        found = truths.get(row["name"])
        truth.axhline(place, color=FAINT, linewidth=0.8, zorder=0)
        if found is None:
            continue
        for name, key, _, marker, colour in DOTS:
            share = found[name][key] if key else found[name]
            if share is not None and not (name == "halt" and found["halt_dated"]["n"] == 0):
                truth.scatter(100 * share, place, marker=marker, color=colour, s=42, zorder=2)
    for _, _, label, marker, colour in DOTS:
        truth.scatter([], [], marker=marker, color=colour, s=42, label=label)
    truth.set(xlim=(-3, 103), xlabel="% of pixels")
    truth.set_title("Accuracy: simulated hard ground", loc="left", fontsize=11)
    truth.xaxis.grid(True, color=FAINT, linewidth=0.8, zorder=0)
    truth.set_axisbelow(True)
    for axes in (speed, truth):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower right", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=160)
    pyplot.close(figure)


def _label(row: Row) -> str:
    number = row["pixels_per_s"]
    text = f"{number / 1e6:.2g} M" if number >= 1e6 else f"{number / 1e3:.3g} k" if number >= 1e3 else f"{number:.0f}"
    return text if row["ratio"] is None else f"{text}  ({row['ratio']:.2g}x)"
