"""Files over HTTP: each URL its own file, over few connections, by both readers; what servers answer and lead to."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest

from groundbreak.pipeline.access import clocks, connections
from groundbreak.pipeline.access.range_files import THREADS
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.troubles import Busy, Forbidden, Replaced, Trouble
from groundbreak.pipeline.access.web_files import WebFile
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
        assert isinstance(store, WebFile)
        ranges = asyncio.run(store.get_ranges_async(path, starts=[0, 30], ends=[2, 40]))
        whole = hashlib.sha256(b"/d?n=7").digest()
        assert ranges == [whole[:2], whole[30:]]


@pytest.mark.parametrize("path", ["/a//b.tif", "/a%2Fb.tif", "/a/b.tif/", "/caf%E9.tif"])
def test_a_path_is_asked_for_as_it_is_written(path: str) -> None:
    with host(lambda asked: part(asked.path.encode() * 2, asked)) as server:
        store, where = Access().locate(server.url + path)
        assert bytes(store.get_range(where, start=0, end=len(path))) == path.encode()


@pytest.mark.parametrize("path", ["/a%20b/c.tif", "/a+b/~c[1].tif", "/é/c.tif", "/a%2525b.tif"])
def test_plain_paths_stay_as_they_are(path: str) -> None:
    with host(lambda asked: part(asked.path.encode() * 2, asked)) as server:
        store, where = Access().locate(server.url + quote(path, safe="/%[]~+"))
        store.get_range(where, start=0, end=1)
        assert server.asked[0].path == quote(path, safe="/%[]~+")


def test_what_a_server_says_instead_of_a_part() -> None:
    replies: dict[str, Reply] = {
        "404": (404, {}, b""),
        "410": (410, {}, b""),
        "403": (403, {}, b"no"),
        "401": (401, {}, b"no"),
        "503": (503, {"Retry-After": "7"}, b""),
        "200": (200, {}, b"x" * 100_000),
        "416": (416, {}, b""),
        "other": (206, {"Content-Range": "bytes 5-8/100"}, b"abcd"),
    }
    kinds = {
        "404": FileNotFoundError,
        "410": FileNotFoundError,
        "403": PermissionError,
        "401": PermissionError,
        "503": Busy,
        "200": ValueError,
        "416": ValueError,
        "other": ValueError,
    }
    with host(lambda asked: replies[asked.path.partition("=")[2]]) as server:
        for status, kind in kinds.items():
            with pytest.raises(kind) as caught:
                WebFile(f"{server.url}/d?s={status}").get_range(start=0, end=4)
            assert len(server.asked) == 1, "nothing is repeated here"
            server.asked.clear()
            if isinstance(caught.value, Busy):
                assert caught.value.retry_after == 7


@pytest.mark.parametrize("name", ["Authorization", "Cookie"])
def test_keys_do_not_follow_a_redirect_to_another_host(name: str) -> None:
    with host(lambda asked: part(b"abcdef", asked)) as other:
        away = other.url.replace("127.0.0.1", "localhost") + "/x"
        with host(lambda _: (302, {"Location": away}, b"")) as first:
            store = WebFile(f"{first.url}/d?x=1", "", {name: "Bearer SECRET"}, ("localhost",))
            assert store.get_range(start=0, end=3) == b"abc"
            assert first.asked[0].headers[name.lower()] == "Bearer SECRET"
            assert "SECRET" not in str(other.asked)


@pytest.mark.parametrize(
    ("target", "resolved"),
    [
        ("http://127.0.0.2:{port}/x", None),
        ("http://169.254.169.254/latest/meta-data", None),
        ("http://[::1]:{port}/x", None),
        ("http://2130706433:{port}/x", None),
        ("https://rebound.example.org:{port}/x", "127.0.0.1"),
        ("https://rebound.example.org:{port}/x", "169.254.169.254"),
        ("https://rebound.example.org:{port}/x", "::ffff:127.0.0.1"),
        ("file:///etc/passwd", None),
    ],
)
@pytest.mark.parametrize("hops", [1, 2])
def test_a_redirect_passes_the_policy_by_what_its_host_resolves_to(
    target: str, resolved: str | None, hops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = socket.getaddrinfo

    def resolve(name: Any, *args: Any, **kwargs: Any) -> Any:
        return whole(resolved if name == "rebound.example.org" else name, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with host(lambda asked: part(b"secret", asked)) as private:
        port = private.url.rpartition(":")[2]

        def lead(asked: Asked) -> Reply:
            last = asked.path == f"/{hops}"
            return 302, {"Location": target.format(port=port) if last else f"/{int(asked.path[1:]) + 1}"}, b""

        with host(lead) as server:
            with pytest.raises(Forbidden):
                WebFile(f"{server.url}/1", "", {}, ("127.0.0.1",)).get_range(start=0, end=4)
            assert len(server.asked) == hops
        assert private.connections == 0


def test_a_name_that_resolves_to_a_private_address_is_not_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _name, *args, **kwargs: whole("127.0.0.1", *args, **kwargs))
    with host(lambda asked: part(b"secret", asked)) as private:
        url = f"http://rebound.example.org:{private.url.rpartition(':')[2]}/a.tif"
        with pytest.raises(Forbidden, match="which is 127"):
            WebFile(url).get_range(start=0, end=4)
        assert private.connections == 0
        assert WebFile(url, "", {}, ("rebound.example.org",)).get_range(start=0, end=4) == b"secr"


def test_redirects_have_an_end() -> None:
    with host(lambda asked: (302, {"Location": asked.path + "x"}, b"")) as server:
        with pytest.raises(ValueError, match="more than 10 redirects"):
            WebFile(f"{server.url}/1", "", {}, ("127.0.0.1",)).get_range(start=0, end=4)
        assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ETag": '"a"'}, {"ETag": '"b"'}),
        ({"ETag": 'W/"a"'}, {"ETag": 'W/"b"'}),
        (
            {"Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT"},
            {"Last-Modified": "Sat, 28 Nov 2026 10:00:01 GMT"},
        ),
    ],
)
def test_a_file_that_is_another_one_is_not_read(first: dict[str, str], second: dict[str, str]) -> None:
    now = [first]

    def answer(asked: Asked) -> Reply:
        status, headers, body = part(b"abcdefgh", asked)
        return status, {**headers, **now[0]}, body

    with host(answer) as server:
        planned = WebFile(f"{server.url}/a.tif")
        planned.get_range(start=0, end=4)
        assert planned.stamp.startswith("8 ")
        later = WebFile(f"{server.url}/a.tif", stamp=planned.stamp)
        assert later.get_range(start=4, end=8) == b"efgh"
        now[0] = second
        for file in (planned, later):
            with pytest.raises(Replaced, match="replaced since the plan"):
                file.get_range(start=4, end=8)
        # A server that tells less than before tells nothing against the file.
        now[0] = {}
        assert later.get_range(start=4, end=8) == b"efgh"


def test_a_file_of_another_length_is_not_read() -> None:
    bodies = [b"abcdefgh", b"abcdefghi", b"ab"]
    with host(lambda asked: part(bodies[0], asked) if len(bodies[0]) > 2 else (416, {}, b"")) as server:
        planned = WebFile(f"{server.url}/a.tif")
        planned.get_range(start=0, end=4)
        for _ in range(2):
            del bodies[0]
            with pytest.raises(Replaced):
                planned.get_range(start=4, end=8)


@pytest.mark.parametrize("behind", [0, 3])
def test_an_answer_that_drips_or_stalls_has_a_deadline(behind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "REQUEST_S", 0.5)
    monkeypatch.setattr(clocks, "QUIET_S", 0.3)
    lines = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\nContent-Range: bytes 0-999/1000\r\n\r\n"
    text, over = lines[:-5] if behind else lines, threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(text)
            while behind and not over.wait(0.05):
                connection.sendall(b"a")
            over.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        began = time.monotonic()
        with pytest.raises(Trouble):
            WebFile(f"http://127.0.0.1:{listener.getsockname()[1]}/a").get_range(start=0, end=1000)
        assert 0.25 < time.monotonic() - began < 1.5
        over.set()
        thread.join()


def test_a_connection_that_the_server_has_closed_is_made_anew() -> None:
    with host(lambda asked: part(b"abcdef", asked)) as server:
        file = WebFile(f"{server.url}/a")
        file.get_range(start=0, end=1)
        (idle,) = (found for key, found in connections.CONNECTIONS._idle.items() if key[1] in server.url)
        idle[0].sock.shutdown(socket.SHUT_RDWR)
        assert file.get_range(start=1, end=3) == b"bc"
        assert server.connections == 2


def test_a_body_that_breaks_off_is_trouble() -> None:
    with (
        host(lambda _: (206, {"Content-Length": "4", "Connection": "close"}, b"ab")) as server,
        pytest.raises(Trouble, match="IncompleteRead"),
    ):
        WebFile(f"{server.url}/a").get_range(start=0, end=4)


def test_past_caches_only_when_it_is_wanted() -> None:
    with host(lambda asked: part(b"abcdef", asked)) as server:
        for refresh in (False, True):
            store, path = Access().locate(f"{server.url}/a", refresh=refresh)
            store.get_range(path, start=0, end=1)
        assert [asked.headers.get("cache-control") for asked in server.asked] == [None, "no-cache"]
