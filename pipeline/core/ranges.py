"""Byte ranges of an object, put together into few requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Request[T](NamedTuple):
    """Consecutive bytes of an object, fetched at once for one range or several."""

    start: int
    """The first byte."""
    end: int
    """The byte after the last."""
    parts: dict[T, slice]
    """Name of a range -> where it lies in the bytes that are fetched."""

    def split(self, data: memoryview) -> dict[T, memoryview]:
        """Cut the bytes that were fetched into the ranges: name of a range -> its bytes."""
        return {name: data[part] for name, part in self.parts.items()}


def requests[T](ranges: Iterable[tuple[int, int, T]], gap: int = 0) -> list[Request[T]]:
    """Work out the requests that fetch some ranges of an object.

    Ranges that lie one behind the other are fetched in one request; every range is fetched once.

    Parameters
    ----------
    ranges : iterable of (start, length, name)
        The first byte of each range, its length in bytes and its name, in any order.
    gap : int
        Two ranges with at most so many bytes between them are fetched in one request.

    Returns
    -------
    list of Request, in the order of their bytes.
    """
    found: list[Request[T]] = []
    end = 0
    for start, length, what in sorted(ranges, key=lambda one: one[:2]):
        first, parts = start, dict[T, slice]()
        if found and 0 <= start - end <= gap:
            first, _, parts = found.pop()
        end = start + length
        parts[what] = slice(start - first, end - first)
        found.append(Request(first, end, parts))
    return found
