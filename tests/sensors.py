"""Ground that the satellites of several archives see, whose every pixel is known; and what a run must make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.crs import CRS

from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.readers.assets import ON_DISK
from tests.world import lonlat_box

Box = tuple[float, float, float, float]
"""(left, bottom, right, top), metres."""
BANDS = ("blue", "red", "nir", "swir16")
"""The bands that a run needs which is told nothing of indices."""
LEVELS = {  # of grass, its change from summer to winter, bare soil, and a pond
    "blue": (0.05, 0.0, 0.12, 0.03),
    "red": (0.07, 0.02, 0.2, 0.02),
    "nir": (0.3, -0.07, 0.26, -0.004),
    "swir16": (0.2, 0.03, 0.33, -0.006),
}
FILL = -32768
"""Where a cube holds no reflectance."""


def days_of(date: str) -> int:
    """Return the days of a date since 1970."""
    return int(np.datetime64(date, "D").astype(int))


@dataclass(frozen=True)
class Ground:
    """Grass with a pond, and a site on it that is cleared, worked on, and built."""

    site: Box
    pond: Box
    onset: str
    halt: str

    def reflectance(self, band: str, date: str, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        """Return the reflectance of pixels by their centres; each pixel has a texture of its own place."""
        grass, season, bare, pond = LEVELS[band]
        rng = np.random.default_rng([days_of(date), len(band)])
        noise, unrest = rng.normal(0, 0.004), rng.normal(0, 0.045)
        texture = 0.0003 * ((np.floor(x / 30) + 3 * np.floor(y / 30)) % 16)
        level = grass + season * np.cos(2 * np.pi * days_of(date) / 365.25) + noise + texture
        if date >= self.onset:
            worked = bare + noise + texture + (unrest if date <= self.halt else 0.0)
            level = np.where(within(self.site, x, y), worked, level)
        return np.where(within(self.pond, x, y), pond + 0.1 * noise, level)


def within(box: Box, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which points lie in a box."""
    left, bottom, right, top = box
    return np.asarray((left < x) & (x < right) & (bottom < y) & (y < top))


@dataclass(frozen=True)
class Shot:
    """One scene: where its window lies, and the numbers of its files."""

    name: str
    """Of the product: the start of the names of its files."""
    time: str
    """When it was acquired, UTC: "2023-10-24T17:37:29"."""
    frame: Frame
    numbers: Mapping[str, NDArray[Any]]
    """Band, or "mask" -> (rows, columns) of digital numbers."""
    scale: float
    offset: float
    fill: int
    clear: tuple[int, ...]
    """The values of the mask that are clear."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Band, or "mask" -> what the name of its file adds to that of the product."""

    @property
    def date(self) -> str:
        return self.time[:10]

    def reflectance(self, band: str) -> NDArray[np.float64]:
        """Return what the numbers of a band mean; NaN where there are none."""
        values = self.numbers[band].astype(float) * self.scale + self.offset
        return np.where(self.numbers[band] == self.fill, np.nan, values)

    @cached_property
    def is_clear(self) -> NDArray[np.bool_]:
        return np.isin(self.numbers["mask"], self.clear)

    def write(
        self, folder: Path, *, mask_fill: int, wkt: str | None = None, scale: float | None = None, noise: int = 0
    ) -> None:
        """Write the files as COGs have them, in blocks of 32.

        Parameters
        ----------
        folder : Path
        mask_fill : int
            Nodata of the mask's file.
        wkt : str, optional
            The CRS; left out, it has the code of the frame.
        scale : float, optional
            What the files tell of their scale; left out, they tell none.
        noise : int, optional
            Is added to the numbers of reflectance.
        """
        for band, values in self.numbers.items():
            profile = {
                "driver": "GTiff", "dtype": values.dtype, "count": 1, "tiled": True, "blockxsize": 32,
                "blockysize": 32, "compress": "deflate", "predictor": 2, "height": self.frame.height,
                "width": self.frame.width, "transform": rasterio.Affine(*self.frame.transform),
                "crs": CRS.from_wkt(wkt) if wkt else CRS.from_epsg(self.frame.epsg),
                "nodata": mask_fill if band == "mask" else self.fill,
            }  # fmt: skip
            with rasterio.open(folder / f"{self.name}{self.files[band]}", "w", **profile) as target:
                target.write(values if band == "mask" else np.where(values == self.fill, values, values + noise), 1)
                if scale is not None and band != "mask":
                    target.scales = (scale,)


def bare(folder: Path, area: Sequence[float], source: str, span: str, out: str = "out") -> Path:
    """Write the configuration that a user writes, an area, a source and an output alone, and return its path."""
    path = folder / f"{out}.toml"
    path.write_text(
        f'[area]\nbbox = {list(area)}\n\n[source]\n{source}\ndatetime = "{span}"\n\n[output]\npath = "{out}"\n'
    )
    return path


