"""The last step of the search: positions to days, and how far the level moved."""

from __future__ import annotations

from groundbreak.kernels.lanes.jit import helper, jit
from groundbreak.kernels.phases.model import LATEST, Candidates, Records
from groundbreak.kernels.types import Floats


@helper
def mean(row: Floats, start: int, stop: int) -> float:
    """Return the mean of row[start:stop], which is not empty."""
    total = 0.0
    for i in range(start, stop):
        total += row[i]
    return total / (stop - start)


@jit
def measure(records: Records, found: Candidates) -> None:
    """Date every candidate, and measure its shift: the fifth step of the detector.

    Parameters
    ----------
    found : (pixel,) CANDIDATE; out: first and before to settled_shift
    """
    for p in range(found.size):
        onset, n = found[p].onset, records.size[p]
        if onset < 0:
            continue
        day, level = records.day[p], records.z[p, 0]
        found[p].first = day[0]
        found[p].before, found[p].change = day[onset - 1], day[onset]
        low = found[p].onset_low
        found[p].earliest, found[p].normal = day[low - 1] + 1.0, day[low]
        found[p].latest = day[found[p].onset_high]
        found[p].after = n - onset
        settled = max(found[p].settled, min(onset + 1, n))
        halt = min(settled - 1, n - 2)
        found[p].halt, found[p].quiet = day[halt], day[halt + 1]
        found[p].halt_earliest = min(day[halt], day[max(found[p].settled_low - 1, 0)])
        found[p].halt_latest = max(day[halt + 1], day[min(found[p].settled_high, n - 1)])
        found[p].ends = settled < n
        base, unit = mean(level, 0, onset), records.scale[p, 0]
        found[p].shift = (mean(level, max(onset, n - LATEST), n) - base) * unit
        found[p].settled_shift = (mean(level, settled, n) - base) * unit if settled < n else 0.0
