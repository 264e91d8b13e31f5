"""What is finished: completion records, written by workers after their data, and the lock of a run.

A worker puts one small JSON object a task; the client compacts them into one Parquet file and clears them. A record
counts only with the identity that the plan asks for, so a stale one is never trusted. The same on disk and on an
object store.
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import DAMAGE, Output
from groundbreak.pipeline.core.types import BadInput, Fault, Record

LOG = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
STALE_S = 90.0

_TEXT, _INT = pa.string(), pa.int64()
FAULT_COLUMNS = pa.struct([(f.name, _INT if f.name == "attempts" else _TEXT) for f in dataclasses.fields(Fault)])
RECORD_COLUMNS = pa.schema(
    [
        ("task", _TEXT),
        ("state", _TEXT),
        ("identity", _TEXT),
        ("attempts", _INT),
        ("started", _TEXT),
        ("seconds", pa.map_(_TEXT, pa.float64())),
        ("bytes_written", _INT),
        ("pixels", _INT),
        ("checksums", pa.map_(_TEXT, _TEXT)),
        ("faults", pa.list_(FAULT_COLUMNS)),
        ("error", _TEXT),
        ("counts", pa.map_(_TEXT, _INT)),
        ("dark", pa.list_(pa.int32())),
        ("offsets", pa.list_(pa.int32())),
        ("beyond", pa.list_(pa.int32())),
        ("bright", pa.list_(pa.int32())),
    ]
)


class Ledger:
    """The records of one output.

    Parameters
    ----------
    output : Output
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.records = _load(output)

    def finished(self, task: str, identity: str) -> bool:
        """Tell whether a task is done, with the very output that the plan asks for."""
        record = self.records.get(task)
        return record is not None and record.state == "done" and record.identity == identity

    def built(self, task: str, identity: str) -> bool:
        """Tell whether a build is done, or was done and its cube has since been deleted (``[cube] keep = false``)."""
        record = self.records.get(task)
        return record is not None and record.state in ("done", "dropped") and record.identity == identity

    def drop(self, names: Sequence[str]) -> None:
        """Delete what some builds wrote.

        They count as dropped before the first object goes, and what a crash leaves is deleted by the next call.
        """
        for name in names:
            record = dataclasses.replace(self.records[name], state="dropped")
            if self.records[name].state != "dropped":
                self._keep(record)
            for key in record.checksums:
                self.output.delete(key)
            if record.checksums:
                self._keep(dataclasses.replace(record, checksums={}, bytes_written=0))

    def begin(self, task: str, identity: str) -> None:
        """Say that a task's earlier output is about to be replaced, so that a crash leaves nothing to trust."""
        if task in self.records:
            self._keep(Record(task, "started", identity, 0, now(), {}, 0, 0, {}))

    def _keep(self, record: Record) -> None:
        self.add(record)
        write_record(self.output, record)

    def add(self, record: Record) -> None:
        """Take note of a record that its worker has written."""
        self.records[record.task] = record

    def forget(self, task: str) -> None:
        """Make a task be done again."""
        if task in self.records and self.records[task].state != "started":
            self.begin(task, "")

    def faults(self, tasks: set[str]) -> list[Fault]:
        """Return the faults of the tasks named, in the order of their names."""
        return [f for name in sorted(tasks & self.records.keys()) for f in self.records[name].faults]

    def compact(self) -> None:
        """Fold the records into the table; a crash in between loses nothing, since records win over the table."""
        keys = list(self.output.list(places.RECORDS))
        self.records = _load(self.output)
        rows = [dataclasses.asdict(self.records[k]) for k in sorted(self.records)]
        for row in rows:
            for key in ("seconds", "checksums", "counts"):
                row[key] = sorted(row[key].items())
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, RECORD_COLUMNS), buffer, compression="zstd")
        self.output.put(places.LEDGER, buffer.getvalue())
        for key in keys:
            self.output.delete(key)


def write_record(output: Output, record: Record) -> None:
    """Put one record; the last thing that a task does."""
    output.put(places.record(record.task), json.dumps(dataclasses.asdict(record)).encode())


