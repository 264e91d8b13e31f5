"""What the environment says of connections: proxies, and the certificates that are believed."""

from __future__ import annotations

import base64
import os
import ssl
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy


@lru_cache(maxsize=256)
def proxy_of(scheme: str, netloc: str) -> SplitResult | None:
    """Return the proxy that the environment names for a host, or None."""
    url = f"{scheme}://{netloc}"
    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def proxy_login(proxy: SplitResult) -> dict[str, str]:
    """Return the header that logs in to a proxy, where its URL holds an account."""
    if not proxy.username:
        return {}
    account = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(account.encode()).decode()}


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """Return how encrypted connections are made: with the certificates that the environment names, or requests' own."""
    env = os.environ
    named = env.get("REQUESTS_CA_BUNDLE") or env.get("CURL_CA_BUNDLE") or env.get("SSL_CERT_FILE")
    if named and Path(named).is_dir():
        return ssl.create_default_context(capath=named)
    return ssl.create_default_context(cafile=named or DEFAULT_CA_BUNDLE_PATH)
