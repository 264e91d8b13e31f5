"""How values look to a person: one line on a terminal, a table in a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LISTED_ROWS = 20
"""Rows of a list that are shown; the files hold all of them."""

MOST_TEXT = 2000
"""Characters of a text of strangers that are shown."""

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a cursor, turns the direction of writing, or can be written in no encoding: lines and tabs stay."""


def clean(text: str, most: int = MOST_TEXT) -> str:
    """Return a text of strangers as it can be shown and written anywhere: cut, and with marks for what is unseen.

    Parameters
    ----------
    text : str
        An id, a property or an error, which may hold anything.
    most : int
        Characters that are kept.
    """
    return _UNSEEN.sub("\ufffd", text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)")


def size(value: float) -> str:
    """Write a number of bytes with a unit that suits it: "1.23 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def figure(label: str, value: Any) -> str:
    """Write a figure as its label asks: bytes and memory with a unit, whole numbers with commas, texts as they are."""
    if isinstance(value, int | float) and ("bytes" in label or "memory" in label):
        return size(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def line(kind: str, figures: Mapping[str, Any]) -> str:
    """Write a value as one line: "<Plan: grids 2, regions 8>"."""
    return f"<{kind}: {', '.join(f'{label} {figure(label, value)}' for label, value in figures.items())}>"


def table(title: str, figures: Mapping[str, Any]) -> str:
    """Write a value as an HTML table of labels and figures, under its title."""
    return f"<b>{html.escape(title)}</b>" + _table(None, ((k, figure(k, v)) for k, v in figures.items()))


def listing(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as an HTML table: the first of them, and how many more there are; nothing where there are none."""
    every = list(rows)
    if not every:
        return ""
    more = f"<p>... and {len(every) - LISTED_ROWS} more</p>" if len(every) > LISTED_ROWS else ""
    return _table(columns, every[:LISTED_ROWS]) + more


def _table(columns: Sequence[str] | None, rows: Iterable[Sequence[Any]]) -> str:
    head = "" if columns is None else f"<tr>{_cells('th', columns)}</tr>"
    return f"<table>{head}{''.join(f'<tr>{_cells("td", row)}</tr>' for row in rows)}</table>"


def _cells(tag: str, values: Iterable[Any]) -> str:
    return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)
