"""The command line: exit codes, what it says, and that what it refuses leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from groundbreak.pipeline import cli
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.testing import ArchiveServer
from tests.commands import write_config
from tests.stores import zarr_bytes
from tests.world import CLEAR, Tile, days, item, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_500, 4_399_500, 600_800, 4_399_700)
DATES = days("2021-01-03", 40, 15)
SPAN = "2021-01-01/2022-12-31"


def noisy(band: str, _tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
    """Numbers that do not compress, so that a header is a small part of a file."""
    if band == "scl":
        return CLEAR
    return np.random.default_rng([number, len(band)]).integers(500, 4000, np.broadcast_shapes(x.shape, y.shape))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_source(folder / "source", [TILE], DATES, noisy)
    return folder


@pytest.fixture(scope="module")
def finished(source: Path, client: Client) -> Path:
    """Run once, and return the path of the configuration."""
    path = write_config(source / "run.toml", client, BOX, SPAN)
    assert cli.main(["run", str(path), "--log", "json"]) == 0
    return path


def _features(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Write a copy of the items, each changed; return its path."""
    document = json.loads((folder / "source/items.json").read_text())
    for feature in document["features"]:
        change(feature)
    (folder / "source/changed.json").write_text(json.dumps(document))
    return "source/changed.json"


def _without_swir(feature: dict[str, Any]) -> None:
    del feature["assets"]["swir16"]


def _nowhere(feature: dict[str, Any]) -> None:
    for asset in feature["assets"].values():
        asset["href"] = asset["href"].replace("38TPK", "nowhere")


POINT = {"type": "Point", "coordinates": [46.2, 39.7]}

