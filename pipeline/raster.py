"""Opening one asset, and reading a window of it on any lattice, through stackstac's reader.

An asset is opened with the one driver that its item's media type names: a remote ".tif" that holds VRT XML would
otherwise make GDAL read local files. Signatures are made here, when an asset is read, never when a run is planned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import rasterio
import rasterio.vrt
from rasterio.enums import Resampling
from rasterio.windows import Window
from stackstac.raster_spec import RasterSpec
from stackstac.rio_env import LayeredEnv
from stackstac.rio_reader import AutoParallelRioReader, SelfCleaningDatasetReader, SingleThreadedRioDataset

from pipeline import hrefs
from pipeline.config import Source
from pipeline.providers import Provider
from pipeline.types import Asset, Frame

MAX_PIXELS = 200_000 * 200_000
"""A header that claims more is not believed."""


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
        return hrefs.gdal_options(self.source, self.provider)

    @cached_property
    def token_url(self) -> str | None:
        """Where a signature is fetched (Planetary Computer's scheme), or None."""
        return self.provider.token_url_for(self.source)

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "provider": self.provider, "attempts": self.attempts}

    def path(self, href: str, *, refresh: bool = False) -> str:
        """What GDAL opens: the signed href behind its virtual file system."""
        signed = hrefs.sign(href, self.token_url, refresh=refresh) if self.token_url else href
        return hrefs.gdal_path(signed)


@dataclass(frozen=True, slots=True)
class Header:
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


def header(asset: Asset, access: Access) -> Header:
    """Read an asset's header.

    Raises
    ------
    ReadError
    """

    def attempt(path: str) -> Header:
        with rasterio.Env(**access.options), rasterio.open(path, driver=asset.driver, sharing=False) as dataset:
            _check(dataset)
            t = dataset.transform
            if t.b or t.d or abs(t.a + t.e) > 1e-9 * t.a:
                raise ValueError("its pixels are not square and north up")
            frame = Frame(dataset.crs.to_epsg(), t.c, t.f, t.a, dataset.height, dataset.width)
            rows, cols = dataset.block_shapes[0]
            return Header(frame, (rows, cols), dataset.dtypes[0])

    return _attempts(asset, access, attempt)


def read(asset: Asset, target: Frame, access: Access, *, nearest: bool) -> np.ndarray:
    """An asset's digital numbers on a target frame.

    Where the asset already lies on the target's lattice its own pixels are read; elsewhere it is warped.

    Parameters
    ----------
    nearest : bool
        Warp by nearest pixel (a mask's classes) instead of bilinearly.

    Returns
    -------
    (height, width) float32, which holds every 16-bit number exactly; NaN where the asset has no pixel.

    Raises
    ------
    ReadError
        After `access.attempts` attempts.
    """
    out = np.full((target.height, target.width), np.nan, np.float32)
    inside = overlap(asset.frame, target) if asset.frame is not None else None
    spec, window = _spec(target), Window(0, 0, target.width, target.height)
    rows, cols = slice(None), slice(None)
    if inside is not None and asset.frame is not None:
        spec, (rows, cols, window) = _spec(asset.frame), inside
        if window.width <= 0 or window.height <= 0:
            return out

    def attempt(path: str) -> np.ndarray:
        kind = _Jp2Reader if asset.driver == "JP2OpenJPEG" else _OneDriverReader
        reader = kind(
            url=path,
            spec=spec,
            dtype=out.dtype,
            fill_value=np.nan,
            scale_offset=(1, 0),
            errors_as_nodata=(),
            resampling=Resampling.nearest if nearest else Resampling.bilinear,
            gdal_env=LayeredEnv(always=access.options),
        )
        try:
            return np.asarray(reader.read(window))
        finally:
            reader.close()

    out[rows, cols] = _attempts(asset, access, attempt)
    if asset.nodata is not None:
        # The file's own nodata is masked already; an item may name one that its file does not.
        out[out == asset.nodata] = np.nan
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
    height = min(row + target.height, source.height) - top
    width = min(col + target.width, source.width) - left
    window = Window(left, top, max(width, 0), max(height, 0))
    return slice(top - row, top - row + height), slice(left - col, left - col + width), window


def _spec(frame: Frame) -> RasterSpec:
    return RasterSpec(epsg=frame.epsg, bounds=frame.bounds, resolutions_xy=(frame.resolution, frame.resolution))


def _check(dataset: rasterio.DatasetReader) -> None:
    if dataset.count != 1:
        raise ValueError(f"it has {dataset.count} bands; an asset must have one")
    if dataset.crs is None or dataset.crs.to_epsg() is None:
        raise ValueError("its CRS has no EPSG code")
    if dataset.height * dataset.width > MAX_PIXELS:
        raise ValueError(f"its header claims {dataset.height} x {dataset.width} pixels")


def _attempts[T](asset: Asset, access: Access, attempt: Callable[[str], T]) -> T:
    """Call with a fresh path until it works; what cannot get better by waiting is not tried again."""
    error: Exception
    for number in range(1, access.attempts + 1):
        try:
            return attempt(access.path(asset.href, refresh=number > 1))
        except Exception as caught:  # GDAL raises many kinds; every one of them is a fault of this asset
            error = caught
            if " 404" in str(caught) or "No such file or directory" in str(caught):
                break
            if number < access.attempts:
                time.sleep(min(0.25 * 2**number, 4.0))
    cause = f"{type(error).__name__}: {error}"
    raise ReadError(hrefs.redact(cause), number) from None
