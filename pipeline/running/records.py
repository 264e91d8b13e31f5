"""The records of an output as they are looked up: the table of an earlier run, and what is newer than it.

A country has a million of them. A row of the table becomes a record when it is asked for; what most questions are
about, whether a task is done, of which identity, and whether anything went wrong, is answered from a few columns.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from groundbreak.pipeline.core.types import Fault, Record

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


LIGHT = ("task", "state", "identity", "faults", "error")
"""The columns that are read at once."""


class Records(MutableMapping[str, Record]):
    """Task -> its record.

    Parameters
    ----------
    table : bytes, optional
        A Parquet file that `to_parquet` has made; an earlier version may have made it with fewer columns.

    Raises
    ------
    Exception
        The file is damaged: an error of `groundbreak.pipeline.core.output.DAMAGE`.
    """

    def __init__(self, table: bytes | None = None) -> None:
        self._data = table
        asked = self._read(LIGHT)
        self._state, self._identity = asked["state"], asked["identity"]
        faults = pc.fill_null(pc.list_value_length(asked["faults"]), 0)
        self._clean = pc.and_(pc.equal(faults, 0), pc.equal(pc.fill_null(asked["error"], ""), ""))
        self._rows: dict[str, int] = {name: row for row, name in enumerate(asked["task"].to_pylist())}
        if None in self._rows:
            raise ValueError("a row names no task")
        self._new: dict[str, Record] = {}

    def _read(self, names: Sequence[str]) -> dict[str, pa.Array]:
        """Read some columns of the file; those that an earlier version did not have hold nothing."""
        if self._data is None:
            return {name: pa.array([], RECORD_COLUMNS.field(name).type) for name in names}
        file = pq.ParquetFile(io.BytesIO(self._data))
        there = file.schema_arrow.names
        if lacking := {"task", "state", "identity"} - set(there):
            raise ValueError(f"it has no column {', '.join(sorted(lacking))}")
        table = file.read([name for name in names if name in there]).combine_chunks()
        found = {}
        for name in names:
            kind = RECORD_COLUMNS.field(name).type
            column = table[name].cast(kind) if name in there else pa.chunked_array([pa.nulls(len(table), kind)])
            found[name] = column.chunk(0) if column.num_chunks else pa.array([], kind)
        return found

    @cached_property
    def _table(self) -> pa.Table:
        """All columns; many questions need no more than a few."""
        return pa.table(self._read(RECORD_COLUMNS.names), RECORD_COLUMNS)

    def state(self, task: str) -> tuple[str, str]:
        """Return (state, identity) of a task's record; ("", "") where there is none."""
        if (record := self._new.get(task)) is not None:
            return record.state, record.identity
        row = self._rows.get(task)
        return ("", "") if row is None else (self._state[row].as_py(), self._identity[row].as_py())

    def is_clean(self, task: str) -> bool:
        """Tell whether a task's record tells neither of faults nor of an error."""
        if (record := self._new.get(task)) is not None:
            return not record.faults and not record.error
        return bool(self._clean[self._rows[task]].as_py())

    def __getitem__(self, task: str) -> Record:
        if (record := self._new.get(task)) is not None:
            return record
        return to_record(self._table.slice(self._rows[task], 1).to_pylist()[0])

    def __setitem__(self, task: str, record: Record) -> None:
        self._new[task] = record

    def __delitem__(self, task: str) -> None:
        if task not in self:
            raise KeyError(task)
        self._new.pop(task, None)
        self._rows.pop(task, None)

    def __contains__(self, task: object) -> bool:
        return task in self._new or task in self._rows

    def __iter__(self) -> Iterator[str]:
        yield from self._rows
        yield from (task for task in self._new if task not in self._rows)

    def __len__(self) -> int:
        return len(self._rows) + sum(task not in self._rows for task in self._new)

    def to_parquet(self) -> bytes:
        """Return a Parquet file of all records, in the order of their tasks; rows that are there already stay coded."""
        kept = pa.array([row for task, row in self._rows.items() if task not in self._new], _INT)
        table = pa.concat_tables([self._table.take(kept), _table(list(self._new.values()))])
        table = table.take(pc.sort_indices(table["task"]))
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()


def _table(records: list[Record]) -> pa.Table:
    rows = [dataclasses.asdict(record) for record in records]
    for row in rows:
        for key in ("seconds", "checksums", "counts"):
            row[key] = sorted(row[key].items())
    return pa.Table.from_pylist(rows, RECORD_COLUMNS)


def to_record(row: dict[str, Any]) -> Record:
    """Return the record that a row of the table, or the JSON of a worker, stands for.

    Raises
    ------
    Exception
        It stands for none: an error of `groundbreak.pipeline.core.output.DAMAGE`.
    """
    maps = {key: dict(row[key]) for key in ("seconds", "checksums", "counts")}
    lists = {key: tuple(row.get(key) or ()) for key in ("dark", "offsets", "beyond", "bright")}
    stamps = {"lease": row.get("lease") or 0, "stamp": row.get("stamp") or ""}
    record = Record(**{**row, **maps, **lists, **stamps, "faults": tuple(Fault(**f) for f in row["faults"])})
    texts, numbers = (record.task, record.state, record.identity, record.error), (record.bytes_written, record.pixels)
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int) for n in numbers):
        raise TypeError("it is no completion record")
    return record
