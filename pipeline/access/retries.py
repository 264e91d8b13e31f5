"""Reading again what could not be read: the one place that decides how often, after what wait, and when not.

A request is repeated by the client that makes it (obstore, GDAL, requests), for an answer that asks for it and for a
connection that breaks. An asset that could not be read all the same is read again as a whole, by `with_retries`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from urllib3.util import Retry

from groundbreak.pipeline.access.hrefs import redact

if TYPE_CHECKING:
    from obstore.store import RetryConfig

LOG = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 4.0
"""Seconds before the second attempt; each further wait is twice as long, up to the longest."""


OBJECT_STORE: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=120)}
"""How obstore repeats a request."""

GDAL = {"GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "0.5"}
"""How GDAL repeats a request: its options."""

PASSING = (429, 500, 502, 503, 504)
"""HTTP statuses that may pass: a request that is answered so is made again."""

CATALOG_BACKOFF_S = 0.5
"""Seconds before the second retry of a request; each further one waits twice as long."""


class NeedsLogin(Exception):
    """A host asks for a login: trying again does not help."""


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


def with_retries[T](name: str, attempts: int, read: Callable[[bool], T], failed: Exception | None = None) -> T:
    """Call ``read`` until it returns, and return what it returns.

    What cannot get better by waiting, a file that is not there or a login that is wanted, is not tried again.

    Parameters
    ----------
    name : str
        What is read, for the log: an href, whose signature is left out.
    attempts : int
        Attempts in all, that of ``failed`` included.
    read : callable
        Takes whether to refresh: from the second attempt on a signature is made anew, and nothing known of the file is
        believed.
    failed : Exception, optional
        What a first attempt, made already, has raised.

    Raises
    ------
    ReadError
        The last attempt has failed.
    """
    error, made = failed, 0 if failed is None else 1
    while made < attempts and not is_gone(error):
        if error is not failed:
            time.sleep(min(FIRST_WAIT_S * 2 ** (made - 1), LONGEST_WAIT_S))
        made += 1
        try:
            return read(made > 1)
        except Exception as caught:  # GDAL raises many kinds; every one of them is a fault of this asset
            error = caught
            LOG.info("%s: attempt %d of %d failed: %s", redact(name), made, attempts, _cause(caught))
    raise ReadError(_cause(error), made) from None


def catalog_retries() -> Retry:
    """Return how requests to a catalogue or STAC API are repeated, for requests' adapters."""
    return Retry(
        total=5,
        connect=2,
        backoff_factor=CATALOG_BACKOFF_S,
        status_forcelist=PASSING,
        allowed_methods=None,
    )


def range_retries() -> Retry:
    """Return how a request for a part of a file is repeated, where urllib3 makes it; the answer tells what is left."""
    return Retry(
        total=3,
        redirect=10,
        backoff_factor=FIRST_WAIT_S,
        status_forcelist=PASSING,
        raise_on_status=False,
    )


def is_gone(error: Exception | None) -> bool:
    """Return whether an error says that there is no such file, or that its host asks for a login."""
    return isinstance(error, FileNotFoundError | NeedsLogin) or bool(
        re.search(r" 404|No such file or directory", str(error))
    )


def _cause(error: Exception | None) -> str:
    """Return an error in one text, without signatures."""
    if isinstance(error, NeedsLogin):
        return redact(str(error))
    return redact(f"{type(error).__name__}: {error}".partition("\n\nDebug source")[0])  # obstore tells all it knows
