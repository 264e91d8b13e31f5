"""A file that lies about itself: each lie is a named fault or an error in words, within bounded time and memory.

What might end the process, or never end, is read in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers import gdal, tiff
from groundbreak.pipeline.readers.assets import Window, fetch, place
from groundbreak.pipeline.readers.cog import Cog
from groundbreak.pipeline.readers.formats import read_layout_now
from groundbreak.pipeline.stores.tiles import Tiles
from tests.attacks.tiffs import Claim, Tiff
from tests.world import Tile, configure, days, lonlat_box, write_source, write_tif

BIG = 2**31 - 1
NAN, INF = float("nan"), float("inf")
BOMB = zlib.compress(bytes(32 << 20), 9)
"""32 MiB in 32 kB: as many times more than it is as deflate can pack."""
LIES = {
    "offsets": Tiff(tags={324: Claim(4, [8], count=BIG, at=8)}),
    "lengths": Tiff(tags={325: Claim(4, [8], count=BIG, at=8)}),
    "offsets, most of a long": Tiff(big=True, tags={324: Claim(16, [8], count=2**61, at=8)}),
    "offsets beyond the end": Tiff(
        tags={256: Claim(4, [64000]), 324: Claim(4, [8], 1000, 10**9), 325: Claim(4, [8], 1000, 8)}
    ),
    "a block beyond any file": Tiff(big=True, tags={324: Claim(16, [2**63])}),
    "a block that is longer than it can be": Tiff(tags={325: Claim(4, [200 << 20])}),
    "keys": Tiff(tags={34735: Claim(3, [8], count=BIG, at=8)}),
    "doubles": Tiff(tags={34736: Claim(12, [8.0], count=BIG, at=8)}),
    "nodata": Tiff(tags={42113: Claim(2, b"0", count=BIG, at=8)}),
    "bits": Tiff(tags={258: Claim(3, [16], count=BIG, at=8)}),
    "itself": Tiff(then="itself"),
    "a directory beyond the end": Tiff(then=10**6),
    "a directory in the block": Tiff(then=9, block=b"\0\xff\xff" + bytes(5000)),
    "pixels": Tiff(tags={256: Claim(4, [BIG]), 257: Claim(4, [BIG])}),
    "2^31 pixels in a row": Tiff(tags={256: Claim(4, [BIG]), 257: Claim(4, [1])}),
    "no pixels": Tiff(tags={256: Claim(4, [0])}),
    "no width": Tiff(tags={256: None}),
    "a block of 2^62 pixels": Tiff(tags={322: Claim(4, [BIG - 15]), 323: Claim(4, [BIG - 15])}),
    "a bomb": Tiff(tags={n: Claim(4, [65536]) for n in (256, 257, 322, 323)}, block=BOMB),
    "a bomb in one strip": Tiff(
        tags={256: Claim(4, [65536]), 257: Claim(4, [65536]), 322: None, 323: None, 324: None, 325: None,
              273: Claim(4, [8]), 278: Claim(4, [65536]), 279: Claim(4, [len(BOMB)])}, block=BOMB
    ),
    "blocks of one pixel": Tiff(tags={n: Claim(4, [60000 if n < 300 else 1]) for n in (256, 257, 322, 323)}),
    "a place that is no number": Tiff(tags={33922: Claim(12, [0, 0, 0, NAN, 1.0, 0])}),
    "a place without end": Tiff(tags={33922: Claim(12, [0, 0, 0, INF, 1.0, 0])}),
    "pixels of no size": Tiff(tags={33550: Claim(12, [0.0, 0.0, 0.0])}),
    "pixels of a size that is no number": Tiff(tags={33550: Claim(12, [NAN, NAN, NAN])}),
    "pixels without end": Tiff(tags={33550: Claim(12, [INF, INF, 0])}),
}  # fmt: skip
"""What a file lies about -> the file; each of them is refused by its header."""
BELIEVED = {
    "a tag that nobody asks for": Tiff(tags={65000: Claim(1, [0], count=BIG, at=8)}),
    "a tag of no known type": Tiff(tags={65000: Claim(99, [0], count=BIG)}),
    "nodata that is no number": Tiff(tags={42113: Claim(2, b"\xff\xfe\0")}),
}
FRAME = Frame(32638, 600_000, 4_400_000, 10, 64, 64)

READ = """
import json, resource, sys
from pathlib import Path
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers import gdal
from groundbreak.pipeline.readers.formats import read_layout_now
from groundbreak.pipeline.stores.tiles import Tiles

