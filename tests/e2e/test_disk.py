"""Disks that fill up, and that become read-only, in the middle of a run: one clear error, and the next run goes on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.core.output import StorageError
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.runner import Listener
from tests.commands import write_config
from tests.stores import zarr_bytes
from tests.world import Tile, configure, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000)
BOX = lonlat_box(32638, 600_300, 4_399_100, 601_000, 4_399_700)
"""An area in six regions."""
DATES = days("2021-01-03", 18, 10)
SPAN = "2021-01-01/2021-12-31"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    write_source(folder / "source", [TILE], DATES)
    api.run(configure(folder, BOX, SPAN, out="peace"), client)
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 32 MB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def empty(disk: Path) -> None:
    (disk / "ballast").unlink()


def lock(disk: Path) -> None:
    for _ in range(200):  # a file that is being written keeps it from being locked
        if not subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True, check=False).returncode:
            return
        time.sleep(0.01)
    raise AssertionError("the disk could not be made read-only")


def unlock(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize(
    ("spoil", "mend", "cause"), [(fill, empty, "No space left"), (lock, unlock, "Read-only file system")]
)
def test_a_disk_that_goes_bad(
    spoil: Callable[[Path], None],
    mend: Callable[[Path], None],
    cause: str,
    after: int,
    disk: Path,
    world: Path,
    client: Client,
) -> None:
    config = configure(world, BOX, SPAN, out=str(disk / "out"))
    seen = [0]

    def spoilt(*_: object) -> None:
        seen[0] += 1
        if seen[0] == after + 1:
            spoil(disk)

    with pytest.raises(StorageError) as caught:
        api.run(config, client, listener=Listener(spoilt, spoilt))
    assert caught.value.what == f"[output] path = {str(disk / 'out')!r}"
    assert cause in caught.value.rule
    assert "the same command" in caught.value.remedy or "Check the path" in caught.value.remedy
    mend(disk)
    assert not api.run(config, client).outcome.failed
    assert zarr_bytes(disk / "out") == zarr_bytes(world / "peace")


def test_the_command_line_says_it_in_a_line(
    disk: Path, world: Path, tmp_path: Path, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    items = str(world / "source/items.json")
    path = str(write_config(tmp_path / "run.toml", client, BOX, SPAN, items=items, out=str(disk / "out")))
    lock(disk)
    assert cli.main(["run", path]) == 2
    unlock(disk)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("groundbreak.pipeline.core.output.Output.free_bytes", lambda _output: None)
        fill(disk)
        assert cli.main(["run", path, "-q"]) == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(f"groundbreak: [output] path = '{disk}/out': ")
    empty(disk)
    assert cli.main(["run", path, "-q"]) == 1  # too few observations to judge a pixel by, and no failed region


def test_a_full_disk_is_no_fault_of_a_region(disk: Path, world: Path, client: Client) -> None:
    config = configure(world, BOX, SPAN, out=str(disk / "out"))
    with pytest.raises(BadInput, match="No space left"):
        api.run(config, client, listener=Listener(lambda *_: fill(disk), lambda *_: None))
    empty(disk)
    result = api.run(config, client)
    assert not result.outcome.failed
    assert not result.faults
