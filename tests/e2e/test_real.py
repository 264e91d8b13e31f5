"""Real Sentinel-2 pixels with their real masks through the whole command line: changes of known dates, injected.

The cubes of fusets_s2 and gfmap_s2 hold a month to a year each, too little for a baseline. So each series is repeated:
those of a year, year after year, with every repeat moved by a few days; those of one or three months, one after the
other. Each date of each repeat gets its own gain (3 %) and each pixel its own noise (0.005), because weather and air do
not repeat; masks, gaps, seasons, texture and bad masks are the real ones. In the western half of the ground the clear
observations from the onset on are replaced by ground at work (bare, changing from date to date) and, after the halt, by
steady built ground; what the mask calls cloud, shadow or nothing stays what it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import xarray as xr
from distributed import Client

from groundbreak.kernels import Status
from groundbreak.pipeline import cli
from groundbreak.pipeline.core.frame import Frame
from tests.commands import write_config
from tests.shared import SHARED, needs_shared
from tests.world import Tile, item, write_items, write_tif

CLEAR = (4, 5, 6, 7)
WORKS = {"blue": 0.13, "red": 0.21, "nir": 0.27, "swir16": 0.38}
BUILT = {"blue": 0.20, "red": 0.28, "nir": 0.31, "swir16": 0.30}


@dataclass(frozen=True)
class Case:
    """A real cube and what is done to it; days count from the 1 January before its first date."""

    file: str
    indices: tuple[str, ...]
    period: int
    """Days from one repeat to the next."""
    repeats: int
    onset: int
    halt: int
    shift: int = 0
    """Days by which a repeat may be moved, either way."""


CASES = (
    # Cereal, bare from July to September: works begin on young green, and last into the next.
    Case("fusets_s2/bids_demo_field_2019.nc", ("ndvi", "red"), 365, 4, 2 * 365 + 75, 2 * 365 + 340, 3),
    # Two crops a year, both harvested: works begin on the second.
    Case("fusets_s2/foss4g_field_2022.nc", ("ndvi", "red"), 365, 4, 2 * 365 + 205, 2 * 365 + 310, 3),
    # A meadow, mown three times.
    Case("fusets_s2/s2_meadow_2021.nc", ("ndvi", "red"), 365, 4, 2 * 365 + 140, 2 * 365 + 290, 3),
    # A clear April of two dates, and a winter of two clear dates in three months.
    Case("gfmap_s2/gf_3_cdse_sentinel2_l2a.nc", ("ndvi", "ndbi", "swir"), 30, 36, 690, 850),
    Case("gfmap_s2/test_optical_cube_int_2023.nc", ("ndvi", "red"), 91, 20, 1280, 1480),
)
BANDS = {"B02": "blue", "B04": "red", "B08": "nir", "B11": "swir16", "SCL": "scl"}


@dataclass(frozen=True)
class Made:
    """An archive of items, and what was put into it."""

    frame: Frame
    ground: np.ndarray
    """(y, x) bool: seen on enough dates."""
    changed: np.ndarray
    onset: np.datetime64
    halt: np.datetime64
    gap: float
    """Mean days between clear observations of the median pixel."""
    first: str
    last: str


def make(case: Case, folder: Path) -> Made:
    """Write the cube as GeoTIFFs and items."""
    rng = np.random.default_rng(len(case.file))
    path = SHARED / "data" / case.file
    engine = "scipy" if path.read_bytes()[:3] == b"CDF" else "h5netcdf"
    with xr.open_dataset(path, engine=engine, decode_coords=False) as data:
        epsg = pyproj.CRS.from_wkt(data.crs.attrs["crs_wkt"]).to_epsg()
        assert epsg is not None
        named = {BANDS.get(str(k).split("-")[-1]): v for k, v in data.items()}
        values = {band: np.nan_to_num(v.values) for band, v in named.items() if band is not None}
        dates, x, y = data.t.values.astype("datetime64[D]"), data.x.values, data.y.values
    needed = {"red", "nir", "scl", *({"swir16"} & values.keys())}
    frame = Frame(epsg, x.min() - 5, y.max() + 5, 10, len(y), len(x))
    tile = Tile(f"{epsg % 100}TAA", epsg, frame.x0, frame.y0)
    clear = np.isin(values["scl"], CLEAR) & (values["red"] > 0) & (values["nir"] > 0)
    ground = clear.sum(axis=0) * case.repeats >= 30
    changed = ground & (np.arange(len(x)) < np.median(np.nonzero(ground)[1]))
    start = dates[0].astype("datetime64[Y]").astype("datetime64[D]")
    features, written = [], []
    for repeat in range(case.repeats):
        move = case.period * repeat + int(rng.integers(-case.shift, case.shift + 1))
        for number, date in enumerate(dates + np.timedelta64(move, "D")):
            day = (date - start).astype(int)
            written.append(date)
            feature = item(tile, str(date))
            feature["assets"] = {k: v for k, v in feature["assets"].items() if k in needed}
            for band, asset in feature["assets"].items():
                raw = values[band][number]
                if band != "scl":
                    raw = np.where(raw > 0, raw * rng.normal(1, 0.03) + rng.normal(0, 50, raw.shape), 0)
                    level, noise = (BUILT[band], 0.004) if day > case.halt else (WORKS[band], 0.04)
                    new = 1e4 * (rng.normal(level, noise) + rng.normal(0, 0.01, raw.shape))
                    raw = np.where(changed & clear[number] & (day >= case.onset), new, raw)
                    raw = np.where(raw == 0, 0, np.clip(np.rint(raw), 1, 65535))
                name = f"{date}/{band}.tif"
                dtype = np.uint8 if band == "scl" else np.uint16
                write_tif(folder / "source" / name, raw.astype(dtype), frame, driver="COG", blocksize=128)
                asset |= {"href": f"./{name}", "proj:shape": list(raw.shape), "proj:transform": list(frame.transform)}
            features.append(feature)
    write_items(folder / "source", features)
    gap = case.period / float(np.median(clear.sum(axis=0)[ground]))
    onset, halt = (start + np.timedelta64(days, "D") for days in (case.onset, case.halt))
    return Made(frame, ground, changed, onset, halt, gap, str(min(written)), str(max(written)))


@needs_shared
@pytest.mark.parametrize("case", CASES, ids=lambda c: Path(c.file).stem)
def test_injected_changes_are_dated(
    case: Case, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(case, tmp_path)
    left, bottom, right, top = made.frame.bounds
    box = pyproj.Transformer.from_crs(made.frame.epsg, "OGC:CRS84", always_xy=True).transform_bounds(
        left - 10, bottom - 10, right + 10, top + 10
    )
    path = write_config(
        tmp_path / "run.toml",
        client,
        box,
        f"{made.first}/{made.last}",
        cube={"region": 96, "slab": 60},
        detect={"indices": list(case.indices)},
    )
    assert cli.main(["run", str(path)]) == 0
    with xr.open_zarr(tmp_path / f"out/change/{made.frame.epsg}.zarr", consolidated=False) as opened:
        layers = opened.load().sel(x=made.frame.centres()[0], y=made.frame.centres()[1])
    status = layers.status.values
    found = (status >= Status.PROVISIONAL) & (status <= Status.RESUMED)
    dated, halted = found & made.changed, (status == Status.HALTED) & made.changed
    onset = (layers.onset.values[dated].astype("datetime64[D]") - made.onset).astype(int)
    halt = (layers.halt.values[halted].astype("datetime64[D]") - made.halt).astype(int)
    outside = made.ground & ~made.changed
    sites = pq.read_table(tmp_path / "out/sites.parquet").to_pylist()
    figures = {
        "cube": Path(case.file).stem,
        "pixels": int(made.changed.sum()),
        "days between clear": round(made.gap, 1),
        "recall %": 100 * dated.sum() / made.changed.sum(),
        "onset injected": str(made.onset),
        "onset median error d": np.median(onset),
        "onset |error| 90 % d": np.quantile(abs(onset), 0.9),
        "onset in 30 d %": 100 * np.mean(abs(onset) <= 30),
        "halted %": 100 * halted.sum() / made.changed.sum(),
        "halt injected": str(made.halt),
        "halt median error d": np.median(halt),
        "halt |error| 90 % d": np.quantile(abs(halt), 0.9),
        "halt in 30 d %": 100 * np.mean(abs(halt) <= 30),
        "false alarms outside %": 100 * (found & outside).sum() / outside.sum(),
        "pixels outside": int(outside.sum()),
        "sites": [{k: str(s[k]) for k in ("onset", "halt", "status", "area_m2")} for s in sites],
    }
    figures = {k: round(float(v), 1) if isinstance(v, np.floating) else v for k, v in figures.items()}
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    # An onset shows at the first clear observation after it and a halt at the last one before it; a date twice as far
    # off as the pixel is seen has been read from another observation than that.
    tolerance = max(2 * made.gap, 15)
    assert figures["recall %"] >= 60
    assert abs(figures["onset median error d"]) <= tolerance
    assert abs(figures["halt median error d"]) <= tolerance
    assert figures["halted %"] >= 50
    assert figures["false alarms outside %"] <= 5
