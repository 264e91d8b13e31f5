"""Half-written and foreign objects in an output: each is named with a remedy by every command, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from groundbreak.kernels import Status
from groundbreak.pipeline import cli
from tests.commands import write_config
from tests.stores import zarr_bytes
from tests.world import Tile, days, item, lonlat_box, write_items, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)
OTHER_BOX = lonlat_box(32638, 600_100, 4_399_700, 600_190, 4_399_800)
DATES = days("2021-01-03", 50, 14)
SPAN = "2021-01-01/2022-12-31"

Damage = Callable[[bytes], bytes]

GARBAGE: dict[str, Damage] = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda _data: b"",
    "garbage": lambda _data: b"\x93NUMPY\x00\xff{[",
    "of another type": lambda _data: b"[1, 2]",
    "half a table": lambda data: b"PAR1" + data[4:-8] + b"PAR1",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    write_source(folder / "source", [TILE], DATES)
    path = write_config(folder / "run.toml", client, BOX, SPAN, cube={"slab": 60})
    assert cli.main(["run", str(path), "-q"]) == 0
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path, client: Client) -> Path:
    """Return a folder with a copy of the finished output, and its configuration run.toml."""
    shutil.copytree(finished / "out", tmp_path / "out")
    items = str(finished / "source/items.json")
    write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, cube={"slab": 60})
    return tmp_path


def command(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main([name, str(folder / "run.toml")])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out + said.err


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize(
    ("key", "commands"),
    [
        ("plan.json", ["run", "detect", "status", "retry", "verify", "publish"]),
        ("ledger/ledger.parquet", ["run", "detect", "status", "retry", "verify", "publish"]),
        ("38TPK/cube.zarr/zarr.json", ["run", "detect", "status", "retry", "verify", "publish"]),
        ("38TPK/change.zarr/zarr.json", ["run", "detect", "retry"]),
        ("change/32638.zarr/zarr.json", ["run", "publish"]),
    ],
)
def test_a_damaged_object_is_named_by_every_command(
    key: str, commands: list[str], kind: str, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "out" / key
    path.write_bytes(GARBAGE[kind](path.read_bytes()))
    before = {p: p.read_bytes() for p in (copied / "out").rglob("*") if p.is_file()}
    for name in commands:
        code, said = command(name, copied, capsys)
        assert code == 2, (name, said)
        assert path.name in said or path.parent.name in said
        assert said.startswith("groundbreak: ")
        assert "delete" in said or "Choose another output" in said
    after = {p: p.read_bytes() for p in (copied / "out").rglob("*") if p.is_file()}
    assert after.keys() == before.keys()
    assert after[path] == before[path]


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("key", ["headers.parquet", "run.json", "faults.parquet", "report.html", "sites.parquet"])
def test_what_can_be_made_again_is_made_again(
    key: str, kind: str, copied: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "out" / key
    path.write_bytes(GARBAGE[kind](path.read_bytes()))
    code, said = command("run", copied, capsys)
    assert code == 0, said
    assert "0 tasks done, 2 done before" in said
    if key == "headers.parquet":
        assert "headers.parquet is damaged" in said
    if key == "headers.parquet":
        assert path.read_bytes() == (finished / "out" / key).read_bytes()
    if key == "run.json":
        assert json.loads(path.read_bytes())["verdict"]["judged"] == 100


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("task", ["detect/38TPK/r000c000", "build/38TPK/r000c000/s0000"])
def test_a_half_record_is_no_record_and_its_task_is_done_again(
    task: str, kind: str, copied: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / f"out/ledger/records/{task}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(GARBAGE[kind](b'{"task": "x", "state": "done", "identity": "a", "attempts": 1'))
    code, said = command("status", copied, capsys)
    assert code == 0
    assert f"{task}.json is damaged and counts as no record" in said
    assert "1 to do" in said
    code, said = command("run", copied, capsys)
    assert code == 0
    assert "0 regions failed" in said
    assert f"{2 if task.startswith('build') else 1} tasks done" in said
    assert not path.exists()
    assert zarr_bytes(copied / "out") == zarr_bytes(finished / "out")


def test_a_lost_record_of_a_slab_whose_items_were_processed_again_costs_no_pixel(
    tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """The slab is built again of what the source has now: what it was built of cannot be read any more."""
    wide = lonlat_box(32638, 600_100, 4_399_700, 600_500, 4_399_800)
    write_source(tmp_path / "source", [TILE], DATES, block=16)
    write_config(tmp_path / "run.toml", client, wide, SPAN, cube={"slab": 12, "region": 32})
    assert command("run", tmp_path, capsys)[0] == 0
    again = [item(TILE, date, properties={"s2:generation_time": "2023-01-01T00:00:00Z"}) for date in DATES[:12]]
    write_items(tmp_path / "source", [*again, *(item(TILE, date) for date in DATES[12:])])
    assert command("run", tmp_path, capsys)[0] == 0
    path = tmp_path / "out/ledger/records/build/38TPK/r000c000/s0000.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'{"task": "x", "state": "do')
    code, said = command("run", tmp_path, capsys)
    assert code == 0
    assert " 0 faults" in said
    write_config(tmp_path / "run.toml", client, wide, SPAN, out="fresh", cube={"slab": 12, "region": 32})
    assert command("run", tmp_path, capsys)[0] == 0
    assert zarr_bytes(tmp_path / "out") == zarr_bytes(tmp_path / "fresh")


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("name", ["run", "detect", "verify", "publish"])
@pytest.mark.parametrize("lock", ["lock.json", "leases/00000001.json", "leases/00000002.json"])
def test_a_half_lock_is_named_and_an_old_one_is_taken_over(
    lock: str, name: str, kind: str, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "out/ledger" / lock
    path.write_bytes(GARBAGE[kind](b'{"host": "a", "pid": 4, "run": "f"}'))
    code, said = command(name, copied, capsys)
    assert code == 2
    assert f"ledger/{lock}: is damaged" in said
    assert "delete it if no run is writing here" in said
    old = time.time() - 3600
    os.utime(path, (old, old))
    code, said = command(name, copied, capsys)
    assert code == 0, said
    assert "taking over a damaged lock" in said
    if lock == "lock.json":
        assert not path.exists()
    assert command("status", copied, capsys)[0] == 0


@pytest.mark.parametrize(
    "key", ["38TPK/cube.zarr/10m/red/zarr.json", "38TPK/cube.zarr/10m/time/c/0", "38TPK/change.zarr/status/zarr.json"]
)
@pytest.mark.parametrize("name", ["run", "detect"])
def test_documents_within_a_store_are_written_again(
    name: str, key: str, copied: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "out" / key).write_bytes(b'{"zarr_format": 3, "node')
    code, said = command(name, copied, capsys)
    assert code == 0, said
    assert "is not as it was laid out, and is written again" in said
    assert zarr_bytes(copied / "out") == zarr_bytes(finished / "out")


@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_coverage_is_verified_and_made_again(
    how: str, copied: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next((copied / "out/38TPK/coverage").iterdir())
    before = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    code, said = command("verify", copied, capsys)
    assert code == 1
    assert f"38TPK/coverage/{file.name}" in said
    assert command("run", copied, capsys)[0] == 0
    assert file.read_bytes() == before
    assert zarr_bytes(copied / "out") == zarr_bytes(finished / "out")


def test_damaged_layers_are_named_by_publish(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chunk = next(p for p in sorted((copied / "out/38TPK/change.zarr/status/c").rglob("*")) if p.is_file())
    chunk.write_bytes(b"damaged")
    code, said = command("publish", copied, capsys)
    assert code == 2
    assert "38TPK/change.zarr: is damaged" in said
    assert "groundbreak verify" in said
    assert command("verify", copied, capsys)[0] == 1
    assert command("run", copied, capsys)[0] == 0
    assert command("publish", copied, capsys)[0] == 0


def test_another_area_is_refused_by_name(
    copied: Path, finished: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    before = zarr_bytes(copied / "out")
    items = str(finished / "source/items.json")
    write_config(copied / "run.toml", client, OTHER_BOX, SPAN, items=items, cube={"slab": 60})
    for name in ("run", "retry", "detect", "publish"):
        code, said = command(name, copied, capsys)
        assert code == 2
        assert "[area] (bbox = " in said
        assert f"holds bbox = [{', '.join(f'{v:.6g}' for v in BOX)}]" in said
        assert "--rebuild" in said
    assert zarr_bytes(copied / "out") == before
    assert cli.main(["run", str(copied / "run.toml"), "--rebuild"]) == 0
    assert "90 pixels of the area: 90 judged" in capsys.readouterr().out


def test_one_area_in_other_words_is_the_same(copied: Path, finished: Path, client: Client) -> None:
    west, south, east, north = BOX
    ring = [[east, north], [east, south], [west, south], [(west + west) / 2, north], [east, north]]
    (copied / "aoi.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    area = {"bbox": None, "geometry": "aoi.geojson"}
    items = str(finished / "source/items.json")
    write_config(copied / "run.toml", client, BOX, SPAN, items=items, area=area, cube={"slab": 60})
    assert cli.main(["run", str(copied / "run.toml"), "-q"]) == 0


def test_another_detector_says_what_it_replaces(
    copied: Path, finished: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    items = str(finished / "source/items.json")

    def again(name: str, **detect: object) -> str:
        write_config(copied / "run.toml", client, BOX, SPAN, items=items, cube={"slab": 60}, detect=detect)
        code, said = command(name, copied, capsys)
        assert code == 0, said
        return said

    assert "is replaced by" not in again("run")
    said = again("run", detector="cusum", history_end="2021-12-31")
    assert said.count("detection of phases v") == 2  # in the log, and in the last lines
    assert "is replaced by cusum v2 (history_end: 2021-12-31 for None)" in said
    assert "is replaced by" not in again("run", detector="cusum", history_end="2021-12-31")
    said = again("detect", detector="cusum", history_end="2021-12-31", params={"level": 0.01}, indices=["ndvi"])
    assert "indices: ['ndvi'] for ['ndvi', 'bsi', 'swir']" in said
    assert "level: 0.01 for 0.05" in said
    document = json.loads((copied / "out/run.json").read_text())
    assert document["detection"]["params"]["level"] == 0.01


def test_detection_needs_bands_that_the_cube_holds(
    copied: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(copied / "run.toml", client, BOX, SPAN, cube={"slab": 60}, detect={"indices": ["nbr"]})
    code, said = command("detect", copied, capsys)
    assert code == 2
    assert "[detect] indices = ['nbr']: need swir22, which the cube of 38TPK does not hold" in said


def test_another_address_of_the_source_is_said(
    copied: Path, finished: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished / "source", copied / "moved")
    write_config(copied / "run.toml", client, BOX, SPAN, items="moved/items.json", cube={"slab": 60})
    code, said = command("run", copied, capsys)
    assert code == 0
    assert f"the items come from {copied / 'moved/items.json'}, and what was built before from {finished}" in said
    assert "the items come from" not in command("run", copied, capsys)[1]


def _zarr_v2(place: Path) -> None:
    place.mkdir(parents=True)
    (place / ".zgroup").write_text('{"zarr_format": 2}')


def _zarr_v3(place: Path) -> None:
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(place, consolidated=False)


def test_an_object_of_a_cube_that_is_gone_is_no_missing_observation(
    copied: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = next((copied / "out/38TPK/cube.zarr/10m/red/c").rglob("0"))
    while gone.is_dir():
        gone = next(gone.iterdir())
    gone.unlink()
    code, said = command("detect", copied, capsys)
    assert code == 1
    assert f"{gone.relative_to(copied / 'out/38TPK/cube.zarr')} is gone" in said
    with xr.open_zarr(copied / "out/38TPK/change.zarr", consolidated=False, mask_and_scale=False) as layers:
        assert set(np.unique(layers.status.values)) == {Status.FAILED, 255}
    assert command("verify", copied, capsys)[0] == 1
    assert command("run", copied, capsys)[0] == 0
    assert zarr_bytes(copied / "out") == zarr_bytes(finished / "out")


def _files(place: Path) -> None:
    (place / "deep").mkdir(parents=True)
    (place / "deep/thesis.txt").write_text("mine")


def _file(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("mine")


@pytest.mark.parametrize("key", ["38TPK/cube.zarr", "38TPK/change.zarr", "change/32638.zarr"])
@pytest.mark.parametrize("put", [_zarr_v2, _zarr_v3, _files, _file])
def test_data_of_others_is_never_touched(
    put: Callable[[Path], None],
    key: str,
    finished: Path,
    tmp_path: Path,
    client: Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(tmp_path / "out" / key)
    items = str(finished / "source/items.json")
    write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    code, said = command("run", tmp_path, capsys)
    assert code == 2
    assert key in said
    assert "groundbreak did not write" in said or "not written by groundbreak" in said
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["report.html", "sites.parquet", "run.json", "faults.parquet", "headers.parquet"])
def test_files_of_others_are_not_written_over(
    name: str, finished: Path, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    write_config(tmp_path / "run.toml", client, BOX, SPAN, items=str(finished / "source/items.json"))
    code, said = command("run", tmp_path, capsys)
    assert code == 2
    assert f"holds {name}, but no run of groundbreak" in said
    assert [p.name for p in (tmp_path / "out").rglob("*")] == [name]


def test_other_files_of_a_folder_stay_beside_the_output(finished: Path, tmp_path: Path, client: Client) -> None:
    _files(tmp_path / "out/photos")
    write_config(tmp_path / "run.toml", client, BOX, SPAN, items=str(finished / "source/items.json"))
    assert cli.main(["run", str(tmp_path / "run.toml"), "-q"]) == 0
    assert (tmp_path / "out/photos/deep/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("out", ["a file", "a file/below", "/dev/null/out", "/proc/nothing/out"])
def test_an_output_that_cannot_be_written_is_named_before_the_source_is_read(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("mine")
    write_config(tmp_path / "run.toml", None, BOX, SPAN, items="none.json", out=out)
    code, said = command("run", tmp_path, capsys)
    assert code == 2
    assert "[output] path = " in said
    assert "cannot be written" in said
    assert "none.json" not in said
    assert (tmp_path / "a file").read_text() == "mine"


def test_a_rebuild_elsewhere_says_what_it_leaves_behind(
    tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    zone = Tile("39TUE", 32639, 300_000, 4_400_000, 64)
    write_source(tmp_path / "source", [TILE, zone], DATES[:3])
    few = f"2021-01-01/{DATES[2]}"
    write_config(tmp_path / "run.toml", client, BOX, few)
    assert command("run", tmp_path, capsys)[0] == 1  # too few dates to judge
    before = zarr_bytes(tmp_path / "out")
    there = lonlat_box(32639, 300_100, 4_399_700, 300_200, 4_399_800)
    write_config(tmp_path / "run.toml", client, there, few)
    code, said = command("run", tmp_path, capsys)
    assert code == 2
    assert "[area]" in said
    assert cli.main(["run", str(tmp_path / "run.toml"), "--rebuild"]) == 1
    said = capsys.readouterr().out
    assert "38TPK, change/32638.zarr of an earlier plan are no part of this one, and stay as they are" in said
    assert {k: v for k, v in zarr_bytes(tmp_path / "out").items() if k in before} == before
