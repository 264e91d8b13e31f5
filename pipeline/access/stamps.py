"""Stamps: what tells a file from another one that takes its place under the same name.

A stamp is a text, "<length> <mark>". The mark is the file's ETag, or else its Last-Modified ("e:..." and "m:..."), and
of a local file the time of its last change. What is not known is left out.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

MOST = 200
"""Letters of a mark; of a longer one a digest is kept."""


def make(size: int | None, etag: str | None, modified: str | None) -> str:
    """Return the stamp of a file: its length, and an ETag (weak ones count as well) or a time."""
    mark = ""
    if etag:
        mark = "e:" + etag.removeprefix("W/")
    elif modified:
        mark = "m:" + modified
    if len(mark) > MOST or not mark.isprintable():
        mark = mark[:2] + hashlib.sha256(mark.encode(errors="replace")).hexdigest()
    return f"{'' if size is None else size} {mark}"


def of_local(path: str) -> str:
    """Return the stamp of a local file."""
    return of_stat(Path(path).stat())


def of_stat(found: os.stat_result) -> str:
    """Return the stamp of a local file that ``os.stat`` has looked at."""
    return f"{found.st_size} m:{found.st_mtime_ns}"


def agree(one: str, other: str) -> bool:
    """Tell whether two stamps can be those of one file: whatever both of them tell is equal."""
    if one == other or not one or not other:
        return True
    (size, _, mark), (other_size, _, other_mark) = one.partition(" "), other.partition(" ")
    if size and other_size and size != other_size:
        return False
    return not mark or not other_mark or mark[:2] != other_mark[:2] or mark == other_mark
