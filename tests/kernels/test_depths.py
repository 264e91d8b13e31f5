"""Pixels of the deepest ground, found by squares, against their depths in every ground."""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels import depths
from groundbreak.kernels.twins import depths as twin

RULES = depths.OF_A_COLUMN, depths.OF_A_ROW, depths.COMPARES
"""Of a rival that has the first ground's sides, its top and bottom, or neither."""


@pytest.mark.parametrize("size", [10.0, 9.87, 0.5])
def test_squares_decide_as_every_pixel_does(size: float) -> None:
    """Rivals share edges often, and as often lie as deep; more of them than there are bits come once."""
    rng = np.random.default_rng(int(size * 100))
    split = 0
    for round_ in range(200):
        count = 80 if round_ == 0 else int(rng.integers(1, 6))
        height, width = rng.integers(1, 90, 2)
        sides = np.sort(rng.integers(-60, 150, (count, 2, 2)) * size, axis=2)
        sides[:, :, 1] += size
        same = rng.integers(0, 3, count)  # as RULES
        for n in range(1, count):
            if same[n] < 2:
                sides[n, same[n]] = sides[0, same[n]]
        bounds = np.ascontiguousarray(sides.transpose(0, 2, 1).reshape(count, 4))
        excludes, wins = rng.random(count) < 0.1, rng.random(count) < 0.5
        rules = np.where(excludes, depths.EXCLUDES, np.array(RULES)[same])
        slack = np.tile([1.0, 0.0], (count, 1))
        grounds = depths.Grounds(bounds, np.zeros((count, 2, 3)), slack, rules, wins)

        found = np.zeros((height, width), np.bool_)
        unsure = depths.settle_squares((0.0, height * size, size), grounds, found)

        assert len(unsure) == 0
        x, y = np.meshgrid((np.arange(width) + 0.5) * size, height * size - (np.arange(height) + 0.5) * size)
        deep = np.stack([twin.depth(b, x, y) for b in bounds])
        expected = twin.deepest(deep, excludes.tolist(), wins.tolist())
        np.testing.assert_array_equal(found, expected)
        split += bool(0.05 < expected.mean() < 0.95)
    assert split > 20


def test_what_a_plane_cannot_decide_is_left_to_points() -> None:
    """A ground whose CRS is turned by 30 degrees, laid over the frame by a plane that is wrong by up to 3 m."""
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    bounds = np.array([[0.0, 0.0, 600.0, 700.0], [100.0, 100.0, 900.0, 700.0]])
    planes = np.zeros((2, 2, 3))
    planes[1, :, 1:] = turn
    planes[1, :, 0] = turn @ (0.0, 640.0) + (3.0, -2.0)
    slack = np.array([[1.0, 0.0], [float(np.abs(turn).sum(axis=1).max()), 3.0]])
    grounds = depths.Grounds(bounds, planes, slack, np.array([0, depths.COMPARES]), np.array([False, True]))
    found = np.zeros((64, 64), np.bool_)
    unsure = depths.settle_squares((0.0, 640.0, 10.0), grounds, found)
    x, y = np.meshgrid(np.arange(64) * 10.0 + 5, 640.0 - 5 - np.arange(64) * 10.0)
    there = np.einsum("ij,jrc->irc", turn, np.stack([x, y]))
    rows, cols = unsure.T
    points = np.stack([np.stack([x, y]), there])[:, :, rows, cols]

    depths.settle_pixels(unsure, points, grounds, found)

    deep = np.stack([twin.depth(bounds[0], x, y), twin.depth(bounds[1], *there)])
    expected = twin.deepest(deep, [False, False], [False, True])
    np.testing.assert_array_equal(found, expected)
    assert 0 < len(unsure) < 400
    assert 0.1 < expected.mean() < 0.9
