"""A file is what its bytes say, whatever its item says; and it is a TIFF or a JPEG 2000, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from groundbreak.pipeline import api
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers import gdal
from groundbreak.pipeline.readers.assets import Coded, Window, fetch
from groundbreak.pipeline.readers.cog import Cog, NotByBlocks
from groundbreak.pipeline.readers.formats import format_of, read_layout_now
from groundbreak.pipeline.testing import ArchiveServer
from tests.world import SIDES, Tile, configure, days, item, lonlat_box, write_items, write_source, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
VALUES = (np.arange(64 * 64).reshape(64, 64) % 5000 + 100).astype(np.uint16)


def write_jp2(path: Path, values: np.ndarray, tile: Tile, side: int = 10) -> None:
    """Write a lossless JPEG 2000 file, whatever the suffix of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = tile.frame(side)
    profile = {
        "driver": "JP2OpenJPEG", "dtype": values.dtype, "count": 1, "height": frame.height, "width": frame.width,
        "crs": f"EPSG:{tile.epsg}", "transform": rasterio.Affine(*frame.transform), "QUALITY": "100",
        "REVERSIBLE": "YES", "YCBCR420": "NO",
    }  # fmt: skip
    made = path.with_name("made.jp2")
    with rasterio.open(made, "w", **profile) as target:
        target.write(values, 1)
    made.rename(path)


def asset(href: str, driver: str) -> Asset:
    return Asset("red", href, driver, 1e-4, 0.0, 0, TILE.frame())


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("said", ["GTiff", "JP2OpenJPEG"])
@pytest.mark.parametrize("written", ["GTiff", "JP2OpenJPEG"])
def test_the_bytes_decide(written: str, said: str, remote: bool, tmp_path: Path) -> None:
    path = tmp_path / ("a.tif" if said == "GTiff" else "a.jp2")
    (write_jp2 if written == "JP2OpenJPEG" else lambda p, v, t: write_tif(p, v, t.frame()))(path, VALUES, TILE)
    with ArchiveServer(tmp_path) as server:
        given = asset(f"{server.url}/{path.name}" if remote else str(path), said)
        layout = read_layout_now(*Access().locate(given.href), said)
        assert isinstance(layout, Cog if written == "GTiff" else NotByBlocks)
        for header in (None, layout):
            got = fetch(given, Window(TILE.frame(), None), Access(), header)
            assert isinstance(got, Coded) == (written == "GTiff")
        assert gdal.read_info(given, Access()).frame == TILE.frame()
        assert (gdal.read(given, TILE.frame(), Access(), nearest=True) == VALUES).all()


@pytest.mark.parametrize("said", ["GTiff", "JP2OpenJPEG"])
def test_no_other_driver_is_asked(said: str, tmp_path: Path) -> None:
    write_tif(tmp_path / "secret.tif", VALUES, TILE.frame())
    source = f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename><SourceBand>1</SourceBand>"
    band = f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    (tmp_path / "a.tif").write_text(f'<VRTDataset rasterXSize="64" rasterYSize="64">{band}</VRTDataset>')
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert opened.driver == "VRT"  # GDAL by itself would read it
    given = asset(str(tmp_path / "a.tif"), said)
    with pytest.raises(ReadError):
        gdal.read_info(given, Access(attempts=1))
    with pytest.raises(ReadError):
        fetch(given, Window(TILE.frame(), None), Access(attempts=1), None)
    with pytest.raises(rasterio.errors.RasterioIOError):
        gdal.read(given, TILE.frame(), Access(), nearest=True)


def test_how_files_begin() -> None:
    for start in (b"II*\0....", b"MM\0*....", b"II+\0\x08\0", b"MM\0+\0\x08"):
        assert format_of(start) == "GTiff"
    for start in (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51\0"):
        assert format_of(start) == "JP2OpenJPEG"
    for start in (b"", b"<VRT", b"II", b"\x89HDF", b"\xff\xd8\xff\xe0"):
        with pytest.raises(ValueError, match="neither"):
            format_of(start)


def test_a_plan_tells_and_reads_what_the_files_are(tmp_path: Path) -> None:
    dates = days("2021-01-03", 3, 10)
    source = tmp_path / "source"
    write_source(source, [TILE], dates)
    write_jp2(source / TILE.code / f"{dates[1]}_0" / "red.tif", VALUES, TILE)
    features = [item(TILE, date) for date in dates]
    for band in SIDES:
        features[0]["assets"][band]["type"] = "image/jp2"
    write_items(source, features)
    box = lonlat_box(32638, 600_100, 4_399_500, 600_500, 4_399_900)
    plan = api.plan(configure(tmp_path, box, "2021-01-01/2021-12-31"))
    assert plan.grids[0].ways == {
        "blocks, as they lie in the file": 9,
        "blocks, as they lie in the file (GeoTIFF by its bytes, though its item says JPEG 2000)": 5,
        "general: JPEG 2000 by its bytes, though its item says GeoTIFF": 1,
    }
