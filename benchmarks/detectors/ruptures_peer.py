"""ruptures (C): PELT with a least-squares cost, one call a pixel, on two indices jointly."""

from __future__ import annotations

import numpy as np

from benchmarks.detectors.series import JOINT, Contender, Doubles, Found, Series, nothing

LEAST = 4
"""Shortest segment, observations."""
PENALTY = 3.0
"""Penalty of a change point, in log(n) an index: for its level, its position, and noise that is not white."""


def prepare(series: Series) -> list[tuple[Doubles, Doubles]]:
    """(observation, index) residuals of the seasons of the history, and their days.

    PELT knows no seasons, so each index is first freed of them and scaled by the history's noise, with more care than
    its users would have to take; none of that is timed.
    """
    days = series.days.astype(np.float64)
    turn = 2 * np.pi * days / 365.25
    design = np.column_stack([np.ones(days.size), np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn)])
    history = np.arange(days.size) < series.n_history
    series = series.pick(JOINT) if len(series.names) > 1 else series
    pixels = []
    for p in range(series.indices.shape[2]):
        y = series.indices[:, :, p].T.astype(np.float64)
        clear = np.isfinite(y).all(axis=1)
        fit = clear & history
        beta = np.linalg.lstsq(design[fit], y[fit], rcond=None)[0]
        residual = y[clear] - design[clear] @ beta
        scale = residual[: int(fit.sum())].std(axis=0, ddof=min(design.shape[1], max(int(fit.sum()) - 1, 0)))
        pixels.append((np.ascontiguousarray(residual / np.maximum(scale, 1e-4)), days[clear]))
    return pixels


def pelt(pixels: list[tuple[Doubles, Doubles]]) -> Found:
    """PELT in C (KernelCPD, linear kernel). Defaults, but for the penalty, which it leaves to its user.

    The onset is the first change point, the halt the last where there are two or more.
    """
    import ruptures

    found = nothing(len(pixels))
    for p, (signal, days) in enumerate(pixels):
        if len(signal) < 2 * LEAST:
            continue
        search = ruptures.KernelCPD(kernel="linear", min_size=LEAST).fit(signal)
        points = search.predict(pen=PENALTY * signal.shape[1] * np.log(len(signal)))[:-1]
        if points:
            found.detected[p] = True
            found.onset[p] = days[points[0]]
            if len(points) > 1:
                found.halt[p] = days[points[-1]]
    return found


CONTENDERS = (Contender("ruptures PELT l2", "ruptures", "2 indices", prepare, pelt, 4096, 10**9, bytes_read=8),)
