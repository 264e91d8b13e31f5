"""What the tests of threads run elsewhere: in workers of a cluster, and as a program of its own."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import numpy as np
from numba.core import event
from numpy.typing import NDArray

from groundbreak.kernels import DETECTORS, detect

THREADS = 4
TASKS = 8

COMPILED: Counter[tuple[str, str]] = Counter()
"""How often this process compiled each kernel for each types, since `listen`."""


class _Compilations(event.Listener):
    """Counts what is compiled of ours."""

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("groundbreak.kernels"):
            COMPILED[f"{function.__module__}.{function.__qualname__}", str(event.data["args"])] += 1

    def on_end(self, event: Any) -> None:
        pass


_LISTENERS: list[_Compilations] = []


def listen() -> None:
    """Count compilations from now on, once however often it is called."""
    if not _LISTENERS:
        _LISTENERS.append(_Compilations())
        event.register("numba:compile", _LISTENERS[0])  # type: ignore[no-untyped-call]  # numba has no types


def compiled() -> dict[tuple[str, str], int]:
    """Compilations so far."""
    return dict(COMPILED)


def scene(task: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(index, time, pixel) values of one task, steps and noise, and their dates."""
    rng = np.random.default_rng(task)
    dates = np.datetime64("2019-01-01") + 8 * np.arange(150)
    values = 0.3 + 0.02 * rng.normal(size=(2, 150, 530))
    values[:, 75:, ::4] += 0.4
    values[:, rng.random((150, 530)) < 0.4] = np.nan
    return values.astype(np.float32), dates


def job(task: int, *detectors: str) -> dict[str, tuple[int, str]]:
    """How many pixels of one scene changed, and a digest of its layers, by detector (all, if none is named)."""
    values, dates = scene(task)
    found = {name: detect(values, dates, name) for name in detectors or DETECTORS}
    return {
        name: (int((layers.n_changes > 0).sum()), sha256(b"".join(layer.tobytes() for layer in layers)).hexdigest())
        for name, layers in found.items()
    }


def main() -> None:
    """Threads that all start before anything is compiled; prints what they found, and how often kernels compiled."""
    listen()
    together = threading.Barrier(THREADS)

    def first(task: int) -> dict[str, tuple[int, str]]:
        if task < THREADS:
            together.wait(60)
        return job(task % THREADS)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(first, range(TASKS)))
    counts = compiled()
    print(json.dumps({"found": found, "kinds": len(counts), "most": max(counts.values())}))


if __name__ == "__main__":
    main()
