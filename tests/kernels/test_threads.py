"""Kernels in several threads and processes at once: the same layers, compiled once, without the interpreter's lock."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from groundbreak import kernels
from groundbreak.kernels.lanes.design import make_design
from groundbreak.kernels.lanes.words import LANES
from groundbreak.kernels.monitoring.alarms import make_rule
from groundbreak.kernels.monitoring.model import nothing_watched
from groundbreak.kernels.monitoring.monitor import monitor_scan
from groundbreak.kernels.phases.screen import cusum_scan, empty_screened, step_places
from tests.kernels import many_threads


@pytest.fixture(scope="module")
def alone() -> list[dict[str, tuple[int, str]]]:
    """Return what one thread of this process finds."""
    found = [many_threads.job(task) for task in range(many_threads.THREADS)]
    assert all(changed > 100 for task in found for changed, _ in task.values())
    return found


def test_threads_that_start_before_anything_is_compiled(alone: list[dict[str, tuple[int, str]]]) -> None:
    threads = {f"{library}_NUM_THREADS": "3" for library in ("NUMBA", "OMP", "OPENBLAS", "MKL")}  # `make test`: 1
    path = os.pathsep.join(str(folder) for folder in (Path(kernels.__file__).parents[2], Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(many_threads.__file__))],
        env=os.environ | threads | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    found = [{name: tuple(pair) for name, pair in task.items()} for task in said["found"]]
    assert found == alone * (many_threads.TASKS // many_threads.THREADS)
    assert said["kinds"] > 20
    assert said["most"] == 1


# distributed starts its event loop with calls that the standard library has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_of_two_threads_compile_once_and_agree(alone: list[dict[str, tuple[int, str]]]) -> None:
    tasks = range(many_threads.THREADS)
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.run(many_threads.listen)
        counts = []
        for _ in range(2):
            futures = [
                client.submit(many_threads.job, task, "phases", workers=[worker], pure=False)
                for worker in client.scheduler_info()["workers"]
                for task in tasks
            ]
            assert client.gather(futures) == [{"phases": task["phases"]} for task in alone] * 2
            counts.append(client.run(many_threads.compiled))
    assert len(counts[0]) == 2
    assert counts[0] == counts[1]
    for compiled in counts[0].values():
        assert compiled
        assert set(compiled.values()) == {1}


def test_every_kernel_is_compiled_to_run_without_the_lock() -> None:
    names = [module.name for module in pkgutil.walk_packages(kernels.__path__, "groundbreak.kernels.")]
    found = [
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, Dispatcher) and value.py_func.__module__ == name
    ]
    assert len(found) > 20
    for kernel in found:
        options = kernel.targetoptions
        assert options["nogil"], kernel
        assert not options.get("parallel"), kernel
        assert not options.get("cache"), kernel
        # not True, nor "nnan", "ninf" or "reassoc": NaN is data, and the order of a sum is the result
        assert set(options.get("fastmath", ())) <= {"contract", "nsz", "arcp"}, kernel


def partly_done(run: Callable[[], None], written: NDArray[np.int64]) -> int:
    """How many states between nothing and all of ``written`` this thread sees while another is inside ``run``."""
    thread = threading.Thread(target=run)
    thread.start()
    seen = set()
    while thread.is_alive():
        seen.add(int(np.count_nonzero(written)))
    thread.join()
    assert np.count_nonzero(written) == written.size
    return len(seen - {0, written.size})


@pytest.mark.parametrize("name", ["screen", "monitor"])
def test_python_runs_while_a_kernel_does(name: str) -> None:
    days = np.arange(18000, 20000, 10)
    values = np.random.default_rng(0).random((1, days.size, 100 * LANES), np.float32)
    n_pixel = values.shape[2]
    params = dict(kernels.DETECTORS["cusum"].defaults) | {"critical_value": 3.0}

    def attempt() -> int:
        if name == "screen":
            design, places = make_design(days, 2, False, np.float32), step_places(days)
            out = empty_screened(1, n_pixel)
            return partly_done(lambda: cusum_scan(values, design, places, np.float32(0.01), out), out.n_clear)
        design = make_design(days, 2, True, np.float64, 100)
        rule, watched = make_rule(days, int(days[99]), 1, params), nothing_watched(n_pixel)
        return partly_done(lambda: monitor_scan(values, design, rule, watched), watched.history)

    # were the lock held, the one long call could be seen before and after it only; a busy machine may need a few tries
    assert any(attempt() > 3 for _ in range(20))