def now() -> str:
    """Return the time as a record holds it: UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextmanager
def locked(output: Output) -> Iterator[None]:
    """Hold the output against other runs; of racing runs one gets it (conditional put).

    A lock whose holder has not renewed it for a minute and a half, or died on this machine, is taken over.

    Raises
    ------
    BadInput
        Another run holds it, the lock is damaged, or nothing can be written there.
    """
    me: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "run": os.urandom(8).hex()}

    def text() -> bytes:
        return json.dumps({**me, "renewed": time.time()}).encode()

    made = _missing_folders(output)
    while not output.create(places.LOCK, text()):
        _take_over(output)
    LOG.debug("locked %s", output.path)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(HEARTBEAT_S):
            try:
                output.put(places.LOCK, text())
            except BadInput as error:  # tried again; a task that writes meets what does not pass
                LOG.warning("the lock could not be renewed: %s", error)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        output.delete(places.LOCK)
        for folder in made:
            with suppress(OSError):  # something was written there
                folder.rmdir()
        LOG.debug("unlocked %s", output.path)


def _missing_folders(output: Output) -> list[Path]:
    """List the folders that a lock makes, the deepest first: a run that is refused leaves none of them behind."""
    if output.local is None:
        return []
    folder = (output.local / places.LOCK).parent
    return [p for p in (folder, *folder.parents) if not p.exists()]


def _take_over(output: Output) -> None:
    """Delete the lock that is there if its holder is gone.

    Raises
    ------
    BadInput
        Its holder is at work; or the lock cannot be read, and is young.
    """
    data = output.get(places.LOCK)
    if data is None:
        return  # it was released just now
    holder = _holder(data)
    if holder is None:
        # A run puts its lock whole, and anew every few seconds: an old one that cannot be read is of no living run.
        if (output.age(places.LOCK) or 0.0) < STALE_S:
            what, rule = f"{output.path.rstrip('/')}/{places.LOCK}", "is damaged: it does not tell who is writing here"
            raise BadInput(what, rule, f"Wait for {STALE_S:.0f} s, or delete it if no run is writing here")
        LOG.warning("taking over a damaged lock, which nobody has renewed")
    elif not _abandoned(holder):
        rule = f"is being written by process {holder['pid']} on {holder['host']}"
        raise BadInput(output.label, rule, "Wait for it to end, or stop it")
    else:
        LOG.warning("taking over the lock of process %s on %s, which is gone", holder["pid"], holder["host"])
    output.delete(places.LOCK)


def _holder(data: bytes) -> dict[str, Any] | None:
    """Return who holds a lock; None where its text does not tell."""
    try:
        holder = json.loads(data)
        kinds = {"host": str, "pid": int, "renewed": int | float}
        good = all(isinstance(holder[name], kind) for name, kind in kinds.items()) and holder["pid"] > 0
    except DAMAGE:
        return None
    return holder if good else None


def _abandoned(holder: dict[str, Any]) -> bool:
    if holder["host"] == socket.gethostname():
        try:
            os.kill(holder["pid"], 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            return False
    return bool(time.time() - holder["renewed"] > STALE_S)


def _load(output: Output) -> dict[str, Record]:
    records = {}
    table = output.get(places.LEDGER)
    if table is not None:
        remedy = "Put a copy of it back; or delete it, and the next run builds again what it listed"
        with output.understood(places.LEDGER, remedy):
            for row in pq.read_table(io.BytesIO(table)).to_pylist():
                records[row["task"]] = _record(row)
    for key in output.list(places.RECORDS):
        data = output.get(key)
        if data is None:
            continue
        try:
            record = _record(json.loads(data))
            if places.record(record.task) != key:
                raise ValueError(f"it is the record of {record.task!r}")
        except DAMAGE as error:
            LOG.warning("%s is damaged and counts as no record (%s: %s)", key, type(error).__name__, error)
            # What the table says of this task may be older than what the record said.
            records.pop(key.removeprefix(f"{places.RECORDS}/").removesuffix(".json"), None)
            continue
        records[record.task] = record
    return records


def _record(row: dict[str, Any]) -> Record:
    maps = {key: dict(row[key]) for key in ("seconds", "checksums", "counts")}
    lists = {key: tuple(row.get(key) or ()) for key in ("dark", "offsets", "beyond", "bright")}
    record = Record(**{**row, **maps, **lists, "faults": tuple(Fault(**f) for f in row["faults"])})
    texts, numbers = (record.task, record.state, record.identity, record.error), (record.bytes_written, record.pixels)
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int) for n in numbers):
        raise TypeError("it is no completion record")
    return record
