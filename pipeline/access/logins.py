"""Logins: what is sent to a host beside a request, for both readers alike, from environment and ~/.netrc.

- What the environment tells GDAL to send (GDAL_HTTP_HEADERS, GDAL_HTTP_HEADER_FILE, GDAL_HTTP_BEARER,
  GDAL_HTTP_USERPWD, GDAL_HTTP_COOKIE) goes to every host over HTTP, as GDAL sends it.
- EARTHDATA_TOKEN goes to NASA's Earthdata hosts, and to those that [source] login_hosts names.
- A host that ~/.netrc (or NETRC) names gets its account. Hosts of Earthdata, login_hosts and allow_hosts may lead to
  another host that has the accounts: that way is followed once, and the cookies at its end are sent from then on.

All of it is looked up where it is used, on the worker that reads. None of it travels with a task, is stored or logged.
"""

from __future__ import annotations

import base64
import netrc
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import get_cookie_header

from groundbreak.pipeline.access.hrefs import check
from groundbreak.pipeline.access.sessions import CheckedSession

EARTHDATA = (".earthdata.nasa.gov", ".earthdatacloud.nasa.gov")
"""Ends of the names of NASA's hosts, which take the token of an Earthdata Login."""
MOST_HOPS = 10
"""Redirects that are followed to a login and back."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between bytes."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The hosts that the configuration names."""

    login_hosts: tuple[str, ...] = ()
    """Hosts beside Earthdata's that get its token."""
    allow_hosts: tuple[str, ...] = ()
    """Private hosts: an account that ~/.netrc has for one of them may go there unencrypted."""

    def gets_token(self, host: str) -> bool:
        """Tell whether a host is one of Earthdata's, or is to be treated like them."""
        return host.endswith(EARTHDATA) or host in _plain(self.login_hosts)

    def may_lead_to_login(self, host: str) -> bool:
        """Tell whether a host's redirects are followed to a login."""
        return self.gets_token(host) or host in _plain(self.allow_hosts)

    def gets_account(self, url: str) -> bool:
        """Tell whether an account may be sent to a URL: encrypted, or to a host that the configuration names."""
        parts = urlsplit(url)
        named = _plain((*self.login_hosts, *self.allow_hosts))
        return parts.scheme == "https" or (parts.hostname or "").lower() in named


NOBODY = Trust()
"""No host is named."""


def _plain(hosts: tuple[str, ...]) -> set[str]:
    return {host.strip("[]").lower() for host in hosts}


