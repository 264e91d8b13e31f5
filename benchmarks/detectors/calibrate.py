"""Fit the detector's two curves that speak of dates, on hard ground: when works are over, and confidence.

python -m benchmarks.detectors.calibrate [--seeds 1 2 3 4 5 6] [--pixels 3000]

Prints OVER and DATED of kernels/outcome.py, and how the second holds on the seeds in --held. What it prints is copied
by hand, together with the detector's version.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernels import DETECTORS, empty_layers
from kernels.blocks import first_stage, second_stage
from kernels.model import Candidates, Settings
from kernels.outcome import DATED, odds_of_change, probability
from pipeline.testing.hard_ground import hard_ground

Floats = NDArray[np.float64]

NAMES = ("ndvi", "swir")
ONGOING = 0.28
"""Share of ongoing works with a settled end in them that may be called over, if the change is proved besides."""


def believed(seed: int, n_pixel: int) -> tuple[Candidates, Floats, Floats]:
    """Candidates that are reported, and their true onset and halt (NaN = stable, not ended)."""
    ground = hard_ground(n_pixel, seed=seed)
    values, days = ground.indices(NAMES), ground.dates.astype("datetime64[D]").astype(np.int64)
    settings = Settings(**DETECTORS["phases"].defaults)
    flagged, cusum = first_stage(values, days, settings, empty_layers((n_pixel,)))
    found = second_stage(values, days, settings, None, flagged, cusum)
    keep = (found["onset"] >= 0) & (probability(odds_of_change(found)) >= settings.belief)
    return found[keep], ground.onset[flagged[keep]], ground.halt[flagged[keep]]


def logistic(features: Sequence[Floats], target: NDArray[np.bool_]) -> Floats:
    """Intercept and weights of a logistic regression, by Newton's method with a weak ridge."""
    x = np.stack([np.ones(target.size), *features], axis=1)
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(weights.size)
        weights += np.linalg.solve(curvature, x.T @ (target - p) - 1e-3 * weights)
    return weights


def fit_over(found: Candidates, halt: Floats) -> Floats:
    """OVER: works that ended against works that go on, the bound where ONGOING of the latter are called over."""
    x = over_features(found)
    weights = logistic(x, np.isfinite(halt))
    odds = weights[0] + sum(w * feature for w, feature in zip(weights[1:], x, strict=True))
    weights[0] -= np.quantile(odds[~np.isfinite(halt)], 1 - ONGOING)
    return weights


def over_features(found: Candidates) -> list[Floats]:
    """What kernels.outcome.odds_of_end weighs."""
    days = np.log(np.maximum(found["last"] - found["halt"], 1.0))
    return [found["over_open"], days, np.log(found["spread"] + 0.1)]


def dated_features(found: Candidates) -> list[Floats]:
    """What kernels.outcome.odds_of_dates weighs."""
    return [odds_of_change(found), np.log1p((found["latest"] - found["earliest"]) / 30)]


def near(found: Candidates, onset: Floats) -> NDArray[np.bool_]:
    """Whether each is a change dated within 30 days; NaN, a stable pixel, is not."""
    return np.asarray(np.abs(found["change"] - onset) <= 30)


def main() -> None:
    """Fit, print, and check."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detectors.calibrate", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--held", type=int, nargs="+", default=[21, 22])
    parser.add_argument("--pixels", type=int, default=3000)
    options = parser.parse_args()
    parts = [believed(seed, options.pixels) for seed in options.seeds]
    found, onset, halt = (np.concatenate(column) for column in zip(*parts, strict=True))
    changed = np.isfinite(onset)
    ended = changed & found["ends"]
    print("OVER =", tuple(float(w) for w in fit_over(found[ended], halt[ended]).round(3)))
    weights = logistic(dated_features(found), near(found, onset))
    print("DATED =", tuple(float(w) for w in weights.round(3)), "now", DATED)
    parts = [believed(seed, options.pixels) for seed in options.held]
    found, onset, halt = (np.concatenate(column) for column in zip(*parts, strict=True))
    odds = weights[0] + sum(w * x for w, x in zip(weights[1:], dated_features(found), strict=True))
    stated, true = 100 * probability(odds), near(found, onset)
    for low in range(0, 100, 10):
        part = (stated >= low) & (stated < low + 10)
        if part.any():
            print(f"stated {stated[part].mean():5.1f} %: true {100 * true[part].mean():5.1f} % of {part.sum()}")


if __name__ == "__main__":
    main()
