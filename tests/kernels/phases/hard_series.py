"""Series that a detector must survive: missing, constant, of two points, as large or as small as float32 goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels import Layers

Array = NDArray[Any]
Series = Callable[[np.random.Generator, int], Array]

MOST = float(np.finfo(np.float32).max)
LEAST = float(np.finfo(np.float32).tiny)


def _mix(*values: float, share: float = 0.05) -> Series:
    """Noise, and here and there one of ``values``."""

    def make(rng: np.random.Generator, n: int) -> Array:
        return np.where(rng.random(n) < share, rng.choice(values, n), 0.3 + 0.02 * rng.normal(size=n))

    return make


def _step(to: float, noise: float = 0.02) -> Series:
    """Make a step to another level in the middle, half of the observations missing."""

    def make(rng: np.random.Generator, n: int) -> Array:
        series = noise * rng.normal(size=n) + np.where(np.arange(n) < n // 2, 0.2, to)
        return np.where(rng.random(n) < 0.5, np.nan, series)

    return make


def _few(count: int) -> Series:
    """All missing but ``count``."""

    def make(rng: np.random.Generator, n: int) -> Array:
        series = np.full(n, np.nan)
        series[rng.choice(n, count, replace=False)] = rng.normal(size=count)
        return series

    return make


ORDINARY: dict[str, Series] = {
    "noise": _mix(0.3),
    "step": _step(0.6),
    "missing": lambda rng, n: np.where(rng.random(n) < 0.8, np.nan, rng.normal(size=n)),
    "constant": lambda _, n: np.full(n, 0.3),
    "zero": lambda _, n: np.zeros(n),
    "all NaN": _few(0),
    "one point": _few(1),
    "two points": _few(2),
    "infinite": _mix(np.inf, -np.inf, np.nan, share=0.4),
    "ramp": lambda rng, n: np.linspace(0.2, 0.8, n) + 0.01 * rng.normal(size=n),
}
EXTREME: dict[str, Series] = {
    "1e30": lambda _, n: np.full(n, 1e30),
    "step to 1e30": _step(1e30),
    "step to 1e15": _step(1e15),
    "largest": lambda _, n: np.full(n, MOST),
    "largest of either sign": lambda rng, n: rng.choice([MOST, -MOST], n),
    "least": lambda _, n: np.full(n, LEAST),
    "least of either sign": lambda rng, n: LEAST * rng.normal(size=n),
    "mixed": _mix(MOST, -MOST, 1e30, LEAST, -0.0, np.nan, np.inf),
    "every magnitude": lambda rng, n: rng.choice([-1, 1], n) * 10 ** rng.uniform(-38, 38, n),
}
KINDS = ORDINARY | EXTREME


def series(kinds: list[tuple[str, ...]], n_time: int, seed: int = 0) -> Array:
    """(index, time, pixel) float32 of a kind for every (pixel, index)."""
    rng = np.random.default_rng(seed)
    values = [[KINDS[kind](rng, n_time) for kind in pixel] for pixel in kinds]
    return np.moveaxis(np.array(values), 0, 2).astype(np.float32)


def crowd(n_pixel: int, n_index: int, n_time: int, seed: int = 0) -> Array:
    """(index, time, pixel) float32: every second pixel a step or noise, the others any kind."""
    rng = np.random.default_rng(seed)
    names = list(KINDS)
    kinds = [(str(rng.choice(["noise", "step"] if p % 2 else names)),) * n_index for p in range(n_pixel)]
    return series(kinds, n_time, seed)


def take(layers: Layers, pixels: Any) -> list[Array]:
    """Take every layer at ``pixels``."""
    return [layer[pixels] for layer in layers]


def same(a: Layers | list[Array], b: Layers | list[Array]) -> None:
    """Check that layers are equal, every one by name."""
    for name, x, y in zip(Layers._fields, a, b, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)
