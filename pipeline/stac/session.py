"""Requests to catalogues: made again where that helps, within the policy, and with answers of a bounded size.

An answer is inflated here and not by requests, which inflates all of it before anybody can ask how much that is.
"""

from __future__ import annotations

import zlib
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.sessions import PatientSession

TIMEOUT = (10, 120)
"""Seconds to connect, and between bytes."""
PIECE = 65_536
"""Bytes that are taken from a connection at once."""


class TooLarge(requests.RequestException):
    """An answer is larger than what is read."""


class Session(PatientSession):
    """Repeats requests that may yet succeed, and asks the policy before every request, redirected ones included.

    Parameters
    ----------
    allow_hosts : tuple of str
        Private hosts that may be asked.
    most_bytes : int
        Bytes of an answer, inflated; a larger one raises `TooLarge`.
    patience : float
        Seconds for which a host is waited for that has served earlier requests.
    """

    def __init__(self, allow_hosts: tuple[str, ...], most_bytes: int, patience: float = 900.0) -> None:
        super().__init__(allow_hosts, patience)
        self.headers["Accept-Encoding"] = "gzip"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Bounded(most_bytes))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, unless the policy refuses its address."""
        refused = hrefs.check(str(request.url), root=None, allow_hosts=self.allow_hosts)
        if refused:
            raise requests.exceptions.InvalidURL(f"{request.url} {refused}")
        return super().send(request, **kwargs)


class _Bounded(HTTPAdapter):
    """Reads whole bodies, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self.most_bytes = most_bytes

    def send(self, request: requests.PreparedRequest, *_: Any, **kwargs: Any) -> requests.Response:
        """Send one request, and read what comes."""
        response = super().send(request, **{**kwargs, "stream": True})
        try:
            content = _body(response, self.most_bytes)
        finally:
            response.close()
        # What requests itself sets when it has read a body.
        response._content, response._content_consumed = content, True  # type: ignore[attr-defined]
        return response


def _body(response: requests.Response, most: int) -> bytes:
    """Read and inflate a body.

    Raises
    ------
    TooLarge
        It is larger than ``most`` bytes, as sent or inflated.
    ContentDecodingError
        It is coded in a way that was not asked for, or is damaged.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise ContentDecodingError(f"{response.url} is sent as {coding!r}, which was not asked for")
    large = TooLarge(f"{response.url} sends more than {most >> 20} MiB")
    if response.headers.get("Content-Length", "").isdigit() and int(response.headers["Content-Length"]) > most:
        raise large
    inflate = zlib.decompressobj(31) if "gzip" in coding else None
    parts, size = [], 0
    try:
        for piece in response.raw.stream(PIECE, decode_content=False):
            # At most one byte too many is ever inflated.
            part = piece if inflate is None else inflate.decompress(piece, most - size + 1)
            size += len(part)
            if size > most:
                raise large
            parts.append(part)
    except zlib.error as error:
        raise ContentDecodingError(f"{response.url} is damaged ({error})") from None
    except OSError:
        raise
    except Exception as error:  # urllib3's own kinds, which requests would turn into its own
        raise requests.exceptions.ConnectionError(f"{response.url} broke off ({error})") from None
    if inflate is not None and size and not inflate.eof:
        raise ContentDecodingError(f"{response.url} is damaged (it breaks off)")
    return b"".join(parts)
