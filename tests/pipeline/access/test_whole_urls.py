"""Files that a query names are read as what they are, over few connections, by both readers."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import obstore
import pytest

from groundbreak.pipeline.access import whole_urls
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.whole_urls import THREADS, WholeUrls
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers import gdal
from groundbreak.pipeline.readers.assets import Coded, Window, fetch, place
from groundbreak.pipeline.stores.tiles import Tiles
from tests.hosts import Asked, Reply, host, part
from tests.world import Tile, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)


def read_by_blocks(asset: Asset, access: Access) -> np.ndarray:
    """Return an asset's reflectance x 10 000 as the block reader has it."""
    window = Window(TILE.frame(), None)
    fetched = fetch(asset, window, access, None)
    assert isinstance(fetched, Coded)
    tiles = Tiles(np.full(Tiles.shape((1, 64, 64), 64, 64), window.fill, window.dtype), 1, 64, 64, window.fill)
    place(fetched, asset, window, tiles, 0, blank=True)
    return np.asarray(tiles.plane(0))


@pytest.mark.parametrize("name", ["red.tif", "a b/ré+d.tif", "x=1&y.tif"])
def test_each_query_leads_to_its_own_file(name: str, tmp_path: Path) -> None:
    values = {name: 700, "other.tif": 900}
    for n, value in values.items():
        write_tif(tmp_path / n, np.full((64, 64), value, np.uint16), TILE.frame())

    def answer(asked: Asked) -> Path | Reply:
        parts = urlsplit(asked.path)
        return tmp_path / parse_qs(parts.query)["file"][0] if parts.path == "/data" else (404, {}, b"")

    with host(answer) as server:
        for n, value in values.items():
            href = f"{server.url}/data?file={quote(n, safe='')}"
            asset = Asset("red", href, "GTiff", 1e-4, 0.0, 0, TILE.frame())
            assert (read_by_blocks(asset, Access()) == value).all()
            assert (gdal.read(asset, TILE.frame(), Access(), nearest=True) == value).all()


def test_a_thousand_queries_share_their_connections() -> None:
    def answer(asked: Asked) -> Reply:
        return part(hashlib.sha256(asked.path.encode()).digest(), asked)

    with host(answer) as server:

        def read(n: int) -> bytes:
            store, path = Access().locate(f"{server.url}/d?n={n}")
            return bytes(store.get_range(path, start=4, end=9))

        with ThreadPoolExecutor(16) as pool:
            got = list(pool.map(read, range(1000)))
        assert got == [hashlib.sha256(f"/d?n={n}".encode()).digest()[4:9] for n in range(1000)]
        assert server.connections <= THREADS
        store, path = Access().locate(f"{server.url}/d?n=7")
        assert isinstance(store, WholeUrls)
        ranges = asyncio.run(store.get_ranges_async(path, starts=[0, 30], ends=[2, 40]))
        whole = hashlib.sha256(b"/d?n=7").digest()
        assert ranges == [whole[:2], whole[30:]]


@pytest.mark.parametrize("path", ["/a//b.tif", "/a%2Fb.tif", "/a/b.tif/", "/caf%E9.tif"])
def test_a_path_is_asked_for_as_it_is_written(path: str) -> None:
    with host(lambda asked: part(asked.path.encode() * 2, asked)) as server:
        store, where = Access().locate(server.url + path)
        assert bytes(store.get_range(where, start=0, end=len(path))) == path.encode()


@pytest.mark.parametrize("path", ["/a%20b/c.tif", "/a+b/~c[1].tif", "/é/c.tif", "/a%2525b.tif"])
def test_plain_paths_go_through_obstore(path: str) -> None:
    with host(lambda asked: part(asked.path.encode() * 2, asked)) as server:
        store, where = Access().locate(server.url + quote(path, safe="/%[]~+"))
        assert not isinstance(store, WholeUrls)
        assert store is Access().locate(server.url + "/other.tif")[0]
        obstore.get_range(store, where, start=0, end=1)
        assert server.asked[0].path == quote(path, safe="/%[]~+")


def test_a_token_of_a_container_is_one_store_and_a_signature_of_a_file_is_none() -> None:
    shared = [Access().locate(f"https://h.org/{n}.tif?sv=1&sr=c&sig=x")[0] for n in range(3)]
    assert len({id(store) for store in shared}) == 1
    assert not isinstance(shared[0], WholeUrls)
    for query in ("X-Amz-Signature=a", "sv=1&sr=b&sig=x", "sr=c&sig=x&file=a.tif"):
        assert isinstance(Access().locate(f"https://h.org/a.tif?{query}")[0], WholeUrls)


def test_what_a_server_says_instead_of_a_part() -> None:
    replies: dict[str, Reply] = {
        "404": (404, {}, b""),
        "403": (403, {}, b"no"),
        "200": (200, {}, b"x" * 100),
    }
    with host(lambda asked: replies[asked.path.partition("=")[2]]) as server:
        store = WholeUrls({})
        with pytest.raises(FileNotFoundError):
            store.get_range(f"{server.url}/d?s=404", start=0, end=4)
        with pytest.raises(OSError, match="403"):
            store.get_range(f"{server.url}/d?s=403", start=0, end=4)
        with pytest.raises(OSError, match="no parts"):
            store.get_range(f"{server.url}/d?s=200", start=0, end=4)


def test_a_server_that_is_busy_is_asked_again() -> None:
    left = [503, 429]

    def answer(asked: Asked) -> Reply:
        return (left.pop(), {}, b"") if left else part(b"abcdef", asked)

    with host(answer) as server:
        assert WholeUrls({}).get_range(f"{server.url}/d?x=1", start=1, length=2) == b"bc"
        assert len(server.asked) == 3


def test_keys_do_not_follow_a_redirect_to_another_host() -> None:
    with host(lambda asked: part(b"abcdef", asked)) as other:
        away = other.url.replace("127.0.0.1", "localhost") + "/x"
        with host(lambda _: (302, {"Location": away}, b"")) as first:
            store = WholeUrls({"Authorization": "Bearer SECRET", "Cookie": "a=SECRET"})
            assert store.get_range(f"{first.url}/d?x=1", start=0, end=3) == b"abc"
            assert first.asked[0].headers["authorization"] == "Bearer SECRET"
            assert "SECRET" not in str(other.asked)


def test_the_session_is_one() -> None:
    assert whole_urls._session() is whole_urls._session()
