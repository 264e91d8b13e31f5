"""The simulated world keeps its own promises: places, dates, weather and reflectance."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from groundbreak.pipeline.testing.fields import smooth, stream, wander
from groundbreak.pipeline.testing.frames import LAYOUTS
from groundbreak.pipeline.testing.landscape import KINDS
from groundbreak.pipeline.testing.scene import NO_DATE, Scene

EPOCH = date(1970, 1, 1)


def test_seed_0_has_the_planned_dates(full: Scene) -> None:
    compound, active, road = full.sites
    assert (compound.onset, compound.halt) == (date(2022, 7, 5), date(2023, 9, 1))
    assert compound.area_m2 == 46_500
    assert active.halt is None
    assert active.onset.year == 2023
    assert road.onset.year == 2021
    # The compound crosses the first tile's right edge and a border of 256 pixel regions.
    assert compound.cols.min() < 320 < compound.cols.max()
    assert compound.rows.min() < 256 < compound.rows.max()


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_sites_keep_their_distance(full: Scene, seed: int) -> None:
    scene = Scene(LAYOUTS["full"], seed) if seed else full
    water = scene.landscape.zone == KINDS.index("reservoir")
    masks = []
    for site in scene.sites:
        mask = np.zeros(scene.layout.shape, dtype=bool)
        mask[site.rows, site.cols] = True
        assert scene.layout.aoi_mask()[mask].all()
        masks.append(mask)
    for i, mask in enumerate(masks):
        away = distance_transform_edt(~mask)
        for other in [*masks[:i], *masks[i + 1 :], water]:
            assert away[other].min() >= 15
    compound = scene.sites[0]
    assert compound.area_m2 == 46_500
    assert compound.halt is not None
    assert (compound.onset - scene.start).days >= 540
    assert (scene.end - compound.halt).days >= 240


def test_pixel_dates_lie_within_their_sites(full: Scene) -> None:
    onset, halt = full.pixel_truth()
    assert (onset != NO_DATE).sum() == sum(len(s.rows) for s in full.sites)
    for site in full.sites:
        begun, ended = onset[site.rows, site.cols], halt[site.rows, site.cols]
        assert begun.min() == (site.onset - EPOCH).days
        if site.halt is None:
            assert (ended == NO_DATE).all()
        else:
            assert ended.max() <= (site.halt - EPOCH).days
            assert np.quantile(ended, 0.9) >= (site.halt - EPOCH).days - 12
            assert (begun < ended).all()


def test_works_are_restless_and_their_end_is_quiet(full: Scene) -> None:
    compound = full.sites[0]
    assert compound.halt is not None

    def spread(first: date, last: date) -> float:
        days = range((first - full.start).days, (last - full.start).days, 5)
        nir = np.stack([compound.history.surface(d, 0.0)[1][:, 2] for d in days])
        return float(np.median(nir.std(axis=0)))

    works = spread(date(2022, 8, 15), compound.halt)
    after = spread(date(2023, 9, 5), date(2024, 12, 31))
    assert works > 0.03
    assert after < works / 10


def test_sky_and_classification_are_as_bad_as_real_ones(full: Scene) -> None:
    clear, spoilt, pixels = 0, 0, 0
    for overpass in full.overpasses[::20]:
        view = full.observe(overpass)
        clear += int(np.isin(view.scl, (2, 4, 5, 6, 7)).sum())
        spoilt += int(view.contaminated.sum())
        pixels += int(view.seen.sum())
    assert 0.40 < 1 - clear / pixels < 0.58
    assert 0.012 < spoilt / clear < 0.05


def test_winter_is_cloudier_and_has_snow(full: Scene) -> None:
    season = full.weather.season
    assert full.weather.covered[season < -0.5].mean() > full.weather.covered[season > 0.5].mean()
    snowy = full.weather.snow > 0.1
    assert 10 < snowy.sum() < 250
    assert not snowy[season > 0].any()


def test_crops_rise_and_fall_on_shifting_dates(full: Scene) -> None:
    parcels = np.unique(full.landscape.label[full.landscape.zone == KINDS.index("crops")])
    green = np.stack([full.landscape.cover(d)[0][parcels] for d in range(0, 1800, 5)])
    assert np.median(green.max(0) - green.min(0)) > 0.5
    peaks = np.stack([green[y * 73 : (y + 1) * 73].argmax(0) * 5 for y in range(4)])
    assert np.median(peaks.std(0)) > 7


def test_fields_have_unit_variance() -> None:
    sample = np.stack([smooth(stream(1, i), (40, 60), 7) for i in range(400)])
    np.testing.assert_allclose(sample.var(0), 1, atol=0.5)
    assert sample.var() == pytest.approx(1, abs=0.1)
    series = wander(stream(2), 200, 500, 10)
    assert series.var() == pytest.approx(1, abs=0.1)
    lagged = np.mean(series[:, :-10] * series[:, 10:])
    assert lagged == pytest.approx(np.exp(-1), abs=0.07)


def test_an_empty_record_is_refused() -> None:
    with pytest.raises(ValueError, match="ends"):
        Scene(LAYOUTS["small"], start=date(2022, 1, 2), end=date(2022, 1, 1))
