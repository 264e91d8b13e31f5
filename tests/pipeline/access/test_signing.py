"""How hrefs are signed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests

from groundbreak.pipeline.access.signing import Signer
from tests.stac import Loopback, reply, serve


class Tokens:
    """A token server: numbered tokens of a given life."""

    def __init__(self, life: float = 3600.0) -> None:
        self.life = life
        self.given = 0

    def __call__(self, _method: str, path: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path.endswith("/none"):
            return reply({"detail": "unknown"}, 404)
        if path.endswith("/odd"):
            return reply({"token": "t"})
        time.sleep(0.05)
        self.given += 1
        end = datetime.now(UTC) + timedelta(seconds=self.life)
        text = end.isoformat().replace("+00:00", "Z")
        return reply({"msft:expiry": text, "token": f"st=1&sig=T{self.given}"})


def _signed(signer: Signer, server: Loopback, *, refresh: bool = False) -> str:
    return signer.sign(f"{server.url}/a.tif?sig=old", f"{server.url}/token/c", refresh=refresh)


def test_a_signature_is_fetched_once_and_replaces_the_one_before() -> None:
    with serve(Tokens()) as server:
        signer = Signer()
        assert _signed(signer, server) == f"{server.url}/a.tif?st=1&sig=T1"
        assert _signed(signer, server).endswith("sig=T1")
        assert server.asked == [("GET", "/token/c")]


def test_a_signature_near_its_end_is_fetched_again() -> None:
    with serve(Tokens(life=60.0)) as server:
        signer = Signer(margin=300.0)
        assert [_signed(signer, server)[-2:] for _ in range(2)] == ["T1", "T2"]


def test_a_refused_signature_is_fetched_again_but_once_for_many_readers() -> None:
    with serve(Tokens()) as server:
        signer = Signer(settle=0.0)
        _signed(signer, server)
        assert _signed(signer, server, refresh=True).endswith("T2")
        signer.settle = 10.0
        assert _signed(signer, server, refresh=True).endswith("T2")


def test_many_threads_share_one_fetch() -> None:
    with serve(Tokens()) as server:
        signer = Signer()
        with ThreadPoolExecutor(24) as pool:
            seen = set(pool.map(lambda _: _signed(signer, server), range(24)))
        assert len(seen) == len(server.asked) == 1


def test_a_signature_goes_to_the_provider_alone() -> None:
    with serve(Tokens()) as server:
        token = f"{server.url}/token/c"
        signer = Signer()
        for href in ("https://evil.org/a.tif", "s3://b/a.tif", "/data/a.tif"):
            assert signer.sign(href, token) == href
        assert signer.sign("https://h.org/a.tif", None) == "https://h.org/a.tif"
        assert server.asked == []
        blob = signer.sign("https://x.blob.core.windows.net/c/a.tif", token)
        assert blob == "https://x.blob.core.windows.net/c/a.tif?st=1&sig=T1"


def test_a_token_that_cannot_be_had_is_an_os_error() -> None:
    with serve(Tokens()) as server:
        with pytest.raises(requests.HTTPError):
            Signer().sign(f"{server.url}/a.tif", f"{server.url}/none")
        with pytest.raises(OSError, match="token and its expiry"):
            Signer().sign(f"{server.url}/a.tif", f"{server.url}/odd")


def test_what_names_the_file_stays_in_a_signed_query() -> None:
    with serve(Tokens()) as server:
        signed = Signer().sign(f"{server.url}/d?file=red.tif&sig=old&se=1", f"{server.url}/token/c")
        assert signed == f"{server.url}/d?file=red.tif&st=1&sig=T1"
