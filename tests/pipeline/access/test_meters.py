"""What is read for a task is counted as the task's, and a task reads no longer than it may."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import numpy as np
import pytest

from groundbreak.pipeline.access import meters, retries
from groundbreak.pipeline.access.meters import current, metered
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError, with_retries
from groundbreak.pipeline.access.troubles import Trouble
from groundbreak.pipeline.readers.formats import read_layout_now
from tests.hosts import host
from tests.world import Tile, write_tif


def test_threads_count_for_the_task_in_whose_context_they_run() -> None:
    def read(size: int) -> None:
        time.sleep(0.001)
        current().served(size)

    with ThreadPoolExecutor(8) as pool:

        def task(number: int) -> tuple[int, int]:
            with metered() as meter:
                for future in [pool.submit(copy_context().run, read, number) for _ in range(40)]:
                    future.result()
            return meter.requests, meter.bytes_read

        with ThreadPoolExecutor(3) as tasks:
            assert list(tasks.map(task, range(6))) == [(40, 40 * number) for number in range(6)]


def test_a_header_that_a_task_reads_counts_for_it(tmp_path: Path) -> None:
    """Its requests are made in other threads, and from within an event loop, as a notebook's cell is, in one more."""
    tile = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
    write_tif(tmp_path / "red.tif", np.zeros((64, 64), np.uint16), tile.frame())

    def read(url: str) -> tuple[int, int]:
        store, path = Access().locate(f"{url}/red.tif")
        with metered() as meter:
            read_layout_now(store, path, "GTiff")
        return meter.requests, meter.bytes_read

    async def in_a_cell(url: str) -> tuple[int, int]:
        return read(url)

    with host(lambda _asked: tmp_path / "red.tif") as server:
        found = read(server.url)
        assert found == asyncio.run(in_a_cell(server.url))
        assert found == (len(server.asked) / 2, (tmp_path / "red.tif").stat().st_size)


def test_attempts_that_are_not_the_first_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.001)
    left = [Trouble("reset"), Trouble("reset")]

    def read(_refresh: bool) -> str:
        if left:
            raise left.pop()
        return "read"

    with metered() as meter:
        assert with_retries("https://h/f.tif", 3, read) == "read"
    assert meter.retries == 2


def test_a_task_that_has_read_for_too_long_reads_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(meters, "monotonic", lambda: now[0])
    tried = []

    def read(_refresh: bool) -> None:
        tried.append(now[0])
        now[0] += 40

    with metered(100):
        for _ in range(2):
            with_retries("https://h/a.tif", 3, read)
        with current().waiting():  # a host that is waited for costs no task its time
            now[0] += 600
        with_retries("https://h/a.tif", 3, read)
        with pytest.raises(ReadError, match=r"more than 100 s \(\[run\] deadline\)") as caught:
            with_retries("https://h/a.tif", 3, read)
    assert len(tried) == 3
    assert caught.value.attempts == 0


def test_no_further_attempt_is_made_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(meters, "monotonic", lambda: now[0])

    def read(_refresh: bool) -> None:
        now[0] += 200
        raise Trouble("timed out")

    with metered(100), pytest.raises(ReadError, match="timed out") as caught:
        with_retries("https://h/b.tif", 5, read)
    assert caught.value.attempts == 1
