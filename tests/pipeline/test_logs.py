"""Log lines: by module, to standard error, as many as were asked for; from workers too."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundbreak.pipeline import cli
from groundbreak.pipeline.core import ticker
from groundbreak.pipeline.core.ticker import Ticker
from groundbreak.pipeline.logs import LOGGER, PROGRESS, log_to_stderr
from tests.commands import write_config
from tests.world import Tile, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave the logger as it was: the command line sets it up for its whole process."""
    level, handlers, propagate = LOGGER.level, list(LOGGER.handlers), LOGGER.propagate
    yield
    LOGGER.setLevel(level)
    PROGRESS.setLevel(logging.NOTSET)
    LOGGER.handlers[:], LOGGER.propagate = handlers, propagate


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", [TILE], days("2021-01-03", 3, 10))
    return tmp_path


def test_a_library_sets_nothing_up() -> None:
    text = "import logging, groundbreak; groundbreak.run; print(logging.getLogger('groundbreak').handlers)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lines_go_to_what_standard_error_is_at_the_time_once(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(logging.INFO)
    log_to_stderr(logging.WARNING)
    logging.getLogger("groundbreak.any").info("quiet")
    logging.getLogger("groundbreak.any").warning("loud")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("WARNING groundbreak.any: loud")


def test_a_long_wait_is_told_in_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_to_stderr(logging.WARNING)
    counts = Ticker("reading items: {} so far")
    counts.add(700)
    monkeypatch.setattr(ticker, "EVERY_S", 0.0)
    counts.add(700)
    monkeypatch.setattr(ticker, "EVERY_S", 1000.0)
    counts.add(700)
    monkeypatch.setattr(ticker, "EVERY_S", 0.0)
    counts.add(700)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("groundbreak.progress: ")[2] for line in lines] == [
        "reading items: 1,400 so far",
        "reading items: 2,800 so far",
    ]


def test_a_plan_that_takes_long_says_how_far_it_is_unless_it_is_to_be_quiet(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_config(world / "run.toml", None, BOX, "2021-01-01/2021-12-31")
    assert cli.main(["plan", str(file)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(ticker, "EVERY_S", 0.0)
    assert cli.main(["plan", str(file)]) == 0
    said = capsys.readouterr().err
    assert "reading items: 3 so far" in said
    assert "reading headers: 15 of 15" in said
    assert cli.main(["plan", str(file), "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_verbose_tells_what_a_run_decides_and_quiet_only_the_result(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A cluster of its own, since only workers that are processes of their own set up a log.
    file = write_config(world / "run.toml", None, BOX, "2021-01-01/2021-12-31", cluster={"workers": 1})
    command = [sys.executable, "-m", "groundbreak.pipeline.cli", "run", str(file), "-vv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr  # three dates are too few to judge a pixel
    assert "groundbreak.pipeline.api: <Plan: grids 1" in done.stderr
    assert "groundbreak.cluster.connectors.local: a local cluster of 1 workers" in done.stderr
    assert "submitting <RegionTask 38TPK/r000c000: 1 slabs" in done.stderr
    assert "groundbreak.pipeline.publish: 0 sites" in done.stderr
    assert cli.main(["run", str(file), "-q"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "2 done before" in captured.out


def test_a_worker_of_its_own_process_logs_as_its_client_does(world: Path) -> None:
    file = write_config(world / "run.toml", None, BOX, "2021-01-01/2021-12-31", cluster={"workers": 1})
    image = next((world / "source").rglob("*red*.tif"))
    image.write_bytes(image.read_bytes()[:200])
    command = [sys.executable, "-m", "groundbreak.pipeline.cli", "run", str(file), "-v", "--log", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    attempts = [line for line in lines if line.get("logger") == "groundbreak.pipeline.access.retries"]
    assert {Path(line["asset"]).name for line in attempts} == {image.name}
    first = next(line for line in attempts if line["attempt"] == 1)
    assert re.search(r"red\S*\.tif: attempt 1 of 3 failed", first["message"])
    faults = [line for line in lines if line.get("logger") == "groundbreak.pipeline.compute.build"]
    told = [(line["region"], line["band"], Path(line["href"]).name) for line in faults]
    assert told == [("38TPK/r000c000", "red", image.name)]
    clients = {line["process"] for line in lines if line.get("logger") == "groundbreak.pipeline.api"}
    assert {line["process"] for line in faults}.isdisjoint(clients)
    moments = [line["time"] for line in lines if "time" in line]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in moments)


def test_json_lines_are_one_object_each_whatever_they_tell(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(logging.INFO, as_json=True)
    log = logging.getLogger("groundbreak.any")
    try:
        raise ValueError("in two\nlines")
    except ValueError:
        log.exception("it broke: %s", '"\n\u2028\x1b', extra={"path": Path("a")})
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"], line["path"]) == ("error", 'it broke: "\n\u2028\x1b', "a")
    assert "ValueError: in two\nlines" in line["traceback"]


def test_what_ends_with_a_scheduler_is_said_in_tracebacks_only_where_asked_for() -> None:
    record = logging.LogRecord("distributed.client", logging.ERROR, "", 0, "gone", None, None)
    talker = logging.getLogger("distributed.client")
    log_to_stderr(logging.WARNING)
    assert not talker.filter(record)
    log_to_stderr(logging.INFO)
    assert talker.filter(record)
