"""Charts of a site, as inline SVG: its index series, its dates, and how it grew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from groundbreak.kernels import INDICES
from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.products.sites import EPOCH, Site

_Scale = Callable[[float], float]
"""Day -> x in the drawing."""

CHART_WIDTH = 720
"""Width of a chart, in units of its drawing, as all lengths here."""
MARGIN_LEFT, MARGIN_RIGHT = 72, 12
"""Space beside the panels."""
LABELS_HEIGHT = 46
"""Height of what stands above the first panel: two rows of dates and the panel's name."""
PANEL_HEIGHT, PANEL_GAP = 88, 24
"""Height of a panel, and of the space between two."""
MEDIAN_HALF_DAYS = 30
"""Days before and after an observation from which the running median takes observations."""
LINE_BREAK_DAYS = 120
"""A gap of more days breaks the line of the running median."""


@dataclass(frozen=True)
class SiteSeries:
    """The index series of a site."""

    dates: NDArray[np.datetime64]
    """(time,) datetime64[D], increasing."""
    values: Mapping[str, NDArray[np.float32]]
    """Name of an index -> (time,) the median over the site's pixels; NaN = not clear."""


@dataclass(frozen=True)
class _Panel:
    """A panel in two parts: the grid and the dates are drawn above its frame and below its body."""

    frame: Markup
    body: Markup


def text(value: object) -> Markup:
    """Make any text safe to show: without signatures, and with its markup escaped."""
    return escape(redact(str(value)))


def to_day(date: dt.date) -> int:
    """Return a date as days since 1970-01-01."""
    return (date - EPOCH).days


