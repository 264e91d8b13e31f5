"""Connections to hosts over HTTP: kept open, made to addresses that were checked, and never waited for without end.

Neither obstore nor GDAL can be told not to follow a redirect, and neither shows the headers of an answer. So requests
over HTTP are made here, with the client of Python's standard library, which takes no more time than obstore does.
Nothing is repeated and no redirect is followed here (`pipeline.access.web_files` does that).
"""

from __future__ import annotations

import atexit
import http.client
import io
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

from groundbreak.pipeline.access import clocks, hrefs
from groundbreak.pipeline.access.proxies import proxy_login, proxy_of, tls
from groundbreak.pipeline.access.troubles import Forbidden, Trouble

IDLE = 64
"""Connections to a host that are kept open while nobody uses them."""
MOST_ERROR_BYTES = 4096
"""Bytes that are read of an answer that is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request, read as far as it was wanted."""

    status: int
    headers: http.client.HTTPMessage
    """Names are compared without regard to case."""
    body: bytes
    """Of a status other than 206, a part."""


def demand_public(url: str, allow_hosts: Collection[str]) -> list[str]:
    """Resolve a URL's host, and return its addresses.

    A host that the literal policy refuses is not looked at: whoever asks for it was allowed to by name.

    Raises
    ------
    Forbidden
        Its name is one that may be asked, but an address that it resolves to may not.
    Trouble
        The name cannot be resolved.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Trouble(f"{host} cannot be found ({error})", connected=False) from None
    addresses = [str(info[4][0]) for info in found]
    literal = hrefs.check(f"https://{parts.netloc}/", root=None, allow_hosts=allow_hosts)
    if literal is None and (refused := hrefs.check_addresses(host, addresses, allow_hosts)):
        raise Forbidden(f"what was asked for {refused}")
    return addresses


class _Timed(io.RawIOBase):
    """What comes from a socket, until a deadline."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock, self._ends = sock, ends
        # It keeps the socket open when the connection lets go of it, which it does where a server closes afterwards.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come, or wait for it as long as there is time."""
        over = self._ends - monotonic()
        if over <= 0:
            raise TimeoutError("the answer drips too slowly")
        self._sock.settimeout(min(clocks.QUIET_S, over))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class _Source:
    """A socket as `http.client` reads an answer from it, until a deadline."""

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._file: io.BufferedReader | None = None
        self._response: http.client.HTTPResponse | None = None

    def response(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:
        """Return what reads an answer from a socket: what a connection takes for its class of responses."""
        self._file = io.BufferedReader(_Timed(sock, self._ends), 16_384)
        self._response = http.client.HTTPResponse(self, **options)  # type: ignore[arg-type]
        return self._response

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what comes from the socket."""
        assert self._file is not None
        return self._file

    def close(self) -> None:
        """Let go of the socket."""
        if self._response is not None:
            self._response.close()


class Connections:
    """The connections of this process."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str, tuple[str, ...]], list[http.client.HTTPConnection]] = defaultdict(list)
        self._lock = threading.Lock()

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        most: int,
        allow_hosts: tuple[str, ...],
        *,
        within_s: float | None = None,
    ) -> Answer:
        """Ask for a URL once.

        Parameters
        ----------
        url : str
            Encoded, over http or https.
        headers : mapping
            Headers of the request.
        most : int
            Bytes of the body that are read where the status is 206; a server that sends more is not read to its end.
        allow_hosts : tuple of str
            Private hosts that may be asked.
        within_s : float, optional
            Seconds that it may take in all; left out, as many as `clocks` says.

        Raises
        ------
        Trouble
            The host cannot be reached, or its answer breaks off or takes too long.
        Forbidden
            The host resolves to an address that may not be asked.
        """
        parts = urlsplit(url)
        key = parts.scheme, parts.netloc, allow_hosts
        most_s = clocks.REQUEST_S if within_s is None else within_s
        ends = monotonic() + max(min(most_s, clocks.left()), 0.1)
        with self._lock:
            kept = self._idle[key].pop() if self._idle[key] else None
        if kept is not None:
            try:
                return self._ask(kept, key, parts, headers, most, ends)
            except TimeoutError as error:
                raise Trouble(f"{parts.netloc}: {error}") from None
            except (OSError, http.client.HTTPException):
                pass  # a server closes connections that nobody has used for a while
        try:
            connection = _connect(url, parts, allow_hosts, ends)
        except (Trouble, Forbidden):
            raise
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"{parts.netloc} cannot be reached ({error})", connected=False) from None
        try:
            return self._ask(connection, key, parts, headers, most, ends)
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"{parts.netloc}: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            for connection in (one for kept in self._idle.values() for one in kept):
                connection.close()
            self._idle.clear()

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        key: tuple[str, str, tuple[str, ...]],
        parts: SplitResult,
        headers: Mapping[str, str],
        most: int,
        ends: float,
    ) -> Answer:
        """Make a request over a connection; the connection is kept where its answer was read to the end."""
        source = _Source(ends)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            if through := getattr(connection, "proxied", None):
                target, headers = f"{key[0]}://{key[1]}{target}", {**headers, **through}
            connection.response_class = source.response  # type: ignore[assignment]
            connection.request("GET", target, headers=dict(headers))
            response = connection.getresponse()
            wanted = most if response.status == 206 else MOST_ERROR_BYTES
            body = response.read(wanted)
            if len(body) < wanted and response.length:
                raise http.client.IncompleteRead(body, response.length)
            whole = response.isclosed() or response.length == 0
        except BaseException:
            source.close()
            connection.close()
            raise
        with self._lock:
            kept = whole and not response.will_close and len(self._idle[key]) < IDLE
            if kept:
                self._idle[key].append(connection)
        if not kept:
            source.close()
            connection.close()
        return Answer(response.status, response.headers, body)


def _connect(url: str, parts: SplitResult, allow_hosts: tuple[str, ...], ends: float) -> http.client.HTTPConnection:
    """Connect to a URL's host, at an address that was checked, or to the proxy that the environment names."""
    proxy = proxy_of(parts.scheme, parts.netloc)
    host, port = parts.hostname or "", parts.port
    seconds = min(clocks.CONNECT_S, max(ends - monotonic(), 0.1))
    made: http.client.HTTPConnection
    if proxy is not None:
        auth = proxy_login(proxy)
        if parts.scheme == "https":
            made = http.client.HTTPSConnection(proxy.hostname or "", proxy.port or 80, timeout=seconds, context=tls())
            made.set_tunnel(host, port or 443, auth)
        else:
            made = http.client.HTTPConnection(proxy.hostname or "", proxy.port or 80, timeout=seconds)
            made.proxied = auth  # type: ignore[attr-defined]
    else:
        addresses = demand_public(url, allow_hosts)
        if parts.scheme == "https":
            made = http.client.HTTPSConnection(host, port or 443, timeout=seconds, context=tls())
        else:
            made = http.client.HTTPConnection(host, port or 80, timeout=seconds)
        # The name must not be resolved a second time, to something else.
        made._create_connection = _to(addresses)  # type: ignore[attr-defined]
    made.connect()
    return made


def _to(addresses: list[str]) -> Callable[..., socket.socket]:
    """Return what connects to the first of some addresses that answers."""

    def create(place: tuple[str, int], timeout: float, _source: Any = None) -> socket.socket:
        error: OSError = OSError("no address")
        for address in dict.fromkeys(addresses):
            try:
                return socket.create_connection((address, place[1]), timeout)
            except OSError as caught:
                error = caught
        raise error

    return create


CONNECTIONS = Connections()
"""The connections of this process, which all of its readers share."""
atexit.register(CONNECTIONS.close)
