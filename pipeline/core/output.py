"""Where results go: a folder or an object store, reached the same way.

Every object is put whole (a local file by rename), so a reader sees an old object or a new one, never half of one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import imagecodecs
import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from zarr.core.buffer import Buffer
from zarr.storage import ObjectStore as ZarrObjectStore
from zarr.storage import WrapperStore


@dataclass(frozen=True)
class Output:
    """The output's root; it travels to workers as its address alone.

    Object stores take their keys, region and endpoint from the usual environment variables (AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL, ...).
    """

    path: str
    """Absolute folder or s3://bucket/prefix."""

    @property
    def local(self) -> Path | None:
        return None if "://" in self.path else Path(self.path)

    @cached_property
    def _store(self) -> ObjectStore:
        return self._open("")

    def _open(self, prefix: str) -> ObjectStore:
        if self.local is not None:
            return LocalStore(self.local / prefix, mkdir=True)
        return from_url(f"{self.path.rstrip('/')}/{prefix}".rstrip("/"))

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path}

    def zarr(self, prefix: str) -> ZarrObjectStore[ObjectStore]:
        """A Zarr store rooted at `prefix`."""
        return ZarrObjectStore(self._open(prefix))

    def get(self, key: str) -> bytes | None:
        """An object's bytes, or None where there is none."""
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Put an object that must not exist yet; False where it does. Of racing callers one gets True."""
        try:
            obstore.put(self._store, key, data, mode="create")
        except obstore.exceptions.AlreadyExistsError:
            return False
        return True

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below a folder."""
        for batch in obstore.list(self._store, prefix=prefix):
            for meta in batch:
                yield str(meta["path"])

    def holds(self, prefix: str) -> bool:
        """Whether anything lies below a folder; unlike opening it, this leaves no folder behind."""
        return next(self.list(prefix), None) is not None

    def free_bytes(self) -> int | None:
        """Free space below a local output; None on an object store."""
        if self.local is None:
            return None
        folder = next(p for p in (self.local, *self.local.parents) if p.exists())
        return shutil.disk_usage(folder).free


def checksum(data: bytes | memoryview) -> str:
    """The CRC-32 of an object, eight hexadecimal digits: it is against decay, not malice, and costs next to nothing."""
    return f"{imagecodecs.deflate_crc32(data):08x}"


class SummingStore(WrapperStore[ZarrObjectStore[ObjectStore]]):
    """A Zarr store that remembers the checksum and the size of each object written through it."""

    def __init__(self, store: ZarrObjectStore[ObjectStore]) -> None:
        super().__init__(store)
        self.checksums: dict[str, str] = {}
        self.bytes_written = 0

    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)
        self._note(key, memoryview(value.as_numpy_array()))

    def put(self, key: str, data: memoryview | None) -> None:
        """Put an object whole, without Zarr; None stands for no object, as Zarr means an empty chunk."""
        if data is not None:
            obstore.put(self._store.store, key, data)
            self._note(key, data)
            return
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store.store, key)

    def _note(self, key: str, data: memoryview) -> None:
        self.checksums[key] = checksum(data)
        self.bytes_written += data.nbytes
