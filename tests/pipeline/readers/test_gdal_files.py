"""GDAL reads remote files through our requests: few of them, the same pixels, and no error is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from groundbreak.pipeline.access.troubles import Busy, Forbidden, Replaced
from groundbreak.pipeline.access.web_files import WebFile
from groundbreak.pipeline.readers.gdal_files import opened_to_gdal
from groundbreak.pipeline.testing import ArchiveServer
from tests.world import Tile, write_raster

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 512)
KINDS: dict[str, dict[str, Any]] = {
    "jpeg.tif": {"compress": "jpeg"},
    "packed.tif": {"compress": "packbits"},
    "a.jp2": {"driver": "JP2OpenJPEG"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values = np.random.default_rng(1).integers(0, 255, (512, 512)).astype(np.uint8)
    for name, how in KINDS.items():
        write_raster(tmp_path / name, values, TILE.frame(), **how)
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_the_same_pixels_come_as_from_disk(name: str, folder: Path) -> None:
    with ArchiveServer(folder) as server:
        with opened_to_gdal(WebFile(f"{server.url}/{name}")) as path, rasterio.open(path) as remote:
            got = remote.read(1)
        with rasterio.open(folder / name) as local:
            assert (got == local.read(1)).all()
        assert server.count() <= 12, "GDAL's small steps are no requests"
        assert not [r for r in server.requests if r.path != name], "nothing is looked for beside it"


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("name", KINDS)
def test_an_error_within_gdal_comes_out_as_what_it_was(name: str, after: int, folder: Path) -> None:
    with ArchiveServer(folder) as server:
        file = WebFile(f"{server.url}/{name}")
        file.get_range(start=0, end=1)

        def read() -> None:
            with opened_to_gdal(file) as path:
                if not after:
                    server.fail("*", 503)
                with rasterio.open(path) as remote:
                    server.fail("*", 503)
                    remote.read(1)

        with pytest.raises(Busy, match="503"):
            read()
        server.heal()
        server.fail("*", 302, to="http://127.0.0.2/x")
        with pytest.raises(Forbidden), opened_to_gdal(file) as path, rasterio.open(path):
            pass
        server.heal()
        (folder / name).write_bytes((folder / name).read_bytes() + b"\0")
        with pytest.raises(Replaced), opened_to_gdal(file) as path, rasterio.open(path):
            pass
