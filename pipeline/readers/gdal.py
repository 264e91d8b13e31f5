"""The general way: one asset opened by GDAL, and a window of it read on any lattice, through stackstac's reader.

An asset is opened with the one driver that its item's media type names: a remote ".tif" that holds VRT XML would
otherwise make GDAL read local files. Signatures are made here, when an asset is read, never when a run is planned.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import rasterio
import rasterio.vrt
from obstore.store import ObjectStore
from rasterio.enums import Resampling
from rasterio.windows import Window
from stackstac.raster_spec import RasterSpec
from stackstac.rio_env import LayeredEnv
from stackstac.rio_reader import AutoParallelRioReader, SelfCleaningDatasetReader, SingleThreadedRioDataset

from groundbreak.pipeline.access import hrefs, remote
from groundbreak.pipeline.access.providers import Provider
from groundbreak.pipeline.core.config import Source
from groundbreak.pipeline.core.types import Asset, Frame
from groundbreak.pipeline.readers.cog import check_size


class ReadError(Exception):
    """An asset could not be read after every attempt; the message is redacted."""

    def __init__(self, message: str, attempts: int) -> None:
        super().__init__(message, attempts)
        self.message, self.attempts = message, attempts


@dataclass(frozen=True)
class Access:
    """How the assets of a source are reached: what travels to a worker beside the hrefs."""

    source: Source
    provider: Provider
    attempts: int = 3

    @cached_property
    def options(self) -> dict[str, str]:
        """GDAL configuration options; made where they are used, since keys lie in a worker's own environment."""
        return remote.gdal_options(self.source, self.provider)

    @cached_property
    def token_url(self) -> str | None:
        """Where a signature is fetched (Planetary Computer's scheme), or None."""
        return self.provider.token_url_for(self.source)

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "provider": self.provider, "attempts": self.attempts}

    def path(self, href: str, *, refresh: bool = False) -> str:
        """What GDAL opens: the signed href behind its virtual file system."""
        return remote.gdal_path(self._signed(href, refresh))

    def store(self, href: str, *, refresh: bool = False) -> tuple[ObjectStore, str]:
        """Where an asset's bytes are: a store, which its requests share, and a path in it."""
        return remote.locate(self._signed(href, refresh), self.source, self.provider)

    def _signed(self, href: str, refresh: bool) -> str:
        return hrefs.sign(href, self.token_url, refresh=refresh) if self.token_url else href


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """What the start of a raster says."""

    frame: Frame
    block: tuple[int, int]
    """(rows, columns) of its blocks."""
    dtype: str


class _OneDriverReader(AutoParallelRioReader):  # type: ignore[misc]  # stackstac is not typed
    """stackstac's reader, confined to one GDAL driver and one thread (a window is read once, then closed)."""

    driver = "GTiff"

    def _open(self) -> SingleThreadedRioDataset:
        with self.gdal_env.open:
            dataset = SelfCleaningDatasetReader(self.url, driver=self.driver, sharing=False)
            _check(dataset)
            here = {
                "crs": dataset.crs.to_epsg(),
                "transform": dataset.transform,
                "height": dataset.height,
                "width": dataset.width,
            }
            warped = None
            if self.spec.vrt_params != here:
                with self.gdal_env.open_vrt:
                    warped = rasterio.vrt.WarpedVRT(
                        dataset,
                        sharing=False,
                        resampling=self.resampling,
                        add_alpha=dataset.nodata is None,
                        **self.spec.vrt_params,
                    )
        return SingleThreadedRioDataset(self.gdal_env, dataset, vrt=warped)


class _Jp2Reader(_OneDriverReader):
    driver = "JP2OpenJPEG"


def read_info(asset: Asset, access: Access) -> BlockLayout:
    """Read an asset's header.

    Raises
    ------
    ReadError
    """

    def attempt(refresh: bool) -> BlockLayout:
        path = access.path(asset.href, refresh=refresh)
        with rasterio.Env(**access.options), rasterio.open(path, driver=asset.driver, sharing=False) as dataset:
            _check(dataset)
            t = dataset.transform
            if t.b or t.d or abs(t.a + t.e) > 1e-9 * t.a:
                raise ValueError("its pixels are not square and north up")
            frame = Frame(dataset.crs.to_epsg(), t.c, t.f, t.a, dataset.height, dataset.width)
            rows, cols = dataset.block_shapes[0]
            return BlockLayout(frame, (rows, cols), dataset.dtypes[0])

    return with_retries(access, attempt)