BAD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "an unknown section": (
        {"detection": {"indices": ["ndvi"]}},
        ("[detection]", "is not a key", "Did you mean 'detect'"),
    ),
    "an unknown key": ({"cube": {"regoin": 64}}, ("[cube] regoin", "is not a key", "Did you mean 'region'")),
    "a value of another kind": ({"cube": {"slab": "many"}}, ("[cube] slab = 'many'", "must be a whole number")),
    "an empty box": ({"area": {"bbox": [46.0, 40.0, 46.1, 40.0]}}, ("[area] bbox", "hold some area")),
    "an empty geometry": (
        {"area": {"bbox": None, "geometry": "point.json"}},
        ("[area] geometry", "hold some area", "Give polygons"),
    ),
    "no such geometry": (
        {"area": {"bbox": None, "geometry": "none.json"}},
        ("[area] geometry", "must exist", "Check the path"),
    ),
    "an area elsewhere": ({"area": {"bbox": [10.0, 10.0, 10.1, 10.1]}}, ("outside_area", "Check [area]")),
    "dates that select nothing": (
        {"source": {"datetime": "1999-01-01/1999-12-31"}},
        ("40 outside_dates", "2021-01-03", "Widen [source] date"),
    ),
    "dates that are none": ({"source": {"datetime": "last year"}}, ("[source] datetime = 'last year'", "ISO dates")),
    "no such items": ({"source": {"items": "none.json"}}, ("[source] items = 'none.json'", "must exist")),
    "a needed band that is not there": (_without_swir, ("missing_band", "swir16", "[source.provider] bands")),
    "assets that cannot be read": (_nowhere, ("no header of the first scenes can be read", "Check the hrefs")),
    "an unknown index": ({"detect": {"indices": ["ndiv"]}}, ("[detect] indices", "ndiv")),
    "an unknown detector": ({"detect": {"detector": "magic"}}, ("[detect] detector = 'magic'", "phases")),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_bad_input_is_one_clear_error(
    command: str, name: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = BAD[name]
    (source / "point.json").write_text(json.dumps(POINT))
    sections: dict[str, Any] = {"source": {"items": _features(source, change)}} if callable(change) else change
    # Without a cluster: what is refused is refused before one is started.
    path = write_config(source / "bad.toml", None, BOX, SPAN, out="bad", **sections)
    assert cli.main([command, str(path)]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("groundbreak: ")
    assert errors.count("\n") == 1
    assert errors.rstrip().endswith(".")
    for part in said:
        assert part in errors
    assert not (source / "bad").exists()


@pytest.mark.parametrize(("text", "said"), [("[area\n", "must be TOML"), (None, "the configuration file must exist")])
def test_a_file_that_is_no_configuration(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "a.toml").write_text(text)
    assert cli.main(["status", str(tmp_path / "a.toml")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("finished")
def test_another_cube_is_refused_and_keeps_its_bytes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.read_bytes() for p in (source / "out").rglob("*") if p.is_file()}
    other = write_config(source / "other.toml", None, BOX, SPAN, cube={"slab": 24})
    for command in ("run", "retry"):
        assert cli.main([command, str(other)]) == 2
        errors = capsys.readouterr().err
        assert "holds another cube of 38TPK" in errors
        assert "Choose another output" in errors
    assert {p: p.read_bytes() for p in (source / "out").rglob("*") if p.is_file()} == before


def test_too_little_disk(source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Output, "free_bytes", lambda _self: 1000)
    path = write_config(source / "full.toml", None, BOX, SPAN, out="full")
    assert cli.main(["run", str(path)]) == 2
    errors = capsys.readouterr().err
    assert "GB more" in errors
    assert "Free some space" in errors
    assert not list((source / "full").rglob("*.zarr"))
    assert not [p for p in (source / "full").rglob("*") if p.is_file()]


@pytest.mark.parametrize("command", ["status", "verify", "detect", "publish"])
def test_what_needs_a_run_says_so(command: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(source / "none.toml", None, BOX, SPAN, out="none")
    assert cli.main([command, str(path)]) == 2
    assert "holds no run yet" in capsys.readouterr().err
    assert not [p for p in (source / "none").rglob("*") if p.is_file()]


def test_a_plan_reads_headers_alone(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(source / "source", tmp_path / "source")
    document = json.loads((tmp_path / "source/items.json").read_text())
    older = item(TILE, DATES[0], baseline="02.14")
    gone = item(TILE, "2019-01-01")
    document["features"] += [older, gone]
    (tmp_path / "source/items.json").write_text(json.dumps(document))
    with ArchiveServer(tmp_path / "source") as server:
        path = write_config(
            tmp_path / "run.toml",
            None,
            BOX,
            SPAN,
            items=f"{server.url}/items.json",
            source={"allow_hosts": ["127.0.0.1"]},
        )
        assert cli.main(["plan", str(path)]) == 0
        asked = [r for r in server.requests if r.path.endswith(".tif")]
    # One header of each file, in one request.
    assert {r.method for r in asked} == {"GET"}
    names = [f"38TPK/{date}_0/{b}.tif" for date in DATES for b in ("blue", "red", "nir", "swir16", "scl")]
    assert sorted(r.path for r in asked) == sorted(names)
    said = capsys.readouterr().out
    lines = {line.split("  ")[0]: line.split()[-1] for line in said.partition("\n\n")[0].splitlines()}
    assert lines["regions"] == "2"
    assert lines["observations"] == "40"
    assert lines["rejected items"] == "2"
    assert "200 assets: blocks, as they lie in the file" in said
    assert "1 older_baseline" in said
    assert "1 outside_dates" in said
    assert not (tmp_path / "out").exists()


def test_a_plan_for_programs(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(source / "plan.toml", None, BOX, SPAN, out="unplanned")
    assert cli.main(["plan", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["summary"]["observations"] == 40
    assert plan["summary"]["tasks"] == 10
    assert plan["grids"] == [
        {
            "name": "38TPK",
            "epsg": 32638,
            "regions": 2,
            "observations": 40,
            "first": "2021-01-03T07:47:00.000",
            "ways": {"blocks, as they lie in the file": 200},
        }
    ]
    assert plan["rejected"] == []


def test_every_command_on_a_finished_run(finished: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, before = str(finished), zarr_bytes(source / "out")
    capsys.readouterr()

    def say(*arguments: str, code: int = 0) -> str:
        assert cli.main([*arguments]) == code
        return capsys.readouterr().out

    assert "0 tasks done, 10 done before, 0 regions failed, 0 faults" in say("run", path)
    status = say("status", path)
    assert "8 done" in status
    found = json.loads(say("status", path, "--json"))
    assert found["tasks"] == {"build": {"done": 8}, "detect": {"done": 2}}
    assert found["failed"] == {}
    assert "0 tasks damaged" in say("verify", path)
    assert "0 regions failed" in say("publish", path)
    assert "2 tasks done, 8 done before" in say("detect", path)
    assert "0 tasks done, 10 done before" in say("retry", path)
    assert zarr_bytes(source / "out") == before
    # A damaged shard: told by exit code 1, mended by the next run.
    shard = next(p for p in sorted((source / "out").glob("38TPK/cube.zarr/10m/red/c/**/*")) if p.is_file())
    shard.write_bytes(b"damaged")
    assert "1 tasks damaged" in say("verify", path, code=1)
    assert "0 regions failed" in say("run", path)
    assert zarr_bytes(source / "out") == before


def test_progress_as_json_lines(source: Path, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(source / "log.toml", client, BOX, SPAN, out="log")
    assert cli.main(["run", str(path), "--log", "json"]) == 0
    out, errors = capsys.readouterr()
    lines = [json.loads(line) for line in errors.splitlines()]
    assert lines[-1]["tasks"] == lines[-1]["of"] == 10
    assert lines[-1]["faults"] == lines[-1]["failed"] == 0
    assert "report.html" in out


def test_an_interrupt_is_130(source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("groundbreak.pipeline.planning.planner.plan", interrupted)
    assert cli.main(["run", str(write_config(source / "int.toml", None, BOX, SPAN))]) == 130
    assert "run it again to go on from here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "hung up"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_ends_a_command_in_good_order(
    number: signal.Signals,
    code: int,
    word: str,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        # To this thread: another one might take a signal that goes to the process, and be late with it.
        try:
            signal.raise_signal(number)
        finally:  # those that follow do not disturb its end
            for other in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.raise_signal(other)

    # Whoever starts the tests in the background has them ignore Ctrl-C, and nohup has them ignore SIGHUP.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    others = [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGTERM, signal.SIGHUP)]
    monkeypatch.setattr("groundbreak.pipeline.planning.planner.plan", stopped)
    assert cli.main(["run", str(write_config(source / "term.toml", None, BOX, SPAN, out="term"))]) == code
    assert f"groundbreak: {word}; run it again to go on from here" in capsys.readouterr().err
    after = [signal.signal(n, handler) for n, handler in zip((signal.SIGTERM, signal.SIGHUP), others, strict=True)]
    assert after == [signal.SIG_DFL] * 2
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert not (source / "term").exists()


def test_a_signal_that_is_ignored_stays_so(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As nohup has it."""

    def hung_up(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise BadInput("a", "b", "c")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr("groundbreak.pipeline.planning.planner.plan", hung_up)
    assert cli.main(["run", str(write_config(source / "nohup.toml", None, BOX, SPAN, out="nohup"))]) == 2
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN


def test_a_secret_in_an_address_is_not_shown(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(
        source / "guarded.toml", None, BOX, SPAN, items="http://user:pass@127.0.0.1:9/items.json?sig=SECRET"
    )
    assert cli.main(["run", str(path)]) == 2
    errors = capsys.readouterr().err
    assert "http://127.0.0.1:9/items.json" in errors
    assert "cannot be read" in errors
    assert "SECRET" not in errors
    assert "pass@" not in errors
