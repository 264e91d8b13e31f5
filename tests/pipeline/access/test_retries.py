"""What is read again, how often, and what is not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from email.utils import formatdate

import obstore
import pytest

from groundbreak.pipeline.access import clocks
from groundbreak.pipeline.access.retries import ReadError, with_retries
from groundbreak.pipeline.access.troubles import Busy, Forbidden, HostDown, NeedsLogin, Replaced, Trouble, seconds_of


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the waits between attempts instead of waiting."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def failing(*errors: Exception) -> tuple[Callable[[bool], int], list[bool]]:
    """Return what raises the errors in turn and then returns 7, and the list of how it was asked."""
    left, asked = list(errors), list[bool]()

    def read(refresh: bool) -> int:
        asked.append(refresh)
        if left:
            raise left.pop(0)
        return 7

    return read, asked


def test_a_second_attempt_is_made_afresh(waits: list[float]) -> None:
    read, asked = failing(Trouble("a"), ValueError("b"))
    assert with_retries("https://h/a.tif?sig=SECRET", 3, read) == 7
    assert asked == [False, True, True]
    assert len(waits) == 1, "what is corrupt is read again at once"
    assert 0.5 <= waits[0] <= 1.0


def test_the_last_error_is_told_without_signatures(waits: list[float], caplog: pytest.LogCaptureFixture) -> None:
    read, asked = failing(*(OSError(f"https://h/x?sig=SECRET{n}") for n in range(9)))
    with caplog.at_level(logging.INFO, "groundbreak"), pytest.raises(ReadError) as caught:
        with_retries("https://h/b.tif?sig=SECRET", 6, read)
    assert (caught.value.attempts, len(asked)) == (6, 6)
    assert caught.value.message == "OSError: https://h/x"
    assert all(w / 2 <= slept <= w for slept, w in zip(waits, [1.0, 2.0, 4.0, 8.0, 8.0], strict=True))
    assert caplog.records[0].getMessage() == "https://h/b.tif: attempt 1 of 6 failed: OSError: https://h/x"
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (FileNotFoundError("x"), 1),
        (OSError("HTTP error 404"), 1),
        (OSError("No such file or directory"), 1),
        (NeedsLogin("h asks for a login"), 1),
        (Forbidden("redirects to a private host"), 1),
        (Replaced(), 1),
        (HostDown("h has served nothing for 900 s"), 1),
        (PermissionError("HTTP status 403"), 2),
        (obstore.exceptions.PermissionDeniedError("403"), 2),
        (ValueError("a block cannot be decoded"), 2),
        (Busy("HTTP status 503"), 5),
        (Trouble("reset"), 5),
        (TimeoutError("timed out"), 5),
        (ConnectionResetError("reset by peer"), 5),
        (obstore.exceptions.GenericError("Error performing GET: 503 Service Unavailable: SlowDown"), 5),
        (obstore.exceptions.GenericError("Generic S3 error: error sending request for url"), 5),
    ],
    ids=repr,
)
def test_how_often_depends_on_what_went_wrong(error: Exception, times: int, waits: list[float]) -> None:
    for most in (5, 1):
        read, asked = failing(*[error] * 9)
        with pytest.raises(ReadError) as caught:
            with_retries(f"https://h/{error!r}{most}", most, read)
        assert len(asked) == caught.value.attempts == min(times, most)
    assert len(waits) == (4 if times == 5 else 0)


def test_an_attempt_made_before_counts(waits: list[float]) -> None:
    read, asked = failing()
    assert with_retries("https://h/c.tif?sig=SECRET", 2, read, failed=OSError("early")) == 7
    assert asked == [True]
    assert waits == []
    with pytest.raises(ReadError) as caught:
        with_retries("https://h/c.tif?sig=SECRET", 1, read, failed=OSError("early"))
    assert caught.value.attempts == 1


def test_what_a_server_asks_for_is_waited_for_up_to_a_minute_in_all(waits: list[float]) -> None:
    read, asked = failing(*[Busy("429", retry_after=25.0)] * 9)
    with pytest.raises(ReadError):
        with_retries("https://h/d.tif", 9, read)
    assert waits == [25.0, 25.0]
    assert len(asked) == 3


def test_an_asset_in_trouble_to_the_end_is_asked_once_by_the_next_region(waits: list[float]) -> None:
    name = "https://h/e.tif"
    for times in (3, 1):
        read, asked = failing(*[Busy("503")] * 9)
        with pytest.raises(ReadError):
            with_retries(name, 3, read)
        assert len(asked) == times
    assert with_retries(name, 3, failing()[0]) == 7
    read, asked = failing(Busy("503"))
    assert with_retries(name, 3, read) == 7, "it was well in between"
    assert len(waits) == 3


def test_an_asset_has_a_deadline_in_which_time_at_a_gate_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(clocks, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    tries = []

    def stalls(_refresh: bool) -> int:
        tries.append(now[0])
        now[0] += clocks.QUIET_S
        raise Trouble("timed out")

    with pytest.raises(ReadError):
        with_retries("https://h/f.tif", 100, stalls)
    assert now[0] - 1000 < 120
    assert len(tries) >= 3

    def waits_long(_refresh: bool) -> int:
        with clocks.waiting():
            now[0] += 600
        raise Trouble("timed out")

    with pytest.raises(ReadError) as caught:
        with_retries("https://h/g.tif", 3, waits_long)
    assert caught.value.attempts == 3


def test_seconds_of_retry_after() -> None:
    assert seconds_of("7") == 7
    assert seconds_of(None) == seconds_of("soon") == seconds_of("-3") == 0
    soon = formatdate(time.time() + 30, usegmt=True)
    assert 28 <= seconds_of(soon) <= 31
    assert seconds_of(formatdate(time.time() - 30, usegmt=True)) == 0