def read(asset: Asset, target: Frame, access: Access, *, nearest: bool, refresh: bool = False) -> np.ndarray:
    """An asset's digital numbers on a target frame.

    Where the asset already lies on the target's lattice its own pixels are read; elsewhere it is warped.

    Parameters
    ----------
    nearest : bool
        Warp by nearest pixel (a mask's classes) instead of bilinearly.
    refresh : bool
        The asset's last signature was refused.

    Returns
    -------
    (height, width) float32, which holds every 16-bit number exactly; NaN where the asset has no pixel.

    Raises
    ------
    Exception
        Of many kinds: of GDAL, rasterio or stackstac.
    """
    out = np.full((target.height, target.width), np.nan, np.float32)
    inside = overlap(asset.frame, target) if asset.frame is not None else None
    spec, window = _spec(target), Window(0, 0, target.width, target.height)
    rows, cols = slice(None), slice(None)
    if inside is not None and asset.frame is not None:
        spec, (rows, cols, window) = _spec(asset.frame), inside
        if window.width <= 0 or window.height <= 0:
            return out

    kind = _Jp2Reader if asset.driver == "JP2OpenJPEG" else _OneDriverReader
    reader = kind(
        url=access.path(asset.href, refresh=refresh),
        spec=spec,
        dtype=out.dtype,
        fill_value=np.nan,
        scale_offset=(1, 0),
        errors_as_nodata=(),
        resampling=Resampling.nearest if nearest else Resampling.bilinear,
        gdal_env=LayeredEnv(always=access.options),
    )
    try:
        out[rows, cols] = reader.read(window)
    finally:
        reader.close()
    return out


def overlap(source: Frame, target: Frame) -> tuple[slice, slice, Window] | None:
    """Where a source that lies on the target's lattice meets it: (target rows, target columns, source window).

    None where it lies on another lattice (other CRS, pixel size or phase) and must be warped.
    """
    if source.epsg != target.epsg or source.resolution != target.resolution:
        return None
    col, row = (target.x0 - source.x0) / source.resolution, (source.y0 - target.y0) / source.resolution
    if abs(col - round(col)) > 1e-6 or abs(row - round(row)) > 1e-6:
        return None
    row, col = round(row), round(col)
    top, left = max(row, 0), max(col, 0)
    height = max(min(row + target.height, source.height) - top, 0)
    width = max(min(col + target.width, source.width) - left, 0)
    window = Window(left, top, width, height)
    return slice(top - row, top - row + height), slice(left - col, left - col + width), window


def _spec(frame: Frame) -> RasterSpec:
    return RasterSpec(epsg=frame.epsg, bounds=frame.bounds, resolutions_xy=(frame.resolution, frame.resolution))


def _check(dataset: rasterio.DatasetReader) -> None:
    if dataset.count != 1:
        raise ValueError(f"it has {dataset.count} bands; an asset must have one")
    if dataset.crs is None or dataset.crs.to_epsg() is None:
        raise ValueError("its CRS has no EPSG code")
    check_size(dataset.height, dataset.width)


def with_retries[T](access: Access, attempt: Callable[[bool], T], failed: Exception | None = None) -> T:
    """Call until it works, with a fresh signature from the second time on; what cannot get better by waiting is not
    tried again. A first attempt may have ``failed`` already.

    Raises
    ------
    ReadError
    """
    error, number = failed, 0 if failed is None else 1
    while number < access.attempts and not _is_gone(error):
        if error is not failed:
            time.sleep(min(0.25 * 2**number, 4.0))
        number += 1
        try:
            return attempt(number > 1)
        except Exception as caught:  # GDAL raises many kinds; every one of them is a fault of this asset
            error = caught
    cause = f"{type(error).__name__}: {error}".partition("\n\nDebug source")[0]  # obstore tells all it knows
    raise ReadError(hrefs.redact(cause), number) from None


def _is_gone(error: Exception | None) -> bool:
    """Whether it says that there is no such file."""
    return isinstance(error, FileNotFoundError) or bool(re.search(r" 404|No such file or directory", str(error)))
