"""The single-pixel series of ../shared/data: HLS, Sentinel-2 and Landsat, as indices and dates."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels import DEFAULT_INDICES, compute_index
from tests.shared import SHARED

Array = NDArray[Any]

POINTS = SHARED / "data" / "pyxccd_points"
LCMAP = SHARED / "data" / "lcmap_pyccd"
LANDSAT = ("blue", "green", "red", "nir", "swir16", "swir22")
SENTINEL = ("coastal", *LANDSAT[:3], "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", *LANDSAT[4:])
EPOCH = 719163
"""Proleptic ordinal of 1970-01-01."""
JULIAN = 2440588
"""Julian day of the same."""


def read(name: str) -> tuple[dict[str, Array], Array, Array]:
    """Reflectance by band (time,), clear (time,) bool and the days (time,) since 1970-01-01 of one file."""
    if name.startswith("3_crop"):
        rows = [line.split(",") for line in (POINTS / name).read_text().splitlines()[1:]]
        stamps = [f"{row[0][:4]}-{row[0][4:6]}-{row[0][6:8]}" for row in rows]
        table = np.array([[float(x) for x in row[1:]] for row in rows])
        clear = table[:, 12].astype(int) & (1024 | 2048) == 0  # opaque cloud, cirrus
        return _bands(SENTINEL, table[:, :12]), clear, np.array(stamps, "M8[D]").astype(np.int64)
    if name.endswith(".npy"):
        data = np.load(LCMAP / name, allow_pickle=True)[1]
        columns = [data[band] for band in ("blues", "greens", "reds", "nirs", "swir1s", "swir2s")]
        clear = np.asarray(data["qas"]) & 0b110 > 0  # bits: 1 clear, 2 water
        return _bands(LANDSAT, np.stack(columns, axis=1)), clear, np.asarray(data["dates"], np.int64) - EPOCH
    folder = POINTS if (POINTS / name).exists() else LCMAP
    headed = folder == POINTS and not name.startswith("spectral")
    table = np.genfromtxt(folder / name, delimiter=",", skip_header=int(headed))
    days = table[:, 0].astype(np.int64)
    return _bands(LANDSAT, table[:, 1:7]), table[:, 8] <= 1, days - (JULIAN if days[0] > 1_000_000 else EPOCH)


def _bands(names: Iterable[str], table: Array) -> dict[str, Array]:
    values = np.where((table > 0) & (table < 10000), table, np.nan) / 10000  # saturated or absent is no reflectance
    return dict(zip(names, values.astype(np.float32).T, strict=True))


def indices(name: str, names: Iterable[str] = DEFAULT_INDICES) -> tuple[Array, Array]:
    """(index, time) float32 of the clear observations, the mean of each day, and the dates."""
    bands, clear, days = read(name)
    values = np.stack([compute_index(index, bands) for index in names]).astype(np.float64)
    values = values[:, clear & np.isfinite(values).all(axis=0)]
    dates, place = np.unique(days, return_inverse=True)
    place = place[clear & np.isfinite(np.stack([compute_index(index, bands) for index in names])).all(axis=0)]
    count = np.bincount(place, minlength=dates.size)
    sums = np.stack([np.bincount(place, series, dates.size) for series in values])
    out = np.full(sums.shape, np.nan)
    np.divide(sums, count, out=out, where=count > 0)
    return out.astype(np.float32), dates.astype("M8[D]")


def every(folder: Path) -> list[str]:
    """Names of the series of a folder, none where it is absent."""
    return sorted(f.name for f in folder.glob("*") if f.suffix in (".csv", ".npy") and "coefficients" not in f.name)
