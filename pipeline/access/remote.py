"""How bytes are reached: object stores, HTTP and files, for requests of our own and for GDAL's.

Keys are asked for where they are used, on the worker that reads; none travels with a task.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.store import HTTPStore, LocalStore

from groundbreak.pipeline.access import login_pages, logins, retries
from groundbreak.pipeline.access.addresses import naming_query
from groundbreak.pipeline.access.hrefs import OBJECT_STORES, is_url
from groundbreak.pipeline.access.signing import sign
from groundbreak.pipeline.access.whole_urls import Store, WholeUrls

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, S3Config

REQUESTS = 64
"""Requests in flight at once, of a plan or of a task."""

_UNASKABLE = re.compile(r"//|%2[ef]|/\.\.?(/|$)|/$|^$", re.I)
"""Paths of URLs that obstore cannot ask for as they are written: it joins whole names by single slashes."""

_TOKEN = re.compile(r"(?:^|&)(?:sr=c|srt=)")
"""What the tokens of Azure hold that are good for a whole container or account."""

CLIENT_OPTIONS: ClientConfig = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=10)}


@dataclass(frozen=True, slots=True)
class Access:
    """How the files of a source are reached: a few plain values, which travel to workers beside the hrefs.

    `Provider.access` (`pipeline.access.providers`) makes it from a configuration and a provider.
    """

    s3_endpoint: str | None = None
    """URL of an S3 store other than Amazon's."""
    s3_region: str | None = None
    """Region of the S3 store, where the environment does not say it."""
    requester_pays: bool = False
    """Whether whoever reads pays for it; requests then carry keys."""
    token_url: str | None = None
    """Where a signature is fetched (the Planetary Computer's scheme); None where hrefs need none."""
    attempts: int = 3
    """How often an asset is read before it is a fault."""
    trust: logins.Trust = logins.NOBODY
    """The hosts that get a login (`pipeline.access.logins`)."""

    def gdal_path(self, href: str, *, refresh: bool = False) -> str:
        """Return what GDAL opens: the signed href behind its virtual file system.

        Parameters
        ----------
        href : str
            Absolute URL or path, unsigned.
        refresh : bool
            The last signature was refused: make another.
        """
        signed = sign(href, self.token_url, refresh=refresh)
        if not is_url(signed):
            return signed
        scheme, _, rest = signed.partition("://")
        if scheme.lower() in OBJECT_STORES:
            return OBJECT_STORES[scheme.lower()] + unquote(rest)
        return "/vsicurl/" + signed

    def locate(self, href: str, *, refresh: bool = False) -> tuple[Store, str]:
        """Return (store, path): a host's or bucket's store, one for all hrefs of one signature, and the path in it.

        Where a query names the file, or obstore cannot ask for a path as it is written, the path is the whole URL.

        Parameters
        ----------
        href : str
            Absolute URL or path, unsigned.
        refresh : bool
            The last signature was refused: make another.
        """
        signed = sign(href, self.token_url, refresh=refresh)
        if not is_url(signed):
            return _local(), signed.lstrip("/")
        parts = urlsplit(signed)
        path = unquote(parts.path).lstrip("/")
        if parts.scheme.lower() in OBJECT_STORES:
            return self.open_prefix(f"{parts.scheme.lower()}://{parts.netloc}"), path
        headers = logins.headers(signed, self.trust, refresh=refresh)
        # A token is shared by all files of a collection or container; any other query is one file's own.
        token = self.token_url is not None or _TOKEN.search(parts.query) is not None
        shared = not parts.query or (token and not naming_query(href))
        if not shared or _UNASKABLE.search(parts.path) or "\ufffd" in path:
            return WholeUrls(headers), signed
        query = f"?{parts.query}" if parts.query else ""
        return _host(f"{parts.scheme}://{parts.netloc}{query}", tuple(sorted(headers.items()))), path

    def open_prefix(self, prefix: str) -> ObjectStore:
        """Return the objects under an s3://, gs:// or az:// prefix; all that ask for the same share one store."""
        # What does not change where the objects are must not make another store of them.
        return _bucket(prefix, replace(self, token_url=None, attempts=1, trust=logins.NOBODY), self._is_anonymous)

    def gdal_login(self, href: str, *, refresh: bool = False) -> dict[str, str]:
        """Return GDAL's settings that log in to the host of one href, beside those of `gdal_options`.

        What the environment tells GDAL to send, GDAL finds by itself.
        """
        if not href.lower().startswith(("http://", "https://")):
            return {}
        own = logins.own_headers(href, self.trust, refresh=refresh)
        lines = [*logins.told_headers(), *(f"{name}: {value}" for name, value in own.items())]
        return {"GDAL_HTTP_HEADERS": "\r\n".join(lines)} if own else {}

    def may_wait(self, href: str) -> bool:
        """Tell whether `locate` may have to ask somebody first: for a signature, or for a login."""
        host = urlsplit(href).hostname or ""
        return self.token_url is not None or self.trust.may_lead_to_login(host.lower())

    @contextmanager
    def telling_logins(self, href: str) -> Iterator[None]:
        """Raise `NeedsLogin` in place of an error that stems from a page that asks for a login."""
        try:
            yield
        except Exception as error:
            if self.token_url is None and href.lower().startswith(("http://", "https://")):
                asked = login_pages.explain(href, self.trust, error)
                if asked is not None:
                    raise asked from None
            raise

    def gdal_options(self) -> dict[str, str]:
        """Return GDAL's settings for reading; to be asked for on the worker that reads, whose keys decide."""
        options = {
            # Listing a folder of a store costs more than the pixels that are wanted.
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            **retries.GDAL,
            "GDAL_HTTP_TIMEOUT": "60",
            "GDAL_HTTP_CONNECTTIMEOUT": "10",
            # Half a body, once kept, would be served to every further attempt of this process.
            "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/",
        }
        if self.s3_endpoint:
            scheme, _, host = self.s3_endpoint.rpartition("://")
            options["AWS_S3_ENDPOINT"] = host.rstrip("/")
            options["AWS_HTTPS"] = "NO" if scheme == "http" else "YES"
            options["AWS_VIRTUAL_HOSTING"] = "FALSE"
        if self.s3_region:
            options["AWS_REGION"] = self.s3_region
        if self.requester_pays:
            options["AWS_REQUEST_PAYER"] = "requester"
        if self._is_anonymous:
            options["AWS_NO_SIGN_REQUEST"] = "YES"
        if not _has_keys("AZURE_"):
            options["AZURE_NO_SIGN_REQUEST"] = "YES"
        if not _has_keys("GS_", "GOOGLE_"):
            options["GS_NO_SIGN_REQUEST"] = "YES"
        return options

    @property
    def _is_anonymous(self) -> bool:
        """Whether S3 is asked without keys: there are none here, and nobody has to pay."""
        return not self.requester_pays and not _has_keys("AWS_")


