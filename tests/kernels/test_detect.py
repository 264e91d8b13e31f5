"""The entry point: readings of the axes, refusals, independence from blocks, order and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundbreak.kernels import LAYERS, OUTSIDE, Layers, LayerSpec, Quality, Status, detect, empty_layers
from groundbreak.kernels.phases import detector
from tests.kernels.simulate import Scene


def same(a: Layers, b: Layers) -> None:
    for name, x, y in zip(a._fields, a, b, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


def test_layer_table_is_the_contract() -> None:
    assert tuple(LAYERS) == Layers._fields
    empty = empty_layers((2, 3))
    pairs: list[tuple[LayerSpec, NDArray[Any]]] = list(zip(LAYERS.values(), empty, strict=True))
    for spec, layer in pairs:
        assert layer.dtype == spec.dtype
        assert (layer == spec.fill).all()
        assert spec.meaning
    assert [int(s) for s in Status] == list(range(7))
    assert [int(q) for q in Quality] == [1, 2, 4, 8, 16, 32]
    assert empty.status[0, 0] == OUTSIDE


def test_axes(built: dict[str, Scene]) -> None:
    scene = built["forest"]
    values = scene.values[:, :, :6]
    whole = detect(values, scene.dates)
    square = detect(values.reshape(3, -1, 2, 3), scene.dates)
    assert square.status.shape == (2, 3)
    flat: list[Any] = [layer.ravel() for layer in square]
    same(whole, Layers(*flat))
    same(detect(values[:1], scene.dates), detect(values[0], scene.dates))
    assert detect(values[:, :, 0], scene.dates).onset.shape == ()
    assert detect(values[:, :, :0], scene.dates).onset.shape == (0,)
    same(whole, detect(values.astype(np.float64), scene.dates))


@pytest.mark.parametrize(
    ("dates", "rule"),
    [
        (np.array(["2020-01-02", "2020-01-01", "2020-01-03"], "M8[D]"), "strictly increase"),
        (np.array(["2020-01-01T01", "2020-01-01T05", "2020-01-03T01"], "M8[h]"), "one day"),
        (np.array(["2020-01-01", "NaT", "2020-01-03"], "M8[D]"), "NaT"),
        (np.array([1.0, 2.0, 3.0]), "datetime64"),
        (np.array(["2020-01-01", "2020-01-02", "2070-01-03"], "M8[D]"), "2059"),
    ],
)
def test_dates_refused(dates: NDArray[Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        detect(np.zeros((3, 2), np.float32), dates)


def test_values_and_parameters_refused() -> None:
    dates = np.datetime64("2020-01-01") + np.arange(4)
    with pytest.raises(ValueError, match="floating point"):
        detect(np.zeros((4, 2), np.int16), dates)
    with pytest.raises(ValueError, match="transpose"):
        detect(np.zeros((3, 5), np.float32), dates)
    with pytest.raises(ValueError, match="reads both"):
        detect(np.zeros((4, 4), np.float32), dates)
    with pytest.raises(ValueError, match="at most 16"):
        detect(np.zeros((17, 4, 1), np.float32), dates)
    with pytest.raises(ValueError, match="snow"):
        detect(np.zeros((4, 2), np.float32), dates, snow=np.zeros((4, 3), bool))
    with pytest.raises(ValueError, match="use one of"):
        detect(np.zeros((4, 2), np.float32), dates, "cusun")
    with pytest.raises(ValueError, match=r"beleif.*use one of .*belief"):
        detect(np.zeros((4, 2), np.float32), dates, beleif=0.5)
    with pytest.raises(ValueError, match="not a finite number"):
        detect(np.zeros((4, 2), np.float32), dates, belief=float("nan"))


def test_too_few_and_constant() -> None:
    dates = np.datetime64("2020-01-01") + 5 * np.arange(200)
    values = np.full((200, 4), 0.3, np.float32)
    values[:, 1] = np.nan
    values[2:, 2] = np.nan
    values[40:, 3] = np.inf
    values[30:, 3] = np.nan  # 30 observations that span less than 180 days
    found = detect(values, dates)
    assert found.status.tolist() == [Status.STABLE, *[Status.TOO_FEW_OBSERVATIONS] * 3]
    assert found.n_valid.tolist() == [200, 0, 2, 30]
    assert found.last_observation[1] == -32768
    assert found.last_observation[0] == dates[-1].astype(int)


def test_blocks_and_order_do_not_matter(built: dict[str, Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = built["grass"]
    whole = detect(scene.values, scene.dates, snow=scene.snow)
    for size in (1, 7):
        monkeypatch.setattr(detector, "PIXELS_SEARCHED", size)
        same(whole, detect(scene.values, scene.dates, snow=scene.snow))
    order = np.random.default_rng(0).permutation(scene.cover.size)
    shuffled = detect(scene.values[:, :, order], scene.dates, snow=scene.snow[:, order])
    ordered: list[Any] = [layer[order] for layer in whole]
    same(Layers(*ordered), shuffled)


def test_threads_agree(built: dict[str, Scene]) -> None:
    scene = built["desert"]
    alone = detect(scene.values, scene.dates)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: detect(scene.values, scene.dates), range(8)):
            same(alone, found)


def test_history_end_holds_back_onsets(built: dict[str, Scene]) -> None:
    scene = built["forest"]
    found = detect(scene.values, scene.dates, history_end="2022-06-30")
    onsets = found.onset[found.onset != -32768]
    assert onsets.size
    assert (onsets > np.datetime64("2022-06-30").astype(int)).all()


def test_snow_feeds_only_its_bit(built: dict[str, Scene]) -> None:
    scene = built["forest"]
    without = detect(scene.values, scene.dates)
    everywhere = detect(scene.values, scene.dates, snow=np.ones_like(scene.snow))
    snowy = everywhere.quality & np.uint8(Quality.SNOW_SEASON)
    assert (without.n_changes > 0)[snowy > 0].all()
    assert (snowy > 0).any()
    same(without._replace(quality=without.quality | snowy), everywhere)
