"""Requests for documents and logins: never past the policy of hrefs, and behind the gates of their hosts."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import requests

from groundbreak.pipeline.access import retries
from groundbreak.pipeline.access.connections import demand_public
from groundbreak.pipeline.access.gates import gate_of
from groundbreak.pipeline.access.troubles import BUSY, Busy, Final, HostDown, Trouble, seconds_of


class CheckedSession(requests.Session):
    """Asks no host whose name resolves to a private address, unless it is allowed by name.

    Parameters
    ----------
    allow_hosts : tuple of str
        Private hosts that may be asked.
    """

    def __init__(self, allow_hosts: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.allow_hosts = allow_hosts

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, redirected ones included, unless the policy refuses its host's addresses."""
        try:
            if not requests.utils.select_proxy(str(request.url), kwargs.get("proxies") or {}):
                demand_public(str(request.url), self.allow_hosts)
        except Final as refused:
            raise requests.exceptions.InvalidURL(f"{request.url}: {refused}") from None
        except Trouble as trouble:
            raise requests.exceptions.ConnectTimeout(str(trouble)) from None
        return super().send(request, **kwargs)


class _BusyAnswer(Busy):
    """An answer that says that the host cannot serve a request now."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__(f"HTTP status {answer.status_code}", retry_after=seconds_of(answer.headers.get("Retry-After")))
        self.answer = answer


class PatientSession(CheckedSession):
    """Repeats what may yet succeed, and waits for a host that served earlier requests and now serves none.

    Parameters
    ----------
    allow_hosts : tuple of str
        Private hosts that may be asked.
    patience : float
        Seconds for which a host is waited for.
    """

    def __init__(self, allow_hosts: tuple[str, ...] = (), patience: float = 900.0) -> None:
        super().__init__(allow_hosts)
        self.patience = patience

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request until it is answered, or for as long as it is worth it; return the last answer."""
        gate = gate_of(urlsplit(str(request.url)).netloc)
        name = f"{request.method} {request.url} {hash(request.body)}"
        first_byte = request.copy()
        first_byte.headers["Range"] = "bytes=0-0"
        made, asked = 0, 0.0
        while True:
            try:
                return gate.ask(
                    name, lambda: self._once(request, kwargs), lambda: self._once(first_byte, kwargs), self.patience
                )
            except HostDown as down:
                raise requests.exceptions.ConnectionError(str(down)) from None
            except Trouble as trouble:
                made, asked = made + 1, asked + trouble.retry_after
                most = retries.CATALOG_TRIES if isinstance(trouble, Busy) else retries.CATALOG_CONNECTS
                if made >= most or asked > max(self.patience, retries.LONGEST_ASKED_S):
                    if isinstance(trouble, _BusyAnswer):
                        return trouble.answer
                    raise requests.exceptions.ConnectionError(str(trouble)) from None
                backoff = retries.CATALOG_BACKOFF_S * 2 ** (made - 1) if made > 1 else 0.0
                time.sleep(max(backoff, trouble.retry_after))

    def _once(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        """Send a request once; raise `Trouble` where it may yet succeed."""
        try:
            answer = super().send(request, **kwargs)
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            refused = isinstance(error, requests.exceptions.ConnectTimeout) or "NewConnectionError" in str(error)
            raise Trouble(str(error), connected=not refused) from None
        if answer.status_code in BUSY:
            raise _BusyAnswer(answer)
        return answer
