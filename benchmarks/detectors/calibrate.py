"""Fit the detector's three curves on hard ground: whether the ground changed, when works are over, and confidence.

python -m benchmarks.detectors.calibrate [--seeds 1 2 3 4 5 6] [--pixels 3000]

Prints CHANGE_WEIGHTS, END_WEIGHTS and DATE_WEIGHTS of `kernels.phases.outcome`, the setting `belief`, and how
confidence holds on the seeds in --held. What it prints is copied by hand, and the detector's version raised.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels import DETECTORS, empty_layers
from groundbreak.kernels.phases.detector import fit_flagged, screen_pixels
from groundbreak.kernels.phases.model import Candidates, Settings
from groundbreak.kernels.phases.outcome import log_odds, probability, signs_of_change, signs_of_dates, signs_of_end
from groundbreak.pipeline.testing.hard_ground import hard_ground

Floats = NDArray[np.float64]

NAMES = ("ndvi", "swir")
RECALL = 0.925
"""Share of the changed pixels that the least probability is set for."""

ONGOING = 0.28
"""Share of ongoing works with a settled end in them that may be called over, if the change is proved besides."""


def candidates(seed: int, n_pixel: int) -> tuple[Candidates, Floats, Floats, float]:
    """Return the candidates that the search finds on one ground.

    Returns
    -------
    the candidates; their true onset and halt, days since 1970-01-01, NaN = stable, not ended; how many pixels changed
    """
    ground = hard_ground(n_pixel, seed=seed)
    values, days = ground.indices(NAMES), ground.dates.astype("datetime64[D]").astype(np.int64)
    settings = Settings(**DETECTORS["phases"].defaults)
    flagged, cusum = screen_pixels(values, days, settings, empty_layers((n_pixel,)))
    found = fit_flagged(values, days, settings, None, flagged, cusum)
    keep = found["onset"] >= 0
    return found[keep], ground.onset[flagged[keep]], ground.halt[flagged[keep]], np.isfinite(ground.onset).sum()


def all_candidates(seeds: Sequence[int], n_pixel: int) -> tuple[Candidates, Floats, Floats, float]:
    """Return what `candidates` gives for several grounds, put together."""
    found, onset, halt, changed = zip(*(candidates(seed, n_pixel) for seed in seeds), strict=True)
    return np.concatenate(found), np.concatenate(onset), np.concatenate(halt), sum(changed)


def logistic(features: Sequence[Floats], target: NDArray[np.bool_]) -> list[float]:
    """Fit intercept and weights of a logistic regression, by Newton's method with a weak ridge."""
    x = np.stack([np.ones(target.size), *features], axis=1)
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(weights.size)
        weights += np.linalg.solve(curvature, x.T @ (target - p) - 1e-3 * weights)
    fitted: list[float] = weights.tolist()
    return fitted


def fit_over(found: Candidates, halt: Floats) -> list[float]:
    """Fit END_WEIGHTS: works that ended against works that go on.

    The bound lies where the share ONGOING of the latter are called over.
    """
    signs = signs_of_end(found)
    weights = logistic(signs, np.isfinite(halt))
    weights[0] -= float(np.quantile(log_odds(weights, signs)[~np.isfinite(halt)], 1 - ONGOING))
    return weights


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
    found, onset, halt, n_changed = all_candidates(options.seeds, options.pixels)
    changed = np.isfinite(onset)
    belief = logistic(signs_of_change(found), changed)
    show("CHANGE_WEIGHTS", belief)
    odds = log_odds(belief, signs_of_change(found))
    least = np.sort(odds[changed])[-round(RECALL * n_changed)]
    print(f"belief = {probability(least):.3f}, of stable candidates reported: {(odds[~changed] >= least).mean():.3f}")
    reported, ended = odds >= least, changed & found["ends"] & (odds >= least)
    show("END_WEIGHTS", fit_over(found[ended], halt[ended]))
    dates = logistic([sign[reported] for sign in dated(found, belief)], near(found, onset)[reported])
    show("DATE_WEIGHTS", dates)
    found, onset, _, _ = all_candidates(options.held, options.pixels)
    reported = log_odds(belief, signs_of_change(found)) >= least
    stated = 100 * probability(log_odds(dates, dated(found, belief)))[reported]
    true = near(found, onset)[reported]
    for low in range(0, 100, 10):
        part = (stated >= low) & (stated < low + 10)
        if part.any():
            print(f"stated {stated[part].mean():5.1f} %: true {100 * true[part].mean():5.1f} % of {part.sum()}")


def dated(found: Candidates, belief: Sequence[float]) -> list[Floats]:
    """Return the two signs of signs_of_dates, (candidate,) each, with the log odds of change that ``belief`` gives."""
    return [log_odds(belief, signs_of_change(found)), signs_of_dates(found)[1]]


def show(name: str, weights: Sequence[float]) -> None:
    """Print a line to copy."""
    print(name, "=", tuple(np.round(weights, 3).tolist()))


if __name__ == "__main__":
    main()