def area_of(box: Box, epsg: int) -> Box:
    """Return the lon/lat box inside a box of a CRS."""
    return lonlat_box(epsg, *box)


def pixels_in(area: Box, frames: Sequence[Frame]) -> int:
    """Return how many pixels of one lattice, of all frames together, have their centres in a lon/lat box."""
    whole = reduce(Frame.union, frames)
    covered = np.zeros((whole.height, whole.width), bool)
    for frame in frames:
        got = frame.overlap(whole)
        assert got is not None
        covered[got.rows, got.cols] = True
    move = pyproj.Transformer.from_crs(whole.epsg, "OGC:CRS84", always_xy=True)
    lon, lat = move.transform(*np.meshgrid(*whole.centres()))
    return int((covered & within(area, lon, lat)).sum())


def opened(path: Path, group: str | None = None) -> xr.Dataset:
    """Open a store as it is stored."""
    found: xr.Dataset = xr.open_zarr(path, group=group, consolidated=False, mask_and_scale=False)
    return found


def _placed(shot: Shot, values: NDArray[Any], target: Frame, fill: Any) -> NDArray[Any]:
    """Return the values of a scene on the pixels of another frame of its lattice."""
    got = shot.frame.overlap(target)
    assert got is not None
    out = np.full((target.height, target.width), fill, np.asarray(values).dtype)
    out[got.rows, got.cols] = values[got.source_rows, got.source_cols]
    return out


def frame_of(store: xr.Dataset, epsg: int, side: float = 30.0) -> Frame:
    """Return the frame of a store."""
    x0, y0 = float(store.x[0]) - side / 2, float(store.y[0]) + side / 2
    return Frame(epsg, x0, y0, side, store.sizes["y"], store.sizes["x"])


def demand_plan(said: str, grid: str, epsg: int, shots: Sequence[Shot]) -> None:
    """Assert that `groundbreak plan` tells a grid of one region, whose five bands are all read by blocks."""
    assert f"grid {grid}: EPSG:{epsg}, 1 regions of 512 px, {len(shots)} observations" in said
    assert f"  {5 * len(shots)} assets: {ON_DISK}\n" in said
    assert "general" not in said


def demand_cube(out: Path, grid: str, epsg: int, shots: Sequence[Shot]) -> NDArray[np.bool_]:
    """Assert that a grid's cube holds each scene's reflectance at every owned pixel, and how many are clear there.

    Returns
    -------
    (rows, columns) bool: the pixels that the grid owns.
    """
    layers, cube = opened(out / grid / "change.zarr"), opened(out / grid / "cube.zarr", "30m")
    assert frame_of(layers, epsg) == frame_of(cube, epsg)
    rows, cols = (np.flatnonzero((layers.status.values != 255).any(axis=axis)) for axis in (1, 0))
    part = {"y": slice(rows[0], rows[-1] + 1), "x": slice(cols[0], cols[-1] + 1)}
    layers, cube = layers.isel(part), cube.isel(part)
    owned: NDArray[np.bool_] = layers.status.values != 255
    at = frame_of(cube, epsg)
    by_date = {shot.date: shot for shot in shots}
    assert [str(t)[:10] for t in cube.time.values] == sorted(by_date)
    clear = np.zeros(owned.shape, int)
    for shot in shots:
        clear += _placed(shot, shot.is_clear, at, False)
    for band in BANDS:
        values = cube[band].values
        for t, time in enumerate(cube.time.values):
            shot = by_date[str(time)[:10]]
            want = _placed(shot, shot.reflectance(band), at, np.nan)[owned]
            got = values[t][owned]
            np.testing.assert_array_equal(got == FILL, np.isnan(want), err_msg=f"{band} {shot.date}")
            # The cube holds ten-thousandths: the nearest one of what the numbers mean.
            apart = np.abs(got * 1e-4 - want)[got != FILL]
            assert apart.max(initial=0.0) <= 0.5e-4 + 1e-9, (band, shot.date)
    np.testing.assert_array_equal(layers.n_valid.values[owned], clear[owned])
    return owned


def demand_site(result: Any, ground: Ground, days: tuple[int, int]) -> None:
    """Assert that the one site is found, with its dates to some days, and that nothing was lost on the way."""
    assert not result.outcome.failed
    assert not result.faults
    (site,) = result.sites
    left, bottom, right, top = ground.site
    assert abs(site.area_m2 / ((right - left) * (top - bottom)) - 1) < 0.15
    assert site.status == "halted"
    for found, truth, most in ((site.onset, ground.onset, days[0]), (site.halt, ground.halt, days[1])):
        assert abs(days_of(str(found)) - days_of(truth)) <= most, (found, truth)


def refused(call: Any, *args: Any) -> str:
    """Return the text of the refusal of a call."""
    try:
        call(*args)
    except BadInput as error:
        return str(error)
    raise AssertionError("it was not refused")
