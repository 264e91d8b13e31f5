"""Hrefs: which of them may be read, how they are made absolute and signed, and what of them may be shown.

The policy is literal: it looks at the text of an href before anything is planned, and asks no name server. So a public
name that resolves to a private address (DNS rebinding) passes it. Where workers can reach services that must be kept
from them, put an egress proxy or a firewall between.
"""

from __future__ import annotations

import ipaddress
import os
import posixpath
import re
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote, urljoin, urlsplit

import requests

OBJECT_STORES = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
"""Scheme of an object store -> prefix of GDAL's virtual file system for it."""

_PRIVATE_NAMES = ("localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp")
"""Last labels of names that mean this machine or this site, whatever they resolve to."""
_EMBEDDING = [ipaddress.ip_network(n) for n in ("64:ff9b::/96", "2002::/16", "2001::/32")]
"""IPv6 ranges that carry an IPv4 address (NAT64, 6to4, Teredo): an address in them can mean a private host."""
_USER = re.compile(r"""([a-z][a-z0-9+.-]*://)[^\s"<>/?#]*@""", re.I)
_QUERY = re.compile(r"""(?<=\S)\?[^\s"<>]+""")
_FRAGMENT = re.compile(r"""(://[^\s"<>#]*)#[^\s"<>]*""")


def is_url(href: str) -> bool:
    """Tell whether an href is a URL, having a scheme, and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]*:", href, re.I) is not None


def resolve(href: str, base: str) -> str:
    """Make an href absolute.

    Parameters
    ----------
    href : str
        URL or path, absolute or relative.
    base : str
        Where the document that holds the href was read from: a URL or an absolute path.
    """
    if href.lower().startswith("file://"):
        return unquote(urlsplit(href).path)
    if is_url(href):
        return href
    if not is_url(base):
        return posixpath.normpath(posixpath.join(posixpath.dirname(base), href))
    scheme, slashes, rest = base.partition("://")
    # urljoin joins only under schemes that it knows, and s3, gs and az are not among them.
    return scheme + urljoin("http" + slashes + rest, href).removeprefix("http")


def check(href: str, *, root: str | None, allow_hosts: Collection[str]) -> str | None:
    """Check an absolute href against the policy.

    Parameters
    ----------
    href : str
        Absolute URL or path.
    root : str or None
        Folder of the local catalogue that holds the href, under which local paths must lie; None for a remote
        catalogue, which may name no local path.
    allow_hosts : collection of str
        Hosts that the configuration allows by name, though they are private. Plain http is allowed for these alone.

    Returns
    -------
    str, why the href may not be read, to be put behind the href in a sentence; None where it may be read.
    """
    if re.search(r"[\x00-\x20\x7f\\]", href):
        return "holds a control character, blank or backslash"
    if not is_url(href):
        return _check_path(href, root)
    try:
        parts = urlsplit(href)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no well-formed URL"
    scheme = parts.scheme.lower()
    if scheme in OBJECT_STORES:
        good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", parts.netloc)
        return None if good else f"names no plain bucket ({parts.netloc.rpartition('@')[2]!r})"
    if scheme not in ("http", "https"):
        return f"has scheme {scheme!r}; allowed are https, s3, gs and az"
    if "@" in parts.netloc:
        return "carries a user name or password"
    refused = _check_host(host, allow_hosts)
    if refused is None and scheme == "http" and not _named(host, allow_hosts):
        return f"is plain http to {host}, which [source] allow_hosts does not name"
    return refused


def _check_path(path: str, root: str | None) -> str | None:
    """Return why a local path may not be read, or None where it may."""
    if root is None:
        return "is a local path, which a remote catalogue may not name"
    if path.startswith("/vsi"):
        return "is a GDAL virtual path"
    top = os.path.realpath(root)
    if os.path.commonpath((os.path.realpath(path), top)) != top:
        return "lies outside the catalogue's folder"
    return None


def _named(host: str, allow_hosts: Collection[str]) -> bool:
    """Tell whether a host is allowed by name."""
    return host.strip("[]").rstrip(".").lower() in {h.strip("[]").rstrip(".").lower() for h in allow_hosts}


def _check_host(host: str, allow_hosts: Collection[str]) -> str | None:
    """Return why nothing may be read from a host, or None where it may."""
    name = host.rstrip(".").lower()
    remedy = "; [source] allow_hosts can name it"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        carrier = any(address in network for network in _EMBEDDING if network.version == address.version)
        mapped = getattr(address, "ipv4_mapped", None) is not None
        public = address.is_global and not (address.is_multicast or carrier or mapped)
        return None if public or _named(name, allow_hosts) else f"is at {name}, not a public host{remedy}"
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        return "has a host that is no plain name"
    if re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 to a C library.
        return f"spells an address unusually ({name})"
    private = "." not in name or any(name.endswith("." + n) for n in _PRIVATE_NAMES)
    return f"is at {name}, a private name{remedy}" if private and not _named(name, allow_hosts) else None


def redact(text: str) -> str:
    """Remove the queries, fragments and user names of all URLs in a text, since they may hold signatures.

    A query is removed even where its URL is cut down to a path, as in the messages of urllib3. A single quote does not
    end a query, since it may stand inside one.
    """
    return _FRAGMENT.sub(r"\1", _QUERY.sub("", _USER.sub(r"\1", text)))


@dataclass(slots=True)
class Signer:
    """Signs hrefs with tokens, which it fetches when they are first needed and keeps until shortly before they end."""

    margin: float = 300.0
    """Seconds before its end in which a token is no longer used: a long read must not outlive it."""
    settle: float = 10.0
    """Seconds in which a new token is not fetched again: many readers that are refused at once refresh it once."""
    _tokens: dict[str, tuple[str, float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sign(self, href: str, token_url: str | None, *, refresh: bool = False) -> str:
        """Sign an href.

        The href stays as it is where it needs no signature, and where its host is not one that the token is meant for.

        Parameters
        ----------
        href : str
            Absolute URL or path; a signature that it already carries is replaced.
        token_url : str or None
            Where a token is fetched; None where hrefs need no signature.
        refresh : bool
            The last signature was refused (403).

        Returns
        -------
        str, the href with a signature in its query.

        Raises
        ------
        OSError
            The token could not be fetched (the exceptions of `requests` are of this kind).
        """
        if token_url is None or urlsplit(href).scheme not in ("http", "https"):
            return href
        host = urlsplit(href).hostname or ""
        # A token must not travel to whatever host a catalogue names.
        if not (host.endswith(".blob.core.windows.net") or host == urlsplit(token_url).hostname):
            return href
        return f"{href.partition('?')[0]}?{self._token(token_url, refresh)}"

    def _token(self, url: str, refresh: bool) -> str:
        """Return the token of an address, kept or fetched."""
        with self._lock:
            token, end, fetched = self._tokens.get(url, ("", 0.0, 0.0))
            now = time.time()
            fresh = now < end - self.margin
            if token and fresh and not (refresh and now - fetched > self.settle):
                return token
            answer = requests.get(url, timeout=30)
            answer.raise_for_status()
            try:
                data = answer.json()
                token = str(data["token"]).lstrip("?")
                end = datetime.fromisoformat(data["msft:expiry"]).timestamp()
            except (ValueError, KeyError, TypeError):
                raise OSError(f"{redact(url)} did not answer with a token and its expiry") from None
            self._tokens[url] = (token, end, now)
            return token


_signer = Signer()
sign = _signer.sign
"""`Signer.sign` of this process's own signer: the tasks of one worker share its tokens."""
