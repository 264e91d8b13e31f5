"""Hosts on loopback that look at what they are asked with: logins, cookies, queries that name files."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = b"<!DOCTYPE html><html>Earthdata Login</html>" * 600
"""A page on which a host asks for a login, longer than the start of a file that a reader asks for."""

Reply = tuple[int, Mapping[str, str], bytes]
"""(status, headers, body)."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    """Path and query, as they were sent."""
    headers: Mapping[str, str]
    """In small letters -> value."""


@dataclass
class Host:
    """A host that answers from a function with a file, of which parts are sent, or with a reply."""

    answer: Callable[[Asked], Path | Reply]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


def part(data: bytes, asked: Asked) -> Reply:
    """Return the part of a file that a Range header asks for."""
    match = re.match(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if match is None:
        return 200, {"Accept-Ranges": "bytes"}, data
    first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
    where = f"bytes {first}-{last}/{len(data)}"
    return 206, {"Accept-Ranges": "bytes", "Content-Range": where}, data[first : last + 1]


@contextlib.contextmanager
def host(answer: Callable[[Asked], Path | Reply]) -> Iterator[Host]:
    """Answer GET and HEAD on a free port of 127.0.0.1 until the block ends."""
    found = Host(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            found.connections += 1
            super().setup()

        def go(self) -> None:
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            found.asked.append(asked)
            got = found.answer(asked)
            if isinstance(got, Path):
                got = part(got.read_bytes(), asked) if got.is_file() else (404, {}, b"")
            status, headers, body = got
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

        do_GET = do_HEAD = go  # noqa: N815 - http.server calls them so

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that hang up."""

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
