"""A host in trouble is waited for by everybody together; a file in trouble is nobody's business but its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from groundbreak.pipeline.access import clocks, gates, retries
from groundbreak.pipeline.access.gates import Gate
from groundbreak.pipeline.access.meters import current, metered
from groundbreak.pipeline.access.retries import with_retries
from groundbreak.pipeline.access.troubles import Busy, HostDown, Trouble


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"FIRST_PAUSE_S": 0.02, "LONGEST_PAUSE_S": 0.1, "LATELY_S": 0.5, "SHARED_S": 1.0}.items():
        monkeypatch.setattr(gates, name, seconds)


class Site:
    """A host with files, of which some or all are in trouble."""

    def __init__(self) -> None:
        self.gate = Gate("h")
        self.trouble: Callable[[str], Trouble | None] = lambda _name: None
        self.asked: list[tuple[float, str]] = []
        self.lock = threading.Lock()
        self.at_once = self.most = 0

    def serve(self, name: str) -> str:
        with self.lock:
            self.asked.append((time.monotonic(), name))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(0.002)
        with self.lock:
            self.at_once -= 1
        if (trouble := self.trouble(name)) is not None:
            raise trouble
        return name

    def read(self, name: str, patience: float = 30.0, **how: bool) -> str:
        return self.gate.ask(name, lambda: self.serve(name), lambda: self.serve(name), patience, **how)


@pytest.mark.parametrize(
    "trouble",
    [Busy("503"), Busy("429", retry_after=0.1), Trouble("refused", connected=False), Trouble("reset")],
    ids=str,
)
def test_all_wait_for_a_host_and_ask_one_at_a_time(trouble: Trouble) -> None:
    site, over = Site(), time.monotonic() + 0.7
    site.read("good")
    site.trouble = lambda _name: trouble if time.monotonic() < over else None
    with ThreadPoolExecutor(16) as pool, metered() as meter:
        got = [f.result() for f in [pool.submit(copy_context().run, site.read, f"f{n}") for n in range(64)]]
    assert got == [f"f{n}" for n in range(64)], "an outage that ends is nobody's fault"
    closed = [when for when, _ in site.asked if over - 0.5 < when < over - 0.01]
    assert 1 <= len(closed) < 30, "one at a time while it is closed"
    assert time.monotonic() - over < 2
    assert 0.5 < meter.waited_s < 2, "however many wait together"


def test_a_file_in_trouble_is_told_from_its_host() -> None:
    site = Site()
    for n in range(3):
        site.read(f"f{n}")
    began_all = current().waited_s
    for trouble in (Busy("503", retry_after=60.0), Trouble("reset"), Trouble("timed out")):

        def only(name: str, t: Trouble = trouble) -> Trouble | None:
            return t if name == "bad" else None

        site.trouble = only
        began = time.monotonic()
        with pytest.raises(Trouble) as caught:
            site.read("bad")
        assert caught.value is trouble
        assert time.monotonic() - began < 0.2
        assert site.read("f9") == "f9"
    assert current().waited_s == began_all


def test_several_files_in_trouble_that_does_not_end_are_given_back() -> None:
    site = Site()
    site.read("good")
    site.trouble = lambda name: Busy("503") if name.startswith("bad") else None

    def tried(name: str) -> str:
        try:
            return site.read(name)
        except Busy:
            return "fault"

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(tried, [f"bad{n}" for n in range(6)] + [f"f{n}" for n in range(40)]))
    assert got == ["fault"] * 6 + [f"f{n}" for n in range(40)]
    assert time.monotonic() - began < 10


def test_a_host_that_counts_requests_is_asked_more_slowly_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "SHARED_S", 20.0)
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.1)
    site, served = Site(), list[float]()

    def limit(_name: str) -> Trouble | None:
        with site.lock:
            now = time.monotonic()
            if sum(when > now - 0.1 for when in served) >= 5:
                return Busy("429")
            served.append(now)
            return None

    site.trouble = limit

    def read(n: int) -> str:
        # The first ones that are refused may be taken for trouble of their own: it costs them an attempt.
        return with_retries(f"https://counts/{n}", 3, lambda _: site.read(f"f{n}", known=True))

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(read, range(60)))
    assert got == [f"f{n}" for n in range(60)]


def test_patience_has_an_end_which_all_share() -> None:
    site = Site()
    site.read("good")
    site.trouble = lambda _name: Busy("HTTP status 503")
    began = time.monotonic()

    def tried(n: int) -> str:
        with pytest.raises(HostDown, match=r"h has served nothing for .* \(HTTP status 503\)"):
            site.read(f"f{n}", patience=0.4)
        return "down"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(tried, range(40))) == {"down"}
    assert 0.4 <= time.monotonic() - began < 2.5
    site.trouble = lambda _name: None
    time.sleep(0.12)
    assert site.read("f1", patience=0.4) == "f1", "it is asked again now and then"


def test_no_patience_is_no_waiting() -> None:
    site = Site()
    site.read("good")
    site.trouble = lambda _name: Busy("503")
    with metered() as meter, pytest.raises(Busy):
        site.read("f", patience=0.0)
    assert meter.waited_s == 0


@pytest.mark.parametrize("known", [False, True])
def test_a_host_that_was_never_there_is_not_waited_for_unless_the_plan_has_read_from_it(known: bool) -> None:
    site, over = Site(), time.monotonic() + 0.3
    site.trouble = lambda _name: Trouble("no such host", connected=False) if time.monotonic() < over else None
    if known:
        assert site.read("f", known=True) == "f"
    else:
        with pytest.raises(Trouble):
            site.read("f")


def test_time_at_a_gate_does_not_count() -> None:
    site = Site()
    site.read("good")
    over = time.monotonic() + 0.5
    site.trouble = lambda _name: Busy("503") if time.monotonic() < over else None
    clocks.begin()
    ends = clocks.left()
    site.gate._enter("x", 10.0)
    before = time.monotonic()
    site.trouble, whole = (lambda _name: None), site.trouble
    site.gate._close(Busy("503"), True)
    site.trouble = whole
    site.read("f")
    passed = time.monotonic() - before
    assert passed > 0.4
    assert clocks.left() > ends - 0.2
    clocks.end()


def test_an_interrupted_look_leaves_the_gate_to_others() -> None:
    site = Site()
    site.gate._close(Busy("503"), True)

    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.gate.ask("f", interrupted, interrupted, 10.0)
    assert site.read("g") == "g"
