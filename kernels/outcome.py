"""From the changes found to layers: what they mean, in dates and bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.layers import Layers, Quality, Status
from kernels.model import LATEST, SETTLED, Records, Settings
from kernels.phases import Found, confirmed
from kernels.series import Floats, Ints

GAP_DAYS = 45.0
"""Clear observations farther apart than this around a date set its gap bit."""

EDGE_DAYS = 120.0
"""A date this near to either end of the record sets record_edge."""

WEAK_DAYS = 330.0
WEAK_OBSERVATIONS = 10
"""A baseline below either sets weak_baseline: it has not seen all seasons."""

SHORT_DAYS = 180.0
"""Less normal ground than this before an onset, and the change stays provisional: half a year cannot tell it from a
season (unmasked snow of a first winter looks like ground that was cleared in spring)."""

CONFIDENCE = (-8.61, 0.59, -1.11, 7.88)
"""Intercept, and slopes of log evidence, log(1 + interval / 30 d) and persistence."""


def confidence(strength: Floats, width: Floats, share: Floats) -> Floats:
    """Percent of such pixels that truly changed with onset within 30 d.

    A logistic curve fitted to simulated ground, nine stable pixels to one that is built on
    (docs/method.md); it rises with evidence and persistence and falls with the width of the
    onset's interval.

    Parameters
    ----------
    strength : log evidence; width : days; share : 0-1
    """
    a, b, c, d = CONFIDENCE
    x = a + b * np.log(strength) + c * np.log(1.0 + width / 30.0) + d * share
    return np.asarray(np.round(100.0 / (1.0 + np.exp(-x))))


def describe(
    records: Records, settings: Settings, found: Found, snow: NDArray[np.bool_], days: Ints, out: Layers
) -> None:
    """Write the layers of every changed pixel of a block.

    Parameters
    ----------
    snow : (pixel, time) bool, or (pixel, 0) when unknown; days : (time,) int64, all dates
    out : layers of the block, (pixel,) each
    """
    pixel = np.flatnonzero(found.n_changes)
    first, latest, offset = found.first[pixel], found.latest[pixel], found.offset[pixel]
    count, n, day = found.n_changes[pixel], records.size[pixel], records.day[pixel]
    each = np.arange(pixel.size)
    begin, end_day = day[each, first["i"]], day[each, n - 1]
    sure_day = day[each, first["i_low"]]
    onset_earliest = day[each, first["i_low"] - 1] + 1
    onset_latest = day[each, first["i_high"]]
    quality = np.where(begin - day[each, first["i"] - 1] > GAP_DAYS, Quality.GAP_AT_ONSET, 0)
    # what is surely normal ends where the onset's interval begins
    weak = (first["i_low"] < WEAK_OBSERVATIONS) | (sure_day - day[:, 0] < WEAK_DAYS)
    quality |= np.where(weak, Quality.WEAK_BASELINE, 0)
    edge = np.minimum(begin - day[:, 0], end_day - begin)

    short = begin - day[:, 0] < SHORT_DAYS
    halted = (latest["kind"] == SETTLED) & ~short
    h = np.minimum(offset + np.maximum(latest["j"] - 1, latest["i"]), n - 2)
    halt, following = day[each, h], day[each, h + 1]
    halt_earliest = np.minimum(halt, day[each, offset + np.maximum(latest["j_low"] - 1, 0)])
    halt_latest = np.maximum(following, day[each, np.minimum(offset + latest["j_high"], n - 1)])
    quality |= np.where(halted & (following - halt > GAP_DAYS), Quality.GAP_AT_HALT, 0)
    edge = np.where(halted, np.minimum(edge, end_day - halt), edge)
    quality |= np.where(edge < EDGE_DAYS, Quality.RECORD_EDGE, 0)

    known = confirmed(end_day - begin, n - first["i"], latest["sure"] == 1, settings)
    status = np.where(known, Status.ACTIVE, Status.PROVISIONAL)
    status = np.where(halted, Status.HALTED, np.where(count > 1, Status.RESUMED, status))
    status = np.where(short, Status.PROVISIONAL, status)

    start = np.where(halted, offset + latest["j"], np.maximum(first["i"], n - LATEST))
    level = np.where(np.arange(day.shape[1]) < n[:, None], records.z[pixel, :, 0], 0.0)
    total = np.concatenate([np.zeros((pixel.size, 1)), np.cumsum(level, axis=1)], axis=1)
    settled = (total[each, n] - total[each, start]) / (n - start)
    shift = (settled - total[each, first["i"]] / first["i"]) * records.scale[pixel, 0] * 1e4

    if snow.shape[1]:
        white = snow[pixel]
        inside = (days >= onset_earliest[:, None]) & (days <= onset_latest[:, None])
        at_halt = (days >= halt_earliest[:, None]) & (days <= halt_latest[:, None])
        inside |= at_halt & halted[:, None]
        quality |= np.where((white & inside).any(axis=1), Quality.SNOW_SEASON, 0)
    out.status[pixel] = status
    out.onset[pixel], out.onset_earliest[pixel], out.onset_latest[pixel] = begin, onset_earliest, onset_latest
    dated = pixel[halted]
    out.halt[dated] = halt[halted]
    out.halt_earliest[dated], out.halt_latest[dated] = halt_earliest[halted], halt_latest[halted]
    out.magnitude[pixel] = np.round(np.clip(shift, -32767, 32767))
    out.confidence[pixel] = confidence(first["strength"], onset_latest - onset_earliest, first["share"])
    out.n_evidence[pixel] = np.minimum(first["marked"], 65535)
    out.n_changes[pixel] = np.minimum(count, 255)
    out.quality[pixel] = quality
