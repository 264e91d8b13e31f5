"""What tests share: one cluster in this process, so that kernels are compiled once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster

from groundbreak.pipeline.running import tasks


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
