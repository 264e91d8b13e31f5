"""Which way each asset will be read, as its header tells before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping

from groundbreak.pipeline.access.hrefs import is_url
from groundbreak.pipeline.core.types import Grid, Scene
from groundbreak.pipeline.readers.assets import FETCHED, ON_DISK
from groundbreak.pipeline.readers.cog import NotByBlocks
from groundbreak.pipeline.readers.headers import HeaderKey, Headers, header_key

SAID_JP2 = "GeoTIFF by its bytes, though its item says JPEG 2000"


def way_to_read(scene: Scene, band: str, grid: Grid, known: Headers, unread: Mapping[HeaderKey, str]) -> str:
    """Tell how an asset will be read, and why, in words that a plan shows.

    Parameters
    ----------
    scene : Scene
    band : str
        The band of the asset.
    grid : Grid
        The grid whose cube takes the asset.
    known : Headers
        The headers that are known.
    unread : mapping
        Key of a header -> why it could not be read.
    """
    asset, target = scene.assets[band], grid.band_frame(band)
    key = header_key(asset, scene)
    if key in unread:
        return f"unknown: its header cannot be read now ({unread[key]})"
    header = known.get(key, NotByBlocks(f"{asset.driver}, not GeoTIFF"))
    if isinstance(header, NotByBlocks):
        return f"general: {header.why}"
    if header.frame.overlap(target) is not None:
        way = FETCHED if is_url(asset.href) else ON_DISK
        return way if asset.driver == "GTiff" else f"{way} ({SAID_JP2})"
    if header.frame.epsg != target.epsg:
        return f"general: warped, EPSG:{header.frame.epsg} onto EPSG:{target.epsg}"
    return "general: warped, another pixel size or phase"
