"""Accuracy on simulated ground with known truth: pipeline/testing/hard_ground.py, and scenarios of simulate.py.

The sets are small, so the bounds are those of the measured rates in docs/method.md with room for
chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels import Layers, Status, detect
from groundbreak.pipeline.testing.hard_ground import hard_ground
from tests.kernels.simulate import Scene, simulate

CONFIRMED = (Status.ACTIVE, Status.HALTED, Status.RESUMED)
CHANGED = (Status.PROVISIONAL, Status.ACTIVE, Status.HALTED, Status.RESUMED)


def run(scene: Scene) -> tuple[Layers, NDArray[np.bool_]]:
    found = detect(scene.values, scene.dates, snow=scene.snow)
    return found, np.isin(found.status, CHANGED)


def test_stable_ground_stays_stable(stable: dict[str, Scene]) -> None:
    rates = {cover: np.isin(run(scene)[0].status, CONFIRMED).mean() for cover, scene in stable.items()}
    dry = [rate for cover, rate in rates.items() if cover != "water"]
    assert np.mean(dry) <= 0.02, rates
    assert rates["crops"] <= 0.05, rates
    assert rates["water"] <= 0.2, rates


def test_hard_ground() -> None:
    ground = hard_ground(1500, seed=901)
    found = detect(ground.indices(("ndvi", "swir")), ground.dates, snow=ground.snow)
    reported, built = np.isin(found.status, CHANGED), np.isfinite(ground.onset)
    assert reported[~built].mean() <= 0.03
    assert reported[~built & (ground.cover == "crops")].mean() <= 0.08
    assert np.isin(found.status, CONFIRMED)[~built].mean() <= 0.01
    assert reported[built].mean() >= 0.85
    right = reported & built
    near = np.abs(found.onset - ground.onset)[right] <= 30
    assert near.mean() >= 0.5
    inside = (found.onset_earliest <= ground.onset) & (ground.onset <= found.onset_latest)
    assert inside[right].mean() >= 0.75
    ongoing = right & np.isnan(ground.halt)
    assert (found.status[ongoing] == Status.HALTED).mean() <= 0.3
    # confidence orders them
    sure = found.confidence[right] >= np.median(found.confidence[right])
    assert near[sure].mean() > near[~sure].mean() + 0.2


def test_construction_is_found_and_dated(built: dict[str, Scene]) -> None:
    recall: list[float] = []
    onset: list[bool] = []
    halt: list[bool] = []
    for scene in built.values():
        found, changed = run(scene)
        recall.append(changed.mean())
        onset.extend(np.abs(found.onset - scene.onset)[changed] <= 30)
        halted = found.status == Status.HALTED
        halt.extend(np.abs(found.halt - scene.halt)[halted] <= 30)
        inside = (found.onset_earliest <= found.onset) & (found.onset <= found.onset_latest)
        assert inside[changed].all()
        assert ((found.halt_earliest <= found.halt) & (found.halt < found.halt_latest))[halted].all()
        assert (found.confidence[changed] <= 100).all()
    assert np.mean(recall) >= 0.85
    assert np.mean(onset) >= 0.65
    assert np.mean(halt) >= 0.7


def test_ongoing_works_are_not_called_halted(ongoing: Scene) -> None:
    found, changed = run(ongoing)
    assert changed.mean() >= 0.85
    assert (found.status == Status.HALTED).mean() <= 0.2
    assert (found.halt[found.status != Status.HALTED] == -32768).all()


def test_road_built_within_weeks_is_dated_within_days() -> None:
    scene = simulate(
        ["forest", "grass", "desert"] * 10,
        seed=7,
        construction=True,
        onset="2022-06-01",
        halt="2022-06-20",
        snow_share=0.0,
    )
    found, _ = run(scene)
    halted = found.status == Status.HALTED
    assert halted.mean() >= 0.8
    assert np.median(np.abs(found.onset - scene.onset)[halted]) <= 8
    assert np.median(np.abs(found.halt - scene.halt)[halted]) <= 10


def test_field_cleared_in_july_2022_and_quiet_from_september_2023() -> None:
    scene = simulate(
        ["grass"] * 100,
        seed=8,
        construction=True,
        onset="2022-07-12",
        halt="2023-08-31",
        snow_share=0.0,
        roughness=(0.3, 0.5),
    )
    found, changed = run(scene)
    halted = found.status == Status.HALTED
    assert halted.mean() >= 0.8
    first = np.quantile(found.onset[changed], 0.1) - scene.onset[0]
    last = np.quantile(found.halt[halted], 0.9) - scene.halt[0]
    assert abs(first) <= 10
    assert abs(last) <= 10


def test_an_episode_that_returns_to_baseline_is_no_construction() -> None:
    rng = np.random.default_rng(9)
    scene = simulate(["grass", "forest", "desert"] * 10, seed=9)
    values = scene.values.copy()
    flooded = (scene.dates >= np.datetime64("2022-03-01")) & (scene.dates < np.datetime64("2022-06-15"))
    water = np.array([-0.3, -0.4, 0.02])[:, None, None]
    values[:, flooded] = water + 0.02 * rng.normal(size=values[:, flooded].shape)
    values[np.isnan(scene.values)] = np.nan
    found = detect(values.astype(np.float32), scene.dates)
    assert (found.n_changes > 0).mean() <= 0.05