def ticks(first: float, last: float, most: int) -> list[tuple[int, str]]:
    """Choose round dates for an axis of time.

    Parameters
    ----------
    first, last : float
        The ends of the axis, days since 1970-01-01.
    most : int
        How many dates there may be.

    Returns
    -------
    list of (day, label) within the axis, days since 1970-01-01. Where fewer than two round dates fit, its two ends.
    """
    start, end = (np.datetime64(int(d), "D").astype("datetime64[M]").astype(int) for d in (first, last))
    for step in (1, 2, 3, 6, 12, 24, 60, 120, 240):
        months = range(-(-start // step) * step, end + 1, step)
        days = [(int(np.datetime64(m, "M").astype("datetime64[D]").astype(int)), m) for m in months]
        inside = [(day, m) for day, m in days if first <= day <= last]
        if len(inside) <= most:
            break
    if len(inside) < 2:
        return [(int(day), str(np.datetime64(int(day), "D"))) for day in (first, last)]
    months_of_year = [dt.date(2000, 1 + m % 12, 1).strftime("%b ") if step < 12 else "" for _, m in inside]
    return [(day, f"{month}{1970 + m // 12}") for (day, m), month in zip(inside, months_of_year, strict=True)]


def site_chart(site: Site, series: SiteSeries | None) -> Markup:
    """Draw the chart of a site: a panel for each index and one for its growth, over one axis of time with its dates.

    Parameters
    ----------
    site : Site
    series : SiteSeries or None
        The site's index series; without it, the growth alone is drawn.

    Returns
    -------
    Markup, inline SVG.
    """
    first, last = _span(site, series)
    scale = (CHART_WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / (last - first)

    def x(day: float) -> float:
        return MARGIN_LEFT + (min(max(day, first), last) - first) * scale

    panels: list[_Panel] = []
    if series is not None:
        days = series.dates.astype("datetime64[D]").astype(int)
        for name, values in series.values.items():
            panels.append(_index_panel(name, days, values, x, _top(len(panels))))
    panels.append(_growth_panel(site, x, _top(len(panels)), last))
    bottom = _top(len(panels) - 1) + PANEL_HEIGHT
    axis = [
        Markup(
            '<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
            '<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
        ).format(x(day), LABELS_HEIGHT, bottom, bottom + 16, label)
        for day, label in ticks(first, last, 8)
        if MARGIN_LEFT + 14 <= x(day) <= CHART_WIDTH - MARGIN_RIGHT - 10
    ]
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {1}" role="img" aria-label="{2}" data-first="{3}" data-last="{4}" '
        'data-left="{5}" data-right="{6}">{7}{8}{9}{10}</svg>'
    ).format(
        CHART_WIDTH,
        bottom + 22,
        f"Series of {text(site.id)}",
        first,
        last,
        MARGIN_LEFT,
        CHART_WIDTH - MARGIN_RIGHT,
        _join(panel.frame for panel in panels),
        _join(axis),
        _join(_dates(site, x, bottom)),
        _join(panel.body for panel in panels),
    )


def _top(row: int) -> int:
    """Return the upper edge of a panel."""
    return LABELS_HEIGHT + row * (PANEL_HEIGHT + PANEL_GAP)


def _span(site: Site, series: SiteSeries | None) -> tuple[int, int]:
    """Return the first and the last day of the axis of time."""
    days = [to_day(site.onset_earliest), to_day(site.halt_latest or site.onset_latest)]
    days += [to_day(site.growth[0][0]), to_day(site.growth[-1][0])]
    if series is None or not len(series.dates):
        return min(days) - 60, max(days) + 60
    own = series.dates.astype("datetime64[D]").astype(int)
    return int(own[0]) - 10, int(own[-1]) + 10


def _dates(site: Site, x: _Scale, bottom: int) -> Iterable[Markup]:
    """Draw onset and halt: a line each, the interval shaded, and the label in a row of its own."""
    events = [("onset", site.onset, site.onset_earliest, site.onset_latest, 10)]
    if site.halt and site.halt_earliest and site.halt_latest:
        events.append(("halt", site.halt, site.halt_earliest, site.halt_latest, 24))
    for name, date, earliest, latest, row in events:
        left, right, at = x(to_day(earliest)), x(to_day(latest)), x(to_day(date))
        anchor, shift = ("start", 4) if at < CHART_WIDTH - 110 else ("end", -4)
        yield Markup(
            '<rect class="{0} band" x="{1:.1f}" y="{2}" width="{3:.1f}" height="{4}"/>'
            '<line class="{0}" x1="{5:.1f}" x2="{5:.1f}" y1="{6}" y2="{7}"/>'
            '<text class="{0} label" x="{8:.1f}" y="{9}" text-anchor="{10}">{0} {11}</text>'
        ).format(
            name,
            left,
            LABELS_HEIGHT,
            max(right - left, 1),
            bottom - LABELS_HEIGHT,
            at,
            row - 8,
            bottom,
            at + shift,
            row,
            anchor,
            date,
        )


def _index_panel(name: str, days: NDArray[np.int64], values: NDArray[np.float32], x: _Scale, top: int) -> _Panel:
    """Draw the clear observations of an index as dots, and their running median as a line."""
    clear = np.isfinite(values)
    if not clear.any():
        return _panel(top, f"{name}: no clear observation", "", "", Markup())
    at, seen = days[clear], values[clear].astype(np.float64)
    low, high = float(seen.min()), float(seen.max())
    pad = max((high - low) * 0.08, 0.01)
    low, high = low - pad, high + pad
    # A dot is a line of no length with round ends: one path holds them all.
    dots = "".join(f"M{x(d):.2f},{_height(v, low, high, top):.1f}h0" for d, v in zip(at, seen, strict=True))
    line, before = [], -np.inf
    for day, value in zip(at, _running_median(at, seen), strict=True):
        line.append(
            f"{'M' if day - before > LINE_BREAK_DAYS else 'L'}{x(day):.1f},{_height(value, low, high, top):.1f}"
        )
        before = day
    body = Markup(
        '<path class="dots" d="{}" data-low="{:.5f}" data-high="{:.5f}" data-top="{}" data-bottom="{}"/>'
        '<path class="median" d="{}"/>'
    ).format(dots, low, high, top, top + PANEL_HEIGHT, "".join(line))
    # Adding 0 turns a rounded -0.0 into 0.0.
    title = f"{name}: {INDICES[name].meaning}" if name in INDICES else name
    return _panel(top, title, f"{round(high, 2) + 0:.2f}", f"{round(low, 2) + 0:.2f}", body)


def _growth_panel(site: Site, x: _Scale, top: int, last: int) -> _Panel:
    """Draw the area that had changed by the end of each month, as steps."""
    full = site.growth[-1][1]
    base = top + PANEL_HEIGHT
    path = f"M{x(to_day(site.growth[0][0].replace(day=1))):.1f},{base}"
    for date, area in site.growth:
        path += f"H{x(to_day(date)):.1f}V{_height(area, 0, full * 1.08, top):.1f}"
    path += f"H{x(last):.1f}"
    body = Markup('<path class="growth area" d="{0}V{1}Z"/><path class="growth" d="{0}"/>').format(path, base)
    return _panel(top, "changed pixels: area", format_area(full), "0", body)


def _panel(top: int, name: object, high: str, low: str, body: Markup) -> _Panel:
    """Put a frame, a name and the labels of its axis around what a panel shows."""
    frame = Markup('<rect class="frame" x="{0}" y="{1}" width="{2}" height="{3}"/>').format(
        MARGIN_LEFT, top, CHART_WIDTH - MARGIN_LEFT - MARGIN_RIGHT, PANEL_HEIGHT
    )
    words = Markup(
        '<text class="name" x="{0}" y="{1}">{2}</text><text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
        '<text class="tick" x="{3}" y="{6}" text-anchor="end">{7}</text>'
    ).format(MARGIN_LEFT, top - 5, text(name), MARGIN_LEFT - 5, top + 10, high, top + PANEL_HEIGHT, low)
    return _Panel(frame, body + words)


def format_area(m2: float) -> str:
    """Write an area, given in m2, with its unit: in km2 from 1 km2 on."""
    return f"{m2 / 1e6:,.2f} km²" if m2 >= 1e6 else f"{m2:,.0f} m²"


def _height(value: float, low: float, high: float, top: int) -> float:
    """Return where a value lies in a panel that spans low to high."""
    return top + PANEL_HEIGHT * (high - value) / (high - low)


def _running_median(days: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the observations around each of them, (time,)."""
    begin = np.searchsorted(days, days - MEDIAN_HALF_DAYS, "left")
    end = np.searchsorted(days, days + MEDIAN_HALF_DAYS, "right")
    return np.array([np.median(values[a:b]) for a, b in zip(begin, end, strict=True)])


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
