"""A loopback HTTP server for archives, with byte ranges, scripted faults and signed URLs.

    with ArchiveServer(folder) as server:
        server.fail("*/red.tif", status=500, times=2)
        read(f"{server.url}/items.json")
        assert server.count("*/red.tif") == 3

Binds 127.0.0.1 on a free port; every thread ends with the context.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from fnmatch import fnmatchcase
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from groundbreak.pipeline.testing.handler import Answer, Archive, Handler

Fault = Literal["reset", "truncate", "slow", "stall", "drip", "html", "flip", "short"] | int
"""An HTTP status, or: close the connection, send half of the body, send it late, send nothing and keep the connection,
send a byte now and then, send a web page with status 200, flip a bit of the body, send fewer bytes than were asked for.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the request log."""

    method: str
    path: str
    """Path without query or leading slash."""
    range: str | None
    """Range header as sent."""
    outcome: str
    """Status sent, or the fault's name."""


class _QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that hang up: GDAL does so as soon as it has what it wants."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass(slots=True)
class _Rule:
    pattern: str
    fault: Fault
    left: int | None
    headers: dict[str, str]


class ArchiveServer:
    """Serves one folder read-only on loopback.

    Parameters
    ----------
    folder
        Root; nothing outside it is served.
    latency_s
        Seconds to wait before every answer.
    slow_s
        Seconds that a "slow" fault adds.
    drip_s
        Seconds between two bytes of a "drip".
    """

    def __init__(
        self, folder: Path | str, *, latency_s: float = 0.0, slow_s: float = 5.0, drip_s: float = 0.05
    ) -> None:
        self.folder = Path(folder).resolve()
        self.latency_s, self.slow_s, self.drip_s = latency_s, slow_s, drip_s
        self._port = 0
        self._rules: list[_Rule] = []
        self._log: list[Request] = []
        self._lock = threading.Lock()
        self._ttl: float | None = None
        self._secret = secrets.token_bytes(16)
        self._closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start to serve, on a free port of loopback."""
        outer = self

        class Bound(Handler):
            archive: Archive = outer

        self._closing.clear()
        self._server = _QuietServer(("127.0.0.1", self._port), Bound)
        # Keep-alive connections outlive a request; daemon threads, or exit would wait for clients.
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server, and wait for its thread."""
        self._closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        if self._server is None:
            raise RuntimeError("the server runs inside its with block only")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def closing(self) -> threading.Event:
        """Set when the server stops: handlers give up waiting and close their connections."""
        return self._closing

    @property
    def requests(self) -> list[Request]:
        """Return a copy of the request log, the oldest request first."""
        with self._lock:
            return list(self._log)

    def count(self, pattern: str = "*", method: str | None = None) -> int:
        """Count the logged requests whose path matches a shell pattern (`*` crosses slashes)."""
        return sum(fnmatchcase(r.path, pattern) and method in (None, r.method) for r in self.requests)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._log.clear()

    def away(self, seconds: float) -> None:
        """Close the port and all connections, as a host does that is gone, and come back after some seconds."""
        self._port = int(urlsplit(self.url).port or 0)
        self.__exit__(None, None, None)

        def come_back() -> None:
            time.sleep(seconds)
            self.__enter__()
            self._port = 0

        threading.Thread(target=come_back, daemon=True).start()

    def fail(
        self,
        path_glob: str,
        status: Fault = 500,
        times: int | None = None,
        *,
        retry_after: str = "",
        to: str = "",
    ) -> None:
        """Script a fault; rules are tried in order of their making.

        Parameters
        ----------
        path_glob
            Shell pattern of paths without leading slash; `*` crosses slashes.
        status
            HTTP status to answer, "reset" (close without an answer), "truncate" (half of the
            announced body, then close), "slow" (the right answer, `slow_s` later), "stall" (nothing,
            and the connection stays), "drip" (the right answer, a byte every `drip_s`), "html" (a page
            with status 200), "flip" (one bit of the body is another) or "short" (the last byte is left out).
        times
            Number of requests to spoil; None for all.
        retry_after
            The header Retry-After of the answer: seconds, or a date; "" for none.
        to
            Where a redirect leads: the header Location; "" for none.
        """
        headers = {name: text for name, text in (("Retry-After", retry_after), ("Location", to)) if text}
        with self._lock:
            self._rules.append(_Rule(path_glob, status, times, headers))

    def heal(self) -> None:
        """Drop all scripted faults."""
        with self._lock:
            self._rules.clear()

    def require_signature(self, ttl_s: float) -> None:
        """Answer 403 to .tif requests without a valid token that is younger than `ttl_s` seconds.

        Tokens come from `GET /sas/token/<collection>`, in Planetary Computer's form, and are
        appended to a file's URL as its query.
        """
        self._ttl = ttl_s

    # What the handler asks.

    def answer(self, method: str, target: str, range_header: str | None) -> Answer:
        """Decide one request and log it."""
        parts = urlsplit(target)
        path = unquote(parts.path).lstrip("/")
        rule = self._rule(path)
        answer = self._plain(path, parts.query)
        if rule is not None:
            if isinstance(rule.fault, int):
                answer = Answer(rule.fault, b"scripted fault\n", "text/plain")
            elif rule.fault == "html":
                answer = Answer(200, b"<!doctype html><title>Sorry</title>\n", "text/html", "html")
            else:
                answer.fault = rule.fault
            answer.headers.update(rule.headers)
        outcome = answer.resolve(range_header)
        with self._lock:
            self._log.append(Request(method, path, range_header, str(answer.fault or outcome)))
        return answer

    def _rule(self, path: str) -> _Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.left != 0 and fnmatchcase(path, rule.pattern):
                    rule.left = None if rule.left is None else rule.left - 1
                    return rule
        return None

    def _plain(self, path: str, query: str) -> Answer:
        if self._ttl is not None and path.startswith("sas/token/"):
            return Answer(200, self._token(self._ttl), "application/json")
        # Symbolic links and .. are resolved first, so neither leads out of the folder.
        file = (self.folder / path.replace("\0", "")).resolve()
        if not file.is_relative_to(self.folder):
            return Answer(403, b"outside the archive\n", "text/plain")
        if not file.is_file():
            return Answer(404, b"no such file\n", "text/plain")
        if self._ttl is not None and file.suffix == ".tif" and not self._signed(query):
            return Answer(403, b"signature missing, wrong or expired\n", "text/plain")
        kind = {".tif": "image/tiff", ".json": "application/json"}.get(file.suffix)
        state = file.stat()
        marks = {
            "ETag": f'"{state.st_mtime_ns:x}-{state.st_size:x}"',
            "Last-Modified": formatdate(state.st_mtime, usegmt=True),
        }
        return Answer(200, file, kind or "application/octet-stream", headers=marks)

    def _sign(self, expiry: str) -> str:
        return hmac.new(self._secret, expiry.encode(), hashlib.sha256).hexdigest()

    def _token(self, ttl: float) -> bytes:
        expiry = f"{time.time() + ttl:.3f}"
        when = datetime.fromtimestamp(float(expiry), UTC).isoformat(timespec="milliseconds")
        token = f"se={expiry}&sig={self._sign(expiry)}"
        body = {"msft:expiry": when.replace("+00:00", "Z"), "token": token}
        return json.dumps(body).encode()

    def _signed(self, query: str) -> bool:
        given = parse_qs(query)
        expiry, signature = (given.get(k, [""])[0] for k in ("se", "sig"))
        if not hmac.compare_digest(signature.encode(), self._sign(expiry).encode()):
            return False
        return float(expiry) > time.time()
