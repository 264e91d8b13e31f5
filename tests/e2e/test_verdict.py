"""What whole runs say of themselves: pixels that could not be judged, items not used, faults, mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from distributed import Client

from groundbreak.pipeline import api, cli
from tests.commands import write_config
from tests.world import Tile, days, item, lonlat_box, write_items, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)
"""An area of 100 pixels."""
DATES = days("2021-01-03", 50, 14)
SPAN = "2021-01-01/2022-12-31"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verdict")
    write_source(folder / "source", [TILE], DATES)
    return folder


def test_a_run_that_can_judge_nothing_says_so_everywhere(
    source: Path, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    few = f"2021-01-01/{DATES[4]}"
    items = str(source / "source/items.json")
    path = write_config(tmp_path / "run.toml", client, BOX, few, items=items)
    sentence = (
        "No pixel could be judged: 100 of 100 pixels have too few clear observations "
        f"(5 observations from {DATES[0]} to {DATES[4]})."
    )
    for command in ("run", "detect", "retry", "publish"):
        assert cli.main([command, str(path), "-q"]) == 1
        out = capsys.readouterr().out
        assert sentence in out
        assert "100 pixels of the area: 0 judged, 100 with too few observations" in out
        assert "45 outside_dates (acquired outside the dates)" in out
        assert f"S2A_38TPK_{DATES[5].replace('-', '')}_0_L2A: {DATES[5]}T07:47:00.000" in out
        assert "No site" not in out
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["verdict"]["sentence"] == sentence
    assert run["verdict"]["judged"] == 0
    assert run["verdict"]["too_few_observations"] == 100
    assert run["verdict"]["not_used"]["outside_dates"]["count"] == 45
    report = (tmp_path / "out/report.html").read_text()
    assert sentence in report
    assert "No site" not in report
    result = api.republish(path)
    assert not result.good
    assert "pixels judged 0" in repr(result)
    assert sentence in result._repr_html_()
    # With the other dates, the same output is judged.
    write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items)
    assert cli.main(["run", str(path), "-q"]) == 0
    out = capsys.readouterr().out
    assert "No site of changed ground was found: 100 of 100 judged pixels are stable." in out
    assert "0 % of the area is provisional" in out
    assert "every item was used" in out


def test_items_and_faults_are_named(
    source: Path, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(source / "source", tmp_path / "source")
    document = json.loads((tmp_path / "source/items.json").read_text())
    older, bandless = item(TILE, DATES[0], baseline="02.14"), item(TILE, "2021-01-09")
    del bandless["assets"]["swir16"]
    write_items(tmp_path / "source", [*document["features"], older, bandless])
    # Two files are gone: faults of one kind, below the threshold.
    for number in (3, 7):
        (tmp_path / f"source/38TPK/{DATES[number]}_0/red.tif").unlink()
    path = write_config(tmp_path / "run.toml", client, BOX, SPAN)
    assert cli.main(["run", str(path), "-q"]) == 0
    out = capsys.readouterr().out
    assert "2 items not used" in out
    assert "1 older_baseline (an older processing baseline of an acquisition that is used)" in out
    assert "02.14; 05.00 is used" in out
    assert "1 missing_band" in out
    assert "2 faults, left out of the series: 2 x " in out
    assert "100 judged" in out
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert list(run["verdict"]["faults"].values()) == [2]
    report = (tmp_path / "out/report.html").read_text()
    assert "1 older_baseline" in report
    assert "Pixels judged" in report


def test_all_mistakes_of_a_configuration_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sections = {"cluster": {"memory": "4 gigs"}, "detect": {"params": {"belief": 2}}, "cube": {"bands": ["gren"]}}
    path = write_config(tmp_path / "bad.toml", None, BOX, "2022/2021", **sections)  # type: ignore[arg-type]
    for command in ("plan", "run", "detect", "status", "retry", "verify", "publish"):
        assert cli.main([command, str(path)]) == 2
        errors = capsys.readouterr().err
        assert errors.startswith("groundbreak: 4 mistakes\n")
        for said in ("datetime = '2022/2021'", "belief = 2", "memory = '4 gigs'", "'gren' is not a band"):
            assert said in errors
