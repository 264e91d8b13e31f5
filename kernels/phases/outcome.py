"""From candidates to layers: which are believed, which have settled, and what they mean in dates and bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.layers import EDGE_DAYS, GAP_DAYS, WEAK_DAYS, Layers, Quality, Status
from groundbreak.kernels.phases.model import MIN_SETTLED, Candidates, Settings
from groundbreak.kernels.types import Floats, Ints

WEAK_OBSERVATIONS = 10
"""A baseline with fewer sets weak_baseline too."""

SHORT_DAYS = 180.0
"""Less normal ground than this before an onset, and the change stays provisional: half a year cannot tell it from a
season (unmasked snow of a first winter looks like ground that was cleared in spring)."""

LOST_WHOLLY = 0.9
NOVEL = 0.5
RETURN_DAYS = 410.0
"""A change is sure where this share of the baseline's states is gone, or this share of what came is new in any season,
or a year and a late spring gave the missing season time to return; until then it is provisional."""

CHANGE_WEIGHTS = (-4.744, 7.055, -1.333, 2.387, -1.269)
"""Log odds that the ground changed: intercept, and weights of the log of the screen's CUSUM, of `regrowth`, of
the share of observations since the onset that no season explains, and of the settled spread."""

PROOF = 1.0
STRONG = 4.0
"""A change is proved where the share of states lost, half the share that is new, and 0.4 of the CUSUM beyond STRONG,
less twice the regrowth, reach this; or where what came is barren: see the next."""

BARREN = (0.0, 3.5, 1.3)
"""What came is barren where ``grown`` is below the first, the CUSUM above the second, the settled spread below the
last: no season describes it better than works do, and it is quiet."""

END_WEIGHTS = (-3.202, 0.066, 0.544, -5.128)
"""Log odds that works are over: an intercept, then weights of the evidence over works that go on, of the log of the
days settled, and of the log of the settled spread. The intercept is set so that at odds 0, 28 % of the ongoing works
that a settled end fits are called over. All weights are printed by benchmarks/detectors/calibrate.py."""

DATE_WEIGHTS = (3.336, 0.261, -2.253)
"""Log odds that the ground changed and the onset is within 30 days: intercept, and weights of `odds_of_change` and of
log(1 + interval / 30 d)."""


def signs_of_change(found: Candidates) -> list[Floats]:
    """Return what `CHANGE_WEIGHTS` weighs, (candidate,) float64 each."""
    unexplained = found["evidence"] / np.maximum(found["after"], 1)
    return [np.log(np.maximum(found["cusum"], 0.1)), regrowth(found), unexplained, np.minimum(found["spread"], 6.0)]


def odds_of_change(found: Candidates) -> Floats:
    """Return the log odds, (candidate,) float64, that each is a change; fitted on hard ground (docs/method.md)."""
    return log_odds(CHANGE_WEIGHTS, signs_of_change(found))


def log_odds(weights: Sequence[float], signs: Sequence[Floats]) -> Floats:
    """Return log odds: the first of ``weights`` plus the weighted sum of ``signs``, (candidate,) float64 each."""
    return np.asarray(weights[0] + sum(w * sign for w, sign in zip(weights[1:], signs, strict=True)))


def regrowth(found: Candidates) -> Floats:
    """Return how much better a season describes what came than works do, where the baseline's states are still there.

    Returns
    -------
    (candidate,) float64, log evidence an observation and index, weighted with the share of states that are not lost.
    """
    return np.asarray(np.clip(found["grown"], 0.0, 0.6) * (1.0 - found["lost"]))


def signs_of_end(found: Candidates) -> list[Floats]:
    """Return what `END_WEIGHTS` weighs, (candidate,) float64 each."""
    quiet = np.log(np.maximum(found["last"] - found["halt"], 1.0))
    return [found["over_open"], quiet, np.log(found["spread"] + 0.1)]


def is_proved(found: Candidates) -> NDArray[np.bool_]:
    """Return whether each candidate is more than a field that rests, rotates or grows over."""
    shown = found["lost"] + 0.5 * found["novel"] + 0.4 * np.maximum(found["cusum"] - STRONG, 0.0)
    shown -= 2.0 * regrowth(found)
    grown, cusum, spread = BARREN
    barren = (found["grown"] < grown) & (found["cusum"] > cusum) & (found["spread"] < spread)
    return np.asarray((shown >= PROOF) | barren)


def probability(odds: Floats) -> Floats:
    """Turn log odds into probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -50, 50))))


