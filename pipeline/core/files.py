"""Objects of an object store as files, for libraries that read parts of a file; and files that are deleted."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore import ReadableFile


class ObjectFile(io.RawIOBase):
    """A file of Python's that reads an object.

    Parameters
    ----------
    reader : obstore.ReadableFile
        It fetches a megabyte at a time.
    named : callable
        Returns a context that turns the storage's errors into one that names it.
    """

    def __init__(self, reader: ReadableFile, named: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._reader, self._named = reader, named

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any part of it can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position, bytes from the start, from here or from the end."""
        with self._named():
            return self._reader.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._reader.tell()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read into a buffer; return the bytes that were read, 0 at the end."""
        with self._named():
            data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def unlink(root: str, keys: Iterable[str]) -> None:
    """Delete files below a folder, and the folders that this leaves empty."""
    emptied = set()
    for key in keys:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{root}/{key}")  # noqa: PTH108 - a Path would cost more than the call
        emptied.add(key.rpartition("/")[0])
    for folder in emptied:
        with contextlib.suppress(OSError):  # others are in it
            while folder:
                os.rmdir(f"{root}/{folder}")  # noqa: PTH106
                folder = folder.rpartition("/")[0]
