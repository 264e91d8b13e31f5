"""Any history of runs, kills, faults, appended and reprocessed items, retries and damage: the stores equal the model's.

`MACHINE=500 MACHINE_SEED=1` tries 500 other histories.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from groundbreak.pipeline import api, upkeep
from groundbreak.pipeline.api import Result
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output, checksum
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import tasks
from tests.machine import damage, truth
from tests.machine.model import Model
from tests.machine.source import DATES, REGIONS, SIDES, Shelf
from tests.machine.strikes import Killed, Strike, watched
from tests.machine.truth import DEPTH, THRESHOLD, Truth

HISTORIES = int(os.environ.get("MACHINE", "8"))
"""Histories that are tried."""
SEED = os.environ.get("MACHINE_SEED", "")
"""Which ones; "" for the same at each time."""
STEPS = 10
MOST_BROKEN = 4
"""Files that are broken at once: where all are, there is nothing to plan with."""
LEVELS = 0.05, 0.3

commands = st.sampled_from(["run", "run", "rebuild", "retry", "redetect"])
halves = st.sampled_from(sorted(damage.HALVES))
which = st.integers(0, 999)
"""Chooses one of several things. How many there are may depend on how far a run came, and what is drawn must not."""


def pick[T](number: int, things: Sequence[T]) -> T:
    return things[number % len(things)]


class Machine(RuleBasedStateMachine):
    """An output and its source, what was done to them, and a model of what must be there."""

    known: Truth

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.known.folder / "history"
        self.out = self.folder / "out"
        self.shelf = Shelf(self.folder / "source", self.known.store)
        self.model = Model(DEPTH, THRESHOLD)
        self.late: set[str] = set()
        """Tasks of which a dead run has overwritten something, which nobody has found yet."""
        self.equal = False
        """Whether the stores are those of the model: the last command that writes them has ended well."""
        self.published: dict[str, str] = {}
        """What was published as a whole."""

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the source -------------------------------------------------------------------------------------------------

    @initialize(count=st.integers(6, 13), holes=st.sets(st.integers(1, 12), max_size=2))
    def begin(self, count: int, holes: set[int]) -> None:
        self.shelf.offer((date, 0) for date in range(count) if date not in holes)

    @property
    def end(self) -> int:
        """The number of the date after the last one that was ever listed."""
        return max(self.shelf.items) + 1

    @precondition(lambda self: self.end < len(DATES))
    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        self.shelf.offer((date, 0) for date in range(self.end, min(self.end + count, len(DATES))))

    @rule(number=which)
    def come_late(self, number: int) -> None:
        if dates := [date for date in range(self.end) if not self.shelf.items.get(date)]:
            self.shelf.offer([(pick(number, dates), 0)])

    @rule(number=which, replaces=st.booleans())
    def reprocess(self, number: int, replaces: bool) -> None:
        date, version = pick(number, self.shelf.offered)
        self.shelf.offer([(date, version + 1)])
        if replaces:
            self.shelf.withdraw(date, version)

    @precondition(lambda self: len(self.shelf.offered) > DEPTH)
    @rule(number=which)
    def withdraw(self, number: int) -> None:
        date, _ = pick(number, self.shelf.offered[1:])
        for version in sorted(self.shelf.items[date]):
            self.shelf.withdraw(date, version)

    @precondition(lambda self: len({b[:3] for b in self.shelf.broken}) < MOST_BROKEN)
    @rule(number=which, band=st.sampled_from(sorted(SIDES)), how=st.sampled_from(["gone", "cut", "page", *REGIONS]))
    def break_asset(self, number: int, band: str, how: str) -> None:
        whole = [e for e in self.shelf.offered if not any(b[:3] == (*e, band) for b in self.shelf.broken)]
        self.shelf.damage(pick(number, whole), band, how)

    @precondition(lambda self: self.shelf.broken)
    @rule()
    def mend_assets(self) -> None:
        self.shelf.mend()

    # -- commands ---------------------------------------------------------------------------------------------------

    @rule(command=st.sampled_from(["run", "run", "retry", "rebuild"]))
    def command(self, command: str) -> None:
        self._do(command)

    @rule(level=st.sampled_from(LEVELS))
    def redetect(self, level: float) -> None:
        if self.model.listed:
            self._do("redetect", level)

    @rule()
    def publish_again(self) -> None:
        if not self.equal:
            return
        result = api.republish(self._settings(), self.known.client)
        self._compare(result)

    @rule(
        command=commands,
        level=st.sampled_from(LEVELS),
        how=st.sampled_from(["kill", "kill", "interrupt"]),
        who=st.sampled_from(["client", "tasks"]),
        after=st.one_of(st.integers(0, 60), st.integers(0, 220)),
        aftermath=st.sampled_from(["", "", "half a lease", "late"]),
        number=which,
    )
    def strike(
        self, command: str, level: float, how: str, who: str, after: int, aftermath: str, number: int
    ) -> None:
        if command == "redetect" and not self.model.listed:
            return
        strike = self._do(command, level, how, "client" if how == "interrupt" else who, after)
        if not strike.struck or how == "interrupt":
            return
        if aftermath == "half a lease":
            damage.halve_lease(self.out, pick(number, sorted(damage.HALVES)))
        elif aftermath == "late" and (chunks := self._finished_chunks()):
            chunk = pick(number, chunks)
            damage.harm(chunk, "late")
            self.late.add(damage.task_of(self.out, chunk))

    def _do(self, command: str, level: float = 0, how: str = "", who: str = "client", after: int = 0) -> Strike:
        """Give a command, which may be struck, and hold what it does against the model."""
        wanted, before = deepcopy(self.model), self.model.level
        if command == "redetect":
            wanted.level = level
        for task in self.late:
            wanted.forget(task)
        if command == "retry":
            wanted.forget_troubles()
        if command == "redetect":
            wanted.detected.clear()
        else:
            wanted.relist(wanted.list_with(self.shelf.offered, rebuild=command == "rebuild"))
        refused = command == "redetect" and not wanted.whole
        due = wanted.due(wanted.listed)
        self._build_all(wanted, due)
        call = self._call(command, wanted.level)
        with watched(self.out, self.known.client, how, who, after) as strike:
            try:
                result = call()
            except (Killed, KeyboardInterrupt):
                assert strike.struck
                result = None
            except BadInput:
                if not refused and not strike.struck:
                    raise
                result = None
        note(f"{command}: struck {strike.struck}, due {sorted(due)}")
        if result is None:
            self._follow(strike, wanted)
            self.model.level = before
            self.equal = self.equal and not strike.seen
            return strike
        assert not refused
        assert {task for task, state in strike.seen if state in ("done", "failed")} == due.keys()
        assert result.outcome.done == len(due)
        self.model, self.late = wanted, set()
        self._compare(result)
        return strike

    def _build_all(self, model: Model, due: dict[str, Any]) -> None:
        """Have a model do what is due."""
        for task in sorted(due, key=lambda name: (name.startswith("detect"), name)):
            if task.startswith("build"):
                model.build(task, model.listed, self.shelf.faults)
            else:
                model.detect(task.removeprefix("detect/"))

    def _follow(self, strike: Strike, wanted: Model) -> None:
        """Have the model follow what a run has finished that did not come to its end."""
        self.model.level = wanted.level
        for task, state in strike.seen:
            if task == "list":
                self.model.relist(wanted.listed)
            elif state == "done" and task.startswith("build"):
                self.model.build(task, wanted.listed, self.shelf.faults)
                self.late.discard(task)
            elif state == "done":
                self.model.detect(task.removeprefix("detect/"))
                self.late.discard(task)
            else:
                self.model.forget(task)
                self.late.discard(task)

    def _settings(self, level: float | None = None) -> Any:
        return truth.settings(self.folder, self.model.level if level is None else level)

    def _call(self, command: str, level: float) -> Callable[[], Result]:
        config, client = self._settings(level), self.known.client
        if command == "redetect":
            return lambda: api.redetect(config, client)
        return lambda: api.run(config, client, rebuild=command == "rebuild", retry=command == "retry")

    def _compare(self, result: Result) -> None:
        """Hold all stores, and what a command says, against the model."""
        state = self.model.state
        assert set(result.outcome.failed) == {region for region in REGIONS if self.model.failed(region)}
        named = {(f.region, f.observation[4:12], f.band) for f in result.faults}
        lost = zip(REGIONS, state.lost, strict=True)
        assert named == {(region, DATES[d].replace("-", ""), band) for region, found in lost for d, band in found}
        expected = self.known.of(state)
        found = truth.contents(self.out)
        assert {k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k)} == set()
        assert truth.whole_publication(json.loads((self.out / places.RUN).read_bytes()))
        assert damage.lease_is_free(self.out)
        self.equal = True

    # -- damage -----------------------------------------------------------------------------------------------------

    def _finished_chunks(self) -> list[Path]:
        """Return the chunks that finished tasks have written."""
        done = {f"build/{region}/s{slab:04d}" for region, slab in self.model.built}
        done |= {f"detect/{region}" for region in self.model.detected}
        return [path for path in damage.objects(self.out) if damage.task_of(self.out, path) in done]

    @rule(number=which, how=st.sampled_from(["lost", "cut", "flipped", ""]))
    def verify(self, number: int, how: str) -> None:
        if not self.model.listed:
            return
        bad = set(self.late)
        if how and (chunks := self._finished_chunks()):
            chunk = pick(number, chunks)
            if damage.task_of(self.out, chunk) not in bad:
                damage.harm(chunk, how)
                bad.add(damage.task_of(self.out, chunk))
        found = upkeep.verify(self._settings(), Output(str(self.out)))
        assert found.keys() == bad
        for task in bad:
            self.model.forget(task)
        self.late = set()
        self.equal = self.equal and not bad

    @rule(number=which, half=halves)
    def half_a_record(self, number: int, half: str) -> None:
        done = [f"build/{region}/s{slab:04d}" for region, slab in self.model.built]
        done += [f"detect/{region}" for region in self.model.detected]
        if not done:
            return
        task = pick(number, sorted(done))
        path = self.out / places.record(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damage.HALVES[half])
        self.model.forget(task)

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
    )
    def half_an_object(self, key: str, half: str) -> None:
        if (self.out / key).exists():
            (self.out / key).write_bytes(damage.HALVES[half])
            self.equal = False

    @rule(key=st.sampled_from([places.PLAN, places.LEDGER, "38TPK/cube.zarr/zarr.json"]), half=halves)
    def half_of_what_is_needed(self, key: str, half: str) -> None:
        if not (self.out / key).exists():
            return
        kept = (self.out / key).read_bytes()
        (self.out / key).write_bytes(damage.HALVES[half])
        with pytest.raises(BadInput) as told:
            api.run(self._settings(), self.known.client)
        assert str(told.value)
        (self.out / key).write_bytes(kept)

    # -- always -----------------------------------------------------------------------------------------------------

    @invariant()
    def the_seal_is_right(self) -> None:
        """Where run.json says that a publication is whole, it is."""
        if not self.equal or not (self.out / places.RUN).exists():
            return
        publication = json.loads((self.out / places.RUN).read_bytes())["publication"]
        assert publication["whole"]
        for key, total in publication["files"].items():
            assert checksum((self.out / key).read_bytes()) == total


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
    class Here(Machine):
        pass

    Here.known = known
    chosen = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        derandomize=not SEED,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if SEED else [])],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run = seed(int(SEED))(Here) if SEED else Here
    run_state_machine_as_test(run, settings=chosen)
