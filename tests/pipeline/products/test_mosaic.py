"""Mosaics against the grids that they are put together from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from groundbreak.kernels import LAYERS, OUTSIDE, Status
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.products import mosaic
from groundbreak.pipeline.products.mosaic import publish_mosaics
from groundbreak.pipeline.stores.layout import layers_frame
from groundbreak.pipeline.stores.store import read_layers
from tests.pipeline.ground import NORTH, change, day, disown, regions_of, stable_grid, store_grids
from tests.stores import output_bytes


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(str(tmp_path))


def _read(output: Output, epsg: int) -> tuple[Frame, dict[str, np.ndarray]]:
    store = output.zarr(places.mosaic(epsg))
    frame = layers_frame(store)
    return frame, read_layers(store, slice(0, frame.height), slice(0, frame.width))


def test_every_layer_of_every_owned_pixel_is_kept(output: Output) -> None:
    # Two tiles of one zone that overlap by 30 columns; the western one owns the first 15 of those.
    west, east = stable_grid("A", 32638, 500_000, 300, 600), stable_grid("B", 32638, 505_700, 300, 600, y0=NORTH - 400)
    rng = np.random.default_rng(1)
    for _, layers in (west, east):
        for name, values in layers._asdict().items():
            if name != "status":
                values[:] = rng.integers(0, 100, values.shape)
    disown(west[1], np.s_[:, 585:])
    disown(east[1], np.s_[:, :15])
    assert list(publish_mosaics(output, output, *store_grids(output, [east, west]), {"run": "x"})) == [32638]
    frame, published = _read(output, 32638)
    assert frame.bounds == (500_000.0, NORTH - 3400, 511_700.0, NORTH)
    for name, values in published.items():
        expected = np.full((340, 1170), LAYERS[name].fill, LAYERS[name].dtype)
        expected[:300, :585] = west[1]._asdict()[name][:, :585]
        expected[40:, 585:] = east[1]._asdict()[name][:, 15:]
        np.testing.assert_array_equal(values, expected, name)
    attrs: Any = zarr.open_group(output.zarr(places.mosaic(32638)), mode="r").attrs
    assert attrs["groundbreak"]["run"] == "x"


def test_only_regions_are_read_and_only_owned_chunks_written(output: Output) -> None:
    grid = stable_grid("A", 32638, 500_000, 1100, 1100, region=128)
    disown(grid[1], np.s_[:, 512:])
    grids, regions = store_grids(output, [grid])
    publish_mosaics(output, output, grids, {"A": [r for r in regions["A"] if r.row < 4 or r.row == 8]}, {})
    keys = {key.split("/c/")[1] for key in output.list(f"{places.mosaic(32638)}/status") if "/c/" in key}
    assert keys == {"0/0", "2/0"}


def test_each_zone_has_its_own(output: Output) -> None:
    painted = [stable_grid("A", 32638, 500_000, 64, 64), stable_grid("B", 32639, 300_000, 64, 64)]
    assert list(publish_mosaics(output, output, *store_grids(output, painted), {})) == [32638, 32639]
    assert _read(output, 32639)[0].epsg == 32639


def test_a_grid_without_regions_is_left_out(output: Output) -> None:
    painted = [stable_grid("A", 32638, 500_000, 64, 64), stable_grid("B", 32639, 300_000, 64, 64)]
    grids, regions = store_grids(output, painted)
    assert list(publish_mosaics(output, output, grids, {**regions, "B": []}, {})) == [32638]


def test_the_finest_grid_gives_the_lattice_and_others_are_placed_by_nearest_centre(output: Output) -> None:
    fine = stable_grid("Z", 32638, 500_000, 60, 60)
    # 30 m pixels, 5 m out of phase, beginning where the fine grid ends.
    coarse = stable_grid("A", 32638, 500_605, 20, 20, resolution=30.0, region=20)
    dates = np.arange(400).reshape(20, 20) + day("2022-01-01")
    change(coarse[1], np.s_[:, :], dates)
    publish_mosaics(output, output, *store_grids(output, [fine, coarse]), {})
    frame, published = _read(output, 32638)
    assert (frame.resolution, frame.x0, frame.width) == (10.0, 500_000, 121)
    assert set(np.unique(published["onset"])) <= {LAYERS["onset"].fill, *dates.ravel().tolist()}
    # The pixel centred on x = 500,605 is the first whose centre the coarse grid holds; three to a coarse pixel.
    np.testing.assert_array_equal(published["onset"][0, 60:66], np.repeat(dates[0, :2], 3))
    np.testing.assert_array_equal(published["onset"][:6, 60], np.repeat(dates[:2, 0], 3))
    assert (published["status"][:, :60] == Status.STABLE).all()


def test_bytes_are_the_same_every_time(output: Output) -> None:
    grid = stable_grid("A", 32638, 500_000, 200, 300)
    change(grid[1], np.s_[20:50, 30:90], day("2022-07-01"), day("2023-09-01"))
    grids, regions = store_grids(output, [grid])

    def state() -> dict[str, str]:
        publish_mosaics(output, output, grids, regions, {"b": 1, "a": 2})
        return {key: digest for key, digest in output_bytes(output).items() if key.startswith("change/")}

    first = state()
    assert len(first) > len(LAYERS)
    assert state() == first


def test_chunks_that_are_taken_as_they_are_have_the_bytes_of_those_put_together(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tile is no whole number of chunks, and disowns a pixel of one of those that are whole."""
    grid = stable_grid("A", 32638, 500_000, 1100, 1300, region=512)
    change(grid[1], np.s_[400:700, 300:600], day("2022-07-01"), day("2023-09-01"))
    disown(grid[1], np.s_[700:701, 700:701])
    grids, regions = store_grids(output, [grid])
    taken, same = [], mosaic._same_chunk

    def spy(*args: Any) -> Any:
        taken.append(same(*args) is not None)
        return same(*args)

    def state() -> dict[str, str]:
        publish_mosaics(output, output, grids, regions, {})
        return {key: digest for key, digest in output_bytes(output).items() if key.startswith("change/")}

    monkeypatch.setattr(mosaic, "_same_chunk", spy)
    as_they_are = state()
    monkeypatch.setattr(mosaic, "_same_chunk", lambda *_: None)
    assert state() == as_they_are
    assert sum(taken) == 3
    monkeypatch.undo()
    output.put("A/change.zarr/magnitude/c/0/0", b"no chunk")
    with pytest.raises(BadInput, match="magnitude/c/0/0 is damaged"):
        publish_mosaics(output, output, grids, regions, {})


def test_regions_helper_covers_the_grid() -> None:
    grid, layers = stable_grid("A", 32638, 500_000, 200, 300)
    assert sum(r.frame.height * r.frame.width for r in regions_of(grid)) == layers.status.size
    assert (layers.status != OUTSIDE).all()
