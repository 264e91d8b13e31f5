"""Ranges of bytes that are fetched in one request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Request[T](NamedTuple):
    """Bytes fetched at once."""

    start: int
    end: int
    """The byte after the last."""
    parts: dict[T, slice]
    """Where in them each of the ranges lies that they are fetched for."""


def requests[T](ranges: Iterable[tuple[int, int, T]], gap: int = 0) -> list[Request[T]]:
    """What to fetch for some ranges of an object, each once; those that lie one behind the other in one request.

    Parameters
    ----------
    ranges : (start, length, what it is) each, in any order
    gap : bytes between two that are fetched along, at most
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
