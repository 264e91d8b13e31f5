"""What tests share: a cluster in this process, so that kernels are compiled once; their order; no skips in CI."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from groundbreak.pipeline import logs
from groundbreak.pipeline.running import tasks

EXCUSED = "the shared data are not here"
"""Why a test may skip even where `GROUNDBREAK_NO_SKIPS` is set: a lone clone has no such data."""
SLOW = "e2e", "cluster", "faults", "docs", "packaging"
"""Where files lie that take long."""
LONG = (
    "cluster/test_hostile.py",
    "cluster/test_kinds.py",
    "cluster/test_kubernetes.py",
    "e2e/test_late.py",
    "e2e/test_memory.py",
    "kernels/test_threads.py",
    "packaging/test_wheel.py",
    "soak",
)
"""Those of clusters, processes and environments, which take minutes, and are left to `make test-long`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long tests, and begin with slow files: the last ones are quick then, and no process waits for others."""

    def lies_in(item: pytest.Item, names: tuple[str, ...]) -> bool:
        return any(item.path.is_relative_to(Path(__file__).parent / name) for name in names)

    for item in items:
        if lies_in(item, LONG):
            item.add_marker("long")
    items.sort(key=lambda item: not lies_in(item, SLOW))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a skip fail where `GROUNDBREAK_NO_SKIPS` says that everything is installed (.ci/run)."""
    report = yield
    if report.skipped and os.environ.get("GROUNDBREAK_NO_SKIPS") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if EXCUSED not in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may skip: {reason}"
    return report


@pytest.fixture(autouse=True)
def talkative() -> None:
    """Let log lines reach pytest, also where a command of an earlier test has had this process write them itself."""
    logs.LOGGER.handlers.clear()
    logs.LOGGER.propagate = True
    logs.LOGGER.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Two threads of this process as a cluster, with all kernels compiled.

    A run has them compiled in a thread beside it, and numba resets the filters of warnings as it compiles.
    """
    tasks.warm_up("phases")
    with warnings.catch_warnings():
        # distributed starts its event loop with calls that the standard library has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        with (
            LocalCluster(
                n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as connected,
        ):
            yield connected
