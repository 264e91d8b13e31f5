"""How bytes are reached: object stores, HTTP and files; GDAL reads through the same objects as we do.

Keys are asked for where they are used, on the worker that reads; none travels with a task.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.store import LocalStore

from groundbreak.pipeline.access import clocks, login_pages, logins
from groundbreak.pipeline.access.hrefs import OBJECT_STORES, is_url
from groundbreak.pipeline.access.object_files import ObjectFile
from groundbreak.pipeline.access.range_files import Store
from groundbreak.pipeline.access.signing import sign
from groundbreak.pipeline.access.web_files import WebFile

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

REQUESTS = 64
"""Requests in flight at once, of a plan or of a task."""

CLIENT_OPTIONS: ClientConfig = {
    "timeout": timedelta(seconds=clocks.REQUEST_S),
    "connect_timeout": timedelta(seconds=clocks.CONNECT_S),
}
NO_RETRIES: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=clocks.REQUEST_S)}
"""obstore repeats nothing: `pipeline.access.retries` and the gates decide for all clients alike."""


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
    patience: float = 900.0
    """Seconds for which a host is waited for that throttles everybody or is gone."""
    deadline: float = float("inf")
    """Seconds for which a task may read, beside those in which a host is waited for."""
    trust: logins.Trust = logins.NOBODY
    """The hosts that get a login (`pipeline.access.logins`)."""

    def locate(self, href: str, *, refresh: bool = False, stamp: str = "") -> tuple[Store, str]:
        """Return (store, path) from which ranges of a file are read; a remote file is a store of its own.

        Parameters
        ----------
        href : str
            Absolute URL or path, unsigned.
        refresh : bool
            An attempt has failed: make another signature or login, and go past caches.
        stamp : str
            What the file was when the run was planned; "" where nobody knows. A remote file that is another one then
            raises `pipeline.access.troubles.Replaced` when it is read.
        """
        if not is_url(href):
            return _local(), href.lstrip("/")
        parts = urlsplit(href)
        if parts.scheme.lower() in OBJECT_STORES:
            prefix, path = f"{parts.scheme.lower()}://{parts.netloc}", unquote(parts.path).lstrip("/")
            place = f"{prefix} {self.s3_endpoint or ''}".rstrip()
            return ObjectFile(self.open_prefix(prefix), path, href, place, stamp, self.patience), path
        signed = sign(href, self.token_url, refresh=refresh)
        headers = logins.headers(signed, self.trust, refresh=refresh)
        allow = (*self.trust.login_hosts, *self.trust.allow_hosts)
        file = WebFile(signed, href, headers, allow, stamp=stamp, patience=self.patience, fresh=refresh)
        return file, signed

    def open_prefix(self, prefix: str) -> ObjectStore:
        """Return the objects under an s3://, gs:// or az:// prefix; all that ask for the same share one store."""
        # What does not change where the objects are must not make another store of them.
        place = replace(self, token_url=None, attempts=1, patience=0.0, deadline=0.0, trust=logins.NOBODY)
        return _bucket(prefix, place, self._is_anonymous)

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
        return obstore.store.from_url(prefix, config=unsigned, client_options=CLIENT_OPTIONS, retry_config=NO_RETRIES)
    config: S3Config = {"skip_signature": is_anonymous, "request_payer": access.requester_pays}
    if access.s3_endpoint:
        config["endpoint"] = access.s3_endpoint
    if access.s3_region:
        config["region"] = access.s3_region
    client: ClientConfig = {**CLIENT_OPTIONS, "allow_http": (access.s3_endpoint or "").startswith("http://")}
    return obstore.store.from_url(prefix, config=config, client_options=client, retry_config=NO_RETRIES)


@lru_cache(maxsize=1)
def _local() -> ObjectStore:
    return LocalStore()


def _has_keys(*prefixes: str) -> bool:
    """Return whether the environment holds credentials of a cloud, or says where they are."""
    words = ("KEY", "SECRET", "TOKEN", "PROFILE", "CREDENTIALS", "ROLE", "CONNECTION_STRING")
    return any(n.startswith(prefixes) and any(w in n for w in words) for n in os.environ)
