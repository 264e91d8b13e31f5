"""Files of object stores, through obstore, which repeats nothing by itself here: the gate and the table decide."""

from __future__ import annotations

from collections.abc import Buffer

import obstore
from obstore.store import ObjectStore

from groundbreak.pipeline.access import stamps
from groundbreak.pipeline.access.range_files import RangeFile
from groundbreak.pipeline.access.troubles import trouble_of


class ObjectFile(RangeFile):
    """An object of a store of obstore.

    Parameters
    ----------
    store : ObjectStore
        The bucket.
    path : str
        The object's key.
    name : str
        Its address.
    host : str
        The bucket's address, and its endpoint.
    stamp : str
        What the object was when the run was planned; "" where nobody knows.
    patience : float
        Seconds for which the store is waited for.
    """

    def __init__(self, store: ObjectStore, path: str, name: str, host: str, stamp: str, patience: float) -> None:
        super().__init__(name, host, stamp, patience)
        self._store, self._path = store, path

    def _ask(self, start: int, end: int, *, look: bool = False) -> tuple[Buffer, str]:  # noqa: ARG002 - the same
        """Ask once for a range."""
        try:
            found = obstore.get(self._store, self._path, options={"range": (start, end)})
            meta = found.meta
            modified = meta["last_modified"].isoformat() if meta.get("last_modified") else None
            return found.bytes(), stamps.make(meta["size"], meta.get("e_tag"), modified)
        except Exception as error:  # obstore has kinds of its own
            trouble = trouble_of(error)
            if trouble is error:
                raise
            raise trouble from None
