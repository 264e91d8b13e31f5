"""Reading an asset again that could not be read: the one place that decides how often, after what wait, and when not.

Nothing below repeats anything, neither obstore nor our own client over HTTP (GDAL reads through these two). What is a
host's trouble is waited for at its gate (`pipeline.access.gates`) and is no attempt. What is an asset's own comes here,
and `pipeline.access.troubles` has the table of what is done about each class of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from groundbreak.pipeline.access import clocks, meters
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.troubles import RULES, Kind, Trouble, kind_of

LOG = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 8.0
"""Seconds before the second attempt; each further wait is twice as long, up to the longest, and is cut by chance
(`clocks.jitter`)."""

LONGEST_ASKED_S = 60.0
"""Seconds of waits that servers ask for (Retry-After) and that one asset gets, all attempts together."""

GIVEN_UP_S = 600.0
"""Seconds in which an asset that was in trouble to the end gets a single attempt, when the next region reads it."""

CATALOG_BACKOFF_S = 0.5
"""Seconds before the second repetition of a request to a catalogue; each further one waits twice as long."""

CATALOG_TRIES, CATALOG_CONNECTS = 6, 3
"""How often a catalogue is asked that answers that it cannot serve a request, and one that cannot be reached."""


class ReadError(Exception):
    """An asset could not be read after every attempt.

    Parameters
    ----------
    message : str
        What the last attempt met, without signatures.
    attempts : int
        How many attempts were made.
    """

    def __init__(self, message: str, attempts: int) -> None:
        super().__init__(message, attempts)
        self.message, self.attempts = message, attempts


def with_retries[T](
    name: str, attempts: int, read: Callable[[bool], T], failed: Exception | None = None, *, remembers: bool = True
) -> T:
    """Call ``read`` until it returns, and return what it returns.

    How often depends on what went wrong (`pipeline.access.troubles.RULES`).

    Parameters
    ----------
    name : str
        What is read: an href, whose signature is left out of the log.
    attempts : int
        The most attempts in all, that of ``failed`` included.
    read : callable
        Takes whether to refresh: from the second attempt on a signature is made anew, caches are passed by, and nothing
        known of the file is believed but that it must be the same file.
    failed : Exception, optional
        What a first attempt, made already, has raised.
    remembers : bool
        Whether an asset that was in trouble to the end, lately, gets a single attempt.

    Raises
    ------
    ReadError
        The last attempt has failed.
    """
    met: Counter[Kind] = Counter()
    error, made, asked = failed, 0, 0.0
    if error is not None:
        made = 1
        met[kind_of(error)] += 1
    clocks.begin()
    try:
        most = 1 if remembers and _GIVEN_UP.has(name) else attempts
        _demand_time(error, made)
        while error is None or _goes_on(error, met, made, most, asked):
            if error is not None and error is not failed:
                asked += _wait(error, made)
                meters.current().retried()
            made += 1
            try:
                found = read(made > 1)
            except Exception as caught:  # GDAL raises many kinds; every one of them is a fault of this asset
                error = caught
                met[kind_of(caught)] += 1
                said, told = "%s: attempt %d of %d failed: %s", {"asset": redact(name), "attempt": made}
                LOG.info(said, redact(name), made, attempts, _cause(caught), extra=told)
            else:
                _GIVEN_UP.forget(name)
                return found
    finally:
        clocks.end()
    _demand_time(error, made)  # what the task's deadline has cut off was not given up
    if remembers and RULES[kind_of(error)].waits:
        _GIVEN_UP.add(name)
    raise ReadError(_cause(error), made) from None


def _demand_time(error: Exception | None, made: int) -> None:
    """Raise ReadError where the task has read for longer than it may, so that it ends."""
    if (meter := meters.current()).is_over:
        late = f"its task has been reading for more than {meter.deadline_s:.0f} s ([run] deadline)"
        raise ReadError(late if error is None else f"{_cause(error)}; {late}", made)


def _goes_on(error: Exception, met: Counter[Kind], made: int, attempts: int, asked: float) -> bool:
    """Tell whether another attempt is made."""
    kind = kind_of(error)
    rule = RULES[kind]
    if made >= attempts or (rule.attempts is not None and met[kind] >= rule.attempts):
        return False
    if isinstance(error, Trouble) and asked + error.retry_after > LONGEST_ASKED_S:
        return False
    if meters.current().is_over:
        return False
    return not rule.waits or clocks.left() > clocks.REQUEST_S / 2


def _wait(error: Exception, made: int) -> float:
    """Wait before another attempt; return the seconds that a server asked for."""
    kind = kind_of(error)
    if not RULES[kind].waits:
        return 0.0
    asked = error.retry_after if isinstance(error, Trouble) else 0.0
    wait = min(FIRST_WAIT_S * 2 ** (made - 1), LONGEST_WAIT_S) * clocks.jitter()
    if not asked:
        time.sleep(wait)
        return 0.0
    with clocks.waiting(at_most=asked):
        time.sleep(max(wait, asked))
    return asked


class _GivenUp:
    """The assets that were in trouble to the end, lately."""

    def __init__(self) -> None:
        self._when: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """Note an asset."""
        with self._lock:
            now = time.monotonic()
            self._when = {k: when for k, when in self._when.items() if when > now - GIVEN_UP_S} | {name: now}

    def has(self, name: str) -> bool:
        """Tell whether an asset was noted lately."""
        return self._when.get(name, -GIVEN_UP_S) > time.monotonic() - GIVEN_UP_S

    def forget(self, name: str) -> None:
        """Forget an asset that was read."""
        if name in self._when:
            with self._lock:
                self._when.pop(name, None)


_GIVEN_UP = _GivenUp()


def _cause(error: Exception) -> str:
    """Return an error in one text, without signatures."""
    if kind_of(error) == "final":
        return redact(str(error))
    return redact(f"{type(error).__name__}: {error}".partition("\n\nDebug source")[0])  # obstore tells all it knows
