"""A short cut of `make soak`: one kill of each kind and one signal, at random moments that are the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.soak.cluster import Processes
from tests.soak.trials import World, make_world, strike


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("soak")
    cluster = Processes(folder)
    try:
        yield make_world(folder, cluster)
    finally:
        cluster.close()


@pytest.mark.parametrize("how", ["kill the client", "kill a worker", "terminate", "kill the scheduler"])
def test_a_run_that_is_struck_goes_on(how: str, world: World) -> None:
    assert strike(world, how.replace(" ", "-"), how, Random(how)) == ""  # noqa: S311 - a moment, no secret
