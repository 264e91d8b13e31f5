"""Maps as inline SVG: a picture of pixels with outlines, numbers, corners, a scale and a bar of dates."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import shapely
from markupsafe import Markup
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.report.charts import text, ticks
from groundbreak.pipeline.report.figures import RAMP, View, paint, png

MAP_LABELS_HEIGHT = 22
"""Height of a row of labels above or below a map, in CSS pixels."""
SMALL_MAP = 400
"""Width in CSS pixels up to which a map names two opposite corners, not four."""
SMALL_SITE = 26
"""Size in CSS pixels below which a site has its number above it, not within it."""
MOST_ASPECT = 1.25
"""Height of a map divided by its width, at most."""


def draw_map(
    view: View, event: str, span: tuple[int, int] | None, outlines: Sequence[tuple[Site, str]], width: int, label: str
) -> Markup:
    """Draw the map of an event.

    Parameters
    ----------
    view : View
    event : str
        onset or halt.
    span : tuple of int, optional
        First and last day of the colours, days since 1970-01-01; None where there is no date.
    outlines : sequence of (Site, str)
        Sites whose outlines are drawn, and the number that is shown on each ("" for none).
    width : int
        Width of the drawing, in CSS pixels.
    label : str
        What the map shows, for readers who cannot see it.

    Returns
    -------
    Markup, inline SVG.
    """
    frame = view.frame
    scale = min(width / frame.width, MOST_ASPECT * width / frame.height)
    w, h = frame.width * scale, frame.height * scale
    left = (width - w) / 2
    image = base64.b64encode(png(paint(view, event, span))).decode()
    # The inner drawing cuts off outlines that go beyond the map.
    return Markup(
        '<svg class="map" viewBox="0 0 {0} {1:.1f}" role="img" aria-label="{2}">'
        '<image x="{3:.1f}" y="{4}" width="{5:.1f}" height="{6:.1f}" preserveAspectRatio="none" '
        'href="data:image/png;base64,{7}"/>'
        '<svg x="{3:.1f}" y="{4}" width="{5:.1f}" height="{6:.1f}" viewBox="0 0 {5:.1f} {6:.1f}">{8}</svg>{9}{10}</svg>'
    ).format(
        width,
        h + MAP_LABELS_HEIGHT + (MAP_LABELS_HEIGHT if width > SMALL_MAP else 2 * MAP_LABELS_HEIGHT),
        text(label),
        left,
        MAP_LABELS_HEIGHT,
        w,
        h,
        image,
        _overlay(frame, outlines, scale),
        _corners(frame, width, h),
        _scale_bar(frame, scale, width, MAP_LABELS_HEIGHT + h),
    )


def colour_bar(span: tuple[int, int], width: int) -> Markup:
    """Draw the bar that tells which dates the colours stand for.

    Parameters
    ----------
    span : tuple of int
        First and last day of the colours, days since 1970-01-01.
    width : int
        Width of the drawing, in CSS pixels.

    Returns
    -------
    Markup, inline SVG.
    """
    first, last = span
    name = f"ramp-{first}-{last}-{width}"
    stops = Markup("").join(
        Markup('<stop offset="{:.4f}" stop-color="rgb({:.0f},{:.0f},{:.0f})"/>').format(i / (len(RAMP) - 1), *colour)
        for i, colour in enumerate(RAMP.tolist())
    )
    inner = width - 80
    labels = Markup("").join(
        Markup(
            '<path class="scale" d="M{0:.1f},14v5"/><text class="tick" x="{0:.1f}" y="31" text-anchor="middle">{1}'
            "</text>"
        ).format(40 + (day - first) / (last - first) * inner, label)
        for day, label in ticks(first, last, max(2, inner // 90))
    )
    return Markup(
        '<svg class="bar" viewBox="0 0 {0} 36" role="img" aria-label="Colours by date"><defs>'
        '<linearGradient id="{1}">{2}</linearGradient></defs>'
        '<rect x="40" y="2" width="{3}" height="12" fill="url(#{1})"/>{4}</svg>'
    ).format(width, name, stops, inner, labels)


def format_lonlat(lon: float, lat: float) -> str:
    """Write a position as a person would: "40.0651° N, 46.9049° E"."""
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def _overlay(frame: Frame, outlines: Sequence[tuple[Site, str]], scale: float) -> Markup:
    """Draw outlines, and those numbers that do not lie on another."""
    paths: list[str] = []
    numbers: list[Markup] = []
    taken = np.empty((0, 2))
    box = shapely.box(*frame.bounds)
    for site, number in outlines:
        drawn = geo.from_lonlat(site.geometry, frame.epsg).simplify(frame.resolution / 2)
        # A site of another zone may have coordinates here that are not finite.
        if not drawn.is_valid or not drawn.intersects(box):
            continue
        paths.append(_path(drawn, frame, scale))
        at = _number_place(drawn, frame, scale)
        if number and (np.abs(taken - at).max(axis=1) > 16).all():
            taken = np.vstack([taken, at])
            numbers.append(Markup('<text class="number" x="{:.1f}" y="{:.1f}">{}</text>').format(*at, text(number)))
    # A light line below the dark one keeps outlines visible on every colour.
    lines = [Markup('<path class="{}" d="{}"/>').format(kind, path) for kind in ("halo", "outline") for path in paths]
    return Markup("").join([*lines, *numbers])


def _number_place(drawn: BaseGeometry, frame: Frame, scale: float) -> NDArray[np.float64]:
    """Return (x, y) of a site's number: within the site, or above it where the number would hide it."""
    left, bottom, right, top = drawn.bounds
    to_svg = scale / frame.resolution
    if min(right - left, top - bottom) * to_svg < SMALL_SITE:
        x, y, above = (left + right) / 2, top, 9.0
    else:
        (x, y), above = geo.label_point(drawn), 0.0
    return np.array([(x - frame.x0) * to_svg, (frame.y0 - y) * to_svg - above])


