"""Maps as inline SVG: a picture of pixels with outlines, numbers, corners, a scale and a bar of dates."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import shapely
from markupsafe import Markup
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.report.charts import text, ticks
from groundbreak.pipeline.report.figures import RAMP, View, paint, png

MARGIN = 22
"""Height of a row of labels above or below a map."""
SMALL = 400
"""A map narrower than this names two opposite corners, not four."""
HIDDEN = 26
"""A site smaller than this on the drawing, in CSS pixels, has its number beside it."""
TALLEST = 1.25
"""Height of a map over its width, at most."""


def draw_map(
    view: View, event: str, span: tuple[int, int] | None, outlines: Sequence[tuple[Site, str]], width: int, label: str
) -> Markup:
    """A map as SVG.

    Parameters
    ----------
    event : onset or halt
    span : first and last day of the colours, since 1970-01-01
    outlines : sites drawn over it, with the number shown on each ("" for none)
    width : of the drawing, in CSS pixels
    label : what it shows, for those who cannot see it
    """
    frame = view.frame
    scale = min(width / frame.width, TALLEST * width / frame.height)
    w, h = frame.width * scale, frame.height * scale
    left = (width - w) / 2
    image = base64.b64encode(png(paint(view, event, span))).decode()
    # The nested drawing cuts off outlines that go beyond the map.
    return Markup(
        '<svg class="map" viewBox="0 0 {0} {1:.1f}" role="img" aria-label="{2}">'
        '<image x="{3:.1f}" y="{4}" width="{5:.1f}" height="{6:.1f}" preserveAspectRatio="none" '
        'href="data:image/png;base64,{7}"/>'
        '<svg x="{3:.1f}" y="{4}" width="{5:.1f}" height="{6:.1f}" viewBox="0 0 {5:.1f} {6:.1f}">{8}</svg>{9}{10}</svg>'
    ).format(
        width,
        h + MARGIN + (MARGIN if width > SMALL else 2 * MARGIN),
        text(label),
        left,
        MARGIN,
        w,
        h,
        image,
        _overlay(frame, outlines, scale),
        _corners(frame, width, h),
        _scale_bar(frame, scale, width, MARGIN + h),
    )


def colour_bar(span: tuple[int, int], width: int) -> Markup:
    """The dates that the colours stand for."""
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
    """A position in words: "40.0651° N, 46.9049° E"."""
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def _overlay(frame: Frame, outlines: Sequence[tuple[Site, str]], scale: float) -> Markup:
    """Outlines, and the numbers that find room."""
    paths: list[str] = []
    numbers: list[Markup] = []
    taken = np.empty((0, 2))
    box = shapely.box(*frame.bounds)
    for site, number in outlines:
        drawn = geo.from_lonlat(site.geometry, frame.epsg).simplify(frame.resolution / 2)
        # A site of another zone may not be finite here.
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


def _number_place(drawn: BaseGeometry, frame: Frame, scale: float) -> np.ndarray:
    """(x, y) of a site's number: within it, or above it where the number would hide it."""
    left, bottom, right, top = drawn.bounds
    to_svg = scale / frame.resolution
    if min(right - left, top - bottom) * to_svg < HIDDEN:
        x, y, above = (left + right) / 2, top, 9.0
    else:
        (x, y), above = geo.label_point(drawn), 0.0
    return np.array([(x - frame.x0) * to_svg, (frame.y0 - y) * to_svg - above])


def _path(geometry: BaseGeometry, frame: Frame, scale: float) -> str:
    rings = [r for p in shapely.get_parts(geometry) if p.geom_type == "Polygon" for r in (p.exterior, *p.interiors)]
    to_svg = np.array([scale, -scale]) / frame.resolution
    lines = [(np.asarray(r.coords)[:-1, :2] - [frame.x0, frame.y0]) * to_svg for r in rings]
    return "".join("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in line) + "Z" for line in lines)


def _corners(frame: Frame, width: int, height: float) -> Markup:
    """Positions of the corners: all four, or two opposite ones where there is little room."""
    left, bottom, right, top = frame.bounds
    places = [(left, top, 0, MARGIN - 7.0, "start"), (right, bottom, width, MARGIN + height + 15, "end")]
    if width > SMALL:
        places += [(right, top, width, MARGIN - 7.0, "end"), (left, bottom, 0, MARGIN + height + 15, "start")]
    return Markup("").join(
        Markup('<text class="corner" x="{}" y="{:.1f}" text-anchor="{}">{}</text>').format(
            at, row, anchor, format_lonlat(*geo.point_lonlat(x, y, frame.epsg))
        )
        for x, y, at, row, anchor in places
    )


def _scale_bar(frame: Frame, scale: float, width: int, bottom: float) -> Markup:
    """A bar of a round length, at most a fifth of the map, in the middle of the row below it."""
    metres = frame.width * frame.resolution / 5
    magnitude = 10.0 ** np.floor(np.log10(metres))
    length = float(max(m for m in (1, 2, 5) if m * magnitude <= metres) * magnitude)
    size = length / frame.resolution * scale
    name = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    left, y = (width - size) / 2 - 20, bottom + (8 if width > SMALL else 28)
    return Markup(
        '<path class="scale" d="M{0:.1f},{1:.1f}v5h{2:.1f}v-5"/><text class="corner" x="{3:.1f}" y="{4:.1f}">{5}</text>'
    ).format(left, y, size, left + size + 6, y + 7, name)
