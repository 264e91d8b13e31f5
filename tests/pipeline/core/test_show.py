"""Values as people see them: units, commas, and HTML that nothing breaks out of."""

from __future__ import annotations

import pytest

from groundbreak.pipeline.core import show


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (5.6e9, "5.6 GB"), (7.8e15, "7.8e+03 TB")]
)
def test_bytes_have_a_unit_that_suits_them(value: float, text: str) -> None:
    assert show.size(value) == text


def test_a_line_says_each_figure_as_its_label_asks() -> None:
    figures = {"regions": 1234, "bytes decoded": 2_000_000, "memory per task": 1.5e9, "path": "out", "km2": 0.5}
    assert show.line("Plan", figures) == (
        "<Plan: regions 1,234, bytes decoded 2 MB, memory per task 1.5 GB, path out, km2 0.5>"
    )


def test_html_is_escaped_and_long_lists_are_cut() -> None:
    assert show.table("<Plan>", {"a<b": "<script>"}) == (
        "<b>&lt;Plan&gt;</b><table><tr><td>a&lt;b</td><td>&lt;script&gt;</td></tr></table>"
    )
    assert show.listing(("n",), []) == ""
    listed = show.listing(("n",), ((n,) for n in range(show.LISTED_ROWS + 3)))
    assert listed.count("<tr>") == show.LISTED_ROWS + 1
    assert listed.endswith("<p>... and 3 more</p>")
