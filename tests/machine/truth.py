"""What stores must hold, by another way: an undisturbed run on a fresh source, and a closed form of its cube.

The fresh source lists just the items that the model says, and lacks for each region just what the model says.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from distributed import Client

from groundbreak.kernels import Quality, Status
from groundbreak.pipeline import api
from groundbreak.pipeline.compute.coverage import unpack
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from tests.machine.model import State
from tests.machine.source import BOX, DATES, REGIONS, SIDES, TILE, Shelf, numbers
from tests.stores import zarr_bytes
from tests.world import configure

DEPTH = 4
"""Observations of a full slab."""
THRESHOLD = 0.2
"""Share of a region's observations that faults may touch."""
HISTORY_END = DATES[9]


def settings(folder: Path, level: float) -> Config:
    """Return the configuration of the source and the output below a folder."""
    detect = {"detector": "cusum", "indices": ["ndvi"], "history_end": HISTORY_END, "min_area_m2": 100}
    params = {"level": level, "harmonics": 0, "trend": 0}
    return configure(
        folder,
        BOX,
        f"{DATES[0]}/{DATES[-1]}",
        cube={"region": 32, "slab": DEPTH},
        detect={**detect, "params": params},
        run={"attempts": 2, "fault_threshold": THRESHOLD},
    )


def contents(out: Path) -> dict[str, str]:
    """Return key -> sha256 of all that a run leaves but run.json, the report, plan, ledger and what is said of faults.

    A staging file ("zarr.json#1") that a killed process has left is no object: nothing lists it.
    """
    more = [*out.glob("*/coverage/*.bin"), out / places.SITES]
    found = {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in more if p.exists()}
    return {key: digest for key, digest in (zarr_bytes(out) | found).items() if "#" not in key}


@dataclass
class Truth:
    """Makes undisturbed runs, one for each state."""

    folder: Path
    client: Client
    _known: dict[State, dict[str, str]] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Where the files of all sources are kept."""
        return self.folder / "files"

    def of(self, state: State) -> dict[str, str]:
        """Return what the stores of an output in some state must hold: key -> sha256."""
        if state not in self._known:
            folder = self.folder / "truth"
            shelf = Shelf(folder / "source", self.store)
            shelf.offer(state.listed)
            versions = dict(state.listed)
            for region, lost in zip(REGIONS, state.lost, strict=True):
                for date, band in lost:
                    shelf.damage((date, versions[date]), band, region)
            result = api.run(settings(folder, state.level), self.client)
            self._known[state] = contents(folder / "out")
            check_closed_form(folder / "out", state)
            assert len(result.faults) == sum(map(len, state.lost))
            shutil.rmtree(folder)
        return self._known[state]


def check_closed_form(out: Path, state: State) -> None:
    """Hold a cube, and what can be said of its layers, against the closed form of the source."""
    layers = _opened(out / places.layers(TILE.code))
    for column, (region, lost) in enumerate(zip(REGIONS, state.lost, strict=True)):
        for band, side in SIDES.items():
            part = slice(column * 320 // side, (column + 1) * 320 // side)
            stored = _opened(out / places.cube(TILE.code) / f"{side}m")[band].values[:, :, part]
            frame = TILE.frame(side)
            x, y = np.meshgrid(frame.centres()[0][part], frame.centres()[1][: stored.shape[1]])
            fill = 0 if band == "scl" else -32768
            for values, entry in zip(stored, state.listed, strict=True):
                whole = (entry[0], band) not in lost
                np.testing.assert_array_equal(values, numbers(band, entry, x, y) if whole else fill)
        part = slice(column * 32, (column + 1) * 32)
        owned = layers.status.values[:, part] != 255
        dates = {date for date, _ in lost}
        failed = len(dates) > THRESHOLD * len(state.listed)
        assert owned.any()
        assert ((layers.status.values[:, part][owned] == Status.FAILED) == failed).all()
        if not failed:
            marked = (layers.quality.values[:, part][owned] & Quality.FAULTS_IN_REGION) != 0
            assert (marked == bool(lost)).all()
            seen = np.sum([_clear(entry, column) for entry in state.listed if entry[0] not in dates], axis=0)
            np.testing.assert_array_equal(layers.n_valid.values[:, part][owned], seen[owned])
            delivered, taken = unpack((out / places.coverage(region)).read_bytes())
            assert taken.tolist() == [float(entry[0] in dates) for entry in state.listed]
            assert (delivered + taken == 1).all()


def _clear(entry: tuple[int, int], column: int) -> np.ndarray:
    """Return where an item is clear in a region, in pixels of 10 m."""
    frame = TILE.frame(20)
    x, y = np.meshgrid(frame.centres()[0][column * 16 : column * 16 + 16], frame.centres()[1][:16])
    return np.kron(numbers("scl", entry, x, y) == 5, np.ones((2, 2), int))


def _opened(store: Path) -> xr.Dataset:
    with xr.open_zarr(store, consolidated=False, mask_and_scale=False, decode_times=False) as opened:
        found: xr.Dataset = opened.load()
    return found
