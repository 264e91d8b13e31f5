"""Log lines: by module, to standard error, as many as were asked for; from workers too."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundbreak.pipeline import cli
from groundbreak.pipeline.logs import LOGGER, log_to_stderr
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


def test_verbose_tells_what_a_run_decides_and_quiet_only_the_result(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A cluster of its own, since only workers that are processes of their own set up a log.
    file = write_config(world / "run.toml", None, BOX, "2021-01-01/2021-12-31", cluster={"workers": 1})
    command = [sys.executable, "-m", "groundbreak.pipeline.cli", "run", str(file), "-vv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr  # three dates are too few to judge a pixel
    assert "groundbreak.pipeline.api: <Plan: grids 1" in done.stderr
    assert "groundbreak.cluster.connect: a local cluster of 1 workers" in done.stderr
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
    assert re.search(r"groundbreak\.pipeline\.access\.retries: \S+red\S*\.tif: attempt 1 of 3 failed", done.stderr)
