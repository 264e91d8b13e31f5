"""How near the truth: scores of any detector's result, knowing nothing of detectors.

Dates are float64 days since 1970-01-01, NaN = stable, not ended, or not dated. Every share comes as a number 0-1, or
None where nothing counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors.series import Bools, Doubles, Found
from benchmarks.detectors.workloads import Truth

WITHIN = (15, 30, 60)
"""Days from the truth within which dates are counted."""
BINS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
"""Edges of the bins of stated confidence, percent."""
NEAR = 30.0
"""Days from the true onset that a confidence speaks of."""

Scores = dict[str, Any]


def score(truth: Truth, found: Found) -> Scores:
    """Score ``found`` against ``truth``; pixels marked as gap are scored with the rest, and left out once more.

    Returns
    -------
    What `scores` of all pixels holds; with marks, also ``without_gap``, the same of the found pixels without
    one, and ``gap_share``, the share of found pixels that have one; with confidences, also ``reliability``.
    """
    out = scores(truth, found, np.ones(found.detected.shape, np.bool_))
    if found.gap is not None:
        out["without_gap"] = scores(truth, found, ~(found.gap & found.detected))
        out["gap_share"] = _share(found.gap[found.detected])
    if found.confidence is not None:
        out["reliability"] = reliability(truth, found)
    return out


def scores(truth: Truth, found: Found, among: Bools) -> Scores:
    """Score the pixels ``among``.

    False alarms are shares of stable pixels, recall of changed ones. Onsets are scored where change was found. Halts
    are scored twice: ``halt_dated`` among halts that were given, ``halt`` among all ended works found, where one that
    was not given is a miss. Intervals are scored where they and their truth are there.
    """
    changed = np.isfinite(truth.onset)
    hit = changed & found.detected & among
    ended = hit & np.isfinite(truth.halt)
    ongoing = hit & ~np.isfinite(truth.halt)
    dated = np.isfinite(found.halt)
    return {
        "pixels": int(among.sum()),
        "false_alarms": _share(found.detected[~changed & among]),
        "false_alarms_by_cover": _by_cover(truth.cover, found.detected, ~changed & among),
        "recall": _share(found.detected[changed & among]),
        "recall_by_cover": _by_cover(truth.cover, found.detected, changed & among),
        "onset": _near(found.onset[hit], truth.onset[hit]),
        "halt": _near(found.halt[ended], truth.halt[ended]),
        "halt_dated": _near(found.halt[ended & dated], truth.halt[ended & dated]),
        "ongoing_called_halted": _share(dated[ongoing]),
        "onset_interval": _interval(found.onset_low, found.onset_high, truth.onset, hit),
        "halt_interval": _interval(found.halt_low, found.halt_high, truth.halt, ended & dated),
    }


def reliability(truth: Truth, found: Found) -> list[Scores]:
    """Bins of stated confidence against the share truly changed with their onset within 30 days.

    Returns
    -------
    One row a bin that holds pixels: ``low`` and ``high`` edge and ``stated`` mean in percent, ``true`` share 0-1 and
    ``n`` pixels.
    """
    assert found.confidence is not None
    said = found.detected & np.isfinite(found.confidence)
    stated = found.confidence[said]
    true = np.abs(found.onset[said] - truth.onset[said]) <= NEAR  # NaN, a stable pixel, is not
    bin_of = np.clip(np.digitize(stated, BINS) - 1, 0, len(BINS) - 2)
    return [
        {
            "low": BINS[b],
            "high": BINS[b + 1],
            "stated": float(stated[bin_of == b].mean()),
            "true": float(true[bin_of == b].mean()),
            "n": int((bin_of == b).sum()),
        }
        for b in range(len(BINS) - 1)
        if (bin_of == b).any()
    ]


def _share(flags: Bools) -> float | None:
    return float(flags.mean()) if flags.size else None


def _by_cover(cover: NDArray[Any], flags: Bools, among: Bools) -> dict[str, float | None]:
    return {str(name): _share(flags[among & (cover == name)]) for name in np.unique(cover)}


def _near(said: Doubles, true: Doubles) -> Scores:
    """Shares within so many days of the truth, undated = miss; median error, absolute and signed, of the dated."""
    error = said - true
    dated = error[np.isfinite(error)]
    shares = {f"within_{days}": _share(np.abs(error) <= days) for days in WITHIN}
    return {
        "n": int(error.size),
        **shares,
        "median_abs_error": float(np.median(np.abs(dated))) if dated.size else None,
        "median_error": float(np.median(dated)) if dated.size else None,
    }


def _interval(low: Doubles | None, high: Doubles | None, true: Doubles, among: Bools) -> Scores | None:
    """How often an interval holds the truth, and its median width in days; None without intervals."""
    if low is None or high is None:
        return None
    there = among & np.isfinite(low) & np.isfinite(high)
    inside = (low <= true) & (true <= high)
    return {
        "n": int(there.sum()),
        "coverage": _share(inside[there]),
        "median_width": float(np.median((high - low)[there])) if there.any() else None,
    }
