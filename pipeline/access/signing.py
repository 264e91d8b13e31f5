"""Signing hrefs with tokens that are fetched when they are needed, on the worker that reads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from groundbreak.pipeline.access.addresses import naming_query
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.sessions import PatientSession


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
            Absolute URL or path; a signature that it already carries is replaced, and the rest of its query stays.
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
        return f"{href.partition('?')[0]}?{'&'.join([*naming_query(href), self._token(token_url, refresh)])}"

    def _token(self, url: str, refresh: bool) -> str:
        """Return the token of an address, kept or fetched."""
        with self._lock:
            token, end, fetched = self._tokens.get(url, ("", 0.0, 0.0))
            now = time.time()
            fresh = now < end - self.margin
            if token and fresh and not (refresh and now - fetched > self.settle):
                return token
            # The configuration or the table of providers names this host, so it may be asked, wherever it is.
            with PatientSession((urlsplit(url).hostname or "",)) as session:
                answer = session.get(url, timeout=30)
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
