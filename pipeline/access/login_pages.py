"""How a host that wants a login is told from one that is broken: it sends a page for people, or leads to one.

The readers take such a page for a damaged raster, and say so in words that help nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import requests

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.logins import MOST_HOPS, Trust, ask, headers, next_hop
from groundbreak.pipeline.access.sessions import CheckedSession
from groundbreak.pipeline.access.troubles import NeedsLogin

_LOGIN = re.compile(r"login|oauth|signin|sign-in|//urs\.|//sso\.", re.I)
_PERHAPS_A_LOGIN = re.compile(r"401|redirect|not supported|not recognized|NotSupported|[Mm]agic|not a TIFF", re.I)
"""What the readers' errors say where a login page may have come instead of a raster."""


def explain(href: str, trust: Trust, error: Exception) -> NeedsLogin | None:
    """Find out whether an asset could not be read because its host asks for a login.

    Parameters
    ----------
    href : str
        The URL that was read.
    trust : Trust
        The hosts that the configuration names.
    error : Exception
        What reading it has raised.

    Returns
    -------
    NeedsLogin with words for people, or None where there is another cause.
    """
    if not _PERHAPS_A_LOGIN.search(f"{type(error).__name__}: {error}"):
        return None
    try:
        # Where a login has ended, a new one is tried first.
        sent = headers(href, trust, refresh=True)
        seen = _look(href, sent, trust)
    except (OSError, ValueError):
        return None
    if seen is None:
        return None
    host = (urlsplit(href).hostname or "").lower()
    if {"authorization", "cookie"} & {name.lower() for name in sent}:
        remedy = "the token, account or cookie that was sent is not accepted: renew it"
    else:
        remedy = "set EARTHDATA_TOKEN, or write the account into ~/.netrc"
        if not trust.gets_token(host):
            remedy += f", and name {host} in [source] login_hosts (or set GDAL_HTTP_HEADERS)"
    return NeedsLogin(f"{host} asks for a login ({seen}); {remedy}")


def _look(href: str, sent: Mapping[str, str], trust: Trust) -> str | None:
    """Return what shows that a host asks for a login, or None."""
    url: str | None = href
    with CheckedSession((*trust.login_hosts, *trust.allow_hosts)) as session:
        for _ in range(MOST_HOPS):
            if url is None:
                break
            with ask(session, url, sent if url == href else {}) as answer:
                if answer.status_code == 401:
                    return "it answers 401"
                if answer.is_redirect and _LOGIN.search(urljoin(url, answer.headers["Location"])):
                    return f"it leads to {redact(urljoin(url, answer.headers['Location']))}"
                if not answer.is_redirect:
                    return "a web page came instead of a raster" if _is_page(answer) else None
                url = next_hop(answer, trust)
    return None


def _is_page(answer: requests.Response) -> bool:
    """Tell whether an answer is a page for people."""
    start = next(answer.iter_content(512), b"").lstrip().lower()
    kind = answer.headers.get("Content-Type", "")
    return answer.ok and ("html" in kind or start.startswith((b"<!doctype html", b"<html")))
