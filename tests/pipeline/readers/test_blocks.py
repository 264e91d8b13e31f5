"""The block reader against GDAL: every type, coding, predictor, block and byte order, to the bit."""

from __future__ import annotations

import struct
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.sections import ProviderConfig
from groundbreak.pipeline.core.types import Asset, Mask
from groundbreak.pipeline.readers import gdal
from groundbreak.pipeline.readers.assets import Coded, Window, fetch, fetch_once, place
from groundbreak.pipeline.readers.blocks import BlockPart, decode
from groundbreak.pipeline.readers.cog import Blocks, Cog, NotByBlocks, read_cog
from groundbreak.pipeline.stores.tiles import Tiles
from tests.world import write_raster

SPEC = ProviderConfig(bands={"red": "red"})
ACCESS = Access(attempts=1)
FRAME = Frame(32638, 600_000, 4_400_000, 10, 300, 250)
WINDOWS = [
    FRAME,
    FRAME.window(64, 128, 64, 64),
    FRAME.window(33, 77, 101, 59),
    FRAME.window(-20, -30, 90, 80),
    FRAME.window(250, 200, 100, 100),
    FRAME.window(400, 0, 10, 10),
    FRAME.window(320, 30, 100, 300),
    FRAME.window(-130, -90, 120, 200),
]
ONE_BLOCK = Blocks((300, 512), True, "<u2", "deflate", 1, np.array([0]), np.array([1]))
UNTOUCHED = 77
MASK = Mask(band="scl", clear=(4, 5), nodata=0)


def asset(path: Path, **changes: Any) -> Asset:
    said = {"band": "red", "href": str(path), "driver": "GTiff", "scale": 1e-4, "offset": -0.1, "nodata": None}
    return Asset(**{**said, "frame": FRAME, **changes})


def write(path: Path, values: np.ndarray, **creation: Any) -> Path:
    """Write a GeoTIFF with GDAL."""
    write_raster(path, values, FRAME, **creation)
    return path