def write_changes(
    settings: Settings, found: Candidates, snow: NDArray[np.bool_] | None, days: Ints, pixel: Ints, out: Layers
) -> None:
    """Write the layers of every believed change.

    Parameters
    ----------
    found : (candidate,) CANDIDATE
    pixel : (candidate,) int64, where each belongs
    snow : (time, pixel) bool, or None when unknown
    days : (time,) int64, all dates
    out : layers, (pixel,) each
    """
    believed = (found["onset"] >= 0) & (probability(odds_of_change(found)) >= settings.belief)
    found, pixel = found[believed], pixel[believed]
    begin, end = found["change"], found["last"]
    quality = np.where(begin - found["before"] > GAP_DAYS, Quality.GAP_AT_ONSET, 0)
    # what is surely normal ends where the onset's interval begins
    weak = (found["onset_low"] < WEAK_OBSERVATIONS) | (found["normal"] - found["first"] < WEAK_DAYS)
    quality |= np.where(weak, Quality.WEAK_BASELINE, 0)
    edge = np.minimum(begin - found["first"], end - begin)

    waited = end - begin
    sure = (waited >= RETURN_DAYS) | (found["lost"] >= LOST_WHOLLY) | (found["novel"] >= NOVEL)
    sure &= is_proved(found) & (begin - found["first"] >= SHORT_DAYS)
    sure &= (waited >= settings.confirm_days) & (found["after"] >= MIN_SETTLED)
    halt = found["halt"]
    halted = sure & found["ends"] & (log_odds(END_WEIGHTS, signs_of_end(found)) >= 0)
    halted &= end - found["quiet"] >= settings.settled_days
    quality |= np.where(halted & (found["quiet"] - halt > GAP_DAYS), Quality.GAP_AT_HALT, 0)
    edge = np.where(halted, np.minimum(edge, end - halt), edge)
    quality |= np.where(edge < EDGE_DAYS, Quality.RECORD_EDGE, 0)
    if snow is not None:
        quality |= np.where(hidden_by_snow(found, halted, snow, days, pixel), Quality.SNOW_SEASON, 0)
    status = np.where(found["pauses"] > 0, Status.RESUMED, Status.ACTIVE)
    shift = np.where(halted, found["settled_shift"], found["shift"]) * 1e4

    out.status[pixel] = np.where(halted, Status.HALTED, np.where(sure, status, Status.PROVISIONAL))
    out.onset[pixel], out.onset_earliest[pixel], out.onset_latest[pixel] = begin, found["earliest"], found["latest"]
    at, over = pixel[halted], found[halted]
    out.halt[at], out.halt_earliest[at], out.halt_latest[at] = over["halt"], over["halt_earliest"], over["halt_latest"]
    out.magnitude[pixel] = np.round(np.clip(shift, -32767, 32767))
    out.confidence[pixel] = np.round(100.0 * probability(log_odds(DATE_WEIGHTS, signs_of_dates(found))))
    out.n_evidence[pixel] = np.minimum(found["evidence"], 65535)
    out.n_changes[pixel] = np.minimum(1 + found["pauses"], 255)
    out.quality[pixel] = quality


def signs_of_dates(found: Candidates) -> list[Floats]:
    """Return what `DATE_WEIGHTS` weighs, (candidate,) float64 each."""
    return [odds_of_change(found), np.log1p((found["latest"] - found["earliest"]) / 30.0)]


def hidden_by_snow(
    found: Candidates, halted: NDArray[np.bool_], snow: NDArray[np.bool_], days: Ints, pixel: Ints
) -> NDArray[np.bool_]:
    """Return whether snow was seen between a date of each candidate and the clear observation that proves it.

    That is between the last clear normal observation and the onset, and between the halt and the first clear settled
    one: snow anywhere else hides nothing of a date.

    Parameters
    ----------
    halted : (candidate,) bool, whether it has a halt
    pixel : (candidate,) int64
    snow : (time, pixel) bool
    days : (time,) int64, days since 1970-01-01
    """
    inside = (days[:, None] > found["before"]) & (days[:, None] < found["change"])
    inside |= (days[:, None] > found["halt"]) & (days[:, None] < found["quiet"]) & halted
    return np.asarray((snow[:, pixel] & inside).any(axis=0))
