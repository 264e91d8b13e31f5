"""The records of an output as they are looked up: those that are folded into tables, and newer ones.

A country has a million of them. A row of a table becomes a record when it is asked for; what most questions are about,
whether a task is done, of which identity, and whether anything went wrong, is answered from a few columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence

import pyarrow as pa

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running.record_table import RECORD_COLUMNS, RecordFile, to_record, to_table

OPEN = 8
"""Groups of rows that are kept, so that records which are read in order are read once."""

_ROWS = 1 << 40
"""More rows than a file has: the place of a record is the number of its file, times this, and its row."""


class Records(MutableMapping[str, Record]):
    """Task -> its record."""

    def __init__(self) -> None:
        self._files: list[RecordFile] = []
        self._places: dict[str, int] = {}
        self._new: dict[str, Record] = {}
        self._groups: dict[tuple[int, int], pa.Table] = {}

    def extend(self, file: RecordFile) -> None:
        """Take the records of a file in, in place of those of the same tasks that were there before."""
        first = len(self._files) * _ROWS
        self._files.append(file)
        for row, task in enumerate(file.tasks):
            self._leave(task)
            self._places[task] = first + row
        file.tasks.clear()  # they are here

    def _leave(self, task: str) -> None:
        """Let what is known of a task count no longer."""
        self._new.pop(task, None)
        if (place := self._places.pop(task, None)) is not None:
            self._files[place // _ROWS].current[place % _ROWS] = False

    def state(self, task: str) -> tuple[str, str]:
        """Return (state, identity) of a task's record; ("", "") where there is none."""
        if (record := self._new.get(task)) is not None:
            return record.state, record.identity
        place = self._places.get(task)
        return ("", "") if place is None else self._files[place // _ROWS].state(place % _ROWS)

    def is_clean(self, task: str) -> bool:
        """Tell whether a task's record tells neither of faults nor of an error."""
        if (record := self._new.get(task)) is not None:
            return not record.faults and not record.error
        place = self._places[task]
        return bool(self._files[place // _ROWS].clean[place % _ROWS])

    def troubled(self) -> list[Record]:
        """Return the records that tell of faults or of an error."""
        return [self[task] for task in self if not self.is_clean(task)]

    def unsettled(self) -> list[str]:
        """Name the tasks that have met faults, or that are not done."""
        faulty = {record.task for record in self.troubled() if record.faults}
        return [task for task in self if task in faulty or self.state(task)[0] not in ("done", "dropped")]

    def by_grid(self) -> dict[str, list[str]]:
        """Name the tasks of each grid: grid -> tasks."""
        found: dict[str, list[str]] = {}
        for task in self:
            found.setdefault(places.grid_of(task), []).append(task)
        return found

    @property
    def bytes_written(self) -> int:
        """Bytes that all tasks have written."""
        folded = sum(int(file.bytes[file.current].sum()) for file in self._files)
        return folded + sum(record.bytes_written for record in self._new.values())

    def __getitem__(self, task: str) -> Record:
        if (record := self._new.get(task)) is not None:
            return record
        number, row = divmod(self._places[task], _ROWS)
        file = self._files[number]
        group = file.group_of(row)
        found = self._group(number, group).slice(row - int(file.starts[group]), 1).to_pylist()[0]
        with file.understood():
            return to_record(found)

    def _group(self, file: int, group: int) -> pa.Table:
        if (file, group) not in self._groups:
            while len(self._groups) >= OPEN:
                del self._groups[next(iter(self._groups))]
            self._groups[file, group] = self._files[file].group(group)
        return self._groups[file, group]

    def __setitem__(self, task: str, record: Record) -> None:
        self._leave(task)
        self._new[task] = record

    def __delitem__(self, task: str) -> None:
        if task not in self:
            raise KeyError(task)
        self._leave(task)

    def __contains__(self, task: object) -> bool:
        return task in self._new or task in self._places

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from self._new

    def __len__(self) -> int:
        return len(self._places) + len(self._new)

    def new(self, tasks: Iterable[str]) -> list[Record]:
        """Return those records of some tasks that are in no table yet."""
        return [self._new[task] for task in tasks if task in self._new]

    def tables(self, columns: Sequence[str] = RECORD_COLUMNS.names) -> Iterator[pa.Table]:
        """Yield all records as tables, some thousand rows at a time: those of files in order, and then the new ones."""
        for file in self._files:
            yield from file.current_groups(columns)
        if self._new:
            yield to_table(self._new.values()).select(columns)
