"""The general way to read: one asset opened by GDAL, and a window of it on any lattice, through stackstac's reader.

An asset is opened by the drivers for GeoTIFF and JPEG 2000 alone, between which its bytes decide: a remote ".tif" that
holds VRT XML would otherwise make GDAL read local files. Signatures are made here, when an asset is read, never when a
run is planned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyproj
import rasterio
import rasterio.vrt
from numpy.typing import NDArray
from rasterio.dtypes import in_dtype_range
from rasterio.enums import MaskFlags, Resampling
from rasterio.windows import Window
from stackstac.raster_spec import RasterSpec
from stackstac.rio_env import LayeredEnv
from stackstac.rio_reader import AutoParallelRioReader, SelfCleaningDatasetReader, SingleThreadedRioDataset

from groundbreak.pipeline.access import stamps
from groundbreak.pipeline.access.range_files import RangeFile
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import with_retries
from groundbreak.pipeline.access.troubles import Replaced
from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers.cog import check_block, check_size
from groundbreak.pipeline.readers.formats import DRIVERS
from groundbreak.pipeline.readers.gdal_files import opened_to_gdal
from groundbreak.pipeline.readers.geokeys import SQUARE

OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""GDAL's settings for reading: nothing is looked for beside a file."""


@dataclass(frozen=True, slots=True)
class RasterInfo:
    """What the start of a raster says about it."""

    frame: Frame
    block: tuple[int, int]
    """(rows, columns) of its blocks."""
    dtype: str


class _Reader(AutoParallelRioReader):  # type: ignore[misc]  # stackstac is not typed
    """stackstac's reader, confined to two GDAL drivers and one thread (a window is read once, then closed)."""

    told: Frame
    """Where the plan has the asset's pixels."""
    target: Frame
    """The window that is read."""
    read_on: Frame
    """The lattice that the window is read on: the asset's own, or that of the window."""
    nodata: float | None
    """The number that the item or the configuration calls no observation."""

    def _open(self) -> SingleThreadedRioDataset:
        # One after the other: an Env of rasterio that is entered twice at once stays, with the login of this host.
        with self.gdal_env.open:
            dataset = SelfCleaningDatasetReader(self.url, driver=[*DRIVERS], sharing=False)
        own, warped = _frame(dataset, self.told.epsg), None
        if own is not None:
            crs.demand_reach(own, self.told, self.target)
        if own is None or not own.same(self.read_on):
            fill = _fill_of(dataset, self.nodata)
            with self.gdal_env.open_vrt:
                warped = rasterio.vrt.WarpedVRT(
                    dataset,
                    src_crs=None if own is None else own.epsg,
                    sharing=False,
                    resampling=self.resampling,
                    src_nodata=fill,
                    add_alpha=fill is None,
                    **self.spec.vrt_params,
                )
        return SingleThreadedRioDataset(self.gdal_env, dataset, vrt=warped)


def read_info(asset: Asset, access: Access) -> RasterInfo:
    """Read the frame, the blocks and the type of an asset.

    Raises
    ------
    ReadError
        After ``access.attempts`` attempts.
    """

    def attempt(refresh: bool) -> RasterInfo:
        with (
            access.telling_logins(asset.href),
            _path(asset, access, refresh, "") as path,
            rasterio.Env(**OPTIONS),
            rasterio.DatasetReader(path, driver=[*DRIVERS], sharing=False) as dataset,
        ):
            frame = _frame(dataset, None if asset.frame is None else asset.frame.epsg)
            if frame is None:
                raise ValueError("its pixels are not square and north up")
            rows, cols = dataset.block_shapes[0]
            return RasterInfo(frame, (rows, cols), dataset.dtypes[0])

    return with_retries(asset.href, access.attempts, attempt)


