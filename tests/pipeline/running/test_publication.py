"""A publication takes its place as a whole: what a reader finds at every step, and after a crash."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundbreak.kernels import LAYERS
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.mosaic import publish_mosaics
from groundbreak.pipeline.running import publication
from tests.pipeline.ground import change, day, disown, stable_grid, store_grids

MOSAIC = places.mosaic(32638)


def prepared(output: Output, onset: str, cut: int = 0) -> tuple[Output, dict[str, Any]]:
    """Put a publication together: ground that changed at a date, without its last ``cut`` columns."""
    grid = stable_grid("A", 32638, 500_000, 600, 600)
    change(grid[1], np.s_[100:150, 100:150], day(onset))
    disown(grid[1], np.s_[:, 600 - cut :])
    stage = publication.staged(output)
    zones = publish_mosaics(output, stage, *store_grids(output, [grid]), {})
    for key in publication.FILES:
        stage.put(key, f"{key} {onset}".encode())
    stores = {places.mosaic(epsg): written.described for epsg, written in zones.items()}
    return stage, {"publication": publication.describe(stage, stores)}


def publish(output: Output, onset: str, cut: int = 0) -> str:
    """Put a publication together and switch it in; return its id."""
    stage, run = prepared(output, onset, cut)
    publication.switch(output, stage, run)
    return str(run["publication"]["id"])


def sealed(root: Path) -> Mapping[str, Any]:
    """Return what run.json says of the publication; empty where there is none."""
    file = root / places.RUN
    return json.loads(file.read_bytes())["publication"] if file.exists() else {}


def crc(data: bytes) -> str:
    """Return the CRC-32 of Python's zlib."""
    return f"{zlib.crc32(data):08x}"


def is_what_it_says(root: Path, said: Mapping[str, Any]) -> bool:
    """Tell whether every chunk and file is that of the publication that run.json names."""
    chunks = {str(p.relative_to(root / MOSAIC)): crc(p.read_bytes()) for p in (root / MOSAIC).glob("*/c/*/*")}
    chunks = {key: value for key, value in chunks.items() if key.partition("/")[0] in LAYERS}
    numbers = [hashlib.sha256(f"{key} {value}".encode()).hexdigest()[:16] for key, value in chunks.items()]
    total = sum(int(number, 16) for number in numbers) % 2**64
    files = {key: crc((root / key).read_bytes()) for key in said["files"]}
    stores = {MOSAIC: {"objects": len(chunks), "checksum": f"{total:016x}"}}
    return bool(said["stores"] == stores and said["files"] == files)


def test_run_json_tells_what_lies_there(tmp_path: Path) -> None:
    first = publish(Output(str(tmp_path)), "2022-07-01")
    said = sealed(tmp_path)
    assert (said["id"], said["whole"]) == (first, True)
    assert is_what_it_says(tmp_path, said)
    (tmp_path / MOSAIC / "status/c/0/0").write_bytes(b"other")
    assert not is_what_it_says(tmp_path, said)
    assert not (tmp_path / places.PUBLISHING).exists()


def test_the_next_one_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    first = publish(output, "2022-07-01")
    assert publish(output, "2022-07-01") == first
    assert publish(output, "2023-07-01", cut=90) != first
    # Without its last columns the eastern chunks are gone.
    assert {p.name for p in (tmp_path / MOSAIC / "status/c/0").iterdir()} == {"0"}
    assert is_what_it_says(tmp_path, sealed(tmp_path))


class Stopped(BaseException):
    """What a process that is killed raises in these tests."""


@pytest.mark.parametrize("step", range(6))
def test_at_every_step_a_whole_publication_is_the_one_that_is_named(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(str(tmp_path))
    first = publish(output, "2022-07-01")
    stage, run = prepared(output, "2023-07-01")
    seen: list[bool] = []

    def watched(name: str) -> None:
        original = getattr(Path, name)

        def move(path: Path, target: Path) -> Path:
            said = sealed(tmp_path)
            seen.append(bool(said["whole"]))
            assert not said["whole"] or is_what_it_says(tmp_path, said)
            if len(seen) > step:
                raise Stopped
            moved: Path = original(path, target)
            return moved

        monkeypatch.setattr(Path, name, move)

    with monkeypatch.context():
        watched("rename")
        watched("replace")
        if step < 5:
            with pytest.raises(Stopped):
                publication.switch(output, stage, run)
            assert not any(seen)
            assert not sealed(tmp_path)["whole"]
        else:
            publication.switch(output, stage, run)
    monkeypatch.undo()
    # The next run mends what a crash has left, whether it publishes the same or another one.
    second = publish(output, "2023-07-01")
    assert second == run["publication"]["id"] != first
    assert is_what_it_says(tmp_path, sealed(tmp_path))
    assert not (tmp_path / places.PUBLISHING).exists()


def test_while_it_is_put_together_the_old_one_stands(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    first = publish(output, "2022-07-01")
    prepared(output, "2023-07-01")
    said = sealed(tmp_path)
    assert (said["id"], said["whole"]) == (first, True)
    assert is_what_it_says(tmp_path, said)
