"""Publishing on workers against publishing in this process: the same bytes, by small jobs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from groundbreak.pipeline.core.mapper import here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.products.mosaic import publish_mosaics
from groundbreak.pipeline.products.sites import Site, find_sites
from groundbreak.pipeline.report.figures import close_ups, overview
from groundbreak.pipeline.running.spread import Spread, mapper
from tests.pipeline.ground import Painted, change, day, disown, stable_grid, store_grids
from tests.stores import output_bytes


def painted() -> list[Painted]:
    """Two zones of many blocks, with patches of all sizes that cross their seams."""
    rng = np.random.default_rng(5)
    west, east = stable_grid("A", 32638, 500_000, 1300, 1700), stable_grid("B", 32639, 300_000, 700, 530)
    for _, layers in (west, east):
        for top, left in rng.integers(0, 480, (60, 2)):
            rows, cols = slice(top, top + 9 + top % 40), slice(left, left + 7 + left % 50)
            change(layers, (rows, cols), day("2022-01-01") + int(top), day("2023-01-01") + int(left))
        change(layers, np.s_[500:530, :], day("2021-05-01"))
    disown(west[1], np.s_[:, 1600:])
    return [west, east]


def published(output: Output, apply: Any) -> tuple[dict[str, str], list[Site], list[np.ndarray]]:
    """Publish painted ground; return its bytes, its sites, and what maps of it show."""
    zones = publish_mosaics(output, output, *store_grids(output, painted()), {}, apply)
    sites = find_sites(output, zones, min_area_m2=2000, apply=apply)
    views = [*(overview(output, epsg, apply) for epsg in zones), *close_ups(output, sites[:5], apply)]
    return output_bytes(output), sites, [view.onset for view in views if view is not None]


def test_workers_publish_the_same(tmp_path: Path, client: Client) -> None:
    sizes: dict[str, int] = {}

    def measured(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        for job in jobs:
            sizes[function.__name__] = max(len(pickle.dumps(job)), sizes.get(function.__name__, 0))
            yield function(job)

    alone = published(Output(str(tmp_path / "alone")), measured)
    spread = published(Output(str(tmp_path / "spread")), mapper(client))
    assert spread[:2] == alone[:2]
    assert len(alone[1]) > 1
    for mine, theirs in zip(alone[2], spread[2], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert sizes.keys() == {"write_strip", "label_strip", "take_parts", "read_cut"}
    assert max(sizes.values()) < 4000


def test_results_come_in_the_order_of_the_jobs_through_a_bounded_window(client: Client) -> None:
    taken = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        while taken < 100:
            taken += 1
            yield taken

    found = Spread(client)(abs, jobs())
    first = [next(found) for _ in range(3)]
    assert taken < 100
    assert [*first, *found] == list(range(1, 101)) == list(here(abs, range(1, 101)))


def test_the_error_of_a_job_is_raised_as_it_is(client: Client) -> None:
    with pytest.raises(BadInput, match="is wrong"):
        list(Spread(client)(_refuse, [1, 2, 3]))


def _refuse(job: int) -> int:
    if job == 2:
        raise BadInput("it", "is wrong", "Mend it")
    return job
