"""Striking a run: it is killed at the n-th write of its client or tasks, or interrupted; what it writes is seen.

All writes to an output pass through a few functions. Once a run is dead, none of them does anything any more, in no
thread: so it is with kill -9. What a killed process leaves half done (a staging file, half a deleted folder) is left.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import obstore
import pytest
from distributed import Client

from groundbreak.pipeline.core.output import StorageError


class Killed(BaseException):
    """The client was killed at this write."""


class TaskKilled(StorageError):
    """A task was killed at this write: an error that no task takes for a fault of its own, and dask can pass on."""


@dataclass
class Strike:
    """What will strike a run, and what is seen of it."""

    out: Path
    how: str = ""
    """"kill", "interrupt", or "" for nothing."""
    who: str = "client"
    """Whose writes are counted: "client", or "tasks", also those of publishing."""
    after: int = 0
    """Writes that still pass."""
    struck: bool = False
    seen: list[tuple[str, str]] = field(default_factory=list)
    """(task, state) of each record that was put, and ("list", "") where a cube's list was."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_by(self, half: Callable[[], None]) -> None:
        """Let a write pass, or strike; ``half`` does what a killed process would leave of it."""
        client = threading.current_thread() is threading.main_thread()
        with self._lock:
            if self.struck and self.how == "kill":
                raise _death(client)
            if self.struck or not self.how or (self.who == "client") != client:
                return
            self.after -= 1
            if self.after >= 0:
                return
            self.struck = True
        if self.how == "interrupt":
            raise KeyboardInterrupt
        half()
        raise _death(client)

    def note(self, path: Path, data: bytes) -> None:
        """See what an object that was put says."""
        if "records" in path.parts:
            record = json.loads(data)
            self.seen.append((record["task"], record["state"]))
        elif path.parts[-2:] == ("cube.zarr", "zarr.json") and b'"observations"' in data:
            self.seen.append(("list", ""))


def _death(client: bool) -> BaseException:
    return Killed() if client else TaskKilled("the process", "was killed", "There is none")


@contextmanager
def watched(out: Path, client: Client, how: str = "", who: str = "client", after: int = 0) -> Iterator[Strike]:
    """Watch a run that writes into a folder, and strike it; at the end no task is at work any more."""
    strike = Strike(out, how, who, after)
    with pytest.MonkeyPatch.context() as patch:
        _watch(strike, patch)
        try:
            yield strike
        finally:
            # A task that was cancelled goes on until its next write: each thread takes another one only after that.
            for future in [client.submit(int, n, pure=False) for n in range(2 * sum(client.nthreads().values()))]:
                future.result(timeout=60)


def _watch(strike: Strike, patch: pytest.MonkeyPatch) -> None:
    """Have all writes pass by a strike."""
    put, put_async = obstore.put, obstore.put_async
    delete, delete_async, copy_async = obstore.delete, obstore.delete_async, obstore.copy_async

    def before(store: Any, key: str, data: Any) -> None:
        strike.pass_by(lambda: _stage(Path(store.prefix) / key, bytes(memoryview(data))))

    def new_put(store: Any, key: str, data: Any, **options: Any) -> Any:
        before(store, key, data)
        found = put(store, key, data, **options)
        strike.note(Path(store.prefix) / key, bytes(memoryview(data)))
        return found

    async def new_put_async(store: Any, key: str, data: Any, **options: Any) -> Any:
        before(store, key, data)
        found = await put_async(store, key, data, **options)
        strike.note(Path(store.prefix) / key, bytes(memoryview(data)))
        return found

    patch.setattr(obstore, "put", new_put)
    patch.setattr(obstore, "put_async", new_put_async)
    for name, call in (("delete", delete), ("delete_async", delete_async), ("copy_async", copy_async)):
        patch.setattr(obstore, name, _passing(strike, call))
    for name in ("rename", "replace"):
        patch.setattr(Path, name, _passing(strike, getattr(Path, name)))
    rmtree = shutil.rmtree

    def new_rmtree(folder: Any, *arguments: Any, **options: Any) -> None:
        if Path(folder).is_relative_to(strike.out):
            strike.pass_by(lambda: _half_gone(Path(folder)))
        rmtree(folder, *arguments, **options)

    patch.setattr(shutil, "rmtree", new_rmtree)


def _passing[**P, T](strike: Strike, call: Callable[P, T]) -> Callable[P, T]:
    @wraps(call)
    def passing(*arguments: P.args, **options: P.kwargs) -> T:
        if not isinstance(arguments[0], Path) or arguments[0].is_relative_to(strike.out):
            strike.pass_by(lambda: None)
        return call(*arguments, **options)

    return passing


def _stage(path: Path, data: bytes) -> None:
    """Leave half of the file that a put writes before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}#1").write_bytes(data[: len(data) // 2])


def _half_gone(folder: Path) -> None:
    """Delete every other file below a folder."""
    for path in [p for p in sorted(folder.rglob("*")) if p.is_file()][::2]:
        path.unlink()
