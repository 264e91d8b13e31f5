"""Leases on disk: of many runs one gets in, and whoever was taken for dead finds out; `tests/e2e` has them on S3."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest

from groundbreak.pipeline.core import output as outputs
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import LeaseLost, Output, StorageError
from groundbreak.pipeline.core.summing import SummingStore
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import lease as leases
from groundbreak.pipeline.running.lease import locked


def gone(**changes: Any) -> bytes:
    """Return the text of a lease whose holder is gone."""
    return json.dumps({"host": "elsewhere", "pid": 1, "run": "x", "renewed": time.time() - 3600, **changes}).encode()


def at_once(output: Output, count: int) -> tuple[list[int], list[str]]:
    """Have many runs ask for an output at once; return the numbers of those that got in, and what others were told."""
    inside: list[int] = []
    refused: list[str] = []
    gate = threading.Barrier(count)

    def run(_number: int) -> None:
        gate.wait()
        try:
            with locked(Output(output.path)) as lease:
                inside.append(lease.output.lease)
                time.sleep(0.5)
        except BadInput as error:
            refused.append(str(error))

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))
    return inside, refused


def test_one_of_racing_runs_gets_in(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "new"))
    inside, refused = at_once(output, 8)
    assert inside == [1]
    assert len(refused) == 7
    assert all(f"process {os.getpid()} on {socket.gethostname()}" in text for text in refused)
    # The folder itself may be of one that was refused, who could not take it away; nothing is in it.
    assert list(tmp_path.glob("new/*")) == []


def test_a_run_that_uses_nothing_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "deep/down/new"):
        with locked(Output(str(tmp_path / name))):
            with pytest.raises(BadInput), locked(Output(str(tmp_path / name))):
                pass
            assert (tmp_path / name / places.LEASES).is_dir()
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


@pytest.mark.parametrize("key", [places.lease(7), places.LOCK])
@pytest.mark.parametrize(
    "changes", [{}, {"host": socket.gethostname(), "pid": 2**22 + 1, "renewed": time.time()}], ids=["old", "dead"]
)
def test_of_many_runs_that_meet_a_stale_lease_one_gets_in(key: str, changes: dict[str, Any], tmp_path: Path) -> None:
    for number in range(4):
        output = Output(str(tmp_path / str(number)))
        output.put(key, gone(**changes))
        inside, refused = at_once(output, 6)
        assert inside == [8 if key == places.lease(7) else 1]
        assert len(refused) == 5
        assert output.get(places.LOCK) is None


def test_processes_that_meet_a_stale_lease(tmp_path: Path) -> None:
    Output(str(tmp_path)).put(places.lease(3), gone())
    code = (
        "import sys, time; from groundbreak.pipeline.running.lease import locked\n"
        "from groundbreak.pipeline.core.output import Output\n"
        "time.sleep(max(float(sys.argv[2]) - time.time(), 0))\n"
        "with locked(Output(sys.argv[1])): print('in', flush=True); time.sleep(2)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(time.time() + 4)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(run.communicate()[0] for run in runs) == [b"", b"in\n"]


def test_numbers_grow_and_the_last_one_stays(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for number in (1, 2, 3):
        with locked(output) as lease:
            assert lease.output.lease == number
            lease.use(loose=False)
            assert list(output.list(places.LEASES)) == [places.lease(number)]
        assert json.loads(output.get(places.lease(number)) or b"")["released"]
    # A look that used nothing leaves all as it was.
    with locked(output) as lease:
        assert lease.output.lease == 4
    assert list(output.list(places.LEASES)) == [places.lease(3)]


def test_an_output_of_an_earlier_lease_can_be_locked_again(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for number in (1, 2, 3):
        with locked(output) as lease:
            lease.use(loose=False)
            output = lease.output
        assert output.lease == number


@pytest.mark.parametrize(
    ("text", "contested"),
    [
        (gone(), True),
        (gone(released=True), False),
        (gone(released=True, loose=True), True),
        (gone(released=True, contested=True), True),
    ],
    ids=["died", "released", "released, loose", "released, contested"],
)
def test_a_run_knows_whether_tasks_of_an_earlier_one_may_still_write(
    text: bytes, contested: bool, tmp_path: Path
) -> None:
    output = Output(str(tmp_path))
    output.put(places.lease(1), text)
    for _ in range(2):
        with locked(output) as lease:
            assert lease.contested is contested
            lease.use(loose=False)


def test_a_lease_held_elsewhere_is_respected(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for key in (places.LOCK, places.lease(1)):
        output.put(key, gone(renewed=time.time()))
        with pytest.raises(BadInput, match="process 1 on elsewhere"), locked(output):
            pass
        output.delete(key)


def test_equal_host_names_with_process_numbers_of_their_own(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    output.put(places.lease(1), gone(host=socket.gethostname(), pid=2**22 + 1, space="pid:[1]", renewed=time.time()))
    with pytest.raises(BadInput, match="is being written"), locked(output):
        pass


def test_a_put_that_was_answered_by_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put

    def silent(*args: Any, **options: Any) -> None:
        put(*args, **options)
        raise obstore.exceptions.GenericError("operation timed out")

    with monkeypatch.context() as patched:
        patched.setattr(obstore, "put", silent)
        with locked(Output(str(tmp_path))) as lease:
            assert lease.output.lease == 1

    def lost(*_: Any, **_options: Any) -> None:
        raise obstore.exceptions.GenericError("operation timed out")

    monkeypatch.setattr(obstore, "put", lost)
    with pytest.raises(StorageError, match="timed out"), locked(Output(str(tmp_path))):
        pass


def test_the_heartbeat_outlives_failed_puts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.05)
    output = Output(str(tmp_path))
    with locked(output) as lease:
        put, broken = obstore.put, True

        def sometimes(*args: Any, **options: Any) -> Any:
            if broken:
                raise RuntimeError("a proxy answers nonsense")
            return put(*args, **options)

        monkeypatch.setattr(obstore, "put", sometimes)
        time.sleep(0.3)
        before = output.get(lease.key)
        broken = False
        time.sleep(0.3)
        assert output.get(lease.key) != before


def test_whoever_was_taken_for_dead_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(str(tmp_path))
    with locked(output) as old:
        old.use(loose=True)
        on_a_worker = pickle.loads(pickle.dumps(old.output))  # noqa: S301
        store = SummingStore(on_a_worker, "38TPK/change.zarr")
        store.put("a/c/0", memoryview(b"before"))
        assert store.checksums == {"38TPK/change.zarr/a/c/0": f"{zlib.crc32(b'before'):08x}"}
        output.put(old.key, gone())
        with locked(output) as new:
            new.use(loose=False)
            monkeypatch.setattr(outputs, "_LOOKED", {})  # as if five seconds had passed, or in another process
            for write in (
                lambda: store.put("a/c/0", memoryview(b"late")),
                lambda: store.put("a/c/0", None),
                lambda: on_a_worker.put("38TPK/x", b""),
                lambda: on_a_worker.delete("38TPK/x"),
            ):
                with pytest.raises(LeaseLost, match=r"taken over by another run \(lease 2, and this one holds 1\)"):
                    write()
            new.output.put("38TPK/x", b"")
    assert output.get("38TPK/change.zarr/a/c/0") == b"before"
    assert list(output.list(places.LEASES)) == [places.lease(2)]
    assert json.loads(output.get(places.lease(2)) or b"")["released"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, StorageError("the disk", "is gone", "Wait")])
def test_whoever_is_interrupted_while_it_takes_a_lease_holds_none(
    error: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(str(tmp_path))
    with monkeypatch.context() as patch:

        def delete(_output: Output, key: str) -> None:
            assert key == places.LOCK  # the lease has been put
            raise error

        patch.setattr(Output, "delete", delete)
        with pytest.raises((KeyboardInterrupt, StorageError)), locked(output):
            pass
    # The next run of this very process, a notebook for one, is not taken for its rival.
    with locked(output) as lease:
        assert lease.output.lease == 2
        assert lease.contested
