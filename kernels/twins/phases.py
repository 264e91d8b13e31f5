"""Slow, obvious twin of the detector ``phases``, pixel by pixel: from a series to its layers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.layers import EDGE_DAYS, GAP_DAYS, WEAK_DAYS, Layers, Quality, Status, empty_layers
from groundbreak.kernels.phases import model, outcome
from groundbreak.kernels.phases.evidence import design_matrix
from groundbreak.kernels.phases.screen import TOO_LARGE
from groundbreak.kernels.twins.search import Candidate, Series, find_change
from groundbreak.kernels.twins.series import cusum, spikes, standardise, step_left
from groundbreak.kernels.types import Bools, Floats, Ints


def solve_pixel(
    values: NDArray[np.float32],
    days: Ints,
    snow: Bools | None,
    history_end: int | None,
    settings: model.Settings,
) -> dict[str, int]:
    """Detect the change of one pixel.

    Parameters
    ----------
    values : (index, time) float32, NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01
    snow : (time,) bool or None
    history_end : an onset is sought only after this day; None for any

    Returns
    -------
    The value of each layer; those that stay at their fill are left out.
    """
    clear = np.flatnonzero(np.isfinite(values).all(axis=0))
    row: dict[str, int] = {"n_valid": clear.size, "status": Status.TOO_FEW_OBSERVATIONS}
    if clear.size:
        row["last_observation"] = int(days[clear[-1]])
    if clear.size < model.MIN_OBSERVATIONS or days[clear[-1]] - days[clear[0]] < model.MIN_SPAN_DAYS:
        return row
    left = step_left(days, clear)
    if left >= max(model.STEP_LEFT, model.STEP_SHARE * clear.size):
        row["status"] = Status.STABLE
    kept = np.where(np.isfinite(values).all(axis=0), values, np.nan).astype(np.float64)
    if np.nanmax(np.abs(kept)) > TOO_LARGE:
        row["status"] = Status.FAILED
        return row
    statistic = max(cusum(series, days.astype(np.float64), settings.noise_floor) for series in kept)
    root = math.sqrt(clear.size / model.TYPICAL)
    if statistic < settings.screen * max(root, model.NOISE_BOUND):
        return row
    statistic /= root
    z, scale = standardise(values[:, clear].astype(np.float64), settings.noise_floor)
    keep = spikes(z, days[clear].astype(np.float64), settings.spike)
    z, clear = z[:, keep], clear[keep]
    day = days[clear].astype(np.float64)
    row["last_observation"] = int(day[-1])
    if clear.size < model.MIN_OBSERVATIONS or day[-1] - day[0] < model.MIN_SPAN_DAYS:
        row["status"] = Status.TOO_FEW_OBSERVATIONS
        return row
    s = Series(z, day, day % 365.25, design_matrix(days)[clear])
    found = find_change(s, settings, -math.inf if history_end is None else float(history_end + 1))
    if found is not None:
        odds = odds_of_change(found, statistic)
        if probability(odds) >= settings.belief:
            row |= changed_row(z[0] * scale[0], s, settings, found, statistic, odds)
            if snow is not None:
                row["quality"] |= hidden_by_snow(days[snow], day, row)
    return row


def probability(odds: float) -> float:
    """Turn log odds into a probability."""
    return 1 / (1 + math.exp(-min(max(odds, -50.0), 50.0)))


def odds_of_change(found: Candidate, statistic: float) -> float:
    """Return the log odds that a candidate is a change; ``statistic`` is its scaled CUSUM."""
    a, b, c, d, e = outcome.CHANGE_WEIGHTS
    signs = b * math.log(max(statistic, 0.1)) + c * regrowth(found) + d * found.evidence / found.after
    return a + signs + e * min(found.spread, 6.0)


def regrowth(found: Candidate) -> float:
    """Return how much better a season describes what came than works do, where states of the baseline are left."""
    return min(max(found.grown, 0.0), 0.6) * (1 - found.lost)


def is_proved(found: Candidate, statistic: float) -> bool:
    """Return whether a candidate is more than a field that rests, rotates or grows over."""
    shown = found.lost + 0.5 * found.novel + 0.4 * max(statistic - outcome.STRONG, 0.0) - 2 * regrowth(found)
    grown, most, spread = outcome.BARREN
    return shown >= outcome.PROOF or (found.grown < grown and statistic > most and found.spread < spread)


def changed_row(
    level: Floats, s: Series, settings: model.Settings, found: Candidate, statistic: float, odds: float
) -> dict[str, int]:
    """Make the layers of a changed pixel; ``level`` (observation,) is the first index in its own unit."""
    n, day, onset = s.n, s.day, found.onset
    low, high = found.onsets
    row = {
        "onset": int(day[onset]),
        "onset_earliest": int(day[low - 1]) + 1,
        "onset_latest": int(day[high]),
        "n_evidence": found.evidence,
        "n_changes": 1 + found.pauses,
    }
    quality = Quality(0)
    edges = [day[onset] - day[0], day[-1] - day[onset]]
    if day[onset] - day[onset - 1] > GAP_DAYS:
        quality |= Quality.GAP_AT_ONSET
    if low < outcome.WEAK_OBSERVATIONS or day[low] - day[0] < WEAK_DAYS:
        quality |= Quality.WEAK_BASELINE
    waited = day[-1] - day[onset]
    shown = found.lost >= outcome.LOST_WHOLLY or found.novel >= outcome.NOVEL or waited >= outcome.RETURN_DAYS
    sure = shown and is_proved(found, statistic) and day[onset] - day[0] >= outcome.SHORT_DAYS
    sure = sure and waited >= settings.confirm_days and n - onset >= model.MIN_SETTLED
    settled = max(found.settled, min(onset + 1, n))
    h = min(settled - 1, n - 2)
    a, b, c, d = outcome.END_WEIGHTS
    over = a + b * found.over_open + c * math.log(max(day[-1] - day[h], 1.0))
    over += d * math.log(found.spread + 0.1)
    end = max(onset, n - model.LATEST)
    row["status"] = Status.RESUMED if found.pauses else Status.ACTIVE
    if not sure:
        row["status"] = Status.PROVISIONAL
    elif over >= 0 and settled < n and day[-1] - day[h + 1] >= settings.settled_days:
        row["status"], end = Status.HALTED, settled
        row["halt"] = int(day[h])
        row["halt_earliest"] = int(min(day[h], day[max(found.settles[0] - 1, 0)]))
        row["halt_latest"] = int(max(day[h + 1], day[min(found.settles[1], n - 1)]))
        edges.append(day[-1] - day[h])
        if day[h + 1] - day[h] > GAP_DAYS:
            quality |= Quality.GAP_AT_HALT
    if min(edges) < EDGE_DAYS:
        quality |= Quality.RECORD_EDGE
    shift = (level[end:].mean() - level[:onset].mean()) * 1e4
    row["magnitude"] = round(float(np.clip(shift, -32767, 32767)))
    a, b, c = outcome.DATE_WEIGHTS
    width = (row["onset_latest"] - row["onset_earliest"]) / 30
    row["confidence"] = round(100 * probability(a + b * odds + c * math.log1p(width)))
    row["quality"] = int(quality)
    return row


def hidden_by_snow(snowy: Ints, day: Floats, row: dict[str, int]) -> int:
    """Return the snow_season bit if snow lies between a date and the observation that proves it, else 0.

    Parameters
    ----------
    snowy : (snow,) int64, days of snow
    day : (observation,) float64, days of the observations in use
    """
    gaps = [(float(day[day < row["onset"]].max()), float(row["onset"]))]
    if "halt" in row:
        gaps.append((float(row["halt"]), float(day[day > row["halt"]].min())))
    hidden = any(((snowy > low) & (snowy < high)).any() for low, high in gaps)
    return int(Quality.SNOW_SEASON) if hidden else 0


def phases_twin(
    values: NDArray[np.float32],
    days: Ints,
    snow: Bools | None,
    history_end: int | None,
    params: dict[str, float],
) -> Layers:
    """Run the slow twin of the detector ``phases``: seconds a pixel.

    Parameters
    ----------
    values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
    days : (time,) int64, days since 1970-01-01, increasing
    snow : (time, pixel) bool, where an observation was masked as snow; or None
    history_end : an onset is sought only after this day; None for any
    params : every parameter of the detector

    Returns
    -------
    Layers of shape (pixel,).
    """
    settings = model.Settings(**params)
    n_pixel = values.shape[2]
    layers = empty_layers((n_pixel,))
    for p in range(n_pixel):
        white = None if snow is None else snow[:, p]
        row = solve_pixel(values[:, :, p], days, white, history_end, settings)
        for name, value in row.items():
            getattr(layers, name)[p] = value
    return layers
