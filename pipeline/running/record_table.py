"""Completion records as Parquet files: written by the thousand, and read by the column, or some rows at a time."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from groundbreak.pipeline.core.record import Fault, Record

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
        ("bytes_read", _INT),
        ("requests", _INT),
        ("retries", _INT),
    ]
)

LIGHT = ("task", "state", "identity", "faults", "error", "bytes_written")
"""The columns that are read at once."""

GROUP = 4096
"""Records that are coded, and read again, together."""


class RecordFile:
    """A Parquet file of records, of which what most questions are about is held in memory.

    Parameters
    ----------
    open_file : callable
        Opens the file, whenever rows of it are read.
    understood : callable
        Returns a context that turns the errors of reading a damaged file into one that names it.
    """

    def __init__(
        self, open_file: Callable[[], BinaryIO], understood: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._open, self.understood = open_file, understood
        with understood(), closing(open_file()) as file:
            parquet = pq.ParquetFile(file)
            asked = _read(parquet, LIGHT)
            self._footer = parquet.metadata.serialized_size
            sizes = [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)]
            self.tasks: list[str] = asked["task"].to_pylist()
            if None in self.tasks:
                raise ValueError("a row names no task")
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=int)])
        """First row of each group, and the number of all rows."""
        states = pc.fill_null(asked["state"], "").dictionary_encode()
        self._states, self._state = states.dictionary.to_pylist(), np.array(states.indices)
        self._identity = asked["identity"]
        counted = pc.fill_null(pc.list_value_length(asked["faults"]), 0)
        good = pc.and_(pc.equal(counted, 0), pc.equal(pc.fill_null(asked["error"], ""), ""))
        self.clean: NDArray[np.bool_] = np.array(good)
        """(rows,) bool: rows that tell neither of faults nor of an error."""
        self.bytes: NDArray[np.int64] = np.array(pc.fill_null(asked["bytes_written"], 0), np.int64)
        """(rows,) int64: bytes that the tasks wrote."""
        self.current = np.ones(len(self.tasks), bool)
        """(rows,) bool: rows that no later record has replaced."""

    def state(self, row: int) -> tuple[str, str]:
        """Return (state, identity) of a row."""
        return self._states[self._state[row]], self._identity[row].as_py()

    def group_of(self, row: int) -> int:
        """Return the number of the group in which a row lies."""
        return int(np.searchsorted(self.starts, row, "right")) - 1

    def group(self, number: int, columns: Sequence[str] = RECORD_COLUMNS.names) -> pa.Table:
        """Read columns of a group; by default all of them."""
        with self.understood(), closing(self._open()) as file:
            parquet = pq.ParquetFile(file)
            if parquet.metadata.serialized_size != self._footer or parquet.metadata.num_rows != self.starts[-1]:
                raise ValueError("it was written again while it was read")
            found = _read(parquet, columns, [number])
            return pa.table(found, pa.schema([RECORD_COLUMNS.field(name) for name in columns]))

    def current_groups(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of the rows that count still, group by group."""
        for number, (start, stop) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            if (kept := self.current[start:stop]).any():
                yield self.group(number, columns).filter(pa.array(kept))


def _read(file: pq.ParquetFile, names: Sequence[str], groups: list[int] | None = None) -> dict[str, pa.Array]:
    """Read some columns of a file; those that an earlier version did not have hold nothing."""
    there = file.schema_arrow.names
    if lacking := {"task", "state", "identity"} - set(there):
        raise ValueError(f"it has no column {', '.join(sorted(lacking))}")
    chosen = [name for name in names if name in there]
    table = (file.read(chosen) if groups is None else file.read_row_groups(groups, chosen)).combine_chunks()
    found = {}
    for name in names:
        kind = RECORD_COLUMNS.field(name).type
        column = table[name].cast(kind) if name in there else pa.chunked_array([pa.nulls(len(table), kind)])
        found[name] = column.chunk(0) if column.num_chunks else pa.array([], kind)
    return found


def encode(tables: Iterable[pa.Table]) -> bytes:
    """Return a Parquet file of the rows of some tables; few of them are held at a time."""
    buffer, held = io.BytesIO(), RECORD_COLUMNS.empty_table()
    with pq.ParquetWriter(buffer, RECORD_COLUMNS, compression="zstd") as writer:
        for table in tables:
            held = pa.concat_tables([held, table])
            if len(held) >= GROUP:
                writer.write_table(held, row_group_size=GROUP)
                held = RECORD_COLUMNS.empty_table()
        writer.write_table(held, row_group_size=GROUP)
    return buffer.getvalue()


def to_table(records: Iterable[Record]) -> pa.Table:
    """Return records as a table, in the order of their tasks."""
    rows = [
        {name: getattr(record, name) for name in RECORD_COLUMNS.names}
        | {key: sorted(getattr(record, key).items()) for key in ("seconds", "checksums", "counts")}
        | {"faults": [dataclasses.asdict(fault) for fault in record.faults]}
        for record in sorted(records, key=lambda record: record.task)
    ]
    return pa.Table.from_pylist(rows, RECORD_COLUMNS)


def to_record(row: dict[str, Any]) -> Record:
    """Return the record that a row of a table, or the JSON of a worker, stands for.

    Raises
    ------
    Exception
        It stands for none: an error of `groundbreak.pipeline.core.output.DAMAGE`.
    """
    maps = {key: dict(row[key]) for key in ("seconds", "checksums", "counts")}
    lists = {key: tuple(row.get(key) or ()) for key in ("dark", "offsets", "beyond", "bright")}
    later = {"stamp": row.get("stamp") or ""}
    later |= {key: row.get(key) or 0 for key in ("lease", "bytes_read", "requests", "retries")}
    record = Record(**{**row, **maps, **lists, **later, "faults": tuple(Fault(**f) for f in row["faults"])})
    texts, numbers = (record.task, record.state, record.identity, record.error), (record.bytes_written, record.pixels)
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int) for n in numbers):
        raise TypeError("it is no completion record")
    return record
