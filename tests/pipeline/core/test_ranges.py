"""Ranges put together: every byte asked for comes once, and no more than gaps beside it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from groundbreak.pipeline.core.ranges import requests


@pytest.mark.parametrize("gap", [0, 3])
def test_every_range_lies_in_one_request(gap: int) -> None:
    rng = np.random.default_rng(gap)
    data = bytes(range(256)) * 4
    for _ in range(200):
        edges = np.sort(rng.choice(len(data), 12, replace=False)).tolist()
        ranges = [(a, b - a, a) for a, b in pairwise(edges) if rng.random() < 0.7]
        rng.shuffle(ranges)
        found = requests(ranges, gap)
        got = {a: data[one.start : one.end][part] for one in found for a, part in one.parts.items()}
        assert got == {a: data[a : a + length] for a, length, _ in ranges}
        assert sum(len(one.parts) for one in found) == len(ranges)
        # Apart by more than a gap; within, by no more.
        assert all(later.start - one.end > gap for one, later in pairwise(found))
        assert sum(one.end - one.start for one in found) <= sum(n for _, n, _ in ranges) + gap * len(ranges)


def test_ranges_that_overlap_are_fetched_apart() -> None:
    assert [(one.start, one.end) for one in requests([(0, 10, "a"), (5, 10, "b")])] == [(0, 10), (5, 15)]


def test_none() -> None:
    assert requests([]) == []
