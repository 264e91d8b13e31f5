"""What every detector promises of any series: its twin's layers, a pixel that depends on itself alone, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbreak.kernels import DETECTORS, NO_DATE, Layers, Status, detect
from groundbreak.kernels.lanes.words import LANES
from groundbreak.kernels.monitoring import alarms
from groundbreak.kernels.phases import detector
from tests.kernels.phases.hard_series import KINDS, MOST, Array, crowd, same, series, take

EVERY = pytest.mark.parametrize("name", DETECTORS)
N_TIME = 120
DATES = np.datetime64("2019-01-01") + 9 * np.arange(N_TIME) + np.arange(N_TIME) % 5


def check_twin(name: str, values: Array, dates: Array = DATES) -> Layers:
    """Return the kernel's layers, which equal the twin's."""
    fast = detect(values, dates, name)
    days = dates.astype("datetime64[D]").astype(np.int64)
    slow = DETECTORS[name].twin(values, days, None, None, dict(DETECTORS[name].defaults))
    if name != "phases":
        # a monitored magnitude is a rounded mean, its last digit may differ; of 1e30 it is the rounding of the fit
        plain = np.abs(np.nan_to_num(values[0], posinf=0, neginf=0)).max(axis=0) < 1e10
        assert (np.abs(fast.magnitude.astype(int) - slow.magnitude)[plain] <= 1).all()
        slow = slow._replace(magnitude=fast.magnitude)
    same(fast, slow)
    return fast


@EVERY
@pytest.mark.parametrize("n_index", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_twin_on_hard_series(name: str, kind: str, n_index: int) -> None:
    found = check_twin(name, series([(kind,) * n_index] * 3, N_TIME))
    silent = np.isin(found.status, (Status.STABLE, Status.TOO_FEW_OBSERVATIONS, Status.FAILED))
    assert (found.onset[silent] == NO_DATE).all()
    assert (found.halt[silent] == NO_DATE).all()
    if kind in ("constant", "zero", "1e30", "largest", "least"):
        assert silent.all()  # what never changes has not changed
    if kind in ("all NaN", "one point", "two points"):
        assert (found.status == Status.TOO_FEW_OBSERVATIONS).all()


@EVERY
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), n_index=st.integers(1, 3))
def test_twin_on_indices_of_unlike_kinds(name: str, data: st.DataObject, seed: int, n_index: int) -> None:
    pixel = st.tuples(*[st.sampled_from(sorted(KINDS))] * n_index)
    check_twin(name, series(data.draw(st.lists(pixel, min_size=1, max_size=3)), N_TIME, seed))


@EVERY
@settings(max_examples=25, deadline=None)
@given(data=st.data(), gaps=st.lists(st.integers(1, 400), min_size=2, max_size=30))
def test_dates_out_of_order_repeated_or_missing_are_refused(name: str, data: st.DataObject, gaps: list[int]) -> None:
    dates = np.datetime64("1990-01-01") + np.cumsum(gaps)
    i = data.draw(st.integers(0, dates.size - 2))
    j = data.draw(st.integers(i + 1, dates.size - 1))
    swapped, repeated, absent, later = dates.copy(), dates.copy(), dates.copy(), dates.astype("M8[s]")
    swapped[[i, j]] = swapped[[j, i]]
    repeated[i + 1] = repeated[i]
    absent[i] = np.datetime64("NaT", "D")
    later[i + 1] = later[i] + np.timedelta64(data.draw(st.integers(1, 3600)), "s")  # two overpasses of one day
    values = np.zeros((dates.size, 1), np.float32)
    for wrong, rule in (
        (swapped, "must strictly increase by day"),
        (repeated, "must strictly increase by day"),
        (later, "merge observations of one day"),
        (absent, "NaT is no date"),
    ):
        with pytest.raises(ValueError, match=rf"^dates: .*{rule}"):
            detect(values, wrong, name)


@pytest.fixture(scope="module")
def scene() -> Array:
    """Two blocks of pixels and one more, of all kinds."""
    return crowd(2 * LANES + 1, 2, N_TIME)


@pytest.fixture(scope="module")
def whole(scene: Array) -> dict[str, Layers]:
    found = {name: detect(scene, DATES, name) for name in DETECTORS}
    for layers in found.values():
        assert (layers.n_changes > 0).sum() > 100  # something to tell apart
    return found


@EVERY
@pytest.mark.parametrize("n_pixel", [1, LANES - 1, LANES, LANES + 1, 2 * LANES])
def test_the_number_of_pixels_does_not_matter(name: str, n_pixel: int, scene: Array, whole: dict[str, Layers]) -> None:
    for part in (slice(0, n_pixel), slice(scene.shape[2] - n_pixel, None)):
        same(take(whole[name], part), detect(scene[:, :, part], DATES, name))


@EVERY
@pytest.mark.parametrize("size", [1, 5, LANES - 1, 10 * LANES])
def test_the_size_of_a_block_does_not_matter(
    name: str, size: int, scene: Array, whole: dict[str, Layers], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = slice(0, 100 if size == 1 else None)
    monkeypatch.setattr(detector, "PIXELS_SEARCHED", size)
    monkeypatch.setattr(alarms, "CHUNK", size)
    same(take(whole[name], part), detect(scene[:, :, part], DATES, name))


@EVERY
def test_the_order_of_pixels_does_not_matter(name: str, scene: Array, whole: dict[str, Layers]) -> None:
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(scene.shape[2])
        same(take(whole[name], order), detect(scene[:, :, order], DATES, name))


@EVERY
def test_the_layout_of_the_values_does_not_matter(name: str, scene: Array, whole: dict[str, Layers]) -> None:
    strided = np.repeat(scene, 2, axis=2)[:, :, ::2]
    for values in (np.asfortranarray(scene), strided, scene.astype(">f4"), scene.astype(np.float64)):
        same(whole[name], detect(values, DATES, name))
    frozen = scene[:, :, : LANES - 1].copy()
    frozen.flags.writeable = False
    same(take(whole[name], slice(0, LANES - 1)), detect(frozen, DATES, name))
    untouched = scene.copy()
    detect(scene, DATES, name)
    np.testing.assert_array_equal(untouched, scene)


@EVERY
@pytest.mark.parametrize("odd", [np.nan, np.inf, MOST, -MOST, 1e30, 0.0])
def test_the_neighbours_do_not_matter(name: str, odd: float, scene: Array, whole: dict[str, Layers]) -> None:
    for keep in (slice(1, None, 2), slice(LANES - 3, LANES + 3), slice(None, None, 97)):
        values = np.full_like(scene, odd)
        values[:, :, keep] = scene[:, :, keep]
        same(take(whole[name], keep), take(detect(values, DATES, name), keep))


@EVERY
def test_a_pixel_alone_is_the_pixel_in_the_crowd(name: str, scene: Array, whole: dict[str, Layers]) -> None:
    for pixel in range(0, scene.shape[2], 41):
        same(take(whole[name], pixel), detect(scene[:, :, pixel], DATES, name))
