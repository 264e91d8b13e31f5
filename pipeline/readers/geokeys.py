"""Where the pixels of a GeoTIFF lie, as its tags and GeoTIFF's keys say."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.readers.tiff import Directory, Tag

NO_CODE = "its CRS has no EPSG code"
"""Why a raster goes the general way whose header does not tell its CRS in a way that is understood here."""

NOT_SQUARE = "its pixels are not square and north up"
"""Why a raster goes the general way whose pixels are oblong, turned or upside down, or tied to the ground otherwise."""

USER_DEFINED = 32767
"""Value of a GeoTIFF key that says that other keys describe what is meant."""


SQUARE = 1e-9
"""Pixels whose height differs from their width by a greater share are not square."""


class GeoKey(IntEnum):
    """GeoTIFF's keys that are asked for, by their numbers."""

    RASTER_TYPE = 1025
    GEOGRAPHIC = 2048
    DATUM = 2050
    MAJOR_AXIS = 2057
    FLATTENING = 2059
    PROJECTED = 3072
    PROJECTION = 3074
    LINEAR_UNIT = 3076


async def read_frame(directory: Directory, height: int, width: int) -> Frame | str:
    """Return where a raster's pixels lie, or why it goes the general way.

    Parameters
    ----------
    directory : Directory
        The directory of the raster.
    height, width : int
        Its size, pixels.

    Raises
    ------
    ValueError
        A tag claims more values than are believed, or what it tells is no place.
    """
    keys = await _geo_keys(directory)
    size, tie = await directory.values(Tag.PIXEL_SCALE), await directory.values(Tag.TIE_POINTS)
    epsg = _epsg(keys)
    if epsg is None:
        return NO_CODE
    if size is None or tie is None or len(size) < 2 or len(tie) != 6:
        return NOT_SQUARE
    wide, high, *_ = size.astype("f8").tolist()
    column, row, _, x, y, _ = tie.astype("f8").tolist()
    if abs(wide - high) > SQUARE * wide:
        return NOT_SQUARE
    half = 0.5 if keys.get(GeoKey.RASTER_TYPE) == 2 else 0.0  # the tie point is a pixel's centre
    return Frame(epsg, x - (column + half) * wide, y + (row + half) * wide, wide, height, width)


async def _geo_keys(directory: Directory) -> dict[int, float]:
    """Return GeoTIFF's keys that are numbers: number of a key -> its value."""
    told = await directory.values(Tag.GEO_KEYS)
    if told is None:
        return {}
    doubles = await directory.values(Tag.GEO_DOUBLES)
    found: dict[int, float] = {}
    keys = told[4 : 4 + len(told[4:]) // 4 * 4].reshape(-1, 4).astype(int).tolist()
    for key, where, _, value in keys:
        if where == 0:
            found[key] = value
        elif where == Tag.GEO_DOUBLES and doubles is not None and value < len(doubles):
            found[key] = float(doubles[value])
    return found


def _epsg(keys: Mapping[int, float]) -> int | None:
    """Return the EPSG code of a raster's CRS, by its keys; that of a UTM zone is evident though it is not written."""
    code = keys.get(GeoKey.PROJECTED) or keys.get(GeoKey.GEOGRAPHIC)
    if code != USER_DEFINED:
        return None if code is None else int(code)
    south, zone = divmod(int(keys.get(GeoKey.PROJECTION, 0)) - 16000, 100)
    datum = keys.get(GeoKey.DATUM) in (None, USER_DEFINED, 6326)
    shape = (keys.get(GeoKey.MAJOR_AXIS), keys.get(GeoKey.FLATTENING)) == crs.WGS84
    projected = (keys.get(GeoKey.PROJECTED), keys.get(GeoKey.LINEAR_UNIT)) == (USER_DEFINED, 9001)
    if not (projected and datum and shape):
        return None
    return crs.utm_epsg(zone, south == 1) if south in (0, 1) and 1 <= zone <= 60 else None