def textured(dtype: str, seed: int = 0) -> np.ndarray:
    """Smooth ground with noise, over the type's whole range, and a hole."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        values = rng.normal(0.3, 0.2, (FRAME.height, FRAME.width)).astype(dtype)
        values[40:60, 30:90] = np.nan
        return values
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, (FRAME.height, FRAME.width), dtype=dtype, endpoint=True)
    values[100:] = (1000 + np.arange(FRAME.width) + rng.integers(0, 50, (200, FRAME.width))).astype(dtype)
    values[40:60, 30:90] = 0
    return values


def tiles_of(window: Window) -> Tiles:
    """Five observations of a window in chunks that do not divide it, to which nothing has been written."""
    height, width = window.frame.height, window.frame.width
    values = np.full(Tiles.shape((5, 64, 48), height, width), UNTOUCHED, window.dtype)
    return Tiles(values, 5, height, width, window.fill)


def both_ways(one: Asset, window: Window) -> np.ndarray:
    """Read with the block reader; check that it was used, and that it gives what the general way gives."""
    fetched = fetch_once(one, window, ACCESS, None, refresh=False)
    assert isinstance(fetched, Coded)
    out = tiles_of(window)
    place(fetched, one, window, out, 1, blank=True)
    out.clear(2)
    place(fetched, one, window, out, 2, blank=False)
    numbers = gdal.read(one, window.frame, ACCESS, nearest=window.mask is not None)
    place(numbers, one, window, out, 3, blank=True)
    blocks, later, general = (out.plane(t) for t in (1, 2, 3))
    np.testing.assert_array_equal(blocks, later)
    np.testing.assert_array_equal(blocks, general)
    assert (out.values[:, :, [0, 4]] == UNTOUCHED).all()
    return blocks


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("coding", ["deflate", "lzw", "zstd", "none"])
def test_every_type_coding_and_predictor(tmp_path: Path, dtype: str, coding: str) -> None:
    predictors = [1] if coding == "none" else [1, 2, 3] if dtype == "float32" else [1, 2]
    layouts = [{"tiled": True, "blockxsize": 64, "blockysize": 64}, {"blockysize": 7}]
    for number, (predictor, endianness, layout) in enumerate(product(predictors, ("LITTLE", "BIG"), layouts)):
        creation: dict[str, Any] = {"endianness": endianness, **layout}
        if coding != "none":
            creation |= {"compress": coding, "predictor": predictor}
        if number % 2:
            creation["bigtiff"] = "YES"
        nodata = None if number % 3 else np.nan if dtype == "float32" else 0
        path = write(tmp_path / f"{number}.tif", textured(dtype, number), nodata=nodata, **creation)
        cog = read_cog(*ACCESS.locate(str(path)))
        assert isinstance(cog, Cog)
        assert cog.blocks.dtype.startswith(">") == (endianness == "BIG" and dtype != "uint8")
        assert cog.blocks.padded == ("tiled" in layout)
        for frame in WINDOWS:
            both_ways(asset(path, nodata=1010.0 if number % 3 == 2 else None), Window(frame, None))
        if dtype == "uint8":
            both_ways(asset(path), Window(WINDOWS[2], MASK))


@pytest.mark.parametrize(("rows", "cols"), [(512, 512), (1024, 1024), (16, 48), (256, 128)])
def test_every_block_size(tmp_path: Path, rows: int, cols: int) -> None:
    layout = {"tiled": True, "blockysize": rows, "blockxsize": cols, "compress": "deflate", "predictor": 2}
    path = write(tmp_path / "a.tif", textured("uint16"), nodata=0, **layout)
    for frame in WINDOWS:
        both_ways(asset(path), Window(frame, None))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_internal_masks(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(1).integers(1, 200, (FRAME.height, FRAME.width)).astype(dtype)
    mask = (np.random.default_rng(2).random(values.shape) < 0.8) * np.uint8(255)
    path = write(tmp_path / "a.tif", values, mask=mask, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    cog = read_cog(*ACCESS.locate(str(path)))
    assert isinstance(cog, Cog)
    assert cog.mask is not None
    out = both_ways(asset(path), Window(FRAME, None))
    np.testing.assert_array_equal(out == Window(FRAME, None).fill, mask == 0)
    both_ways(asset(path), Window(WINDOWS[3], None))


@pytest.mark.parametrize("nodata", [None, 7])
def test_blocks_that_were_never_written(tmp_path: Path, nodata: int | None) -> None:
    values = np.full((FRAME.height, FRAME.width), nodata or 0, np.uint16)
    values[:64, :64] = 5
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2}
    path = write(tmp_path / "a.tif", values, nodata=nodata, sparse_ok=True, **layout)
    cog = read_cog(*ACCESS.locate(str(path)))
    assert isinstance(cog, Cog)
    assert (cog.blocks.lengths == 0).any()
    both_ways(asset(path), Window(FRAME, None))


@pytest.mark.parametrize("coding", ["none", "deflate", "lzw", "zstd"])
def test_a_last_strip_of_nodata_alone(tmp_path: Path, coding: str) -> None:
    """GDAL writes such a strip with rows that the raster does not have, where it is not packed."""
    values = textured("uint16")
    values[240:] = 0
    path = write(tmp_path / "a.tif", values, blockysize=7, nodata=0, compress=coding)
    for frame in WINDOWS:
        both_ways(asset(path), Window(frame, None))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float64"])
def test_blocks_at_the_header_are_refused_whoever_reads_them(tmp_path: Path, dtype: str) -> None:
    path = write(tmp_path / "a.tif", np.full((FRAME.height, FRAME.width), 7, dtype), blockysize=100)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number, where = struct.unpack_from("<HHII", data, entry)
        if tag == 273:
            size = number * {3: 2, 4: 4}[kind]
            assert size > 4
            data[where : where + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(ReadError, match="at byte 0"):
        fetch(asset(path), Window(FRAME, None), ACCESS, None)


@pytest.mark.parametrize(("dtype", "fill"), [("int16", -9999.0), ("uint16", 0.0), ("float32", -9999.0)])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_warp_mixes_no_fill_into_pixels(tmp_path: Path, dtype: str, fill: float, in_file: bool) -> None:
    """Whether the file tells its fill, or the item or the configuration alone."""
    values = np.full((FRAME.height, FRAME.width), 3000, dtype)
    values[:, 100:] = fill
    path = write(tmp_path / "a.tif", values, nodata=fill if in_file else None)
    target = Frame(32638, 600_003, 4_399_993, 10, 290, 240)
    found = gdal.read(asset(path, nodata=fill), target, ACCESS, nearest=False)
    there = found[~np.isnan(found) & (found != fill)]
    assert there.size > 0.9 * 100 * 290
    np.testing.assert_array_equal(there, 3000)


def test_what_another_scene_gave_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", textured("uint16"), compress="deflate", tiled=True, blockxsize=64, blockysize=64)
    window = Window(FRAME, None)
    earlier = np.full((FRAME.height, FRAME.width), window.fill, np.int16)
    earlier[:, ::2] = 1234
    tiles = tiles_of(window)
    tiles.write(1, earlier)
    fetched = fetch_once(asset(path), window, ACCESS, None, refresh=False)
    place(fetched, asset(path), window, tiles, 1, blank=False)
    out = tiles.plane(1)
    assert (out[:, ::2] == 1234).all()
    np.testing.assert_array_equal(out[:, 1::2], both_ways(asset(path), window)[:, 1::2])


def test_what_goes_the_general_way_and_why(tmp_path: Path) -> None:
    values = textured("uint16")
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    two = write(tmp_path / "two.tif", np.ones((2, FRAME.height, FRAME.width), "uint16"))
    found = read_cog(*ACCESS.locate(str(two)))
    assert found == NotByBlocks("2 samples a pixel", FRAME)
    wide = write(tmp_path / "wide.tif", values.astype("uint32"), **layout)
    assert read_cog(*ACCESS.locate(str(wide))) == NotByBlocks("32 bits of sample format 1", FRAME)
    packed = write(tmp_path / "packed.tif", values, compress="packbits", **layout)
    assert read_cog(*ACCESS.locate(str(packed))) == NotByBlocks("compression 32773", FRAME)
    numbers = fetch_once(asset(packed), Window(FRAME, None), ACCESS, None, refresh=False)
    assert isinstance(numbers, np.ndarray)


@pytest.mark.parametrize("harm", ["cut", "garbled"])
def test_bytes_that_are_not_what_the_header_says(tmp_path: Path, harm: str) -> None:
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    path = write(tmp_path / "a.tif", textured("uint16"), **layout)
    data = bytearray(path.read_bytes())
    cog = read_cog(*ACCESS.locate(str(path)))
    assert isinstance(cog, Cog)
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        at = int(cog.blocks.offsets[3])
        data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    out = tiles_of(Window(FRAME, None))
    fetched = fetch_once(asset(path), Window(FRAME, None), ACCESS, cog, refresh=False)
    with pytest.raises(ValueError, match="bytes came" if harm == "cut" else "a block cannot be decoded"):
        place(fetched, asset(path), Window(FRAME, None), out, 1, blank=True)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        place(fetched, asset(path), Window(FRAME, None), out, 1, blank=True)
    assert (out.values == UNTOUCHED).all()


def test_a_header_that_claims_blocks_where_no_file_reaches(tmp_path: Path) -> None:
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "bigtiff": "YES"}
    path = write(tmp_path / "a.tif", textured("uint16"), **layout)
    cog = read_cog(*ACCESS.locate(str(path)))
    assert isinstance(cog, Cog)
    said = int(cog.blocks.offsets[3]).to_bytes(8, "little")
    path.write_bytes(path.read_bytes().replace(said, (2**63 + 5).to_bytes(8, "little"), 1))
    with pytest.raises(ValueError, match=r"claims blocks .* up to byte 9223372036854775813"):
        read_cog(*ACCESS.locate(str(path)))


def test_what_a_thread_reads_next_leaves_what_it_read_before(tmp_path: Path) -> None:
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    window, values = Window(FRAME, None), [textured("uint16", seed) for seed in range(2)]
    assets = [asset(write(tmp_path / f"{n}.tif", v, **layout)) for n, v in enumerate(values)]
    fetched = [fetch_once(one, window, ACCESS, None, refresh=False) for one in assets]
    tiles = tiles_of(window)
    for t in (1, 0):
        place(fetched[t], assets[t], window, tiles, t, blank=True)
    for t in (0, 1):
        np.testing.assert_array_equal(tiles.plane(t), both_ways(assets[t], window))


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("ground", ["noise", "one number"])
def test_a_part_of_a_block_is_what_the_whole_has_there(level: int, ground: str) -> None:
    rng = np.random.default_rng(level)
    values = rng.integers(0, 65536, (300, 512), "uint16") if ground == "noise" else np.full((300, 512), 7, "uint16")
    data = memoryview(zlib.compress(values.tobytes(), level))
    for top, bottom in ((0, 1), (17, 18), (0, 100), (99, 235), (0, 236), (0, 237), (200, 300)):
        part = BlockPart(0, 300, top, 0, (slice(0, bottom - top), slice(0, 512)))
        for scratch in (None, bytearray(b"\xab" * (values.nbytes + 1)), bytearray(10)):
            np.testing.assert_array_equal(decode(data, ONE_BLOCK, part, scratch), values[:bottom])


def test_a_block_that_ends_or_breaks_before_the_last_row_wanted() -> None:
    values = np.random.default_rng(0).integers(0, 500, (300, 512), "uint16")
    part = BlockPart(0, 300, 0, 0, (slice(0, 100), slice(0, 512)))
    short = memoryview(zlib.compress(values[:90].tobytes()))
    with pytest.raises(ValueError, match="holds 92160 bytes instead of 307200"):
        decode(short, ONE_BLOCK, part)
    whole = zlib.compress(values.tobytes())
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode(memoryview(whole[: len(whole) // 4]), ONE_BLOCK, part)
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode(memoryview(whole[:2] + b"\xff" * len(whole)), ONE_BLOCK, part)


def test_an_absent_file_is_not_tried_again(tmp_path: Path) -> None:
    patient = Access(attempts=3)
    with pytest.raises(ReadError) as caught:
        fetch(asset(tmp_path / "absent.tif"), Window(FRAME, None), patient, None)
    assert caught.value.attempts == 1
