"""Second half of the slow twin: from one pixel's series to its layers; see kernels/reference.py."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kernels import model, outcome
from kernels.harmonic import design_matrix
from kernels.layers import Layers, Quality, Status, empty_layers
from kernels.reference import Found, Series, find_change
from kernels.reference_series import Bools, spikes, standardise
from kernels.series import Floats, Ints


def confirmed(found: Found, s: Series, confirm_days: float) -> bool:
    """Whether enough time and observations follow the onset."""
    long_enough = bool(s.day[-1] - s.day[found.i] >= confirm_days)
    return s.n - found.i >= model.MIN_SETTLED and long_enough and found.sure


def find_changes(s: Series, season: Floats, settings: model.Settings, first_onset: float) -> list[tuple[int, Found]]:
    """All separate changes in order of time, each with the observation that it counts from."""
    changes: list[tuple[int, Found]] = []
    start, allowed = 0, first_onset
    while s.n - start >= model.MIN_OBSERVATIONS:
        part = s.part(start, s.n)
        found = find_change(part, season[start:], settings, allowed, settings.settled_days)
        if found is None or (changes and not confirmed(found, part, settings.confirm_days)):
            break
        changes.append((start, found))
        if found.open:
            break
        start += found.j
        allowed = max(first_onset, s.day[start] + settings.settled_days)
    if changes and changes[0][1].i >= model.MIN_OBSERVATIONS:
        stop = changes[0][1].i
        twice = 2 * settings.settled_days
        earlier = find_change(s.part(0, stop), season[:stop], settings, first_onset, twice)
        if earlier is not None and not earlier.open:
            changes.insert(0, (0, earlier))
    return changes


def confidence(strength: float, width: float, share: float) -> int:
    """Percent; see :func:`kernels.outcome.confidence`."""
    a, b, c, d = outcome.CONFIDENCE
    x = a + b * math.log(strength) + c * math.log(1 + width / 30) + d * share
    return round(100 / (1 + math.exp(-x)))


def solve_pixel(
    values: NDArray[np.float32],
    days: Ints,
    snow: Bools | None,
    history_end: int | None,
    settings: model.Settings,
) -> dict[str, int]:
    """The layers of one pixel, those that stay at their fill left out.

    Parameters
    ----------
    values : (index, time) float32; days : (time,) int64; snow : (time,) bool or None
    """
    clear = np.flatnonzero(np.isfinite(values).all(axis=0))
    row: dict[str, int] = {"n_valid": clear.size, "status": Status.TOO_FEW_OBSERVATIONS}
    if clear.size:
        row["last_observation"] = int(days[clear[-1]])
    if clear.size < model.MIN_OBSERVATIONS:
        return row
    z, scale = standardise(values[:, clear].astype(np.float64), settings.noise_floor)
    keep = spikes(z, days[clear].astype(np.float64), settings.spike)
    z, clear = z[:, keep], clear[keep]
    day = days[clear].astype(np.float64)
    row["last_observation"] = int(day[-1])
    if clear.size < model.MIN_OBSERVATIONS or day[-1] - day[0] < model.MIN_SPAN_DAYS:
        return row
    s = Series(z, settings.noise_floor / scale, day, design_matrix(days)[clear])
    first_onset = -math.inf if history_end is None else float(history_end + 1)
    changes = find_changes(s, day % 365.25, settings, first_onset)
    row["status"] = Status.STABLE
    if changes:
        row |= describe(z[0] * scale[0], day, settings, changes, s)
        if snow is not None:
            row["quality"] |= hidden_by_snow(days[snow], row)
    return row


def describe(
    level: Floats,
    day: Floats,
    settings: model.Settings,
    changes: list[tuple[int, Found]],
    s: Series,
) -> dict[str, int]:
    """The layers of a changed pixel."""
    n = day.size
    first = changes[0][1]
    offset, latest = changes[-1]
    row = {
        "onset": int(day[first.i]),
        "onset_earliest": int(day[first.onsets[0] - 1]) + 1,
        "onset_latest": int(day[first.onsets[1]]),
        "n_evidence": first.marked,
        "n_changes": len(changes),
    }
    quality = Quality(0)
    edges = [day[first.i] - day[0], day[-1] - day[first.i]]
    if day[first.i] - day[first.i - 1] > outcome.GAP_DAYS:
        quality |= Quality.GAP_AT_ONSET
    sure = first.onsets[0]
    if sure < outcome.WEAK_OBSERVATIONS or day[sure] - day[0] < outcome.WEAK_DAYS:
        quality |= Quality.WEAK_BASELINE
    end = max(first.i, n - model.LATEST)
    if day[first.i] - day[0] < outcome.SHORT_DAYS:
        row["status"] = Status.PROVISIONAL
    elif not latest.open:
        end = offset + latest.j
        h = offset + max(latest.j - 1, latest.i)
        row["halt"] = int(day[h])
        row["halt_earliest"] = int(min(day[h], day[offset + max(latest.ends[0] - 1, 0)]))
        row["halt_latest"] = int(max(day[h + 1], day[offset + latest.ends[1]]))
        edges.append(day[-1] - day[h])
        if day[h + 1] - day[h] > outcome.GAP_DAYS:
            quality |= Quality.GAP_AT_HALT
        row["status"] = Status.HALTED
    elif len(changes) > 1:
        row["status"] = Status.RESUMED
    elif confirmed(latest, s, settings.confirm_days):
        row["status"] = Status.ACTIVE
    else:
        row["status"] = Status.PROVISIONAL
    if min(edges) < outcome.EDGE_DAYS:
        quality |= Quality.RECORD_EDGE
    shift = (level[end:].mean() - level[: first.i].mean()) * 1e4
    row["magnitude"] = round(float(np.clip(shift, -32767, 32767)))
    width = row["onset_latest"] - row["onset_earliest"]
    row["confidence"] = confidence(first.strength, width, first.share)
    row["quality"] = int(quality)
    return row


def hidden_by_snow(snowy: Ints, row: dict[str, int]) -> int:
    """The snow_season bit if snow fell within the interval of a date."""
    for date in ("onset", "halt"):
        if date in row:
            low, high = row[f"{date}_earliest"], row[f"{date}_latest"]
            if ((snowy >= low) & (snowy <= high)).any():
                return int(Quality.SNOW_SEASON)
    return 0


def phases_twin(
    values: NDArray[np.float32],
    days: Ints,
    snow: Bools | None,
    history_end: int | None,
    params: dict[str, float],
) -> Layers:
    """Slow twin of :func:`kernels.blocks.run_phases`: seconds a pixel, the same layers."""
    settings = model.Settings(**params)
    n_pixel = values.shape[2]
    layers = empty_layers((n_pixel,))
    for p in range(n_pixel):
        white = None if snow is None else snow[:, p]
        row = solve_pixel(values[:, :, p], days, white, history_end, settings)
        for name, value in row.items():
            getattr(layers, name)[p] = value
    return layers
