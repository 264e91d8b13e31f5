"""stackstac: as its documentation begins, and with what makes it fast."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
import pystac
import stackstac
import xarray as xr

from benchmarks.cubes.job import BANDS, MASK, Job, store_band


def run(job: Job) -> dict[str, Any]:
    """Load and store, a band at a time.

    Options
    -------
    tuned : numbers as they are, the mask on its own pixels, and no coordinates that nobody reads
    threads : of dask
    """
    # As they were written: pystac would turn them into STAC 1.1, which stackstac does not know.
    items = pystac.ItemCollection.from_file(job.items).to_dict(transform_hrefs=False)["features"]
    threads = job.options.get("threads", 1)
    with dask.config.set(scheduler="threads" if threads > 1 else "synchronous", num_workers=threads):
        if job.options.get("tuned"):
            _tuned(job, items)
        else:
            _defaults(job, items)
    return {}


def _defaults(job: Job, items: Any) -> None:
    """Build the way stackstac's documentation begins: float64 reflectance, every asset on the lattice of 10 m."""
    stack = stackstac.stack(items, assets=[*BANDS, MASK], epsg=job.epsg, bounds=job.bounds, resolution=10)
    for band in BANDS:
        reflectance = _fused(stack.sel(band=band), np.nan).values
        store_band(job, band, np.rint(reflectance * 10_000).astype(np.int16))
    store_band(job, MASK, _fused(stack.sel(band=MASK), np.nan).values[:, ::2, ::2].astype(np.uint8))


def _tuned(job: Job, items: Any) -> None:
    for band in (*BANDS, MASK):
        dtype, side = (np.uint8, 20) if band == MASK else (np.uint16, 10)
        stack = stackstac.stack(
            items,
            assets=[band],
            epsg=job.epsg,
            bounds=job.bounds,
            resolution=side,
            dtype=np.dtype(dtype),
            rescale=False,
            fill_value=dtype(0),
            chunksize=(1, 1, *job.shape),
            xy_coords=False,
            properties=False,
            band_coords=False,
        )
        store_band(job, band, _fused(stack.isel(band=0), 0).values)


def _fused(stack: xr.DataArray, nodata: float) -> xr.DataArray:
    """Make one time step of all items of a date; stackstac makes one of each item."""
    if np.unique(stack["time"]).size == stack["time"].size:
        return stack
    return stack.groupby("time").map(stackstac.mosaic, nodata=nodata)
