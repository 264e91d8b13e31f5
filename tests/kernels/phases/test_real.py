"""A real construction site: unmasked true-colour Sentinel-2 near Omaha, onset annotated.

The record begins seven months before the works, on a field whose harvest and bare winter fall in
those months, so a pixel cannot know a normal spring: its date must say so.
"""

from __future__ import annotations

import numpy as np
import pytest

from groundbreak.kernels import Quality, detect
from tests.shared import SHARED, needs_shared

FILE = SHARED / "data/smart_us_rgb/US_R006_0025.nc"
BRACKET = (np.datetime64("2018-02-25").astype(int), np.datetime64("2018-05-09").astype(int))


@needs_shared
def test_omaha_site() -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    data = xarray.open_dataset(FILE, engine="h5netcdf")
    red, green, blue = np.moveaxis(data.rgb10.values.astype(np.float32), -1, 0)
    white = np.minimum(np.minimum(red, green), blue) > 150  # cloud or snow
    values = np.stack(
        [
            (red + green + blue) / 765,
            (green - red) / (green + red + 1),
            (blue - red) / (blue + red + 1),
        ]
    )
    values[:, white] = np.nan
    found = detect(values, data.time.values.astype("datetime64[D]"), snow=white)
    site = (data.site_fraction10.values > 0.5) & (data.overlay.values == 0)
    ground = (data.site_fraction10.values == 0) & (data.overlay.values == 0)
    changed = found.n_changes > 0
    assert changed[site].mean() >= 0.80
    assert changed[ground].mean() < 0.08
    assert np.isin(found.status, (2, 3, 4))[ground].mean() <= 0.01
    onset = found.onset[site & changed]
    outside = (onset <= BRACKET[0]) | (onset > BRACKET[1])
    flagged = found.quality[site & changed] & (Quality.WEAK_BASELINE | Quality.SNOW_SEASON)
    assert (flagged[outside] > 0).all()
    overlap = (found.onset_earliest <= BRACKET[1]) & (found.onset_latest > BRACKET[0])
    assert overlap[site & changed].mean() >= 0.9
