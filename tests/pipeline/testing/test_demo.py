"""Where the demo puts a world: never where another one, or anybody's files, lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from groundbreak.pipeline import api
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.testing import demo
from groundbreak.pipeline.testing.archive import VERSION, write_archive


class Stopped(Exception):
    """Raised in place of the run itself."""


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Collect (output, seed of the archive beside it) of each run, which is stopped there."""
    seen: list[tuple[Path, int]] = []

    def run(config: Config, **_: object) -> None:
        out = Path(config.path(config.output.path))
        seen.append((out, json.loads((out.parent / "archive/truth.json").read_text())["seed"]))
        out.mkdir(exist_ok=True)
        raise Stopped

    monkeypatch.setattr(api, "run", run)
    monkeypatch.setattr(demo, "write_archive", lambda folder, seed: write_archive(folder, seed, scale="small"))
    return seen


def once(folder: Path, seed: int) -> None:
    with pytest.raises(Stopped):
        demo.run_demo(folder, seed, "none")


def test_another_seed_never_meets_an_old_output(
    tmp_path: Path, outputs: list[tuple[Path, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    top = tmp_path / "demo"
    once(top, 0)
    kept = {p: p.read_bytes() for p in top.rglob("*") if p.is_file()}
    once(top, 3)
    assert f"seed 3 goes to {top / 'seed-3'}" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in kept} == kept
    once(top, 0)
    once(top, 3)
    assert outputs == [(top / "out", 0), (top / "seed-3/out", 3), (top / "out", 0), (top / "seed-3/out", 3)]


def test_a_fresh_folder_takes_any_seed_itself(tmp_path: Path) -> None:
    assert demo.home(tmp_path / "demo", 3) == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/notes.txt").write_text("mine")
    assert demo.home(tmp_path / "demo", 3) == tmp_path / "demo"


@pytest.mark.parametrize("name", ["archive", "out", "demo.toml"])
def test_what_the_demo_did_not_write_is_left_alone(name: str, tmp_path: Path, outputs: list[tuple[Path, int]]) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "items.json").write_text("mine")
    once(tmp_path, 0)
    assert (tmp_path / name / "items.json").read_text() == "mine"
    assert outputs == [(tmp_path / "seed-0/out", 0)]


def test_a_world_of_another_version_is_another_world(tmp_path: Path) -> None:
    marker = tmp_path / demo.MARKER
    marker.write_text(json.dumps({"seed": 0, "version": VERSION - 1}))
    assert demo.home(tmp_path, 0) == tmp_path / "seed-0"
    marker.write_text("{half")
    assert demo.home(tmp_path, 0) == tmp_path / "seed-0"
    for name in ("seed-0", f"seed-0-v{VERSION}"):
        (tmp_path / name).write_text("a file")
    with pytest.raises(BadInput, match="Name another folder"):
        demo.home(tmp_path, 0)