def tell(call):
    try:
        return str(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

frame = Frame(32638, 600_000, 4_400_000, 10, 64, 64)
start, told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    asset = Asset("red", str(path), "GTiff", 1e-4, 0.0, None, frame)
    told[path.name] = [
        tell(lambda: read_layout_now(*Access().locate(str(path)), "GTiff")),
        tell(lambda: gdal.read_info(asset, Access(attempts=1))),
        tell(lambda: gdal.read(asset, frame, Access(attempts=1), nearest=True).shape),
    ]
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
print(json.dumps({"told": told, "grown_kib": grown}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Read each lie in each way, in one process that may end or never end; return what is said of it."""
    folder = tmp_path_factory.mktemp("lies")
    for name, file in LIES.items():
        (folder / name).write_bytes(file.write())
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["grown_kib"] < 400 * 1024
    answers: dict[str, list[str]] = found["told"]
    return answers


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_the_writer_of_lies_writes_sound_files_too(big: bool, order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(Tiff(big=big, order=order).write())
    layout = read_layout_now(*Access().locate(str(path)), "GTiff")
    assert isinstance(layout, Cog)
    assert layout.frame == FRAME
    with rasterio.open(path) as opened:
        assert (opened.read(1) == 0).all()
        assert opened.transform == rasterio.Affine(*FRAME.transform)


@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_refused_in_words(name: str, told: dict[str, list[str]]) -> None:
    header, _, _ = told[name]
    assert header.startswith(("ValueError: ", "BrokenHeader: ")), header
    assert len(header) < 300


@pytest.mark.parametrize("name", ["a bomb", "a bomb in one strip", "a block of 2^62 pixels", "2^31 pixels in a row"])
def test_gdal_decodes_no_block_that_is_not_believed(name: str, told: dict[str, list[str]]) -> None:
    assert all("Error" in answer for answer in told[name]), told[name]


@pytest.mark.parametrize("name", BELIEVED)
def test_what_nobody_asks_for_does_no_harm(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(BELIEVED[name].write())
    layout = read_layout_now(*Access().locate(str(path)), "GTiff")
    assert isinstance(layout, Cog)
    assert layout.nodata is None or layout.nodata == 0


def test_directories_without_end(tmp_path: Path) -> None:
    """Each names the next, and none comes twice."""
    data = _chained(tiff.MOST_DIRECTORIES + 1)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ValueError, match="more than 64 directories"):
        read_layout_now(*Access().locate(str(tmp_path / "a.tif")), "GTiff")


def _chained(count: int) -> bytes:
    """Return a TIFF of empty directories, each of which names the one behind it."""
    head = b"II*\0" + (8).to_bytes(4, "little")
    return head + b"".join(b"\0\0" + (8 + 6 * (n + 1)).to_bytes(4, "little") for n in range(count))


def test_a_jpeg_2000_of_too_many_pixels_is_refused_before_gdal_sees_it(tmp_path: Path) -> None:
    size = b"\xff\x4f\xff\x51\0\x2f\0\0" + b"".join(n.to_bytes(4, "big") for n in (BIG, BIG, 0, 0))
    (tmp_path / "a.jp2").write_bytes(size + bytes(100))
    with pytest.raises(ValueError, match="claims 2147483647 x 2147483647 pixels"):
        read_layout_now(*Access().locate(str(tmp_path / "a.jp2")), "JP2OpenJPEG")


def test_a_bomb_in_a_block_takes_no_more_than_the_block(tmp_path: Path) -> None:
    """The header tells 64 x 64 pixels; the block holds 32 MiB."""
    path = tmp_path / "a.tif"
    path.write_bytes(Tiff(block=BOMB).write())
    asset, window = Asset("red", str(path), "GTiff", 1e-4, 0.0, None, FRAME), Window(FRAME, None)
    tiles = Tiles(np.zeros(Tiles.shape((1, 64, 64), 64, 64), window.dtype), 1, 64, 64, window.fill)
    fetched = fetch(asset, window, Access(attempts=1), None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="cannot be decoded"):
        place(fetched, asset, window, tiles, 0, blank=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


@pytest.mark.parametrize("name", ["a.tif", "a.tiff", "a.jp2", "a"])
def test_a_vrt_in_a_tif_reads_no_local_file(name: str, tmp_path: Path) -> None:
    write_tif(tmp_path / "secret.tif", np.ones((64, 64), np.uint16), FRAME)
    band = (
        f"<SimpleSource><SourceFilename>{tmp_path}/secret.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    )
    (tmp_path / name).write_text(
        f'<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="UInt16" band="1">{band}'
        "</VRTRasterBand></VRTDataset>"
    )
    for driver in ("GTiff", "JP2OpenJPEG"):
        asset = Asset("red", str(tmp_path / name), driver, 1e-4, 0.0, None, FRAME)
        with pytest.raises(ReadError, match="neither those of a TIFF"):
            fetch(asset, Window(FRAME, None), Access(attempts=1), None)
        with pytest.raises(ReadError):
            gdal.read_info(asset, Access(attempts=1))


def test_a_run_over_files_that_lie_ends_with_each_of_them_named(tmp_path: Path, client: Client) -> None:
    tile, names = Tile("38TPK", 32638, 600_000, 4_400_000, 64), list(LIES)
    dates = days("2021-01-03", len(names) + 4, 10)
    write_source(tmp_path / "source", [tile], dates)
    for date, name in zip(dates[4:], names, strict=True):
        (tmp_path / "source" / tile.code / f"{date}_0" / "red.tif").write_bytes(LIES[name].write())
    box = lonlat_box(32638, 600_100, 4_399_500, 600_500, 4_399_900)
    run = {"attempts": 1, "fault_threshold": 1.0}
    result = api.run(configure(tmp_path, box, "2021-01-01/2022-12-31", run=run), client)
    assert {fault.href.split("/")[-2].removesuffix("_0") for fault in result.faults} == set(dates[4:])
    assert all(fault.band == "red" and len(fault.error) < 400 for fault in result.faults)
