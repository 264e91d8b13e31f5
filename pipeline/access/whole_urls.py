"""Files that only their whole URLs tell apart: by a query that names the file, or a path that obstore cannot ask for.

obstore joins a path to a store, and every query is a store with connections of its own. Here all URLs share the
connections of their hosts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import requests
from obstore.store import ObjectStore
from requests.adapters import HTTPAdapter

from groundbreak.pipeline.access.retries import range_retries

THREADS = 64
"""Requests in flight at once, and connections that are kept for each host."""


class WholeUrls:
    """Reads ranges of files over HTTP, with the methods of a store of obstore that reading takes; a path is a URL."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    def get_range(self, path: str, *, start: int, end: int | None = None, length: int | None = None) -> bytes:
        """Read the bytes from ``start`` up to ``end``, or ``length`` of them; fewer where the file ends before.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        OSError
            The server answers otherwise than with a part of the file.
        requests.RequestException, urllib3.exceptions.HTTPError
            It cannot be reached, or breaks off.
        """
        stop = end if end is not None else start + (length or 0)
        with _session().get(
            path,
            headers={**self._headers, "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"},
            auth=lambda request: request,  # an account is among the headers already
            stream=True,
            timeout=(10, 60),
        ) as answer:
            if answer.status_code in (404, 410):
                raise FileNotFoundError(f"HTTP status {answer.status_code}")
            if answer.status_code == 200:
                raise OSError("Range request not supported: the server sends no parts of a file")
            if answer.status_code != 206:
                raise OSError(f"HTTP status {answer.status_code}")
            # A server that sends more than it was asked for is not read to its end.
            return bytes(answer.raw.read(stop - start, decode_content=False))

    async def get_range_async(
        self, path: str, *, start: int, end: int | None = None, length: int | None = None
    ) -> bytes:
        """Read as `get_range` does, while others do so, too."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_threads(), lambda: self.get_range(path, start=start, end=end, length=length))

    async def get_ranges_async(
        self,
        path: str,
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> list[bytes]:
        """Read several ranges of one file."""
        stops = ends if ends is not None else [a + n for a, n in zip(starts, lengths or (), strict=True)]
        reads = (self.get_range_async(path, start=a, end=b) for a, b in zip(starts, stops, strict=True))
        return list(await asyncio.gather(*reads))


Store = ObjectStore | WholeUrls
"""What ranges of files are read from."""


@cache
def _session() -> requests.Session:
    """Return the connections of this process; keys do not follow a redirect to another host."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(
            scheme, HTTPAdapter(pool_connections=32, pool_maxsize=THREADS, pool_block=True, max_retries=range_retries())
        )
    return session


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="ranges")
