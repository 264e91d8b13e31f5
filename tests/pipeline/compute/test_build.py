"""Building: what a cube holds is what the source says, harmonised; what cannot be read is a fault by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.sections import ProviderConfig
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers.assets import Window, fetch
from groundbreak.pipeline.readers.gdal import read, read_info
from groundbreak.pipeline.readers.harmonise import harmonise
from tests.world import Tile, configure, days, item, lonlat_box, write_items, write_source, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_300, 4_399_000, 600_900, 4_399_700)
SPEC = ProviderConfig(bands={"red": "red"})


def access(attempts: int = 1) -> Access:
    return Access(attempts=attempts)


def asset(path: Path, frame: Frame | None, **changes: Any) -> Asset:
    return Asset(
        **{
            "band": "red",
            "href": str(path),
            "driver": "GTiff",
            "scale": 1e-4,
            "offset": 0.0,
            "nodata": 0.0,
            "frame": frame,
            **changes,
        }
    )


def textured(band: str, tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
    """Every pixel its own number, the same on every tile of a zone, with a hole of nodata."""
    if band == "scl":
        return np.where((x + y) % 7 < 3, 5, 9)
    values = 1000 + (x / 10 + 3 * y / 10 + 17 * number + len(band)) % 5000
    return np.where((x > tile.x0 + 1000) & (y < tile.y0 - 1100), 0, values)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_a_window_is_read_as_it_is(tmp_path: Path, dtype: str) -> None:
    frame = Frame(32638, 600_000, 4_400_000, 10, 128, 128)
    values = (np.arange(128 * 128).reshape(128, 128) % 251 + 1).astype(dtype)
    values[5, 7] = 0
    write_tif(tmp_path / "a.tif", values, frame, predictor=3 if dtype == "float32" else 2)
    found = read(asset(tmp_path / "a.tif", frame), frame.window(3, 100, 20, 50), access(), nearest=False)
    expected = np.full((20, 50), np.nan, np.float32)
    expected[:, :28] = values[3:23, 100:]
    np.testing.assert_array_equal(found, np.where(expected == 0, np.nan, expected))


def test_a_frame_that_the_item_gets_wrong_is_still_placed_right(tmp_path: Path) -> None:
    frame = Frame(32638, 600_000, 4_400_000, 10, 128, 128)
    values = np.arange(1, 128 * 128 + 1).reshape(128, 128).astype("uint16")
    write_tif(tmp_path / "a.tif", values, frame)
    said = Frame(32638, 599_500, 4_400_200, 10, 200, 200)
    found = read(asset(tmp_path / "a.tif", said), frame.window(10, 20, 8, 8), access(), nearest=True)
    np.testing.assert_array_equal(found, values[10:18, 20:28])


def test_overlap_is_exact_or_none() -> None:
    frame = Frame(32638, 0, 1000, 10, 100, 100)
    assert frame.overlap(Frame(32638, 5, 1000, 10, 10, 10)) is None
    assert frame.overlap(Frame(32639, 0, 1000, 10, 10, 10)) is None
    assert frame.overlap(Frame(32638, 0, 1000, 20, 10, 10)) is None
    met = frame.overlap(Frame(32638, -50, 1020, 10, 10, 10))
    assert met == (slice(2, 10), slice(5, 10), slice(0, 8), slice(0, 5))


@pytest.mark.parametrize("content", [b"", b"II*\x00garbage", b'<VRTDataset rasterXSize="1" rasterYSize="1"/>'])
def test_what_is_no_raster_of_its_type_is_a_read_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.tif").write_bytes(content)
    with pytest.raises(ReadError) as caught:
        fetch(asset(tmp_path / "bad.tif", None), Window(Frame(32638, 0, 100, 10, 10, 10), None), access(2), None)
    assert caught.value.attempts == 2
    with pytest.raises(ReadError):
        read_info(asset(tmp_path / "absent.tif", None), access())


def test_harmonised_numbers_are_reflectance_in_ten_thousandths() -> None:
    numbers = np.array([1, 1000, 1001, 11_000, 65_535], np.float32)
    np.testing.assert_array_equal(harmonise(numbers, 1e-4, -0.1), [-999, 0, 1, 10_000, 32_767])
    np.testing.assert_array_equal(harmonise(numbers[:3], 2e-4, 0.0), [2, 2000, 2002])
    exact = np.arange(1, 32_767, dtype=np.float32)
    np.testing.assert_array_equal(harmonise(exact, 1e-4, 0.0), exact.astype(int))


def test_the_cube_is_the_source(tmp_path: Path, client: Client) -> None:
    dates = days("2023-01-01", 15, 5)
    write_source(tmp_path / "source", [TILE], dates, textured)
    config = configure(tmp_path, BOX, "2023-01-01/2024-12-31")
    result = api.run(config, client)
    assert not result.faults
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False) as cube:
        np.testing.assert_array_equal(cube.time.values.astype("datetime64[D]"), np.array(dates, "datetime64[D]"))
        assert cube.rio.crs.to_epsg() == 32638
        x, y = np.meshgrid(cube.x, cube.y)
        for number in (0, 11, 12, 14):
            truth = textured("red", TILE, number, x, y)
            expected = np.where(truth == 0, np.nan, np.rint(truth) * 1e-4)
            np.testing.assert_allclose(cube.red[number].values, expected, atol=1e-7)
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/20m", consolidated=False, mask_and_scale=False) as cube:
        x, y = np.meshgrid(cube.x, cube.y)
        np.testing.assert_array_equal(cube.scl[3].values, textured("scl", TILE, 3, x, y))
        assert cube.scl.dtype == np.uint8


def test_split_parts_fill_each_other_and_the_first_wins(tmp_path: Path, client: Client) -> None:
    dates = days("2023-01-01", 2, 5)
    source = tmp_path / "source"
    write_source(source, [TILE], dates)
    first, second = (
        item(TILE, dates[0]),
        item(TILE, dates[0], suffix="1", properties={"s2:nodata_pixel_percentage": 40.0}),
    )
    second["properties"]["s2:datastrip_id"] = second["properties"]["s2:datastrip_id"].replace("_S2023", "_S2022")
    for band, side in (("red", 10), ("nir", 10), ("blue", 10), ("swir16", 20), ("scl", 20)):
        frame = TILE.frame(side)
        dtype = np.uint8 if band == "scl" else np.uint16
        left = np.full((frame.height, frame.width), 4, dtype)
        left[:, frame.width // 2 :] = 0
        write_tif(source / f"38TPK/{dates[0]}_0/{band}.tif", left, frame)
        write_tif(source / f"38TPK/{dates[0]}_1/{band}.tif", np.full_like(left, 6), frame)
    write_items(source, [first, second, item(TILE, dates[1])])
    api.run(configure(tmp_path, BOX, "2023-01-01/2024-12-31"), client)
    with xr.open_zarr(tmp_path / "out/38TPK/cube.zarr/10m", consolidated=False, mask_and_scale=False) as cube:
        middle = TILE.x0 + 640
        assert (cube.red[0].where(cube.x < middle, drop=True) == 4).all()
        assert (cube.red[0].where(cube.x > middle, drop=True) == 6).all()


def test_warped_onto_another_lattice(tmp_path: Path, client: Client) -> None:
    write_source(tmp_path / "source", [TILE], days("2023-01-01", 2, 5))
    api.run(configure(tmp_path, BOX, "2023-01-01/2024-12-31", cube={"resolution": 30}), client)
    with xr.open_zarr(tmp_path / "out/32638_30m/cube.zarr/30m", consolidated=False) as cube:
        inside = cube.sel(x=slice(600_350, 600_850), y=slice(4_399_650, 4_399_050))
        assert inside.red.shape[1] > 10
        np.testing.assert_allclose(inside.red[0], 0.08, atol=0.003)
        np.testing.assert_array_equal(inside.scl[0], 5)


def test_bit_flags_and_another_sensor(tmp_path: Path, client: Client) -> None:
    """Read what HLS writes: int16 reflectance with nodata -9999, Fmask bits, band numbers for names."""
    frame = TILE.frame(10)
    features = []
    for number, date in enumerate(days("2023-01-01", 3, 5)):
        feature = item(TILE, date)
        feature["collection"] = "HLSS30_2.0"
        feature["properties"] = {
            "datetime": f"{date}T07:47:00Z",
            "platform": "sentinel-2a",
            "proj:epsg": 32638,
            "grid:code": "MGRS-38TPK",
        }
        feature["assets"] = {}
        for key, value, dtype in (("B04", 800, "int16"), ("B8A", 2500, "int16"), ("Fmask", 0, "uint8")):
            values = np.full((128, 128), value, dtype)
            if key == "Fmask":
                values[:, :40] = 0b0000_0010 if number == 1 else 0b0010_0000  # cloud, or only water
                values[:10] = 255
            elif number == 2:
                values[:, 100:] = -9999
            name = f"{date}.{key}.tif"
            write_tif(tmp_path / "source" / name, values, frame, nodata=255 if key == "Fmask" else -9999)
            feature["assets"][key] = {
                "href": f"./{name}",
                "type": "image/tiff; application=geotiff",
                "proj:shape": [128, 128],
                "proj:transform": list(frame.transform),
            }
        features.append(feature)
    write_items(tmp_path / "source", features)
    config = configure(
        tmp_path,
        BOX,
        "2023-01-01/2024-12-31",
        detect={"indices": ["ndvi"]},
        source={
            "provider": {
                "bands": {"red": "B04", "nir": "B8A"},
                "scale": 1e-4,
                "offset": 0.0,
                "nodata": -9999.0,
                "mask": {"asset": "Fmask", "bits": [1, 2, 3, 4], "snow_bits": [4], "nodata": 255},
            }
        },
    )
    api.run(config, client)
    out = tmp_path / "out/38TPK/cube.zarr/10m"
    with xr.open_zarr(out, consolidated=False) as cube:
        np.testing.assert_allclose(cube.red[0], 0.08, atol=1e-6)
        assert np.isnan(cube.red[2].where(cube.x > TILE.x0 + 1000, drop=True)).all()
    with xr.open_zarr(tmp_path / "out/38TPK/change.zarr", consolidated=False) as layers:
        # Left of 40: cloud on one date of three; the mask's own fill on the first rows is never clear.
        counts = layers.n_valid.where(layers.status != 255)
        assert float(counts.sel(x=600_395, y=4_399_455)) == 2
        assert float(counts.sel(x=600_695, y=4_399_455)) == 3