@lru_cache(maxsize=64)
def _bucket(prefix: str, access: Access, is_anonymous: bool) -> ObjectStore:
    scheme = prefix.partition("://")[0].lower()
    if scheme != "s3":
        keys = ("AZURE_",) if scheme == "az" else ("GS_", "GOOGLE_")
        unsigned: Any = {} if _has_keys(*keys) else {"skip_signature": True}
        return obstore.store.from_url(
            prefix, config=unsigned, client_options=CLIENT_OPTIONS, retry_config=retries.OBJECT_STORE
        )
    config: S3Config = {"skip_signature": is_anonymous, "request_payer": access.requester_pays}
    if access.s3_endpoint:
        config["endpoint"] = access.s3_endpoint
    if access.s3_region:
        config["region"] = access.s3_region
    client: ClientConfig = {**CLIENT_OPTIONS, "allow_http": (access.s3_endpoint or "").startswith("http://")}
    return obstore.store.from_url(prefix, config=config, client_options=client, retry_config=retries.OBJECT_STORE)


@lru_cache(maxsize=1)
def _local() -> ObjectStore:
    return LocalStore()


@lru_cache(maxsize=64)
def _host(url: str, headers: tuple[tuple[str, str], ...]) -> ObjectStore:
    """Return a host's objects; a signature in the query goes along with every request, and so do the headers.

    Where a server leads to another host, Authorization and Cookie do not go there.
    """
    client: ClientConfig = {**CLIENT_OPTIONS, "allow_http": True}
    if headers:
        client["default_headers"] = dict(headers)
    return HTTPStore.from_url(url, client_options=client, retry_config=retries.OBJECT_STORE)


def _has_keys(*prefixes: str) -> bool:
    """Return whether the environment holds credentials of a cloud, or says where they are."""
    words = ("KEY", "SECRET", "TOKEN", "PROFILE", "CREDENTIALS", "ROLE", "CONNECTION_STRING")
    return any(n.startswith(prefixes) and any(w in n for w in words) for n in os.environ)
