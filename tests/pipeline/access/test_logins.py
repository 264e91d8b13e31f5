"""What is sent to which host, through both readers; and what a host that wants a login looks like."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from groundbreak.pipeline.access import login_pages, logins
from groundbreak.pipeline.access.logins import Logins, Trust, gdal_headers
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.access.troubles import NeedsLogin
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset
from groundbreak.pipeline.readers import gdal
from groundbreak.pipeline.readers.assets import Window, fetch
from groundbreak.pipeline.readers.cog import Cog
from groundbreak.pipeline.readers.formats import read_layout_now
from tests.hosts import PAGE, Asked, Host, Reply, host
from tests.world import Tile, write_tif

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
HTML = {"Content-Type": "text/html"}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in, and no earlier login is remembered."""
    for name in (
        "EARTHDATA_TOKEN", "GDAL_HTTP_HEADERS", "GDAL_HTTP_HEADER_FILE", "GDAL_HTTP_BEARER", "GDAL_HTTP_AUTH",
        "GDAL_HTTP_USERPWD", "GDAL_HTTP_COOKIE", "NETRC",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(logins._logins, "_cookies", {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_tif(tmp_path / "a.tif", np.full((64, 64), 700, np.uint16), TILE.frame())
    return tmp_path / "a.tif"


def asset(url: str) -> Asset:
    return Asset("red", f"{url}/a.tif", "GTiff", 1e-4, 0.0, 0, TILE.frame())


def read_both(url: str, access: Access) -> bool:
    """Read a file's header, its blocks, and its pixels by GDAL; return whether all of it is right."""
    cog = read_layout_now(*access.locate(f"{url}/a.tif"), "GTiff")
    fetch(asset(url), Window(TILE.frame(), None), access, None)
    info = gdal.read_info(asset(url), access)
    pixels = gdal.read(asset(url), TILE.frame(), access, nearest=True)
    return isinstance(cog, Cog) and info.frame == TILE.frame() and bool((pixels == 700).all())


def needs(file: Path, name: str, value: str) -> Callable[[Asked], Path | Reply]:
    """Answer with a file where a header has its value, and lead to a login page elsewhere."""

    def answer(asked: Asked) -> Path | Reply:
        if asked.path.startswith("/login"):
            return 200, HTML, PAGE
        return file if asked.headers.get(name) == value else (302, {"Location": f"/login?next={asked.path}"}, b"")

    return answer


@pytest.mark.parametrize(
    ("env", "name", "value"),
    [
        ({"GDAL_HTTP_HEADERS": "Authorization: Bearer tok"}, "authorization", "Bearer tok"),
        ({"GDAL_HTTP_HEADERS": "Accept: a/b\r\nX-Api-Key: k:1"}, "x-api-key", "k:1"),
        ({"GDAL_HTTP_HEADERS": "X-One: 1,X-Api-Key: k"}, "x-api-key", "k"),
        ({"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": "tok"}, "authorization", "Bearer tok"),
        ({"GDAL_HTTP_USERPWD": "me:word"}, "authorization", "Basic bWU6d29yZA=="),
        ({"GDAL_HTTP_COOKIE": "s=1; t=2"}, "cookie", "s=1; t=2"),
        ({"GDAL_HTTP_HEADER_FILE": "Authorization: Bearer tok\nX-One: 1\n"}, "authorization", "Bearer tok"),
    ],
)
def test_what_gdal_is_told_to_send_is_sent_by_both(
    env: dict[str, str], name: str, value: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, text in env.items():
        if key.endswith("FILE"):
            (tmp_path / "headers.txt").write_text(text)
            text = str(tmp_path / "headers.txt")
        monkeypatch.setenv(key, text)
    with host(needs(file, name, value)) as server:
        assert read_both(server.url, Access(attempts=1))
        assert {asked.headers.get(name) for asked in server.asked} == {value}


def test_the_token_of_earthdata_goes_to_earthdata_and_to_named_hosts(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "tok")
    token = {"Authorization": "Bearer tok"}
    for name in ("data.lpdaac.earthdatacloud.nasa.gov", "urs.earthdata.nasa.gov", "cmr.earthdata.nasa.gov"):
        assert logins.headers(f"https://{name}/a.tif", Trust()) == token
    for name in ("h.org", "earthdata.nasa.gov.h.org", "xearthdata.nasa.gov", "sentinel2.blob.core.windows.net"):
        assert logins.headers(f"https://{name}/a.tif", Trust()) == {}
    with host(needs(file, "authorization", "Bearer tok")) as server:
        assert read_both(server.url, Access(attempts=1, trust=Trust(("127.0.0.1",))))
        with pytest.raises(ReadError, match="asks for a login"):
            fetch(asset(server.url), Window(TILE.frame(), None), Access(attempts=3), None)


@pytest.mark.parametrize("side", [10, 20])
def test_a_login_does_not_stay_with_gdal_for_the_next_host(
    side: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "tok")
    access = Access(attempts=1, trust=Trust(("127.0.0.1",)))

    def read(url: str, frame: Frame) -> bool:
        gdal.read(asset(url), frame, access, nearest=True)
        return bool(rasterio.env.hasenv())

    # In a thread that has no environment of GDAL yet, whatever other tests have left in this one.
    with host(lambda _: file) as server, ThreadPoolExecutor(1) as thread:
        # Pixels as they are (10 m), and warped (20 m).
        assert not thread.submit(read, server.url, TILE.frame(side)).result()
        assert {asked.headers.get("authorization") for asked in server.asked} == {"Bearer tok"}
        server.asked.clear()
        thread.submit(read, server.url.replace("127.0.0.1", "localhost"), TILE.frame()).result()
        assert {asked.headers.get("authorization") for asked in server.asked} == {None}


def test_headers_of_the_environment_and_a_token_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "tok")
    monkeypatch.setenv("GDAL_HTTP_HEADERS", "X-One: 1")
    url = "https://data.lpdaac.earthdatacloud.nasa.gov/a.tif"
    assert logins.headers(url, Trust()) == {"X-One": "1", "Authorization": "Bearer tok"}
    monkeypatch.setenv("GDAL_HTTP_HEADERS", "authorization: Bearer own")
    assert logins.headers(url, Trust()) == {"authorization": "Bearer own"}


def write_netrc(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("where", ["home", "NETRC"])
def test_an_account_of_netrc_goes_to_its_own_host(
    where: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("home/.netrc" if where == "home" else "accounts")
    write_netrc(path, "machine 127.0.0.1 login me password word\ndefault login x password y\n")
    if where == "NETRC":
        monkeypatch.setenv("NETRC", str(path))
    with host(needs(file, "authorization", "Basic bWU6d29yZA==")) as server:
        assert read_both(server.url, Access(attempts=1, trust=Trust(("127.0.0.1",))))
    assert logins.headers("https://127.0.0.1/a.tif", Trust()) == {"Authorization": "Basic bWU6d29yZA=="}
    # Neither unencrypted, nor to a host that netrc does not name.
    assert logins.headers("http://127.0.0.1/a.tif", Trust()) == {}
    assert logins.headers("https://h.org/a.tif", Trust()) == {}


def test_a_netrc_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write_netrc(tmp_path / "home/.netrc", "machine\n\nnonsense here")
    with pytest.raises(OSError, match="netrc"):
        logins.headers("https://h.org/a.tif", Trust())


class Urs:
    """A data host, and a host that keeps the accounts: who logs in there comes back with a code, and gets a cookie."""

    def __init__(self, file: Path) -> None:
        self.file, self.data, self.accounts = file, Host(self.keep), Host(self.keep)
        self.logins = 0

    def keep(self, asked: Asked) -> Path | Reply:
        """Answer as the data host, or as the one that keeps the accounts."""
        if asked.path.startswith("/oauth"):
            if asked.headers.get("authorization") != "Basic bWU6d29yZA==":
                return 401, {"WWW-Authenticate": "Basic", **HTML}, PAGE
            self.logins += 1
            return 302, {"Location": f"{self.data.url}/back?code={self.logins}"}, b""
        if asked.path.startswith("/back"):
            return 302, {"Set-Cookie": f"session=s{self.logins}; Path=/; HttpOnly", "Location": "/a.tif"}, b""
        if asked.headers.get("cookie") == f"session=s{self.logins}" and self.logins:
            return self.file
        return 302, {"Location": self.accounts.url.replace("127.0.0.1", "localhost") + "/oauth/authorize?app=1"}, b""


def both(urs: Urs) -> Any:
    """Run the two hosts of `Urs`."""
    stack = contextlib.ExitStack()
    urs.data, urs.accounts = stack.enter_context(host(urs.keep)), stack.enter_context(host(urs.keep))
    return stack


OWN = Trust(allow_hosts=("127.0.0.1", "localhost"))


def test_an_account_elsewhere_gives_a_cookie_once_for_both_readers(file: Path, tmp_path: Path) -> None:
    write_netrc(tmp_path / "home/.netrc", "machine localhost login me password word")
    urs = Urs(file)
    with both(urs):
        assert read_both(urs.data.url, Access(attempts=1, trust=OWN))
        assert urs.logins == 1
        assert not any("authorization" in asked.headers for asked in urs.data.asked)
        assert not any("cookie" in asked.headers for asked in urs.accounts.asked)
        # A session that has ended is made anew when the file is tried again.
        urs.logins = 7
        logins._logins._cookies = {k: (v, at - 100) for k, (v, at) in logins._logins._cookies.items()}
        fetch(asset(urs.data.url), Window(TILE.frame(), None), Access(attempts=2, trust=OWN), None)
        assert urs.logins == 8


def test_a_wanted_login_is_told_in_words_by_both_readers(file: Path) -> None:
    urs = Urs(file)
    with both(urs):
        access = Access(attempts=3, trust=OWN)
        for read in (
            lambda: fetch(asset(urs.data.url), Window(TILE.frame(), None), access, None),
            lambda: gdal.read_info(asset(urs.data.url), access),
        ):
            with pytest.raises(
                ReadError, match=r"127\.0\.0\.1 asks for a login .*set EARTHDATA_TOKEN.*netrc"
            ) as caught:
                read()
            assert caught.value.attempts == 1


def test_a_token_that_is_refused_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "SECRET")
    with host(needs(file, "authorization", "Bearer other")) as server:
        access = Access(attempts=3, trust=Trust(("127.0.0.1",)))
        with pytest.raises(ReadError, match="not accepted: renew it") as caught:
            fetch(asset(server.url), Window(TILE.frame(), None), access, None)
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((401, {}, b"no"), "answers 401"),
        ((200, HTML, PAGE), "a web page came"),
        ((200, {}, PAGE), "a web page came"),
        (
            (302, {"Location": "https://sso.example.invalid/x?state=SECRET"}, b""),
            "leads to https://sso.example.invalid/x",
        ),
    ],
)
def test_ways_to_ask_for_a_login(reply: Reply, says: str) -> None:
    with host(lambda _: reply) as server:
        told = login_pages.explain(f"{server.url}/a.tif", Trust(), OSError("Range request not supported"))
        assert isinstance(told, NeedsLogin)
        assert says in str(told)
        assert "SECRET" not in str(told)
        assert "name 127.0.0.1 in [source] login_hosts" in str(told)


@pytest.mark.parametrize("reply", [(404, HTML, PAGE), (500, {}, b""), (206, {}, b"II*\0"), (403, {}, b"<x/>")])
def test_what_is_no_login(reply: Reply) -> None:
    with host(lambda _: reply) as server:
        assert login_pages.explain(f"{server.url}/a.tif", Trust(), OSError("Range request not supported")) is None
        assert login_pages.explain(f"{server.url}/a.tif", Trust(), OSError("HTTP error 404")) is None
        assert len(server.asked) == 1


def test_no_secret_travels_with_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "SECRET")
    monkeypatch.setenv("GDAL_HTTP_HEADERS", "X-Key: SECRET")
    access = Access(trust=Trust(("h.org",)))
    access.locate("https://h.org/a.tif")
    assert b"SECRET" not in pickle.dumps(access)
    assert "SECRET" not in repr(access)
    before = rasterio.env.hasenv()  # tests before this one may have left one in this thread
    assert gdal_headers() == {"X-Key": "SECRET"}
    assert rasterio.env.hasenv() == before


def test_a_way_to_a_login_does_not_lead_into_a_private_network(file: Path, tmp_path: Path) -> None:
    write_netrc(tmp_path / "home/.netrc", "machine localhost login me password word")
    urs = Urs(file)
    with both(urs):
        own = Logins()
        assert own.own_headers(f"{urs.data.url}/a.tif", Trust(allow_hosts=("127.0.0.1",))) == {}
        assert urs.accounts.asked == []


def test_a_login_is_made_anew_after_some_time(file: Path, tmp_path: Path) -> None:
    write_netrc(tmp_path / "home/.netrc", "machine localhost login me password word")
    urs = Urs(file)
    with both(urs):
        own = Logins(life_s=0.0)
        href = f"{urs.data.url}/a.tif"
        assert [own.own_headers(href, OWN) for _ in range(2)] == [{"Cookie": "session=s1"}, {"Cookie": "session=s2"}]
        own.life_s = 100.0
        assert own.own_headers(href, OWN, refresh=True) == {"Cookie": "session=s2"}
        own.settle_s = 0.0
        assert own.own_headers(href, OWN, refresh=True) == {"Cookie": "session=s3"}
