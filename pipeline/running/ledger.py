"""What is finished: completion records, written by workers after their data.

A worker puts one small JSON object a task. While a run goes on, the client folds those of regions that are done into
Parquet files, some thousand at a time, and at its end all of them into one table. A record counts only with the
identity that the plan asks for, so a stale one is never trusted. The same on disk and on an object store.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.output import DAMAGE, Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running.record_table import RecordFile, encode, to_record, to_table
from groundbreak.pipeline.running.records import Records

LOG = logging.getLogger(__name__)

REMEDY = "Put a copy of it back; or delete it: `groundbreak verify` and `run` then build again what it listed"
"""What to do about a damaged table."""
REQUESTS = 32
"""Records that are read at once."""
FOLDED = 2000
"""Records of regions that are done, from which on they are folded into a file."""


class Ledger:
    """The records of one output.

    Parameters
    ----------
    output : Output
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.records = _load(output)
        self._ended: list[str] = []

    def finished(self, task: str, identity: str) -> bool:
        """Tell whether a task is done, with the very output that the plan asks for."""
        return self.records.state(task) == ("done", identity)

    def built(self, task: str, identity: str) -> bool:
        """Tell whether a build is done, or was done and its cube has since been deleted (``[cube] keep = false``)."""
        return self.records.state(task) in (("done", identity), ("dropped", identity))

    def quarantined(self, task: str, identity: str) -> bool:
        """Tell whether a task kills its workers, and is left alone until it is asked for (``groundbreak retry``)."""
        return self.records.state(task) == ("quarantined", identity)

    def settled(self, task: str, identity: str) -> bool:
        """Tell whether nothing is left to do for a build: it is built, or is left alone."""
        return self.built(task, identity) or self.quarantined(task, identity)

    def undisturbed(self, builds: Sequence[str]) -> bool:
        """Tell whether the records of some builds tell neither of faults nor of errors."""
        return all(self.records.is_clean(name) for name in builds)

    def drop(self, names: Sequence[str]) -> None:
        """Delete what some builds wrote.

        They count as dropped before the first object goes, and what a crash leaves is deleted by the next call.
        """
        for name in names:
            record = dataclasses.replace(self.records[name], state="dropped")
            if self.records[name].state != "dropped":
                self._keep(record, by=record.lease)
            for key in record.checksums:
                self.output.delete(key)
            if record.checksums:
                self._keep(dataclasses.replace(record, checksums={}, bytes_written=0), by=record.lease)

    def begin(self, task: str, identity: str) -> None:
        """Say that a task's earlier output is about to be replaced, so that a crash leaves nothing to trust."""
        if task in self.records:
            self._keep(Record(task, "started", identity, 0, now(), {}, 0, 0, {}))

    def _keep(self, record: Record, by: int | None = None) -> None:
        self.add(write_record(self.output, record, by))

    def add(self, record: Record) -> None:
        """Take note of a record that its worker has written."""
        self.records[record.task] = record

    def ended(self, tasks: Iterable[str]) -> None:
        """Take note that nothing of this run will change the records of some tasks any more: they may be folded."""
        self._ended += [record.task for record in self.records.new(tasks)]
        if len(self._ended) >= FOLDED:
            self._fold()

    def _fold(self) -> None:
        """Fold the records of tasks that have ended into a file, so that neither memory nor the storage holds each."""
        records, self._ended = self.records.new(self._ended), []
        key = places.part(self.output.lease, time.time_ns())
        self.output.put(key, encode([to_table(records)]))
        self.records.extend(_file(self.output, key))
        self.output.delete_all(places.record(record.task) for record in records)

    def forget(self, task: str) -> None:
        """Make a task be done again."""
        if self.records.state(task)[0] not in ("", "started"):
            self.begin(task, "")

    def compact(self) -> None:
        """Fold all records into the table; a crash in between loses nothing, since records and parts win over it."""
        self.output.demand_lease(fresh=True)  # the records of a later run are not ours to clear
        keys, parts = list(self.output.list(places.RECORDS)), sorted(self.output.list(places.PARTS))
        if not keys and not parts and self.output.age(places.LEDGER) is not None:
            return
        self._ended = []
        self.output.put(places.LEDGER, encode(_load(self.output, keys).tables()))
        # The oldest part first: what a crash leaves is the newest that is known of its tasks.
        for key in parts:
            self.output.delete(key)
        self.output.delete_all(keys)
        self.records = _load(self.output, [])


def write_record(output: Output, record: Record, by: int | None = None) -> Record:
    """Put one record, the last thing that a task does; return it as it was put.

    It tells the output's lease, or ``by``, the lease of an earlier run that did the task.
    """
    record = dataclasses.replace(record, lease=output.lease if by is None else by)
    output.put(places.record(record.task), json.dumps(dataclasses.asdict(record)).encode())
    return record


def read_record(output: Output, task: str) -> Record | None:
    """Return the record that a task has left and that is not folded into the table yet; None where there is none."""
    data = output.get(places.record(task))
    try:
        return None if data is None else to_record(json.loads(data))
    except DAMAGE:  # half a record is none
        return None


def stamp(tags: Mapping[str, str]) -> str:
    """Digest the tags that the storage gave to the objects of a task: key -> tag."""
    return digest(sorted(tags.items())) if tags else ""


def now() -> str:
    """Return the time as a record holds it: UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _load(output: Output, keys: Sequence[str] | None = None) -> Records:
    """Load the table, the parts and the records that are newer, of which ``keys`` may be listed already."""
    records = Records()
    # In the order in which a run moves them, from records to parts to the table: whoever reads meanwhile misses none.
    keys = list(output.list(places.RECORDS)) if keys is None else keys
    with ThreadPoolExecutor(REQUESTS) as pool:
        newer = list(pool.map(output.get, keys))
    files = sorted(output.list(places.PARTS))
    for key in [places.LEDGER, *files] if output.age(places.LEDGER) is not None else files:
        records.extend(_file(output, key))
    for key, data in zip(keys, newer, strict=True):
        if data is None:
            continue
        try:
            record = to_record(json.loads(data))
            if places.record(record.task) != key:
                raise ValueError(f"it is the record of {record.task!r}")
        except DAMAGE as error:
            LOG.warning("%s is damaged and counts as no record (%s: %s)", key, type(error).__name__, error)
            # What the table says of this task may be older than what the record said.
            records.pop(key.removeprefix(f"{places.RECORDS}/").removesuffix(".json"), None)
            continue
        records[record.task] = record
    return records


def _file(output: Output, key: str) -> RecordFile:
    return RecordFile(partial(output.open, key), partial(output.understood, key, REMEDY))
