"""The offset of 2022 on real metadata and simulated pixels: no onset comes of it, or the run stops and says why."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import prepared
from tests.shared import SHARED, needs_shared
from tests.world import SIDES, Tile, configure, days, lonlat_box, write_items, write_tif

pytestmark = needs_shared

REAL = SHARED / "data/stac_fixtures/earthsearch_v1_s2l2a_mixed_baselines_xcube.json"
TILE = Tile("32TMT", 32632, 399_960, 5_300_040, size=64)
BOX = lonlat_box(32632, 400_000, 5_299_500, 400_500, 5_300_000)
DATES = days("2020-07-01", 110, 10)
CHANGE = "2022-01-25"
WRONG = {(True, False): "below", (False, True): "above"}
"""(applied, flagged) of the metadata that lie -> where dark pixels then are."""


def red_edge(band: str, number: int) -> np.ndarray:
    """Leaves with seasons, weather and a dark pond; every fifth date cloudy. Digital numbers of before the offset."""
    side = TILE.size * 10 // SIDES[band]
    rng = np.random.default_rng([number, len(band)])
    season = np.sin(2 * np.pi * number * 10 / 365.25)
    level = {"blue": 350, "red": 400 - 80 * season, "nir": 3000 + 600 * season, "swir16": 1500 - 200 * season}[band]
    values = rng.normal(level, 60, (side, side)) + rng.normal(0, 40)
    values[: side // 4, : side // 4] = rng.normal(260, 20, (side // 4, side // 4))
    if number % 5 == 4:
        values += rng.uniform(3000, 5000)
    return np.maximum(values, 1)


def classes(number: int) -> np.ndarray:
    """Clear or cloud, all of it."""
    return np.full((32, 32), 9 if number % 5 == 4 else 4)


def write(folder: Path, *, applied: bool, flagged: bool) -> None:
    """Write an archive whose pixels and flags agree or do not; its items are Earth Search's, moved to our dates."""
    newer, older = json.loads(REAL.read_text())["features"][:2]
    assert (newer["properties"]["s2:processing_baseline"], older["properties"]["s2:processing_baseline"]) == (
        "05.00",
        "02.14",
    )
    features = []
    for number, date in enumerate(DATES):
        late = date >= CHANGE
        real = copy.deepcopy(newer if late else older)
        real["properties"] |= {
            "datetime": f"{date}T10:37:41.587Z",
            "s2:datatake_id": f"GS2A_{date.replace('-', '')}T103021_024558_N{'05.00' if late else '02.14'}",
            "earthsearch:boa_offset_applied": flagged if late else False,
        }  # fmt: skip
        real["id"] = f"S2A_32TMT_{date.replace('-', '')}_0_L2A"
        real["geometry"] = json.loads(json.dumps(TILE.footprint.__geo_interface__))
        real["bbox"], real["links"] = list(TILE.footprint.bounds), []
        real["assets"] = {band: real["assets"][band] for band in SIDES}
        for band, side in SIDES.items():
            frame = TILE.frame(side)
            real["assets"][band] |= {
                "href": f"./{date}/{band}.tif",
                "proj:shape": [frame.height, frame.width],
                "proj:transform": list(frame.transform),
            }
            if band == "scl":
                values: Any = classes(number).astype(np.uint8)
            else:
                values = np.rint(red_edge(band, number) + (1000 if late and not applied else 0)).astype(np.uint16)
            write_tif(folder / f"source/{date}/{band}.tif", values, frame)
        features.append(real)
    write_items(folder / "source", features)


@pytest.fixture(scope="module", params=[(a, f) for a in (True, False) for f in (True, False)], ids=str)
def flavour(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[bool, bool]]:
    folder = tmp_path_factory.mktemp("flavour")
    write(folder, applied=request.param[0], flagged=request.param[1])
    return folder, request.param


def changed(out: Path) -> int:
    """Pixels with an onset."""
    with xr.open_zarr(next(out.glob("change/*.zarr")), consolidated=False, mask_and_scale=False) as layers:
        return int((layers.n_changes.values > 0).sum())


@pytest.mark.parametrize("in_memory", [True, False])
def test_no_onset_comes_of_the_offset(
    flavour: tuple[Path, tuple[bool, bool]], in_memory: bool, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = flavour
    monkeypatch.setattr(prepared.PreparedGrid, "fits", lambda _stage, _region: in_memory)
    monkeypatch.setattr("groundbreak.pipeline.running.runner.IDLE", 0.5)  # one region would leave a thread idle
    out = f"out-{in_memory}"
    config = configure(folder, BOX, "2020-01-01/2023-12-31", output={"path": out})
    if said not in WRONG:
        api.run(config, client)
        assert changed(folder / out) == 0
        found = json.loads((folder / out / "run.json").read_text())["offset_steps"]
        assert (found["regions"], found["contradicting"]) == (1, {})
        assert abs(found["median"]) < 0.01
        return
    with pytest.raises(BadInput) as stopped:
        api.run(config, client)
    assert "the pixels contradict the metadata" in stopped.value.rule
    assert WRONG[said] in stopped.value.rule
    assert "accept_offset_step" in stopped.value.remedy
    assert not (folder / out / "sites.parquet").exists()


def test_a_step_may_be_accepted(
    flavour: tuple[Path, tuple[bool, bool]], client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, said = flavour
    config = configure(
        folder, BOX, "2020-01-01/2023-12-31", output={"path": "accepted"}, source={"accept_offset_step": True}
    )
    result = api.run(config, client)
    wrong = json.loads((folder / "accepted/run.json").read_text())["offset_steps"]["contradicting"]
    assert bool(wrong) == (said in WRONG)
    cli._report(result)
    assert ("offset step" in capsys.readouterr().out) == (said in WRONG)
    if said in WRONG:
        steps = [step for region in wrong.values() for step in region]
        assert [abs(s["size"]) for s in steps] == [pytest.approx(0.1, abs=0.01)]
        assert changed(folder / "accepted") > 0  # what the stop keeps out of results
