"""odc-stac, in whatever settings a row names."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
import pystac
from odc.geo.geobox import GeoBox
from odc.stac import load

from benchmarks.cubes.job import BANDS, MASK, Job, store_band


def run(job: Job) -> dict[str, Any]:
    """Load bands at 10 m and the mask at 20 m, and store each as it comes.

    Options
    -------
    together : the bands in one call instead of one after the other
    pool : threads of odc-stac's own loader
    chunks, threads : of dask; without either, odc-stac reads with one thread
    """
    items = pystac.ItemCollection.from_file(job.items)
    options = job.options
    groups = [BANDS, (MASK,)] if options.get("together") else [(band,) for band in (*BANDS, MASK)]
    for bands in groups:
        side = 20 if MASK in bands else 10
        cube = load(
            items,
            bands=list(bands),
            geobox=GeoBox.from_bbox(job.bounds, f"EPSG:{job.epsg}", resolution=side, tight=True),
            groupby="solar_day",
            chunks=options.get("chunks"),
            pool=options.get("pool"),
        )
        threads = options.get("threads", 1)
        with dask.config.set(scheduler="threads" if threads > 1 else "synchronous", num_workers=threads):
            for band in bands:
                store_band(job, band, np.asarray(cube[band].values))
    return {}
