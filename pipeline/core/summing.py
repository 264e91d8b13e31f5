"""A Zarr store of an output that remembers what is written through it, so that a record can tell it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from time import perf_counter

import obstore
from obstore.store import ObjectStore
from zarr.core.buffer import Buffer
from zarr.storage import ObjectStore as ZarrObjectStore
from zarr.storage import WrapperStore

from groundbreak.pipeline.core.output import Output, checksum


class SummingStore(WrapperStore[ZarrObjectStore[ObjectStore]]):
    """A Zarr store of an output that remembers what is written through it, and asks for the lease before it writes.

    Parameters
    ----------
    output : Output
    prefix : str
        Key of the store's root.
    """

    def __init__(self, output: Output, prefix: str) -> None:
        super().__init__(output.zarr(prefix))
        self._output, self._prefix = output, prefix
        self.checksums: dict[str, str] = {}
        """Key of an object -> `checksum` of it."""
        self.tags: dict[str, str] = {}
        """Key of an object -> the tag that the storage gave it."""
        self.bytes_written = 0
        self.seconds = 0.0
        """Seconds that writing took."""

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object, as Zarr asks for it."""
        self._output.demand_lease()
        with self._output.named(), self._timed():
            put = await obstore.put_async(self._store.store, key, value.as_buffer_like())
        self._note(key, memoryview(value.as_numpy_array()), put)

    async def delete(self, key: str) -> None:
        """Delete an object, as Zarr asks for it."""
        self._output.demand_lease()
        with self._output.named():
            await super().delete(key)

    def put(self, key: str, data: memoryview | None) -> None:
        """Put an object without Zarr; None deletes it, since an empty chunk has no object in Zarr."""
        self._output.demand_lease()
        with self._output.named(), self._timed(), contextlib.suppress(FileNotFoundError):
            if data is None:
                obstore.delete(self._store.store, key)
            else:
                self._note(key, data, obstore.put(self._store.store, key, data))

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - began

    def _note(self, key: str, data: memoryview, put: obstore.PutResult) -> None:
        name = f"{self._prefix}/{key}"
        self.checksums[name] = checksum(data)
        self.tags[name] = str(put["e_tag"])
        self.bytes_written += data.nbytes
