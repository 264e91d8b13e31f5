"""The server speaks HTTP as object stores do, and fails only where it is told to."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from groundbreak.pipeline.testing import ArchiveServer

BODY = bytes(range(256)) * 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    root = tmp_path / "root"
    (root / "tile").mkdir(parents=True)
    (root / "tile" / "red.tif").write_bytes(BODY)
    (root / "items.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("no")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    with ArchiveServer(root, slow_s=0.3) as running:
        yield running


def get(
    server: ArchiveServer, path: str, *, method: str = "GET", span: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    try:
        connection.request(method, path, headers={"Range": span} if span else {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("span", "status", "expected", "announced"),
    [
        (None, 200, BODY, None),
        ("bytes=0-9", 206, BODY[:10], "bytes 0-9/2048"),
        ("bytes=100-100", 206, BODY[100:101], "bytes 100-100/2048"),
        ("bytes=2040-", 206, BODY[2040:], "bytes 2040-2047/2048"),
        ("bytes=2040-9999", 206, BODY[2040:], "bytes 2040-2047/2048"),
        ("bytes=-8", 206, BODY[-8:], "bytes 2040-2047/2048"),
        ("bytes=-9999", 206, BODY, "bytes 0-2047/2048"),
        ("bytes=2048-", 416, b"", "bytes */2048"),
        ("bytes=-0", 416, b"", "bytes */2048"),
        ("bytes=9-3", 200, BODY, None),
        ("bytes=0-1,4-5", 200, BODY, None),
        ("lines=0-1", 200, BODY, None),
    ],
)
def test_ranges(server: ArchiveServer, span: str | None, status: int, expected: bytes, announced: str | None) -> None:
    code, headers, body = get(server, "/tile/red.tif", span=span)
    assert (code, body) == (status, expected)
    assert headers["Content-Length"] == str(len(expected))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers.get("Content-Range") == announced


def test_head_has_the_headers_and_no_body(server: ArchiveServer) -> None:
    code, headers, body = get(server, "/tile/red.tif", method="HEAD")
    assert (code, body) == (200, b"")
    assert headers["Content-Length"] == "2048"


def test_connections_are_kept_alive(server: ArchiveServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    connection.connect()
    local = connection.sock.getsockname()
    for _ in range(3):
        connection.request("GET", "/tile/red.tif", headers={"Range": "bytes=0-3"})
        assert connection.getresponse().read() == BODY[:4]
        assert connection.sock.getsockname() == local
    connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/tile/../../secret.txt",
        "/link.txt",
        "//etc/passwd",
        "/tile",
        "/nothing.tif",
        "/a%00b",
    ],
)
def test_nothing_outside_the_folder_is_served(server: ArchiveServer, path: str) -> None:
    code, _, body = get(server, path)
    assert code in (403, 404)
    assert body != b"no"


def test_scripted_statuses_end_after_their_times(server: ArchiveServer) -> None:
    server.fail("tile/*.tif", status=503, times=2)
    codes = [get(server, "/tile/red.tif")[0] for _ in range(3)]
    assert codes == [503, 503, 200]
    assert get(server, "/items.json")[0] == 200
    assert server.count("*.tif") == 3
    assert [r.outcome for r in server.requests] == ["503", "503", "200", "200"]
    server.clear_log()
    assert server.count() == 0


def test_reset_truncate_and_slow(server: ArchiveServer) -> None:
    server.fail("*.tif", "reset", times=1)
    with pytest.raises(ConnectionError):
        get(server, "/tile/red.tif")
    server.fail("*.tif", "truncate", times=1)
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(server, "/tile/red.tif")
    assert cut.value.partial == BODY[:1024]
    server.fail("*.tif", "slow", times=1)
    begin = time.monotonic()
    assert get(server, "/tile/red.tif")[2] == BODY
    assert time.monotonic() - begin >= 0.3
    server.fail("*.tif", 404)
    server.heal()
    assert get(server, "/tile/red.tif")[0] == 200


def test_signed_urls_expire(server: ArchiveServer) -> None:
    server.require_signature(ttl_s=0.5)
    assert get(server, "/tile/red.tif")[0] == 403
    assert get(server, "/items.json")[0] == 200
    token = json.loads(get(server, "/sas/token/sentinel-2-l2a")[2])
    assert datetime.fromisoformat(token["msft:expiry"]).tzinfo is not None
    assert get(server, f"/tile/red.tif?{token['token']}", span="bytes=0-1")[0] == 206
    forged = token["token"].replace("se=", "se=9")
    assert get(server, f"/tile/red.tif?{forged}")[0] == 403
    assert get(server, "/tile/red.tif?se=x&sig=%C3%A9")[0] == 403
    time.sleep(0.6)
    assert get(server, f"/tile/red.tif?{token['token']}")[0] == 403
    # The log keeps no signature.
    assert not any("sig" in r.path for r in server.requests)


def test_nothing_is_left_running(tmp_path: Path) -> None:
    before = threading.active_count()
    (tmp_path / "red.tif").write_bytes(BODY)
    with ArchiveServer(tmp_path, latency_s=0.01) as server:
        assert get(server, "/red.tif")[0] == 200
        netloc = urlsplit(server.url).netloc
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(netloc, timeout=1).request("GET", "/")
    with pytest.raises(RuntimeError):
        _ = server.url
    time.sleep(0.1)
    assert threading.active_count() <= before


def test_answers_that_are_wrong_in_other_ways(server: ArchiveServer) -> None:
    server.drip_s = 0.001
    whole = BODY[:64]

    def ask() -> tuple[int, dict[str, str], bytes]:
        return get(server, "/tile/red.tif", span="bytes=0-63")

    assert {"ETag", "Last-Modified"} <= ask()[1].keys()
    server.fail("*.tif", "flip", times=1)
    assert sum(a != b for a, b in zip(whole, ask()[2], strict=True)) == 1
    server.fail("*.tif", "short", times=1)
    assert ask()[2] == whole[:-1]
    server.fail("*.tif", "drip", times=1)
    assert ask()[2] == whole
    server.fail("*.tif", "html", times=1)
    status, headers, _ = ask()
    assert (status, headers["Content-Type"]) == (200, "text/html")
    server.fail("*.tif", 429, times=1, retry_after="7")
    assert ask()[1]["Retry-After"] == "7"
    server.fail("*.tif", 302, times=1, to="http://127.0.0.2/x")
    assert ask()[1]["Location"] == "http://127.0.0.2/x"
    server.fail("*.tif", "stall", times=1)
    stalled = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=0.2)
    stalled.request("GET", "/tile/red.tif")
    with pytest.raises(TimeoutError):
        stalled.getresponse()
    stalled.close()
    assert ask()[2] == whole


def test_a_server_that_goes_away_comes_back_at_the_same_place(server: ArchiveServer) -> None:
    kept = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    kept.request("GET", "/items.json")
    kept.getresponse().read()
    url = server.url
    server.away(0.5)
    kept.request("GET", "/items.json")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        kept.getresponse()
    kept.close()
    with pytest.raises(ConnectionError):
        http.client.HTTPConnection(urlsplit(url).netloc, timeout=5).connect()
    time.sleep(1.0)
    assert server.url == url
    assert get(server, "/items.json")[0] == 200
