"""HTTP side of the archive server: ranges, bodies and connections."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Protocol

_CHUNK = 1 << 16


@dataclass(slots=True)
class Answer:
    """One response before it is sent."""

    status: int
    body: bytes | Path
    """Bytes, or the file that holds them."""
    kind: str
    fault: str | None = None
    """reset, truncate, slow, stall, drip, html, flip or short."""
    first: int = 0
    """First byte to send."""
    length: int = 0
    """Bytes to send."""
    size: int = 0
    """Bytes of the whole body."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers beside those that every answer has."""

    def resolve(self, range_header: str | None) -> int:
        """Apply a Range header (RFC 9110, one range), and return the status to send.

        A malformed header, or one with several ranges, is ignored, as the RFC allows.
        """
        self.size = self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)
        self.first, self.length = 0, self.size
        match = re.fullmatch(r"bytes=\s*(\d*)-(\d*)\s*", range_header or "")
        if self.status != 200 or self.fault == "html" or not match or match[1] == match[2] == "":
            return self.status
        if match[1] == "":
            first, last = max(self.size - int(match[2]), 0), self.size - 1
            unsatisfiable = int(match[2]) == 0 or self.size == 0
        else:
            first = int(match[1])
            last = min(int(match[2]), self.size - 1) if match[2] else self.size - 1
            if match[2] and int(match[2]) < first:
                return self.status
            unsatisfiable = first >= self.size
        if unsatisfiable:
            self.status, self.body, self.first, self.length = 416, b"", 0, 0
        else:
            self.status, self.first, self.length = 206, first, last - first + 1
        if self.fault == "short":
            self.length -= min(self.length, 1)
        return self.status

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes to send."""
        if isinstance(self.body, bytes):
            yield self.body[self.first : self.first + self.length]
            return
        left = self.length
        with self.body.open("rb") as file:
            file.seek(self.first)
            while left > 0 and (piece := file.read(min(left, _CHUNK))):
                yield piece
                left -= len(piece)


class Closing(Protocol):
    """Event that ends waits."""

    def wait(self, timeout: float) -> bool:
        """Wait for the server to stop, up to ``timeout`` seconds; return whether it did."""
        ...


class Archive(Protocol):
    """What the handler needs of its server."""

    latency_s: float
    slow_s: float
    drip_s: float

    @property
    def closing(self) -> Closing:
        """Set when the server stops."""
        ...

    def answer(self, method: str, target: str, range_header: str | None) -> Answer:
        """Decide one request."""
        ...


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD with keep-alive; `archive` is set by a subclass."""

    archive: Archive
    protocol_version = "HTTP/1.1"
    # Headers and body leave in separate writes: Nagle would hold the second one back for 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with a body."""
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would send."""
        self._respond(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the archive has its own log."""

    def _respond(self, *, with_body: bool) -> None:
        if self.archive.closing.wait(0):
            self._reset()  # a connection that has outlived the server
            return
        answer = self.archive.answer(self.command, self.path, self.headers.get("Range"))
        delay = self.archive.latency_s + (self.archive.slow_s if answer.fault == "slow" else 0)
        if delay and self.archive.closing.wait(delay):
            self.close_connection = True
            return
        if answer.fault == "stall":
            self.archive.closing.wait(3600)
            self.close_connection = True
            return
        if answer.fault == "reset":
            self._reset()
            return
        # A client that gave up waiting is no error of the server.
        with suppress(ConnectionError):
            self._head(answer)
            if with_body:
                self._send(answer)

    def _head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(answer.length))
        self.send_header("Accept-Ranges", "bytes")
        for name, text in answer.headers.items():
            self.send_header(name, text)
        if answer.status == 206:
            last = answer.first + answer.length - 1
            self.send_header("Content-Range", f"bytes {answer.first}-{last}/{answer.size}")
        elif answer.status == 416:
            self.send_header("Content-Range", f"bytes */{answer.size}")
        self.end_headers()

    def _send(self, answer: Answer) -> None:
        if answer.fault == "truncate":
            answer.length //= 2
            self.close_connection = True
        for number, piece in enumerate(answer.pieces()):
            if answer.fault == "flip" and not number:
                middle = len(piece) // 2
                piece = piece[:middle] + bytes([piece[middle] ^ 16]) + piece[middle + 1 :]
            if answer.fault == "drip":
                self._drip(piece)
            else:
                self.wfile.write(piece)

    def _drip(self, piece: bytes) -> None:
        for at in range(len(piece)):
            self.wfile.write(piece[at : at + 1])
            if self.archive.closing.wait(self.archive.drip_s):
                self.close_connection = True
                return

    def _reset(self) -> None:
        # Zero linger makes close send RST, so that the client sees a reset and not an end of file.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
