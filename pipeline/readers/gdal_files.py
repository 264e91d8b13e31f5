"""Remote files for GDAL: it reads them through our own requests, and never asks a server by itself.

GDAL follows redirects wherever they lead and cannot be told not to, and it repeats requests by rules of its own. So
rasterio registers a file of Python with it, under a path of its virtual file system.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio._vsiopener import _opener_registration
from rasterio.abc import MultiByteRangeResourceContainer

from groundbreak.pipeline.access.range_files import RangeFile
from groundbreak.pipeline.core.ranges import requests

AHEAD, MOST_AHEAD = 32_768, 1 << 20
"""Bytes that are read at least, since GDAL walks through a header in small steps; twice as many each time that it reads
on, up to the most."""
NEAR = 4096
"""Ranges with at most so many bytes between them are fetched in one request."""
NAME = "asset"
"""What GDAL calls the file; nothing else lies beside it."""


@contextmanager
def opened_to_gdal(file: RangeFile) -> Iterator[str]:
    """Let GDAL read a remote file under a path, which is valid within the block.

    An error that a read has met within GDAL is raised here in place of what GDAL makes of it; GDAL may also have taken
    what was missing for nothing, so it is raised where GDAL says nothing, too.
    """
    file.error = None
    try:
        with _opener_registration(f"{NAME}/{NAME}", _Folder(file)) as path:
            yield path
    except Exception as error:
        raise (file.error or error) from None
    if file.error is not None:
        raise file.error


class _Folder(MultiByteRangeResourceContainer):  # type: ignore[misc]  # rasterio's are not typed
    """What GDAL sees: one file, and nothing beside it."""

    def __init__(self, file: RangeFile) -> None:
        self._file = file

    def open(self, path: str, _mode: str = "r", **_: object) -> _Reading:
        """Open the file."""
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return _Reading(self._file)

    def isfile(self, path: str) -> bool:
        """Tell whether a path is the file's."""
        return path.endswith(f"{NAME}/{NAME}")

    def isdir(self, _path: str) -> bool:
        """Tell that there are no folders."""
        return False

    def ls(self, _path: str) -> list[str]:
        """List nothing."""
        return []

    def mtime(self, _path: str) -> int:
        """Return no time."""
        return 0

    def size(self, path: str) -> int:
        """Return the file's length."""
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return _length(self._file)

    def rm(self, path: str) -> None:
        """Refuse: nothing is removed."""
        raise PermissionError(path)


class _Reading(io.RawIOBase):
    """The file as one reader of GDAL's sees it, with a place in it. No error may leave it: GDAL would not see it."""

    def __init__(self, file: RangeFile) -> None:
        super().__init__()
        self._file, self._at, self._start, self._ahead = file, 0, 0, b""
        self._step = AHEAD

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place."""
        self._at = offset + (0, self._at, _length(self._file) if whence == 2 else 0)[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read on; fewer bytes where the file ends, or where an error was met that the file keeps."""
        size = min(size, _length(self._file) - self._at)
        if size <= 0:
            return b""
        skipped = self._at - self._start
        if not 0 <= skipped <= len(self._ahead) - size:
            reads_on = self._start < self._at <= self._start + len(self._ahead)
            self._step = min(2 * self._step, MOST_AHEAD) if reads_on else AHEAD
            self._start, skipped = self._at, 0
            self._ahead = self._get(self._at, self._at + max(size, self._step))
        found = self._ahead[skipped : skipped + size]
        self._at += len(found)
        return found

    def get_byte_ranges(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        """Read several ranges, those that lie near each other in one request."""
        wanted = ((start, size, n) for n, (start, size) in enumerate(zip(offsets, sizes, strict=True)))
        found: dict[int, bytes] = {}
        for request in requests(wanted, NEAR):
            data = memoryview(self._get(request.start, request.end))
            found |= {n: bytes(part) for n, part in request.split(data).items()}
        # GDAL takes over what is returned without a look at how much it is; the error is raised when it is done.
        return [found[n].ljust(size, b"\0") for n, size in enumerate(sizes)]

    def _get(self, start: int, end: int) -> bytes:
        """Return a range; nothing after an error, which the file keeps."""
        if self._file.error is not None:
            return b""
        try:
            return bytes(self._file.get_range(start=start, end=end))
        except Exception:
            return b""


def _length(file: RangeFile) -> int:
    """Return a file's length; 0 where it cannot be had, and the file keeps why."""
    try:
        if not file.stamp.partition(" ")[0]:
            file.get_range(start=0, end=1)
        return int(file.stamp.partition(" ")[0] or 0)
    except Exception:
        return 0
