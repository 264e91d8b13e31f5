"""Leases on an object store: a real S3 API on loopback, and one that does not answer."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from groundbreak.pipeline.core import output as outputs
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import LeaseLost, Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.lease import locked
from tests.pipeline.running.test_lease import at_once, gone


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("stale", [False, True])
def test_of_many_runs_one_gets_in(stale: bool) -> None:
    for number in range(3):
        output = Output(f"s3://results/raced/{stale}/{number}")
        if stale:
            output.put(places.lease(4), gone())
        inside, refused = at_once(output, 6)
        assert inside == [5 if stale else 1]
        assert len(refused) == 5


@pytest.mark.usefixtures("endpoint")
def test_whoever_was_taken_for_dead_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output("s3://results/taken")
    with locked(output) as old:
        old.use(loose=True)
        old.output.put("a", b"before")
        output.put(old.key, gone())
        with locked(output) as new:
            new.use(loose=False)
            monkeypatch.setattr(outputs, "_LOOKED", {})
            with pytest.raises(LeaseLost, match="lease 2"):
                old.output.put("a", b"late")
    assert output.get("a") == b"before"
    assert list(output.list(places.LEASES)) == [places.lease(2)]


@contextlib.contextmanager
def silent_proxy(endpoint: str) -> Iterator[tuple[str, list[str]]]:
    """Pass requests on, but hang up instead of answering the first put of each lease; yield its address, and these."""
    silenced: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def go(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream = HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
            # The signature covers the name of the host that was asked: moto does not check it.
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            path = urlsplit(self.path).path
            if self.command == "PUT" and places.LEASES in path and path not in silenced:
                silenced.append(path)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = go  # noqa: N815 - http.server calls them so

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", silenced
        server.shutdown()


def test_a_put_that_was_answered_by_silence(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_proxy(endpoint) as (url, silenced):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        output = Output("s3://results/silence")
        for number in (1, 2):
            with locked(output) as lease:
                assert lease.output.lease == number
                lease.use(loose=False)
                with pytest.raises(BadInput, match="is being written"), locked(Output(output.path)):
                    pass
            assert json.loads(output.get(lease.key) or b"")["released"]
        assert [path.rpartition("/")[2] for path in silenced] == ["00000001.json", "00000002.json"]
