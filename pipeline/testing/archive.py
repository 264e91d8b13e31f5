"""Writes a simulated archive: COGs, an item collection and the truth beside them.

folder/
  items.json                 FeatureCollection of STAC items, hrefs relative to it
  truth.json                 sites with dates, and the ground that never changed
  38TPK/2022/<item id>/*.tif blue, red, nir (10 m), swir16, scl (20 m)
  .complete.json             what the archive was made from; written last
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling

from groundbreak.pipeline.testing.frames import EPSG, LAYOUTS, Frame, Layout, Scale
from groundbreak.pipeline.testing.granules import Traps, choose_traps, digital_numbers, granules
from groundbreak.pipeline.testing.items import make_item
from groundbreak.pipeline.testing.scene import Scene
from groundbreak.pipeline.testing.truth_file import TRUTH_FILE, Truth

ITEMS_FILE = "items.json"
_MARKER = ".complete.json"
_CRS = CRS.from_epsg(EPSG)
VERSION = 2
"""Raised whenever the same parameters would write other pixels: no stale archive is reused."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What an archive is made from; two equal recipes write equal bytes."""

    seed: int
    scale: Scale
    start: str
    end: str
    version: int = VERSION

    def scene(self) -> Scene:
        start, end = date.fromisoformat(self.start), date.fromisoformat(self.end)
        return Scene(LAYOUTS[self.scale], self.seed, start=start, end=end)

    def marker(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def write_archive(
    folder: Path | str,
    seed: int = 0,
    *,
    start: str | None = None,
    end: str | None = None,
    workers: int | None = None,
    scale: Scale = "full",
) -> Truth:
    """Write the simulated archive of one seed, or reuse the finished one that is already there.

    Parameters
    ----------
    folder
        Created when missing. An archive of another recipe, or a half-written one, is replaced;
        files that are not the archive's are left alone.
    seed
        0 is the demo's world; others move sites, dates, fields and weather.
    start, end
        ISO dates of the record; by default 2020-01-01 to 2024-12-31 (full), 2021-01-01 to
        2022-12-31 (small). Sites that begin after the end are left out.
    workers
        Processes; by default one per core for the full archive and one for the small one. With
        more than one the calling script needs a `__main__` guard. The bytes do not depend on it.
    scale
        "full": 5 x 4 km, five years. "small": 2 x 1 km, two years at a lower cadence, for tests.

    Returns
    -------
    Truth
        What `Truth.load(folder)` returns.
    """
    folder, layout = Path(folder), LAYOUTS[scale]
    recipe = _Recipe(seed, scale, start or layout.start.isoformat(), end or layout.end.isoformat())
    if _finished(folder, recipe):
        return Truth.load(folder)
    _clear(folder, layout)
    scene = recipe.scene()
    traps = choose_traps(scene)
    count = workers or ((os.cpu_count() or 1) if scale == "full" else 1)
    numbers = range(len(scene.overpasses))
    if count == 1:
        items = [_write(scene, traps, folder, number) for number in numbers]
    else:
        with ProcessPoolExecutor(count, get_context("spawn"), _start_worker, (recipe, traps, folder)) as pool:
            items = list(pool.map(_work, numbers, chunksize=4))
    features = [item for some in items for item in some]
    collection = {"type": "FeatureCollection", "features": features}
    (folder / ITEMS_FILE).write_text(json.dumps(collection) + "\n", "utf-8")
    Truth.of(scene).save(folder / TRUTH_FILE)
    (folder / _MARKER).write_text(json.dumps(recipe.marker()) + "\n", "utf-8")
    return Truth.load(folder)


def _finished(folder: Path, recipe: _Recipe) -> bool:
    try:
        return bool(json.loads((folder / _MARKER).read_text("utf-8")) == recipe.marker())
    except (OSError, ValueError):
        return False


def _clear(folder: Path, layout: Layout) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The marker goes first: an interruption from here on leaves an archive that is rewritten.
    for name in (_MARKER, ITEMS_FILE, TRUTH_FILE):
        (folder / name).unlink(missing_ok=True)
    for frame in layout.frames:
        shutil.rmtree(folder / frame.code, ignore_errors=True)


_write_here: partial[list[dict[str, Any]]] | None = None


def _start_worker(recipe: _Recipe, traps: Traps, folder: Path) -> None:
    global _write_here
    _write_here = partial(_write, recipe.scene(), traps, folder)


def _work(number: int) -> list[dict[str, Any]]:
    assert _write_here is not None, "the pool was started without its initializer"
    return _write_here(number)


def _write(scene: Scene, traps: Traps, folder: Path, number: int) -> list[dict[str, Any]]:
    """Write the COGs of one overpass and return its items."""
    overpass = scene.overpasses[number]
    view = scene.observe(overpass)
    items = []
    for granule in granules(scene.layout, overpass, traps):
        place = f"{granule.frame.code}/{overpass.time.year}/{granule.id}"
        (folder / place).mkdir(parents=True, exist_ok=True)
        pixels = digital_numbers(scene, view, granule)
        # Without .aux.xml files beside the COGs.
        with rasterio.Env(GDAL_PAM_ENABLED=False):
            for key, values in pixels.items():
                write_cog(folder / place / f"{key}.tif", values, granule.frame, scene.layout.block)
        scl = np.asarray(pixels["scl"], dtype=np.uint8)
        items.append(make_item(scene.layout, granule, f"./{place}", scl))
    return items


def write_cog(path: Path, values: NDArray[np.uint16] | NDArray[np.uint8], frame: Frame, block: int) -> None:
    """Write one band as a Cloud-Optimized GeoTIFF with nodata 0.

    Parameters
    ----------
    path
        Target file, overwritten.
    values
        (row, col) uint16 or uint8, at 10 m or 20 m on `frame`.
    frame
        Tile frame; its height over the rows of `values` gives the resolution.
    block
        Block edge, pixels.
    """
    rows, cols = values.shape
    resampling = Resampling.nearest if values.dtype == np.uint8 else Resampling.average
    with rasterio.open(
        "whole image, in memory",
        "w",
        driver="MEM",
        width=cols,
        height=rows,
        count=1,
        dtype=values.dtype,
        crs=_CRS,
        transform=frame.transform(10 * frame.height // rows),
        nodata=0,
    ) as image:
        image.write(values, 1)
        # Overviews made here cost half of those that the COG driver makes through a file on disk.
        if max(rows, cols) > block:
            image.build_overviews([2], resampling)
        rasterio.shutil.copy(
            image,
            path,
            driver="COG",
            COMPRESS="DEFLATE",
            # Level 1 takes half the time of level 6 for 2 % more bytes.
            LEVEL=1,
            PREDICTOR="YES",
            BLOCKSIZE=block,
            OVERVIEWS="FORCE_USE_EXISTING",
        )
