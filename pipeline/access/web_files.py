"""Files over HTTP: what their hosts answer, and where they lead to, which the policy of hrefs is asked about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from groundbreak.pipeline.access import hrefs, stamps
from groundbreak.pipeline.access.connections import CONNECTIONS, Answer
from groundbreak.pipeline.access.range_files import RangeFile
from groundbreak.pipeline.access.troubles import BUSY, Busy, Forbidden, Replaced, Trouble, seconds_of

MOST_HOPS = 10
"""Redirects of one request that are followed."""
LOOK_S = 10.0
"""Seconds in which a host must serve one byte of a file that it has served before."""

_OWN = ("authorization", "cookie", "proxy-authorization")
"""Headers that do not go to another host."""


class WebFile(RangeFile):
    """A file over HTTP.

    Parameters
    ----------
    url : str
        Where it is asked for: its address, signed.
    name : str
        Its address, without a signature.
    headers : mapping
        Headers of each request; logins do not go to another host.
    allow_hosts : tuple of str
        Private hosts that the server may lead to.
    stamp : str
        What the file was when the run was planned; "" where nobody knows.
    patience : float
        Seconds for which the host is waited for.
    fresh : bool
        Go past what caches on the way hold.
    """

    def __init__(
        self,
        url: str,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        allow_hosts: tuple[str, ...] = (),
        *,
        stamp: str = "",
        patience: float = 0.0,
        fresh: bool = False,
    ) -> None:
        super().__init__(name or hrefs.redact(url), urlsplit(url).netloc, stamp, patience)
        self._url, self._allow = url, allow_hosts
        self._headers = {**(headers or {}), "Accept-Encoding": "identity"}
        if fresh:
            self._headers |= {"Cache-Control": "no-cache", "Pragma": "no-cache"}

    def _ask(self, start: int, end: int, *, look: bool = False) -> tuple[bytes, str]:
        """Ask once for a range."""
        answer = self._follow({**self._headers, "Range": f"bytes={start}-{end - 1}"}, end - start, look)
        status = answer.status
        if status == 206:
            return answer.body[: end - start], _stamp(answer, start)
        if status in BUSY:
            raise Busy(f"HTTP status {status}", retry_after=seconds_of(answer.headers.get("Retry-After")))
        if status in (404, 410):
            raise FileNotFoundError(f"HTTP status {status}")
        if status in (401, 403):
            raise PermissionError(f"HTTP status {status}")
        if status == 200:
            raise ValueError("Range request not supported: the server sends no parts of a file")
        if status == 416 and self.stamp:
            raise Replaced()
        raise ValueError(f"HTTP status {status}")

    def _follow(self, headers: dict[str, str], most: int, look: bool) -> Answer:
        """Ask for the file, and for what its host leads to."""
        url, within = self._url, LOOK_S if look else None
        for hop in range(MOST_HOPS + 1):
            try:
                answer = CONNECTIONS.get(url, headers, most, self._allow, within_s=within)
            except Trouble as trouble:
                if not hop:
                    raise
                # Whatever ails another host is no reason to wait for this one.
                raise Trouble(f"after a redirect: {trouble}") from None
            where = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not where:
                return answer
            led = urljoin(url, where)
            if refused := hrefs.check(led, root=None, allow_hosts=self._allow):
                raise Forbidden(f"{hrefs.redact(self.name)} redirects to what {refused}")
            if urlsplit(led)[:2] != urlsplit(url)[:2]:
                headers = {name: value for name, value in headers.items() if name.lower() not in _OWN}
            url = led
        raise ValueError(f"more than {MOST_HOPS} redirects")


def _stamp(answer: Answer, start: int) -> str:
    """Return the stamp that an answer with a part of a file tells; ValueError where it is another part."""
    told = re.match(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if told is not None and int(told[1]) != start:
        raise ValueError("the server sends another part of the file than it was asked for")
    size = int(told[3]) if told is not None and told[3] != "*" else None
    return stamps.make(size, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
