"""Objects of an object store as files, for libraries that read parts of a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore import ReadableFile


class ObjectFile(io.RawIOBase):
    """A file of Python's that reads an object.

    Parameters
    ----------
    reader : obstore.ReadableFile
        It fetches a megabyte at a time.
    """

    def __init__(self, reader: ReadableFile) -> None:
        super().__init__()
        self._reader = reader

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any part of it can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position, bytes from the start, from here or from the end."""
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._reader.tell()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read into a buffer; return the bytes that were read, 0 at the end."""
        data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
