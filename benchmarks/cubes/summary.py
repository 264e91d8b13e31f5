"""From laps to rows: medians, and ratios taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.cubes.cases import Case
from benchmarks.cubes.contenders import FLOOR, OURS

Row = dict[str, Any]

MANY = "odc-stac"
"""The builder whose rows are settings of one way; the best of them is marked."""


def summarise(case: Case, rows: Sequence[Row]) -> list[Row]:
    """Fill in medians, ratios, and which of a builder's settings is its best in the case's figure."""
    named = {row["name"]: row for row in rows}
    ours, floor = named[OURS]["laps"], named[FLOOR]["laps"]
    least = [lap["decode_s"] + lap["encode_s"] for lap in floor]
    for row in rows:
        laps = row["laps"]
        if row["fault"] is not None or not laps:
            continue
        if row["name"] == FLOOR:
            for key in ("decode_s", "encode_s"):
                row[key] = statistics.median(lap[key] for lap in laps)
            row["cpu_s"] = statistics.median(least)
            continue
        for key in ("cpu_s", "system_s", "wall_s"):
            row[key] = statistics.median(lap[key] for lap in laps)
        row["peak_mib"] = max(lap["peak_mib"] for lap in laps)
        # The load of the machine shifts between rounds.
        row["ratio"] = _ratio([lap[case.figure] for lap in laps], [lap[case.figure] for lap in ours])
        row["of_floor"] = _ratio([lap["cpu_s"] for lap in laps], least)
    settings = [row for row in rows if row["family"] == MANY and "wall_s" in row]
    if settings:
        min(settings, key=lambda row: float(row[case.figure]))["best"] = True
    return list(rows)


def _ratio(mine: Sequence[float], theirs: Sequence[float]) -> float | None:
    ratios = [a / b for a, b in zip(mine, theirs, strict=False)]
    return statistics.median(ratios) if ratios else None