@contextmanager
def _path(asset: Asset, access: Access, refresh: bool, stamp: str) -> Iterator[str]:
    """Give the path under which GDAL reads an asset, which must have a stamp where one is given."""
    store, _ = access.locate(asset.href, refresh=refresh, stamp=stamp)
    if isinstance(store, RangeFile):
        with opened_to_gdal(store) as registered:
            yield registered
        return
    if stamp and not stamps.agree(stamp, stamps.of_local(asset.href)):
        raise Replaced()
    yield asset.href


def read(
    asset: Asset, target: Frame, access: Access, *, nearest: bool, refresh: bool = False, stamp: str = ""
) -> NDArray[np.float32]:
    """Read an asset's digital numbers on a target frame, in one attempt.

    Where the asset already lies on the target's lattice its own pixels are read; elsewhere it is warped.

    Parameters
    ----------
    asset : Asset
    target : Frame
    access : Access
    nearest : bool
        Warp by nearest pixel (a mask's classes) instead of bilinearly.
    refresh : bool
        The asset's last signature was refused.
    stamp : str
        What the file was when the run was planned; "" where nobody knows.

    Returns
    -------
    (height, width) float32, which holds every 16-bit number exactly; NaN where the asset has no pixel.

    Raises
    ------
    Exception
        An error of GDAL, rasterio or stackstac, which raise many kinds.
    """
    out = np.full((target.height, target.width), np.nan, np.float32)
    met = asset.frame.overlap(target) if asset.frame is not None else None
    if asset.frame is None or met is None:
        frame, into, rows, cols = target, out, slice(0, target.height), slice(0, target.width)
    else:
        frame, into, rows, cols = asset.frame, out[met.rows, met.cols], met.source_rows, met.source_cols
    if not into.size:
        return out
    with _path(asset, access, refresh, stamp) as path:
        reader = _Reader(
            url=path,
            spec=RasterSpec(epsg=frame.epsg, bounds=frame.bounds, resolutions_xy=(frame.resolution, frame.resolution)),
            dtype=out.dtype,
            fill_value=np.nan,
            scale_offset=(1, 0),
            errors_as_nodata=(),
            resampling=Resampling.nearest if nearest else Resampling.bilinear,
            gdal_env=LayeredEnv(always=OPTIONS),
        )
        reader.told, reader.target, reader.read_on = asset.frame or target, target, frame
        reader.nodata = asset.nodata
        try:
            into[:] = reader.read(Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start))
        finally:
            reader.close()
    return out


def _fill_of(dataset: rasterio.DatasetReader, told: float | None) -> float | None:
    """Return the number that must not be mixed into pixels when a dataset is warped, or None.

    A file may tell none where its item or the configuration does (``told``).
    """
    if dataset.nodata is not None or told is None or MaskFlags.all_valid not in dataset.mask_flag_enums[0]:
        fill: float | None = dataset.nodata
        return fill
    return told if in_dtype_range(told, dataset.dtypes[0]) else None


def _frame(dataset: rasterio.DatasetReader, told: int | None) -> Frame | None:
    """Return where a dataset's pixels lie; None where they are not square and north up.

    ``told`` is the EPSG code that the item tells. ValueError is raised for a raster that cannot be an asset.
    """
    if dataset.count != 1:
        raise ValueError(f"it has {dataset.count} bands; an asset must have one")
    check_size(dataset.height, dataset.width)
    # A block is decoded as a whole, into memory of the size that the header tells.
    rows, cols = dataset.block_shapes[0]
    check_block(rows, cols, np.dtype(dataset.dtypes[0]).itemsize)
    if dataset.crs is None:
        raise ValueError("it does not tell its CRS")
    own = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    epsg = crs.epsg_of(own, told)
    if epsg is None:
        raise ValueError(f"its CRS ({own.name}) has no EPSG code")
    t = dataset.transform
    if t.b or t.d or abs(t.a + t.e) > SQUARE * t.a:
        return None
    return Frame(epsg, t.c, t.f, t.a, dataset.height, dataset.width)
