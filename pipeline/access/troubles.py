"""What can go wrong with a request, in classes, and the one table of what is done about each.

Clients raise many kinds of errors. `trouble_of` puts each into a class; `RULES` says how often an asset is read where
it meets that class, and whether a host can be the cause (`pipeline.access.gates`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from types import MappingProxyType
from typing import Literal

Kind = Literal["gone", "final", "refused", "busy", "unreachable", "corrupt"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done about one class of trouble."""

    attempts: int | None
    """How often an asset is read where each attempt meets this class; None for as often as [run] attempts says."""
    waits: bool
    """Whether the next attempt is made after a wait, which grows, or that the server asks for."""


RULES = MappingProxyType(
    {
        # There is no such file (404, 410).
        "gone": Rule(1, waits=False),
        # What no repetition changes: a login is wanted, the policy forbids it, the file was replaced, the host is down
        # for longer than [run] patience.
        "final": Rule(1, waits=False),
        # 401 and 403: once more, signed anew.
        "refused": Rule(2, waits=False),
        # 429 and 5xx; the wait is at least what Retry-After asks for.
        "busy": Rule(None, waits=True),
        # Refused, reset and broken connections, timeouts.
        "unreachable": Rule(None, waits=True),
        # Bytes came, and are not what they should be: once more, past any cache.
        "corrupt": Rule(2, waits=False),
    }
)
"""Class of trouble -> what is done about it."""

BUSY = (429, 500, 502, 503, 504)
"""HTTP statuses that may pass."""


class Trouble(OSError):
    """A request failed in a way that may pass, and that may be the host's.

    Parameters
    ----------
    message : str
        What happened.
    retry_after : float
        Seconds that the server asks to be left alone.
    connected : bool
        Whether there was a connection to the host: else the cause is the host, never a single file.
    """

    kind: Kind = "unreachable"

    def __init__(self, message: str, *, retry_after: float = 0.0, connected: bool = True) -> None:
        super().__init__(message)
        self.retry_after, self.connected = retry_after, connected


class Busy(Trouble):
    """A host answers that it cannot serve a request now (429, 5xx)."""

    kind: Kind = "busy"


class Final(Exception):
    """Trying again does not help."""


class NeedsLogin(Final):
    """A host asks for a login."""


class Forbidden(Final):
    """The policy of hrefs forbids what a server leads to."""


REPLACED = "the file was replaced since the plan: its length, ETag or time is another one"
"""How a fault says so."""


class Replaced(Final):
    """A file is not the one that it was when the run was planned."""

    def __init__(self) -> None:
        super().__init__(REPLACED)


class HostDown(Final):
    """A host has not served anybody for longer than is waited for."""


_TEXTS: tuple[tuple[Kind, str], ...] = (
    ("gone", r" 404|No such file or directory|NotFoundError"),
    ("refused", r"\b40[13]\b|Permission ?Denied|Unauthenticated|Access ?Denied"),
    ("busy", r"\b(?:429|50[0234])\b|SlowDown|Too Many Requests|Service Unavailable"),
    ("unreachable", r"error sending request|timed? ?out|[Cc]onnect|reset by peer|broken? (off|pipe)|incomplete"),
)
"""Class -> how errors of obstore and others that tell no class in another way show it; the first that fits."""


def kind_of(error: BaseException) -> Kind:
    """Return the class of trouble that an error shows."""
    if isinstance(error, Trouble):
        return error.kind
    if isinstance(error, Final):
        return "final"
    if isinstance(error, FileNotFoundError):
        return "gone"
    if isinstance(error, PermissionError):
        return "refused"
    if isinstance(error, TimeoutError | ConnectionError):
        return "unreachable"
    text = f"{type(error).__name__}: {error}".partition("\n\nDebug source")[0]
    for kind, pattern in _TEXTS:
        if re.search(pattern, text):
            return kind
    # An error of the system, of a disk say, passes as a connection does; anything else is about what came.
    return "unreachable" if isinstance(error, OSError) else "corrupt"


def trouble_of(error: Exception) -> Exception:
    """Return an error of obstore as a `Trouble` where it is one; any other error as it is."""
    kind = kind_of(error)
    if isinstance(error, Trouble) or kind not in ("busy", "unreachable"):
        return error
    text = f"{type(error).__name__}: {error}".partition("\n\nDebug source")[0]
    connected = not re.search(r"tcp connect error|dns error|Connection refused|client error \(Connect\)", str(error))
    return (Busy if kind == "busy" else Trouble)(text, connected=connected)


def seconds_of(retry_after: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, given in seconds or as a date; 0 where it asks nothing."""
    if not retry_after:
        return 0.0
    if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", retry_after):
        return float(retry_after)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
