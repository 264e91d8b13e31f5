"""An output with a past: commands are given and struck, and all that they leave is held against the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from groundbreak.pipeline import api, upkeep
from groundbreak.pipeline.api import Result
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output, checksum
from groundbreak.pipeline.core.types import BadInput
from tests.machine import damage
from tests.machine.model import Built, Model
from tests.machine.source import DATES, REGIONS, Shelf
from tests.machine.strikes import Killed, Strike, watched
from tests.machine.truth import DEPTH, THRESHOLD, Truth, contents, settings


@dataclass
class History:
    """An output, its source, and a model of what must be there."""

    known: Truth
    model: Model = field(default_factory=lambda: Model(DEPTH, THRESHOLD))
    late: set[str] = field(default_factory=set)
    """Tasks of which a dead run has overwritten something, which nobody has found yet."""
    equal: bool = False
    """Whether the stores are those of the model: the last command that writes them has come to its end."""

    def __post_init__(self) -> None:
        self.folder = self.known.folder / "history"
        self.out = self.folder / "out"
        self.shelf = Shelf(self.folder / "source", self.known.store)

    def end(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, name: str, level: float = 0.0, how: str = "", who: str = "client", after: int = 0) -> Strike:
        """Give a command, which may be struck, and hold what it does against the model.

        Parameters
        ----------
        name : {"run", "rebuild", "retry", "redetect"}
        level : float
            The parameter with which "redetect" detects.
        how, who, after
            As `Strike` has them.
        """
        wanted = self._wanted(name, level)
        refused = name == "redetect" and not wanted.whole
        due = wanted.due(wanted.listed)
        self._do_all(wanted, due)
        with watched(self.out, self.known.client, how, who, after) as strike:
            result = None
            try:
                result = self._call(name, wanted.level)()
            except (Killed, KeyboardInterrupt):
                if not strike.struck:  # somebody has stopped the tests
                    raise
            except BadInput:
                if not (refused or strike.struck):
                    raise
        if result is None:
            self._follow(strike, wanted)
            return strike
        assert not refused
        assert {task for task, state in strike.seen if state in ("done", "failed")} == due.keys()
        assert result.outcome.done == len(due)
        self.model, self.late = wanted, set()
        self.compare(result)
        return strike

    def _wanted(self, name: str, level: float) -> Model:
        """Return the model as a command will have it, before anything is done that is due."""
        wanted = deepcopy(self.model)
        for task in self.late:
            wanted.forget(task)
        if name == "retry":
            wanted.forget_troubles()
        if name == "redetect":
            wanted.level = level
            wanted.detected.clear()
        else:
            wanted.relist(wanted.list_with(self.shelf.offered, rebuild=name == "rebuild"))
        return wanted

    def _do_all(self, model: Model, due: dict[str, Built | None]) -> None:
        """Have a model do what is due."""
        for task in sorted(due):  # builds come first
            self._did(model, task)

    def _did(self, model: Model, task: str) -> None:
        if task.startswith("build"):
            model.build(task, model.listed, self.shelf.faults)
        else:
            model.detect(task.removeprefix("detect/"))

    def _follow(self, strike: Strike, wanted: Model) -> None:
        """Have the model follow what a command has finished that did not come to its end."""
        before, self.model.level = self.model.level, wanted.level
        for task, state in strike.seen:
            if task == "list":
                self.model.relist(wanted.listed)
                continue
            self.model.forget(task)
            self.late.discard(task)
            if state == "done":
                self._did(self.model, task)
        self.model.level = before
        self.equal = self.equal and not strike.seen and not strike.struck

    def _call(self, name: str, level: float) -> Callable[[], Result]:
        config, client = settings(self.folder, level), self.known.client
        if name == "redetect":
            return lambda: api.redetect(config, client)
        return lambda: api.run(config, client, rebuild=name == "rebuild", retry=name == "retry")

    def publish(self) -> None:
        """Publish again what is there."""
        self.compare(api.republish(settings(self.folder, self.model.level), self.known.client))

    def compare(self, result: Result) -> None:
        """Hold all stores, and what a command says, against the model."""
        state = self.model.state
        assert set(result.outcome.failed) == {region for region in REGIONS if self.model.failed(region)}
        named = {(f.region, f.observation[4:12], f.band) for f in result.faults}
        lost = zip(REGIONS, state.lost, strict=True)
        assert named == {(region, DATES[d].replace("-", ""), band) for region, found in lost for d, band in found}
        expected, found = self.known.of(state), contents(self.out)
        assert {key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)} == set()
        assert damage.lease_is_free(self.out)
        self.equal = True
        self.check_seal()

    def check_seal(self) -> None:
        """Make sure that run.json says whether the publication is whole, and that it is then."""
        path = self.out / places.RUN
        if not path.exists():
            return
        publication = json.loads(path.read_bytes())["publication"]
        assert publication["whole"] or not self.equal
        for key, total in publication["files"].items() if publication["whole"] else ():
            assert checksum((self.out / key).read_bytes()) == total

    def finished_tasks(self) -> list[str]:
        """Return the names of the tasks that are finished."""
        done = [f"build/{region}/s{slab:04d}" for region, slab in self.model.built]
        return sorted([*done, *(f"detect/{region}" for region in self.model.detected)])

    def finished_chunks(self) -> list[Path]:
        """Return the chunks that finished tasks have written, of which nobody has overwritten one yet."""
        done = set(self.finished_tasks()) - self.late
        return [path for path in damage.objects(self.out) if damage.task_of(self.out, path) in done]

    def overwrite(self, chunk: Path) -> None:
        """Have a task of a run that is dead put something in the place of a chunk."""
        damage.harm(chunk, "late")
        self.late.add(damage.task_of(self.out, chunk))

    def verify(self, bad: set[str]) -> None:
        """Verify, which must find the tasks of which objects are bad, and have them be done again."""
        found = upkeep.verify(settings(self.folder, self.model.level), Output(str(self.out)))
        assert found.keys() == bad | self.late
        for task in found:
            self.model.forget(task)
        self.late = set()
        self.equal = self.equal and not found

    def halve_record(self, task: str, half: str) -> None:
        """Leave half a record of a task: it counts as none."""
        path = self.out / places.record(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damage.HALVES[half])
        self.model.forget(task)

    def refuse(self, key: str, half: str) -> None:
        """Make sure that a run names half an object that it cannot do without, and goes on once a copy is put back."""
        kept = (self.out / key).read_bytes()
        (self.out / key).write_bytes(damage.HALVES[half])
        with pytest.raises(BadInput) as told:
            self._call("run", self.model.level)()
        assert Path(key).name in str(told.value) or Path(key).parent.name in str(told.value)
        (self.out / key).write_bytes(kept)
