"""Under which names headers are kept, and that nothing secret is in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Asset, Scene
from groundbreak.pipeline.readers import headers
from groundbreak.pipeline.readers.cog import Cog
from tests.hosts import Asked, host
from tests.world import Tile, write_tif

SIDES = {"red": 64, "nir": 32, "swir16": 16, "scl": 8}
"""Band -> side of the blocks of its file, so that no two headers are alike."""


def scene_of(hrefs: dict[str, str]) -> Scene:
    assets = {band: Asset(band, href, "GTiff", 1e-4, 0.0, 0, None) for band, href in hrefs.items()}
    time = np.datetime64("2021-01-03T07:47:00.000")
    return Scene("i", "c", "p", time, "t", "MGRS-38TPK", "05.00", "v1", (0.0, 0.0, 1.0, 1.0), assets)


def test_every_query_has_its_own_header_and_a_new_signature_finds_it_again(tmp_path: Path) -> None:
    tile = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
    for band, side in SIDES.items():
        write_tif(tmp_path / f"{band}.tif", np.ones((64, 64), np.uint16), tile.frame(), block=max(side, 16))

    def answer(asked: Asked) -> Path:
        query = dict(pair.split("=") for pair in asked.path.partition("?")[2].split("&"))
        return tmp_path / query["file"]

    with host(answer) as server:
        scene = scene_of({b: f"{server.url}/data?file={b}.tif&X-Amz-Signature=SECRET1&apikey=SECRET" for b in SIDES})
        found, failed = headers.read_headers([scene], list(SIDES), Access(), {})
        assert not failed
        assert len(found) == len(SIDES)
        for band, side in SIDES.items():
            header = found[headers.header_key(scene.assets[band], scene)]
            assert isinstance(header, Cog)
            assert header.blocks.shape == (max(side, 16), max(side, 16))
        output = Output(str(tmp_path / "out"))
        headers.save(found, output)
        kept = headers.load(output)
        asked = len(server.asked)
        again = scene_of({b: f"{server.url}/data?X-Amz-Signature=SECRET2&apikey=SECRET&file={b}.tif" for b in SIDES})
        assert set(headers.read_headers([again], list(SIDES), Access(), kept)[0]) == set(found)
        assert len(server.asked) == asked
    written = str(pq.read_table(tmp_path / "out" / places.HEADERS).to_pylist())
    assert "SECRET" not in written
    assert "file=" not in written


def test_the_processing_of_an_item_is_part_of_the_name() -> None:
    scene = scene_of({"red": "https://h.org/a.tif?sig=x"})
    assert headers.header_key(scene.assets["red"], scene) == ("https://h.org/a.tif", "v1")
    newer = dataclasses.replace(scene, version="v2")
    assert headers.header_key(newer.assets["red"], newer) == ("https://h.org/a.tif", "v2")