def _path(geometry: BaseGeometry, frame: Frame, scale: float) -> str:
    """Return the rings of polygons as the path of an SVG."""
    rings = [r for p in shapely.get_parts(geometry) if p.geom_type == "Polygon" for r in (p.exterior, *p.interiors)]
    to_svg = np.array([scale, -scale]) / frame.resolution
    lines = [(np.asarray(r.coords)[:-1, :2] - [frame.x0, frame.y0]) * to_svg for r in rings]
    return "".join("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in line) + "Z" for line in lines)


def _corners(frame: Frame, width: int, height: float) -> Markup:
    """Write the positions of the corners: of all four, or of two opposite ones on a small map."""
    left, bottom, right, top = frame.bounds
    places = [
        (left, top, 0, MAP_LABELS_HEIGHT - 7.0, "start"),
        (right, bottom, width, MAP_LABELS_HEIGHT + height + 15, "end"),
    ]
    if width > SMALL_MAP:
        places += [
            (right, top, width, MAP_LABELS_HEIGHT - 7.0, "end"),
            (left, bottom, 0, MAP_LABELS_HEIGHT + height + 15, "start"),
        ]
    return Markup("").join(
        Markup('<text class="corner" x="{}" y="{:.1f}" text-anchor="{}">{}</text>').format(
            at, row, anchor, format_lonlat(*geo.point_lonlat(x, y, frame.epsg))
        )
        for x, y, at, row, anchor in places
    )


def _scale_bar(frame: Frame, scale: float, width: int, bottom: float) -> Markup:
    """Draw a bar of a round length, at most a fifth of the map, in the middle of the row below the map."""
    metres = frame.width * frame.resolution / 5
    magnitude = 10.0 ** np.floor(np.log10(metres))
    length = float(max(m for m in (1, 2, 5) if m * magnitude <= metres) * magnitude)
    size = length / frame.resolution * scale
    name = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    left, y = (width - size) / 2 - 20, bottom + (8 if width > SMALL_MAP else 28)
    return Markup(
        '<path class="scale" d="M{0:.1f},{1:.1f}v5h{2:.1f}v-5"/><text class="corner" x="{3:.1f}" y="{4:.1f}">{5}</text>'
    ).format(left, y, size, left + size + 6, y + 7, name)
