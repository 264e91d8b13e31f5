"""Where results go: a folder or an object store, both used in the same way.

Every object is put whole (a local file by rename), so a reader sees an old object or a new one, never half of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import batched
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from zarr.storage import ObjectStore as ZarrObjectStore

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.files import ObjectFile, unlink
from groundbreak.pipeline.core.loop import run_coroutine
from groundbreak.pipeline.core.mistakes import BadInput

LOG = logging.getLogger(__name__)

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, OSError)
"""What reading a document raises that is cut off, empty, of another kind, or no document at all."""

DELETED = 1000
"""Objects that are deleted together."""

LOOK_S = 5.0
"""Seconds for which a process believes what it saw of the leases of an output."""

_LOOKED: dict[str, tuple[float, int]] = {}
"""Address of an output -> when this process last looked at its leases, and the highest number that it saw."""


class StorageError(BadInput):
    """The output cannot be written or read. That is no fault of a region: it ends the run."""


class LeaseLost(BadInput):
    """Another run has taken the output over: whoever writes for an older lease must stop."""


@dataclass(frozen=True)
class Output:
    """The root of an output; only its address and the number of a lease travel to workers.

    Object stores take their keys, region and endpoint from the usual environment variables (AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL, ...).
    """

    path: str
    """Absolute folder or s3://bucket/prefix."""
    lease: int = 0
    """Number of the lease under which is written; 0 where nobody has to be kept out."""
    home: str = ""
    """Address of the output that this one is a part of, and whose leases count; "" for itself."""

    @property
    def local(self) -> Path | None:
        """The output's folder, or None on an object store."""
        return None if "://" in self.path else Path(self.path)

    @property
    def _is_there(self) -> bool:
        """Whether there can be anything; opening a local store would make its folder."""
        return self.local is None or self.local.exists()

    @cached_property
    def _store(self) -> ObjectStore:
        return self._open("")

    def _open(self, prefix: str) -> ObjectStore:
        if self.local is not None:
            return LocalStore(self.local / prefix, mkdir=True)
        return from_url(f"{self.path.rstrip('/')}/{prefix}".rstrip("/"))

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels to a worker: addresses and the lease, without an open store."""
        return {"path": self.path, "lease": self.lease, "home": self.home}

    @property
    def label(self) -> str:
        """What messages call the output."""
        return f"[output] path = {self.path!r}"

    @contextlib.contextmanager
    def named(self, verb: str = "written") -> Iterator[None]:
        """Turn what the disk or the object store says inside into StorageError that names the output.

        Parameters
        ----------
        verb : {"written", "read"}
            What cannot be done with the output.
        """
        try:
            yield
        except (OSError, obstore.exceptions.BaseError) as error:
            text = (str(error).splitlines() or [""])[0]
            remedy = "Check the path or bucket, the network and the keys"
            if "No space left" in text or "quota" in text.lower():
                remedy = "Free some space or choose another disk; the same command then goes on from here"
            rule = f"cannot be {verb} ({type(error).__name__}: {text})"
            raise StorageError(self.label, rule, remedy) from error

    @contextlib.contextmanager
    def understood(self, key: str, remedy: str) -> Iterator[None]:
        """Turn the errors of reading a damaged object of the output into BadInput that names the object."""
        try:
            yield
        except DAMAGE as error:
            LOG.debug("%s", key, exc_info=True)
            rule = f"is damaged ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})"
            raise BadInput(f"{self.path.rstrip('/')}/{key}", rule, remedy) from None

    def check(self) -> None:
        """Raise BadInput where nothing can be written, as far as that shows without writing."""
        with self.named():
            if self.local is None:
                # A bucket that is not there, or keys that are none, must show at once.
                quick = from_url(self.path, retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)})
                next(iter(obstore.list(quick, chunk_size=1)), None)
                return
            folder = next(p for p in (self.local, *self.local.parents) if os.path.lexists(p))
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(folder))
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "is not writable", str(folder))

    def below(self, key: str) -> Output:
        """Return the output whose root lies at a key of this one."""
        return Output(f"{self.path.rstrip('/')}/{key}", self.lease, self.home or self.path)

    def zarr(self, prefix: str) -> ZarrObjectStore[ObjectStore]:
        """Open the Zarr store whose root lies at a key of the output."""
        with self.named():
            return ZarrObjectStore(self._open(prefix))

    def get(self, key: str) -> bytes | None:
        """Return the bytes of the object at a key, or None where there is none."""
        with self.named("read"), contextlib.suppress(FileNotFoundError):
            if self._is_there:
                return bytes(obstore.get(self._store, key).bytes())
        return None

    def open(self, key: str) -> BinaryIO:
        """Open the object at a key, of which parts are to be read."""
        with self.named("read"):
            if self.local is not None:
                return (self.local / key).open("rb")
            return io.BufferedReader(ObjectFile(obstore.open_reader(self._store, key), lambda: self.named("read")))

    def age(self, key: str) -> float | None:
        """Return the seconds since the object at a key was written, or None where there is none."""
        with self.named("read"), contextlib.suppress(FileNotFoundError):
            if self._is_there:
                return (datetime.now(UTC) - obstore.head(self._store, key)["last_modified"]).total_seconds()
        return None

    def put(self, key: str, data: bytes) -> None:
        """Put an object at a key, in place of any that is there."""
        self.demand_lease()
        with self.named():
            obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Put an object at a key where there is none yet.

        Returns
        -------
        bool, whether it was put. Where several callers race, one of them gets True; where an object is there already,
        it stays, and all get False.
        """
        with self.named():
            try:
                obstore.put(self._store, key, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """Delete the object at a key, if there is one."""
        self.demand_lease()
        with self.named(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete the objects at some keys, many at a time, and on a disk the folders that this leaves empty."""
        for some in batched(keys, DELETED):
            self.demand_lease(fresh=True)  # what a later run has put since at these keys is not ours to delete
            with self.named(), contextlib.suppress(FileNotFoundError):
                if self.local is not None:
                    unlink(str(self.local), some)
                else:
                    obstore.delete(self._store, list(some))

    def clear(self, prefix: str) -> None:
        """Delete all that lies below a folder, and on a disk the folder too."""
        if not self._is_there:
            return
        self.demand_lease()
        with self.named():
            if self.local is not None:
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(self.local / prefix)
                return
        self.delete_all(self.list(prefix))

    def copy(self, keys: Mapping[str, str]) -> None:
        """Copy objects, key -> new key, several at once and without their bytes passing through this process."""

        async def every() -> None:
            await asyncio.gather(*(obstore.copy_async(self._store, old, new) for old, new in keys.items()))

        self.demand_lease()
        with self.named():
            run_coroutine(every())

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys of the objects below a folder."""
        for key, _ in self.tags(prefix):
            yield key

    def tags(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the key of each object below a folder, and the tag that changes whenever the object is written."""
        if not self._is_there:
            return
        with self.named("read"):
            for batch in obstore.list(self._store, prefix=prefix):
                for meta in batch:
                    yield str(meta["path"]), str(meta["e_tag"])

    def newest_lease(self) -> int:
        """Return the highest number of a lease that anybody has taken, or 0."""
        home = Output(self.home) if self.home else self
        names = (key.rpartition("/")[2].partition(".")[0] for key in home.list(places.LEASES))
        newest = max((int(name) for name in names if name.isdecimal()), default=0)
        _LOOKED[home.path] = time.monotonic(), newest
        return newest

    def demand_lease(self, *, fresh: bool = False) -> None:
        """Raise LeaseLost where a later run has taken the output over.

        Parameters
        ----------
        fresh : bool
            Look now, and do not believe what was seen in the last seconds.
        """
        if not self.lease:
            return
        seen, newest = _LOOKED.get(self.home or self.path, (-LOOK_S, 0))
        if fresh or time.monotonic() - seen >= LOOK_S:
            newest = self.newest_lease()
        if newest > self.lease:
            rule = f"was taken over by another run (lease {newest}, and this one holds {self.lease})"
            raise LeaseLost(self.label, rule, "Nothing more is written here; look at what the other run does")

    def holds(self, prefix: str) -> bool:
        """Tell whether anything lies below a folder; unlike opening a store there, this makes no folder."""
        return next(self.list(prefix), None) is not None

    def free_bytes(self) -> int | None:
        """Return the free disk space of a local output, bytes; None on an object store."""
        if self.local is None:
            return None
        folder = next(p for p in (self.local, *self.local.parents) if p.exists())
        return shutil.disk_usage(folder).free


def checksum(data: bytes | memoryview) -> str:
    """Compute the CRC-32 of an object, as eight hexadecimal digits.

    It protects against decay, not against malice, and costs next to nothing.
    """
    return f"{imagecodecs.deflate_crc32(data):08x}"
