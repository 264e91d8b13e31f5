"""CRSs that tell no EPSG code: what is evident, what an item may add, and what stays unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from obstore.store import LocalStore
from rasterio.crs import CRS

from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.readers.cog import read_cog

HLS = (
    'PROJCS["UTM Zone {zone}, Northern Hemisphere",GEOGCS["Unknown datum based upon the WGS 84 ellipsoid",'
    'DATUM["Not_specified_based_on_WGS_84_spheroid",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",{meridian}],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",{north}],UNIT["metre",1]]'
)
ALBERS = "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +x_0=0 +y_0=0 +ellps=GRS80 +units=m +no_defs"


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        (HLS.format(zone=38, meridian=45, north=0), None, 32638),
        (HLS.format(zone=1, meridian=-177, north=0), None, 32601),
        (HLS.format(zone=60, meridian=177, north=10_000_000), None, 32760),
        # The file decides against an item that names another zone, or the other half of the globe.
        (HLS.format(zone=38, meridian=45, north=0), 32738, 32638),
        (HLS.format(zone=38, meridian=46, north=0), None, None),
        ("+proj=utm +zone=38 +ellps=WGS84 +units=m", None, 32638),
        ("+proj=utm +zone=19 +datum=NAD83", None, 26919),
        ("EPSG:5070", None, 5070),
        (ALBERS, None, None),
        (ALBERS, 5070, 5070),
        (ALBERS, 32638, None),
        (ALBERS, 6933, None),
        ("ESRI:54009", None, None),
    ],
)
def test_the_code_of_a_crs(tmp_path: Path, text: str, told: int | None, code: int | None) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint16"}
    affine = rasterio.Affine(30, 0, 6e5, 0, -30, 4.4e6)
    with rasterio.open(path, "w", crs=CRS.from_user_input(text), transform=affine, **profile) as target:
        target.write(np.ones((1, 4, 4), np.uint16))
    with rasterio.open(path) as source:
        assert crs.epsg_of(pyproj.CRS.from_wkt(source.crs.to_wkt()), told) == code
    header = read_cog(LocalStore(), str(path).lstrip("/"))
    if told is None:
        assert (None if header.frame is None else header.frame.epsg) == code
    elif code is not None and code != told:
        assert header.frame is not None
        assert header.frame.epsg == code


def test_rasters_meet_across_zones_and_the_antimeridian() -> None:
    west = Frame(32638, 750_000, 4_400_000, 10, 400, 400)
    x, y = pyproj.Transformer.from_crs(32638, 32639, always_xy=True).transform(751_000, 4_399_000)
    assert crs.meet(west, Frame(32639, x, y, 10, 50, 50))
    assert not crs.meet(west, Frame(32639, x + 9000, y, 10, 50, 50))
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", 32760, always_xy=True).transform(179.999, -16.5)
    east_x, east_y = pyproj.Transformer.from_crs("OGC:CRS84", 32701, always_xy=True).transform(-179.999, -16.5)
    assert crs.meet(Frame(32760, x, y + 500, 10, 100, 100), Frame(32701, east_x - 500, east_y + 500, 10, 100, 100))


def test_a_window_that_should_be_reached_and_is_not() -> None:
    window = Frame(32638, 600_000, 4_400_000, 10, 64, 64)
    crs.demand_reach(window, window, window)
    beside = Frame(32638, 700_000, 4_400_000, 10, 64, 64)
    crs.demand_reach(beside, beside, window)
    with pytest.raises(ValueError, match="does not reach where its item says"):
        crs.demand_reach(beside, window, window)
    with pytest.raises(ValueError, match="EPSG:32639"):
        crs.demand_reach(Frame(32639, 600_000, 4_400_000, 10, 64, 64), window, window)
