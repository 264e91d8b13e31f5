"""How bytes are reached: object stores, HTTP and files, for requests of our own and for GDAL's.

Keys are asked for where they are used, on the worker that reads; none travels with a task.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.store import HTTPStore, LocalStore

from groundbreak.pipeline.access.hrefs import OBJECT_STORES, is_url
from groundbreak.pipeline.access.providers import Provider
from groundbreak.pipeline.core.config import Source

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

REQUESTS = 64
"""In flight at once, of a plan or of a task."""

CLIENT: ClientConfig = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=10)}
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=120)}
"""Of one request, for an answer that asks for it (429, 5xx) and a connection that breaks."""


def gdal_path(href: str) -> str:
    """An href as GDAL addresses it."""
    if not is_url(href):
        return href
    scheme, _, rest = href.partition("://")
    return OBJECT_STORES[scheme.lower()] + rest if scheme.lower() in OBJECT_STORES else "/vsicurl/" + href


@dataclass(frozen=True, slots=True)
class S3:
    """How s3:// is reached; its keys, if any, come from the worker's environment."""

    endpoint: str | None
    """URL of a store other than Amazon's."""
    region: str | None
    requester_pays: bool
    anonymous: bool
    """No keys here, and none needed."""


def s3(source: Source, provider: Provider | None = None) -> S3:
    """The configuration's word, then the provider's, then the environment's."""
    endpoint = source.s3_endpoint or (provider.s3_endpoint if provider else None)
    pays = source.requester_pays
    return S3(endpoint, source.s3_region, pays, not pays and not _has_keys("AWS_"))


def open_store(prefix: str, source: Source, provider: Provider | None = None) -> ObjectStore:
    """The objects under an s3://, gs:// or az:// prefix; one store for all that ask for the same."""
    return _bucket(prefix, s3(source, provider))


@lru_cache(maxsize=64)
def _bucket(prefix: str, way: S3) -> ObjectStore:
    scheme = prefix.partition("://")[0].lower()
    if scheme != "s3":
        keys = ("AZURE_",) if scheme == "az" else ("GS_", "GOOGLE_")
        anonymous: Any = {} if _has_keys(*keys) else {"skip_signature": True}
        return obstore.store.from_url(prefix, config=anonymous, client_options=CLIENT, retry_config=RETRIES)
    config: S3Config = {"skip_signature": way.anonymous, "request_payer": way.requester_pays}
    if way.endpoint:
        config["endpoint"] = way.endpoint
    if way.region:
        config["region"] = way.region
    client: ClientConfig = {**CLIENT, "allow_http": (way.endpoint or "").startswith("http://")}
    return obstore.store.from_url(prefix, config=config, client_options=client, retry_config=RETRIES)


def locate(href: str, source: Source, provider: Provider) -> tuple[ObjectStore, str]:
    """Where the bytes behind a signed href are.

    Returns
    -------
    (store, path): a host's or bucket's store, one for all its hrefs of one signature, and the path in it
    """
    if not is_url(href):
        return _local(), href.lstrip("/")
    parts = urlsplit(href)
    path = unquote(parts.path).lstrip("/")
    if parts.scheme.lower() in OBJECT_STORES:
        return open_store(f"{parts.scheme.lower()}://{parts.netloc}", source, provider), path
    return _host(f"{parts.scheme}://{parts.netloc}" + (f"?{parts.query}" if parts.query else "")), path


@lru_cache(maxsize=1)
def _local() -> ObjectStore:
    return LocalStore()


@lru_cache(maxsize=64)
def _host(url: str) -> ObjectStore:
    """A host's objects; a signature in the query goes along with every request."""
    return HTTPStore.from_url(url, client_options={**CLIENT, "allow_http": True}, retry_config=RETRIES)


def gdal_options(source: Source, provider: Provider) -> dict[str, str]:
    """GDAL's settings for reading a provider's assets, to be asked for on the worker that reads."""
    options = {
        # Listing a folder of a store costs more than the pixels that are wanted.
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": "3",
        "GDAL_HTTP_RETRY_DELAY": "0.5",
        "GDAL_HTTP_TIMEOUT": "60",
        "GDAL_HTTP_CONNECTTIMEOUT": "10",
        # Half a body, once kept, would be served to every further attempt of this process.
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/",
    }
    way = s3(source, provider)
    if way.endpoint:
        scheme, _, host = way.endpoint.rpartition("://")
        options["AWS_S3_ENDPOINT"] = host.rstrip("/")
        options["AWS_HTTPS"] = "NO" if scheme == "http" else "YES"
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"
    if way.region:
        options["AWS_REGION"] = way.region
    if way.requester_pays:
        options["AWS_REQUEST_PAYER"] = "requester"
    if way.anonymous:
        options["AWS_NO_SIGN_REQUEST"] = "YES"
    if not _has_keys("AZURE_"):
        options["AZURE_NO_SIGN_REQUEST"] = "YES"
    if not _has_keys("GS_", "GOOGLE_"):
        options["GS_NO_SIGN_REQUEST"] = "YES"
    return options


def _has_keys(*prefixes: str) -> bool:
    """Whether the environment holds credentials of a cloud, or says where they are."""
    words = ("KEY", "SECRET", "TOKEN", "PROFILE", "CREDENTIALS", "ROLE", "CONNECTION_STRING")
    return any(n.startswith(prefixes) and any(w in n for w in words) for n in os.environ)
