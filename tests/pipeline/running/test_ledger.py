"""Records on disk; the S3 tests run the same calls on an object store."""

from __future__ import annotations

from pathlib import Path

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault, Record
from groundbreak.pipeline.running import ledger as ledgers
from groundbreak.pipeline.running.ledger import Ledger, write_record

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
    assert [fault for r in again.records.troubled() for fault in r.faults] == [FAULT]


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
