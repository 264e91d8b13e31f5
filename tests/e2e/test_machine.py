"""Any history of runs, kills, faults, appended and reprocessed items, retries and damage: the stores equal the model's.

`MACHINE=500 MACHINE_SEED=1` tries 500 other histories.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from groundbreak.pipeline.core import places
from groundbreak.pipeline.running import tasks
from tests.machine import damage
from tests.machine.history import History
from tests.machine.source import DATES, REGIONS, SIDES
from tests.machine.truth import DEPTH, Truth

HISTORIES = int(os.environ.get("MACHINE", "4"))
"""Histories that are tried."""
SEED = os.environ.get("MACHINE_SEED", "")
"""Which ones; "" for the same at each time."""
STEPS = 8
MOST_BROKEN = 4
"""Files that are broken at once: where all are, there is nothing to plan with."""

commands = st.sampled_from(["run", "run", "rebuild", "retry", "redetect"])
halves = st.sampled_from(sorted(damage.HALVES))
levels = st.sampled_from([0.05, 0.3])
then = st.sampled_from(["run", "run", "", "retry", "rebuild", "redetect"])
"""The command that follows what has happened; "" for none."""
which = st.integers(0, 999)
"""Chooses one of several things. How many there are may depend on how far a run came, and what is drawn must not."""
strikes = st.tuples(
    # An interrupt reaches the client alone, as Ctrl-C does where workers ignore it.
    st.sampled_from([("kill", "client"), ("kill", "tasks"), ("interrupt", "client")]),
    st.one_of(st.integers(0, 60), st.integers(0, 220)),
)
"""How and whom a strike hits, and after how many writes."""


def pick[T](number: int, things: Sequence[T]) -> T:
    """Choose one of several things."""
    return things[number % len(things)]


class Machine(RuleBasedStateMachine):
    """What may happen to an output and its source, in any order."""

    known: Truth

    def __init__(self) -> None:
        super().__init__()
        self.history = History(self.known)
        self.shelf = self.history.shelf

    def teardown(self) -> None:
        self.history.end()

    def follow(self, command: str) -> None:
        """Give a command after something has happened."""
        if command and (command != "redetect" or self.history.model.listed):
            self.history.command(command, level=self.history.model.level)

    @initialize(count=st.integers(6, 13), holes=st.sets(st.integers(1, 12), max_size=2), then=then)
    def begin(self, count: int, holes: set[int], then: str) -> None:
        self.shelf.offer((date, 0) for date in range(count) if date not in holes)
        self.follow(then)

    @property
    def end(self) -> int:
        """The number of the date after the last one that was ever listed."""
        return max(self.shelf.items) + 1

    @precondition(lambda self: self.end < len(DATES))
    @rule(count=st.integers(1, 6), then=then)
    def append(self, count: int, then: str) -> None:
        self.shelf.offer((date, 0) for date in range(self.end, min(self.end + count, len(DATES))))
        self.follow(then)

    @rule(number=which, then=then)
    def come_late(self, number: int, then: str) -> None:
        if dates := [date for date in range(self.end) if not self.shelf.items.get(date)]:
            self.shelf.offer([(pick(number, dates), 0)])
        self.follow(then)

    @rule(number=which, replaces=st.booleans(), then=then)
    def reprocess(self, number: int, replaces: bool, then: str) -> None:
        date, version = pick(number, self.shelf.offered)
        self.shelf.offer([(date, version + 1)])
        if replaces:
            self.shelf.withdraw(date, version)
        self.follow(then)

    @precondition(lambda self: len(self.shelf.offered) > DEPTH)
    @rule(number=which, then=then)
    def withdraw(self, number: int, then: str) -> None:
        date, _ = pick(number, self.shelf.offered[1:])
        for version in sorted(self.shelf.items[date]):
            self.shelf.withdraw(date, version)
        self.follow(then)

    @precondition(lambda self: len({b[:3] for b in self.shelf.broken}) < MOST_BROKEN)
    @rule(
        number=which,
        band=st.sampled_from(sorted(SIDES)),
        how=st.sampled_from(["gone", "cut", "page", *REGIONS]),
        then=then,
    )
    def break_asset(self, number: int, band: str, how: str, then: str) -> None:
        whole = [e for e in self.shelf.offered if not any(b[:3] == (*e, band) for b in self.shelf.broken)]
        self.shelf.damage(pick(number, whole), band, how)
        self.follow(then)

    @precondition(lambda self: self.shelf.broken)
    @rule(then=then)
    def mend_assets(self, then: str) -> None:
        self.shelf.mend()
        self.follow(then)

    @rule(level=levels)
    def redetect(self, level: float) -> None:
        if self.history.model.listed:
            self.history.command("redetect", level)

    @rule()
    def publish_again(self) -> None:
        if self.history.equal:
            self.history.publish()

    @rule(
        command=commands,
        level=levels,
        strike=strikes,
        aftermath=st.sampled_from(["", "", "half a lease", "late"]),
        number=which,
        then=then,
    )
    def strike(
        self, command: str, level: float, strike: tuple[tuple[str, str], int], aftermath: str, number: int, then: str
    ) -> None:
        history = self.history
        if command == "redetect" and not history.model.listed:
            return
        (how, who), after = strike
        if history.command(command, level, how, who, after).struck and how == "kill":
            if aftermath == "half a lease":
                damage.halve_lease(history.out, pick(number, sorted(damage.HALVES)))
            elif aftermath and (chunks := history.finished_chunks()):
                history.overwrite(pick(number, chunks))
        self.follow(then)

    @rule(number=which, how=st.sampled_from(["lost", "cut", "flipped", ""]), then=then)
    def verify(self, number: int, how: str, then: str) -> None:
        history = self.history
        if not history.model.listed:
            return
        bad = set()
        if how and (chunks := history.finished_chunks()):
            chunk = pick(number, chunks)
            damage.harm(chunk, how)
            bad.add(damage.task_of(history.out, chunk))
        history.verify(bad)
        self.follow(then)

    @rule(number=which, half=halves, then=then)
    def half_a_record(self, number: int, half: str, then: str) -> None:
        if done := self.history.finished_tasks():
            self.history.halve_record(pick(number, done), half)
        self.follow(then)

    @rule(
        key=st.sampled_from(
            [
                places.HEADERS,
                places.RUN,
                places.FAULTS,
                places.SITES,
                "38TPK/cube.zarr/10m/red/zarr.json",
                "38TPK/cube.zarr/20m/time/c/0",
                "38TPK/change.zarr/status/zarr.json",
            ]
        ),
        half=halves,
        command=st.sampled_from(["run", "retry", "rebuild"]),
    )
    def half_an_object(self, key: str, half: str, command: str) -> None:
        if (self.history.out / key).exists():
            (self.history.out / key).write_bytes(damage.HALVES[half])
            self.history.command(command)

    @rule(key=st.sampled_from([places.PLAN, places.LEDGER, "38TPK/cube.zarr/zarr.json"]), half=halves, then=then)
    def half_of_what_is_needed(self, key: str, half: str, then: str) -> None:
        if (self.history.out / key).exists():
            self.history.refuse(key, half)
        self.follow(then)

    @invariant()
    def the_seal_is_right(self) -> None:
        self.history.check_seal()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Truth]:
    """One thread of this process as a cluster, so that tasks are done in the same order each time."""
    tasks.warm_up("cusum")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield Truth(tmp_path_factory.mktemp("machine"), client)


@pytest.mark.filterwarnings("ignore")
def test_the_stores_equal_the_models_after_any_history(known: Truth) -> None:
    Machine.known = known
    chosen = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        derandomize=not SEED,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if SEED else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(int(SEED))(Machine) if SEED else Machine, settings=chosen)
