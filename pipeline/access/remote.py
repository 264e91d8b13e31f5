"""How bytes are reached: object stores, HTTP and files, for requests of our own and for GDAL's.

Keys are asked for where they are used, on the worker that reads; none travels with a task.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.store import HTTPStore, LocalStore

from groundbreak.pipeline.access import retries
from groundbreak.pipeline.access.hrefs import OBJECT_STORES, is_url, sign

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, S3Config

REQUESTS = 64
"""Requests in flight at once, of a plan or of a task."""

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
        return OBJECT_STORES[scheme.lower()] + rest if scheme.lower() in OBJECT_STORES else "/vsicurl/" + signed

    def locate(self, href: str, *, refresh: bool = False) -> tuple[ObjectStore, str]:
        """Return (store, path): a host's or bucket's store, one for all hrefs of one signature, and the path in it.

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
        return _host(f"{parts.scheme}://{parts.netloc}" + (f"?{parts.query}" if parts.query else "")), path

    def open_prefix(self, prefix: str) -> ObjectStore:
        """Return the objects under an s3://, gs:// or az:// prefix; all that ask for the same share one store."""
        # What does not change where the objects are must not make another store of them.
        return _bucket(prefix, replace(self, token_url=None, attempts=1), self._is_anonymous)

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
def _host(url: str) -> ObjectStore:
    """Return a host's objects; a signature in the query goes along with every request."""
    return HTTPStore.from_url(
        url, client_options={**CLIENT_OPTIONS, "allow_http": True}, retry_config=retries.OBJECT_STORE
    )


def _has_keys(*prefixes: str) -> bool:
    """Return whether the environment holds credentials of a cloud, or says where they are."""
    words = ("KEY", "SECRET", "TOKEN", "PROFILE", "CREDENTIALS", "ROLE", "CONNECTION_STRING")
    return any(n.startswith(prefixes) and any(w in n for w in words) for n in os.environ)
