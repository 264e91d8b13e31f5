"""The report: one HTML file that needs no other file and no network.

Ids, names and errors come from catalogues that anyone may write. So every text goes through redact() and is escaped,
and the page's own policy lets it run and load only what stands in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.core import geo, places
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.products.sites import HALT_QUANTILE, ONGOING_SHARE, ONSET_QUANTILE, Site
from groundbreak.pipeline.report.charts import SiteSeries, format_area, site_chart
from groundbreak.pipeline.report.figures import View, classes, close_ups, date_range, overview
from groundbreak.pipeline.report.maps import colour_bar, draw_map, format_lonlat

CARDS = 50
"""Sites that are shown one by one, at most: the largest."""
TABLE_ROWS = 1000
"""Sites in the table, and outlines on the maps, at most."""
LISTED_FAULTS = 200
"""Faults that are listed, at most."""

QUALITY_WORDS = {
    "gap_at_onset": "few clear observations around the onset",
    "gap_at_halt": "few clear observations around the halt",
    "snow_season": "a date falls in the snow season",
    "record_edge": "a date lies close to an end of the record",
    "weak_baseline": "little is known of the ground before the change",
    "faults_in_region": "some images could not be read here",
}
"""Name of a quality bit -> what it means."""


@dataclass(frozen=True)
class _Card:
    """What the report shows of one site."""

    number: int
    site: Site
    place: str
    """Where the site lies, in words."""
    flags: list[str]
    """The site's quality bits, in words."""
    chart: Markup
    maps: list[tuple[str, Markup, Markup | None]]
    """(event, map, colour bar)."""


def write_report(
    output: Output,
    *,
    title: str,
    area: BaseGeometry,
    sites: Sequence[Site],
    epsgs: Iterable[int],
    series: Mapping[str, SiteSeries],
    summary: Mapping[str, str | int | float],
    verdict: Sequence[str],
    faults: Sequence[Fault],
    apply: Mapper = here,
) -> None:
    """Write `report.html`.

    Parameters
    ----------
    output : Output
        The output, whose mosaics the maps show.
    title : str
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    sites : sequence of Site
        All sites, the largest first, as `pipeline.products.sites.find_sites` returns them.
    epsgs : iterable of int
        EPSG codes of the zones that were published.
    series : mapping
        Id of a site -> its index series; a site that is missing is shown without them.
    summary : mapping
        Label -> value of the figures that are shown beside the report's own (area, sites, changed ground, faults).
    verdict : sequence of str
        The result in a sentence, and then the lines that say what stands behind it.
    faults : sequence of Fault
        All faults of the run.
    apply : Mapper
        Reads what maps show.
    """
    shown = sites[:CARDS]
    views = zip(shown, close_ups(output, shown, apply), strict=True)
    folder = resources.files("groundbreak.pipeline.report") / "templates"
    css, script = ((folder / name).read_text("utf-8") for name in ("report.css", "report.js"))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("groundbreak.pipeline.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"area": format_area, "number": _number}
    page = environment.get_template("report.html.j2").render(
        title=title,
        css=_trusted(css),
        css_hash=_hash(css),
        script=_trusted(script),
        script_hash=_hash(script),
        tiles=_tiles(area, sites, summary, faults),
        verdict=verdict[:1],
        told=[(len(line) - len(line.lstrip()), line.strip()) for line in verdict[1:]],
        maps=_overviews(output, epsgs, sites, apply),
        rows=[(n, site, _place(site), _flags(site)) for n, site in enumerate(sites[:TABLE_ROWS], 1)],
        cards=[_card(n, site, view, series.get(site.id)) for n, (site, view) in enumerate(views, 1)],
        n_sites=len(sites),
        onset_share=round(100 * ONSET_QUANTILE),
        halt_share=round(100 * HALT_QUANTILE),
        ongoing_share=round(100 * ONGOING_SHARE),
        faults=faults[:LISTED_FAULTS],
        n_faults=len(faults),
        errors=Counter(f.error for f in faults).most_common(10),
    )
    output.put(places.REPORT, page.encode())


def _shown(value: Any) -> Any:
    """Return what a template prints of a value: texts are printed without signatures."""
    return redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hash(inline: str) -> Markup:
    """Return the hash by which the page's policy allows an inline text."""
    return _trusted(f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'")


def _trusted(text: str) -> Markup:
    """Mark a text of this package as one that needs no escaping."""
    return Markup(text)  # noqa: S704 - only what ships in the package comes here


def _number(value: str | int | float) -> str:
    """Write a figure for people; texts stay as they are."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _tiles(
    area: BaseGeometry, sites: Sequence[Site], summary: Mapping[str, str | int | float], faults: Sequence[Fault]
) -> list[tuple[str, str]]:
    """Return (label, figure) of the figures at the top of the page."""
    changed = sum(site.area_m2 for site in sites)
    return [
        ("Area looked at", format_area(geo.ground_area(area))),
        ("Sites", f"{len(sites):,}"),
        ("Changed ground", format_area(changed)),
        *((label, _number(value)) for label, value in summary.items()),
        ("Faults", f"{len(faults):,}"),
    ]


def _place(site: Site) -> str:
    """Write where a site lies."""
    return format_lonlat(*geo.label_point(site.geometry))


def _flags(site: Site) -> list[str]:
    """Return a site's quality bits in words."""
    return [QUALITY_WORDS.get(name, name) for name in site.quality]


def _overviews(output: Output, epsgs: Iterable[int], sites: Sequence[Site], apply: Mapper) -> list[dict[str, Any]]:
    """Draw the maps of onset and of halt: one for each zone, all in the same colours."""
    views = [(epsg, view) for epsg in epsgs if (view := overview(output, epsg, apply)) is not None]
    outlines = [(site, str(n) if n <= CARDS else "") for n, site in enumerate(sites[:TABLE_ROWS], 1)]
    every = [view for _, view in views]
    found = []
    for event in ("onset", "halt"):
        span = date_range(every, event)
        pictures = [
            (f"EPSG:{epsg}", draw_map(view, event, span, outlines, 640, f"Map of {event} dates, EPSG:{epsg}"))
            for epsg, view in views
        ]
        bar = colour_bar(span, 640) if span else None
        found.append(
            {
                "event": event,
                "pictures": pictures,
                "bar": bar,
                "classes": [(name, _swatch(colour)) for name, colour in classes(every, event)],
            }
        )
    return found


def _swatch(colour: str) -> Markup:
    """Draw a small square of a colour, for the legend."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" fill="{}"/></svg>'
    ).format(colour)


def _card(number: int, site: Site, view: View, series: SiteSeries | None) -> _Card:
    """Draw what the report shows of one site."""
    maps = [(event, *_close_map(view, event, site)) for event in ("onset", "halt")]
    return _Card(number, site, _place(site), _flags(site), site_chart(site, series), maps)


def _close_map(view: View, event: str, site: Site) -> tuple[Markup, Markup | None]:
    """Draw a site's own map, in colours that span the site's own dates, and the bar of these colours."""
    span = date_range([view], event, site)
    picture = draw_map(view, event, span, [(site, "")], 300, f"{event} dates of {site.id}")
    return picture, colour_bar(span, 300) if span else None
