"""How far an output is, from records whose figures are known."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault, Record
from groundbreak.pipeline.running.lease import locked
from groundbreak.pipeline.running.ledger import Ledger, write_record
from groundbreak.pipeline.status import lines, status
from tests.commands import write_config
from tests.world import Tile, days, lonlat_box, plain, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_100, 4_399_000, 601_200, 4_399_900)
DATES = days("2021-01-03", 24, 15)
SPAN = "2021-01-01/2021-12-31"
SECONDS = {"total": 10.0, "read": 6.0, "write": 1.0, "waited": 0.5}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    """Make a run of several regions; return the path of its configuration."""
    folder = tmp_path_factory.mktemp("status")
    write_source(folder / "source", [TILE], DATES, plain)
    path = write_config(folder / "run.toml", client, BOX, SPAN, cube={"region": 64, "slab": 12})
    api.run(str(path), client)
    return path


@pytest.fixture
def known(planned: Path) -> tuple[Config, Output, list[Record]]:
    """Leave records of a run of two tasks at a time, half of which is done; return them, too."""
    config = Config.from_toml(planned)
    output = api.output_of(config)
    ledger = Ledger(output)
    before = sorted(ledger.records.values(), key=lambda record: record.task)
    builds = [record for record in before if record.task.startswith("build/")]
    for number, record in enumerate(before):
        done = record in builds[: len(builds) // 2]
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 100 + 10 * (number // 2)))
        figures: dict[str, Any] = {
            "seconds": {"total": 10.0, "read": 6.0, "write": 1.0, "waited": 0.5},
            "bytes_read": 2_000_000,
        }
        changed = replace(record, state="done" if done else "started", started=at, retries=int(done), **figures)
        write_record(replace(output, lease=7), changed)
    return config, output, builds


def test_figures_of_a_run_that_goes_on(known: tuple[Config, Output, list[Record]]) -> None:
    config, output, builds = known
    half = len(builds) // 2
    found = status(config, output)
    assert found["tasks"]["build"] == {"done": half, "started": len(builds) - half}
    assert found["running"] == ""
    assert found["eta_s"] is None
    assert found["retries"] == half
    assert found["waited_s"] == 0.5 * (len(builds) + found["tasks"]["detect"]["started"])
    assert found["published"] == "whole"
    # Two at a time, ten seconds each.
    assert found["elapsed_s"] == pytest.approx(10 * -(-half // 2), abs=1.1)
    assert found["rates"]["tasks"] == pytest.approx(0.2, rel=0.25)
    assert found["rates"]["bytes_read"] == pytest.approx(0.2 * 2e6, rel=0.25)
    assert [set(r) for r in found["slowest"]] == [{"region", "total_s", "read_s", "write_s"}] * len(found["slowest"])
    text = "\n".join(lines(found))
    assert f"build    {half} done, {len(builds) - half} started" in text
    assert "tasks/s" in text


def test_what_is_left_takes_as_long_as_what_is_done(known: tuple[Config, Output, list[Record]]) -> None:
    config, output, _ = known
    with locked(output) as lease:  # a run goes on: ours
        late = replace(output, lease=lease.output.lease)
        assert f"going on, by process {os.getpid()}" in next(lines(status(config, output)))
        assert status(config, output)["eta_s"] is None  # nobody knows yet what is due
        lease.use(loose=False, due={"build": 14, "detect": 3})
        done = [r for r in Ledger(output).records.values() if r.state == "done"]
        begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 40))
        for record in done[:4]:
            write_record(late, replace(record, started=begun))
        detect = next(r for r in Ledger(output).records.values() if r.task.startswith("detect/"))
        assert status(config, output)["eta_s"] is None  # nobody knows yet how long detecting takes
        write_record(late, replace(detect, state="done", started=begun, seconds={"total": 20.0}))
        found = status(config, output)
    # In 40 s four builds of 10 s and a detection of 20 s were done: 1.5 at a time.
    # So ten builds and two detections are left, whatever records earlier runs have left.
    expected = (10 * 10 + 2 * 20) * 40 / 60
    assert f"process {os.getpid()} on " in found["running"]
    assert found["eta_s"] == pytest.approx(expected, rel=0.06)
    assert "left" in next(lines(found))


def test_regions_in_trouble_are_named(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config.from_toml(planned)
    output = api.output_of(config)
    ledger = Ledger(output)
    name = next(t for t in ledger.records if t.startswith("build/"))
    region = name.split("/", 1)[1].rpartition("/")[0]
    fault = Fault(region, "take", "item", "red", "https://x/red.tif", "404", 3)
    failed = replace(ledger.records[name], state="failed", error="it broke\nhere", faults=(fault,) * 2, retries=4)
    write_record(output, failed)
    found = status(config, output)
    assert found["troubled"][0]["region"] == region
    assert found["troubled"][0]["faults"] == 2
    assert found["failed"] == {name: "it broke"}
    capsys.readouterr()
    assert cli.main(["status", str(planned)]) == 1
    said = capsys.readouterr().out
    assert f"troubled {region}: 2 faults" in said
    assert f"failed   {name}: it broke" in said
    # Nobody writes: one look is enough, though asked to go on.
    assert cli.main(["status", str(planned), "--watch", "--every", "0.1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"] == {name: "it broke"}


@pytest.mark.parametrize("often", ["0", "-1", "soon", "nan"])
def test_a_time_between_looks_is_more_than_none(planned: Path, often: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["status", str(planned), "--every", often])
    assert "must be a number of seconds, more than 0 and at most 3600" in capsys.readouterr().err
