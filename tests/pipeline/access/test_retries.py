"""What is read again, how often, and what is not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from groundbreak.pipeline.access.retries import ReadError, with_retries


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
    read, asked = failing(OSError("a"), ValueError("b"))
    assert with_retries("https://h/a.tif?sig=SECRET", 3, read) == 7
    assert asked == [False, True, True]
    assert waits == [0.5, 1.0]


def test_the_last_error_is_told_without_signatures(waits: list[float], caplog: pytest.LogCaptureFixture) -> None:
    read, asked = failing(*(OSError(f"https://h/x?sig=SECRET{n}") for n in range(9)))
    with caplog.at_level(logging.INFO, "groundbreak"), pytest.raises(ReadError) as caught:
        with_retries("https://h/a.tif?sig=SECRET", 6, read)
    assert (caught.value.attempts, len(asked)) == (6, 6)
    assert caught.value.message == "OSError: https://h/x"
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0]
    assert caplog.records[0].getMessage() == "https://h/a.tif: attempt 1 of 6 failed: OSError: https://h/x"
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    "error", [FileNotFoundError("x"), OSError("HTTP error 404"), OSError("No such file or directory")]
)
def test_what_is_gone_is_asked_for_once(error: Exception, waits: list[float]) -> None:
    read, asked = failing(error)
    with pytest.raises(ReadError):
        with_retries("https://h/a.tif?sig=SECRET", 3, read)
    assert asked == [False]
    assert waits == []


def test_an_attempt_made_before_counts(waits: list[float]) -> None:
    read, asked = failing()
    assert with_retries("https://h/a.tif?sig=SECRET", 2, read, failed=OSError("early")) == 7
    assert asked == [True]
    assert waits == []
    with pytest.raises(ReadError) as caught:
        with_retries("https://h/a.tif?sig=SECRET", 1, read, failed=OSError("early"))
    assert caught.value.attempts == 1
