"""What is finished: completion records, written by workers after their data.

A worker puts one small JSON object a task; the client compacts them into one Parquet file and clears them. A record
counts only with the identity that the plan asks for, so a stale one is never trusted. The same on disk and on an
object store.
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.output import DAMAGE, Output
from groundbreak.pipeline.core.types import Fault, Record

LOG = logging.getLogger(__name__)

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
        ("lease", _INT),
        ("stamp", _TEXT),
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

    def quarantined(self, task: str, identity: str) -> bool:
        """Tell whether a task kills its workers, and is left alone until it is asked for (``groundbreak retry``)."""
        record = self.records.get(task)
        return record is not None and record.state == "quarantined" and record.identity == identity

    def settled(self, task: str, identity: str) -> bool:
        """Tell whether nothing is left to do for a build: it is built, or is left alone."""
        return self.built(task, identity) or self.quarantined(task, identity)

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
        self.add(write_record(self.output, record))

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
        self.output.demand_lease(fresh=True)  # the records of a later run are not ours to clear
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


def write_record(output: Output, record: Record) -> Record:
    """Put one record under the output's lease, the last thing that a task does; return it as it was put."""
    record = dataclasses.replace(record, lease=output.lease)
    output.put(places.record(record.task), json.dumps(dataclasses.asdict(record)).encode())
    return record


def read_record(output: Output, task: str) -> Record | None:
    """Return the record that a task has left and that is not folded into the table yet; None where there is none."""
    data = output.get(places.record(task))
    try:
        return None if data is None else _record(json.loads(data))
    except DAMAGE:  # half a record is none
        return None


def stamp(tags: Mapping[str, str]) -> str:
    """Digest the tags that the storage gave to the objects of a task: key -> tag."""
    return digest(sorted(tags.items())) if tags else ""


def now() -> str:
    """Return the time as a record holds it: UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


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
    stamps = {"lease": row.get("lease") or 0, "stamp": row.get("stamp") or ""}
    record = Record(**{**row, **maps, **lists, **stamps, "faults": tuple(Fault(**f) for f in row["faults"])})
    texts, numbers = (record.task, record.state, record.identity, record.error), (record.bytes_written, record.pixels)
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int) for n in numbers):
        raise TypeError("it is no completion record")
    return record
