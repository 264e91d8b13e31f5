"""Reflectance that no ground has: what stops a run, and all that must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from groundbreak.pipeline.access.providers import ONE_OFFSET
from groundbreak.pipeline.compute.offsets import DarkLevels as Levels
from groundbreak.pipeline.compute.offsets import Disbelief, disbelief, steps
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.core.types import REFLECTANCE_FILL
from tests.stores import tiled

SIDE = 64
Ground = Mapping[str, float]
"""Band -> reflectance."""

LEAVES = {"blue": 0.03, "red": 0.03, "nir": 0.35, "swir16": 0.15}
WATER = {"blue": 0.03, "red": 0.01, "nir": -0.01, "swir16": -0.02}
SNOW = {"blue": 1.05, "red": 1.0, "nir": 0.9, "swir16": 0.08}
SAND = {"blue": 0.25, "red": 0.5, "nir": 0.6, "swir16": 0.75}
LAVA = {"blue": 0.02, "red": 0.03, "nir": 0.05, "swir16": 0.07}
CLOUD = {"blue": 1.1, "red": 1.05, "nir": 1.0, "swir16": 0.6}
THICK = {"blue": 1.7, "red": 1.65, "nir": 1.6, "swir16": 1.1}
"""Cloud in a low sun, which saturates."""


def record(
    scenes: Sequence[tuple[Ground, float, Ground]], *, scale: float = 1.0, shift: float = 0.0, start: int = 0
) -> Record:
    """Return the record of a slab: of each observation the ground, the share that is clear, and what covers the rest.

    ``scale`` and ``shift`` are the mistake: reflectance is read as so many times what it is, and so much off.
    """
    rng = np.random.default_rng(start)
    levels = Levels(len(scenes))
    covered = rng.random((len(scenes), SIDE, SIDE)) >= np.array([share for _, share, _ in scenes])[:, None, None]
    clear = np.zeros(256, bool)
    clear[4] = True
    classes = np.where(covered, 9, 4).astype(np.uint8)
    levels.add_mask(0, tiled(classes, (len(scenes), SIDE, SIDE), 0), clear)
    for band in LEAVES:
        below = np.array([ground[band] for ground, _, _ in scenes])[:, None, None]
        above = np.array([cover[band] for _, _, cover in scenes])[:, None, None]
        true = np.where(covered, above, below) + rng.normal(0, 0.01, covered.shape)
        read = np.clip(np.rint((true * scale + shift) * 1e4), -32767, 32767).astype(np.int16)
        levels.add(0, tiled(read, (len(scenes), SIDE, SIDE), REFLECTANCE_FILL))
    return Record(
        "build", "done", "", 1, "", {}, 0, 0, {},
        dark=levels.levels(), beyond=levels.beyond(), bright=levels.bright_levels(),
    )  # fmt: skip


GROUNDS = {
    "leaves": [(LEAVES, 0.9, CLOUD)] * 20,
    "snow all winter": [(SNOW, 0.9, CLOUD)] * 12 + [(LEAVES, 1.0, CLOUD)] * 8,
    "only snow": [(SNOW, 1.0, CLOUD)] * 20,
    "desert without a cloud": [(SAND, 1.0, CLOUD)] * 20,
    "lava without a cloud": [(LAVA, 1.0, CLOUD)] * 20,
    "water with some cloud": [(WATER, 1.0, CLOUD)] * 19 + [(WATER, 0.9, CLOUD)],
    "water on few dates": [(WATER, 1.0, CLOUD)] * 9,
    "cloud that is taken for clear ground": [(LEAVES, 0.9, CLOUD)] * 18 + [(THICK, 0.5, THICK)] * 2,
    "hardly ever clear": [(LEAVES, 0.1, THICK)] * 20,
    "nothing": [],
}


@pytest.mark.parametrize("name", GROUNDS)
def test_all_ground_is_believed(name: str) -> None:
    scenes = GROUNDS[name]
    if scenes:
        assert disbelief([record(scenes)]) is None
        half = len(scenes) // 2
        assert disbelief([record(scenes[:half]), record(scenes[half:], start=1)]) is None
    else:
        assert disbelief([]) is None


@pytest.mark.parametrize("ground", [LEAVES, SNOW, SAND])
@pytest.mark.parametrize(("scale", "shift"), [(10.0, 0.0), (100.0, 0.0), (10_000.0, 0.0), (1.0, -1.1), (0.01, 0.0)])
def test_a_wrong_scale_or_offset_is_seen(ground: Ground, scale: float, shift: float) -> None:
    scenes = [(ground, 0.8, CLOUD)] * 20
    got = disbelief([record(scenes, scale=scale, shift=shift)])
    assert got == Disbelief(too_dark=scale < 1, count=20, of=20, first=0)


@pytest.mark.parametrize("wrong", [3, 5, 10])
def test_a_part_of_the_dates_with_a_wrong_scale_is_seen(wrong: int) -> None:
    right = [record([(LEAVES, 0.9, CLOUD)] * 10, start=k) for k in range(2)]
    got = disbelief([*right, record([(LEAVES, 0.9, CLOUD)] * wrong, scale=10.0, start=9)])
    assert got == Disbelief(too_dark=False, count=wrong, of=20 + wrong, first=20)


def test_two_dates_are_enough_where_there_are_no_more() -> None:
    assert disbelief([record([(LEAVES, 1.0, CLOUD)] * 2, scale=10.0)]) == Disbelief(False, 2, 2, 0)


def test_records_of_the_version_before_tell_nothing() -> None:
    old = Record("build", "done", "", 1, "", {}, 0, 0, {}, dark=(100,) * 20, offsets=(0,) * 20)
    assert disbelief([old]) is None
    assert disbelief([old, record([(LEAVES, 1.0, CLOUD)] * 5, scale=10.0)]) is None


def test_products_of_one_offset_are_not_looked_at_for_a_step() -> None:
    """A pond that clouds hide now and then looks like a step; the offset of Landsat and HLS has never changed."""
    products = {name for name in ONE_OFFSET if "landsat" in name or "hls" in name}
    assert products == set(ONE_OFFSET)
    assert not any(name == "earth-search" or "sentinel" in name for name in ONE_OFFSET)
    fill = (REFLECTANCE_FILL,) * 40
    times = np.datetime64("2021-06-01", "ms") + np.arange(40) * np.timedelta64(12, "D")
    assert steps(times, fill, (0,) * 40) == []
