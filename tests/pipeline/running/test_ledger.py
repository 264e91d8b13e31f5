"""Records and locks, on disk; the S3 tests run the same calls on an object store."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput, Fault, Record
from groundbreak.pipeline.running import ledger as ledgers
from groundbreak.pipeline.running.ledger import Ledger, locked, write_record

FAULT = Fault("38TPK/r000c000", "take", "item", "red", "https://x/red.tif", "404", 3)


def record(task: str, identity: str = "a", state: str = "done", faults: tuple[Fault, ...] = ()) -> Record:
    return Record(
        task, state, identity, 1, ledgers.now(), {"total": 1.5}, 10, 20, {"k": "v"}, faults, "", {"stable": 3}
    )


def test_records_survive_compaction_and_only_their_identity_counts(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    written = [record("build/g/r/s0000", faults=(FAULT,)), record("detect/g/r", state="failed")]
    for r in written:
        write_record(output, r)
    first = Ledger(output)
    assert first.records == {r.task: r for r in written}
    first.compact()
    assert list(output.list(places.RECORDS)) == []
    again = Ledger(output)
    assert again.records == first.records
    assert again.finished("build/g/r/s0000", "a")
    assert not again.finished("build/g/r/s0000", "b")
    assert not again.finished("detect/g/r", "a")
    assert again.faults({"build/g/r/s0000", "never"}) == [FAULT]


def test_a_record_wins_over_the_table_and_what_has_begun_is_not_finished(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    write_record(output, record("t", "old"))
    Ledger(output).compact()
    write_record(output, record("t", "new"))
    book = Ledger(output)
    assert book.finished("t", "new")
    book.begin("t", "newer")
    assert not Ledger(output).finished("t", "new")
    assert not Ledger(output).finished("t", "newer")
    book.begin("never seen", "x")
    assert "never seen" not in Ledger(output).records


def test_compaction_keeps_what_workers_wrote_meanwhile(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    book = Ledger(output)
    write_record(output, record("late"))
    book.compact()
    assert Ledger(output).finished("late", "a")


def test_one_of_racing_runs_gets_the_lock(tmp_path: Path) -> None:
    output, inside, refused = Output(str(tmp_path)), [], []
    gate = threading.Barrier(8)

    def run() -> None:
        gate.wait()
        try:
            with locked(output):
                inside.append(1)
                time.sleep(0.5)
        except BadInput as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(inside) == 1
    assert len(refused) == 7
    assert str(os.getpid()) in refused[0]
    with locked(output):
        pass


@pytest.mark.parametrize(
    "holder",
    [
        {"host": socket.gethostname(), "pid": 2**22 + 1, "run": "x", "renewed": time.time()},
        {"host": "elsewhere", "pid": 1, "run": "x", "renewed": time.time() - 3600},
    ],
)
def test_an_abandoned_lock_is_taken_over(tmp_path: Path, holder: dict[str, object]) -> None:
    output = Output(str(tmp_path))
    output.put(places.LOCK, json.dumps(holder).encode())
    with locked(output):
        pass
    assert output.get(places.LOCK) is None


def test_a_lock_held_elsewhere_is_respected(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    holder = {"host": "elsewhere", "pid": 1, "run": "x", "renewed": time.time()}
    output.put(places.LOCK, json.dumps(holder).encode())
    with pytest.raises(BadInput, match="elsewhere"), locked(output):
        pass