def gdal_headers() -> dict[str, str]:
    """Return the headers that the environment tells GDAL to send to every host: name -> value."""
    env = os.environ
    lines = told_headers()
    if file := env.get("GDAL_HTTP_HEADER_FILE"):
        lines += Path(file).read_text().splitlines()
    found = {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
    if env.get("GDAL_HTTP_AUTH", "").upper() == "BEARER" and (bearer := env.get("GDAL_HTTP_BEARER")):
        found.setdefault("Authorization", f"Bearer {bearer}")
    elif account := env.get("GDAL_HTTP_USERPWD"):
        found.setdefault("Authorization", _basic(*account.split(":", 1)))
    if cookie := env.get("GDAL_HTTP_COOKIE"):
        found.setdefault("Cookie", cookie)
    return found


def told_headers() -> list[str]:
    """Return the headers of GDAL_HTTP_HEADERS alone: one a line, or a list with commas between, as GDAL has it."""
    text = os.environ.get("GDAL_HTTP_HEADERS", "")
    if "\n" in text or ":" not in text.partition(",")[2]:
        return text.splitlines()
    return re.split(r",\s*(?=[A-Za-z0-9-]+\s*:)", text)


def _basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def account(host: str) -> tuple[str, str] | None:
    """Return the (user, password) that ~/.netrc, or the file that NETRC names, has for a host; never its default.

    Raises
    ------
    OSError
        The file is there and cannot be read.
    """
    entry = _accounts_here().get(host)
    return None if entry is None else (entry[0] or entry[1] or "", entry[2] or "")


def _accounts_here() -> dict[str, tuple[str, str, str]]:
    """Return all accounts of this user, by host."""
    named = os.environ.get("NETRC") or os.environ.get("GDAL_HTTP_NETRC_FILE")
    path = Path(named or "~/.netrc").expanduser()
    return _accounts(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=4)
def _accounts(path: Path, _changed: int) -> dict[str, tuple[str, str, str]]:
    """Return the accounts of a netrc file, which is read again when it has changed."""
    try:
        return dict(netrc.netrc(path).hosts)
    except netrc.NetrcParseError as error:
        raise OSError(f"{path} cannot be read: line {error.lineno} is not as netrc has it") from None


@dataclass(slots=True)
class Logins:
    """Makes the headers of requests, and keeps the cookies of the hosts to which it has logged in."""

    life_s: float = 1800.0
    """Seconds after which a login is made anew."""
    settle_s: float = 10.0
    """Seconds in which it is not: many readers that are refused at once log in once."""
    _cookies: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def own_headers(self, href: str, trust: Trust, *, refresh: bool = False) -> dict[str, str]:
        """Return the headers that a host gets of us: a token, an account, or the cookies of a login.

        Parameters
        ----------
        href : str
            The URL that is asked for.
        trust : Trust
            The hosts that the configuration names.
        refresh : bool
            The last cookies were refused.

        Returns
        -------
        dict: name -> value. What the environment tells GDAL to send comes first, and gets no second Authorization.

        Raises
        ------
        OSError
            The login, or ~/.netrc, cannot be reached.
        """
        host = (urlsplit(href).hostname or "").lower()
        told = {name.lower() for name in gdal_headers()}
        if "authorization" in told:
            return {}
        if trust.gets_token(host) and (token := os.environ.get("EARTHDATA_TOKEN")):
            return {"Authorization": f"Bearer {token.strip()}"}
        if (own := account(host)) is not None and trust.gets_account(href):
            return {"Authorization": _basic(*own)}
        if "cookie" in told or not trust.may_lead_to_login(host) or not _accounts_here():
            return {}
        cookies = self._log_in(href, trust, refresh)
        return {"Cookie": cookies} if cookies else {}

    def headers(self, href: str, trust: Trust, *, refresh: bool = False) -> dict[str, str]:
        """Return all headers of a request: those that GDAL is told to send, and `own_headers`."""
        return gdal_headers() | self.own_headers(href, trust, refresh=refresh)

    def _log_in(self, href: str, trust: Trust, refresh: bool) -> str:
        """Return the cookies of an href's host, "" where it gave none."""
        place = "{0.scheme}://{0.netloc}".format(urlsplit(href))
        with self._lock:
            cookies, made = self._cookies.get(place, ("", -1e9))
            age = time.monotonic() - made
            if age < (self.settle_s if refresh else self.life_s):
                return cookies
            cookies = _walk_to_login(href, trust)
            self._cookies[place] = cookies, time.monotonic()
            return cookies


def _walk_to_login(href: str, trust: Trust) -> str:
    """Follow a host's redirects, with the account of each host on the way, and return the cookies for that host."""
    with CheckedSession((*trust.login_hosts, *trust.allow_hosts)) as session:
        url: str | None = href
        for _ in range(MOST_HOPS):
            if url is None:
                break
            own = account((urlsplit(url).hostname or "").lower()) if trust.gets_account(url) else None
            with ask(session, url, {"Authorization": _basic(*own)} if own else {}) as answer:
                url = next_hop(answer, trust)
        request = requests.Request("GET", href).prepare()
        return str(get_cookie_header(session.cookies, request) or "")  # type: ignore[no-untyped-call]


def next_hop(answer: requests.Response, trust: Trust) -> str | None:
    """Return where an answer leads to, or None where it leads nowhere, or where the policy lets nothing be asked."""
    if not answer.is_redirect:
        return None
    url = urljoin(answer.url, answer.headers["Location"])
    return None if check(url, root=None, allow_hosts=(*trust.login_hosts, *trust.allow_hosts)) else url


def ask(session: requests.Session, url: str, headers: Mapping[str, str]) -> requests.Response:
    """Ask for the first bytes of a URL; redirects are not followed, and requests adds no account of its own."""
    return session.get(
        url,
        headers={**headers, "Range": "bytes=0-511", "Accept-Encoding": "identity"},
        auth=lambda request: request,
        allow_redirects=False,
        stream=True,
        timeout=TIMEOUT,
    )


_logins = Logins()
own_headers, headers = _logins.own_headers, _logins.headers
"""`Logins.own_headers` and `Logins.headers` of this process: the tasks of one worker share its cookies."""
