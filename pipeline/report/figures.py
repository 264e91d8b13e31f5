"""Pictures of the published layers: windows thinned to what a map shows, their colours, and PNG."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import rasterio.features
from affine import Affine
from numpy.typing import NDArray

from groundbreak.kernels import LAYERS, NO_DATE, OUTSIDE, Status
from groundbreak.pipeline.core import geo, places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.products.zone import CHANGED, Zone, strips, written_blocks
from groundbreak.pipeline.stores.layout import LAYER_CHUNK, layers_frame

OVERVIEW_PIXELS = 1400
"""Longer side of a zone's map, in pixels, at most."""
CLOSE_UP_PIXELS = 160
"""Longer side of a site's own map, in pixels, at most."""

SHOWN = ("status", "onset", "halt")
"""The layers that maps show."""

RAMP = np.array(
    [
        [68, 1, 84],
        [71, 39, 119],
        [62, 73, 137],
        [49, 104, 142],
        [38, 130, 142],
        [31, 158, 137],
        [53, 183, 121],
        [110, 206, 88],
        [181, 222, 43],
        [241, 229, 29],
    ],
    np.float64,
)
"""Red, green and blue of Viridis (CC0) at ten even steps: equal steps in time look equal, in grey print and to
colour-blind people too."""
CLASSES = {
    "stable": (Status.STABLE, "#e3e3df"),
    "onset not yet confirmed": (Status.PROVISIONAL, "#c6b9a6"),
    "too few observations": (Status.TOO_FEW_OBSERVATIONS, "#b4b9c2"),
    "failed": (Status.FAILED, "#6f747c"),
}
"""Name of a class of pixels without a date -> its status and its colour."""
ONGOING_COLOUR = "#f0288c"
"""Colour of ground that is still changing, on the map of halts."""
FIRST_DATE = 16
"""The palette's entries from here to 255 are the ramp of dates."""


@dataclass(frozen=True)
class View:
    """Layers of a window of a mosaic, thinned to the pixels that a map shows."""

    frame: Frame
    """Frame of the map's pixels, each of which shows the mosaic pixel at its middle."""
    status: NDArray[np.uint8]
    """(y, x) the layer status."""
    onset: NDArray[np.int16]
    """(y, x) the layer onset, days since 1970-01-01."""
    halt: NDArray[np.int16]
    """(y, x) the layer halt, days since 1970-01-01."""

    def dated(self, event: str) -> NDArray[np.bool_]:
        """Tell the pixels, (y, x) bool, for which the map of an event (onset or halt) shows a date."""
        shown = np.isin(self.status, CHANGED) if event == "onset" else self.status == Status.HALTED
        found: NDArray[np.bool_] = shown & (getattr(self, event) != NO_DATE)
        return found

    def inside(self, site: Site) -> NDArray[np.bool_]:
        """Tell the pixels, (y, x) bool, that have their centres in a site."""
        outline = geo.from_lonlat(site.geometry, self.frame.epsg)
        transform = Affine(*self.frame.transform)
        return np.asarray(rasterio.features.geometry_mask([outline], self.status.shape, transform, invert=True))


@dataclass(frozen=True)
class Cut:
    """A job: a window of a zone's mosaic, thinned to every ``step``-th pixel."""

    output: Output
    epsg: int
    rows: range
    """The rows that are taken, in the mosaic."""
    cols: range
    """The columns that are taken."""


def overview(output: Output, epsg: int, apply: Mapper = here) -> View | None:
    """Read a zone's mosaic for a map, cropped to owned ground; return None where no pixel is owned.

    Parameters
    ----------
    output : Output
        Holds the mosaic.
    epsg : int
        EPSG code of the zone.
    apply : Mapper
        Does the reading, block by block.
    """
    whole = layers_frame(output.zarr(places.mosaic(epsg)))
    frame, rows, cols = _thin(whole, slice(0, whole.height), slice(0, whole.width), OVERVIEW_PIXELS)
    view = View(frame, *(np.full((frame.height, frame.width), LAYERS[n].fill, LAYERS[n].dtype) for n in SHOWN))
    cuts, into = [], []
    for strip in strips(written_blocks(output, epsg)):
        (row, left_block), right_block = strip[0], strip[-1][1]
        (top, bottom), (left, right) = _between(rows, row, row + 1), _between(cols, left_block, right_block + 1)
        if top < bottom and left < right:
            cuts.append(Cut(output, epsg, rows[top:bottom], cols[left:right]))
            into.append(np.s_[top:bottom, left:right])
    for where, found in zip(into, apply(read_cut, cuts), strict=True):
        for name, values in zip(SHOWN, found, strict=True):
            getattr(view, name)[where] = values
    owned = view.status != OUTSIDE
    if not owned.any():
        return None
    at = [np.flatnonzero(owned.any(axis=axis)) for axis in (1, 0)]
    part = np.s_[at[0][0] : at[0][-1] + 1, at[1][0] : at[1][-1] + 1]
    window = view.frame.window(int(at[0][0]), int(at[1][0]), *owned[part].shape)
    return View(window, view.status[part], view.onset[part], view.halt[part])


def close_ups(output: Output, sites: Sequence[Site], apply: Mapper = here) -> Iterator[View]:
    """Read sites and their surroundings for maps, each from the mosaic of the site's main zone.

    Parameters
    ----------
    output : Output
        Holds the mosaics.
    sites : sequence of Site
    apply : Mapper
        Does the reading, site by site.
    """
    frames = {epsg: layers_frame(output.zarr(places.mosaic(epsg))) for epsg in {site.epsg for site in sites}}
    shown = [_around(site, frames[site.epsg]) for site in sites]
    cuts = (Cut(output, site.epsg, *taken) for site, (_, *taken) in zip(sites, shown, strict=True))
    for (frame, *_), found in zip(shown, apply(read_cut, cuts), strict=True):
        yield View(frame, *found)


def _around(site: Site, frame: Frame) -> tuple[Frame, range, range]:
    """Return what of a mosaic a site's own map shows, as `_thin` does."""
    left, bottom, right, top = geo.from_lonlat(site.geometry, site.epsg).bounds
    pad = max(5 * frame.resolution, 0.15 * max(right - left, top - bottom))
    middle, half = ((left + right) / 2, (bottom + top) / 2), max(right - left, top - bottom) / 2 + pad
    rows, cols = (
        slice(max(0, round((centre - half) / frame.resolution)), min(size, round((centre + half) / frame.resolution)))
        for centre, size in ((frame.y0 - middle[1], frame.height), (middle[0] - frame.x0, frame.width))
    )
    return _thin(frame, rows, cols, CLOSE_UP_PIXELS)


def read_cut(cut: Cut) -> tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.int16]]:
    """Read the layers of a cut that maps show: status, onset and halt, (y, x) each."""
    zone = Zone(cut.output, cut.epsg)
    rows, cols = (slice(r.start, r.stop) for r in (cut.rows, cut.cols))
    status, onset, halt = (zone.read(name, rows, cols)[:: cut.rows.step, :: cut.cols.step] for name in SHOWN)
    return status.astype(np.uint8), onset.astype(np.int16), halt.astype(np.int16)


def _thin(frame: Frame, rows: slice, cols: slice, limit: int) -> tuple[Frame, range, range]:
    """Thin a window of a mosaic so that neither side has more than ``limit`` pixels.

    Returns
    -------
    frame : Frame of the pixels that are taken
    rows, cols : range, where they lie in the mosaic
    """
    step = max(1, -(-max(rows.stop - rows.start, cols.stop - cols.start) // limit))
    # The pixel in the middle of each step is taken, as dates and codes cannot be averaged.
    down, across = (range(s.start + min(step // 2, s.stop - s.start - 1), s.stop, step) for s in (rows, cols))
    corner = frame.window(rows.start, cols.start, 1, 1)
    return (
        Frame(frame.epsg, corner.x0, corner.y0, frame.resolution * step, len(down), len(across)),
        down,
        across,
    )


def _between(taken: range, first: int, stop: int) -> tuple[int, int]:
    """Return which of the rows (or columns) that are taken lie in the blocks from ``first`` up to ``stop``."""
    return bisect_left(taken, first * LAYER_CHUNK), bisect_left(taken, stop * LAYER_CHUNK)


def date_range(views: Sequence[View], event: str, site: Site | None = None) -> tuple[int, int] | None:
    """Choose the first and the last day that the colours of some maps span.

    The outermost hundredth of the dates at either end is left out, and the days are at least two weeks apart.

    Parameters
    ----------
    views : sequence of View
        The maps.
    event : str
        onset or halt.
    site : Site, optional
        The site whose pixels count; where it is left out, all pixels count.

    Returns
    -------
    (first, last) days since 1970-01-01, or None where there is no date.
    """
    dates = np.concatenate(
        [
            np.empty(0),
            *(
                getattr(view, event)[view.dated(event) & (True if site is None else view.inside(site))]
                for view in views
            ),
        ]
    )
    if not len(dates):
        return None
    first, last = (int(d) for d in np.quantile(dates, [0.01, 0.99]))
    return (first, last) if last - first >= 14 else (first - 7, last + 7)


def paint(view: View, event: str, span: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Paint the map of an event with entries of the `palette`.

    Parameters
    ----------
    view : View
    event : str
        onset or halt.
    span : tuple of int, optional
        First and last day of the ramp, days since 1970-01-01; None where there is no date.

    Returns
    -------
    (y, x) uint8: an entry of the ramp for a date, otherwise that of the pixel's class; 0 outside.
    """
    out = np.zeros(view.status.shape, np.uint8)
    for entry, (status, _) in enumerate(CLASSES.values(), 1):
        out[view.status == status] = entry
    out[np.isin(view.status, CHANGED)] = len(CLASSES) + 1
    if span is not None:
        dated = view.dated(event)
        share = (getattr(view, event)[dated].astype(np.float64) - span[0]) / (span[1] - span[0])
        out[dated] = FIRST_DATE + np.rint(np.clip(share, 0, 1) * (255 - FIRST_DATE)).astype(np.uint8)
    return out


def palette() -> NDArray[np.uint8]:
    """Make the palette of maps, (256, 4): red, green, blue and alpha of each entry; entry 0 is transparent."""
    table = np.zeros((256, 4), np.uint8)
    for entry, colour in enumerate([*(c for _, c in CLASSES.values()), ONGOING_COLOUR], 1):
        table[entry] = [*bytes.fromhex(colour[1:]), 255]
    steps = np.linspace(0, len(RAMP) - 1, 256 - FIRST_DATE)
    for channel in range(3):
        table[FIRST_DATE:, channel] = np.rint(np.interp(steps, np.arange(len(RAMP)), RAMP[:, channel]))
    table[FIRST_DATE:, 3] = 255
    return table


def classes(views: Sequence[View], event: str) -> list[tuple[str, str]]:
    """Return (name, colour) of the classes that maps of an event (onset or halt) show beside dates."""
    shown = {int(status) for view in views for status in np.unique(view.status)}
    found = [(name, colour) for name, (status, colour) in CLASSES.items() if status in shown]
    if event == "halt" and {Status.ACTIVE, Status.RESUMED} & shown:
        found.insert(0, ("still changing", ONGOING_COLOUR))
    return found


def png(entries: NDArray[np.uint8]) -> bytes:
    """Encode entries of the `palette`, (y, x), as a PNG image."""
    height, width = entries.shape
    table = palette()
    rows = np.pad(np.ascontiguousarray(entries), ((0, 0), (1, 0)))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),
        b"PLTE": table[:, :3].tobytes(),
        b"tRNS": table[:, 3].tobytes(),
        b"IDAT": zlib.compress(rows.tobytes(), 9),
        b"IEND": b"",
    }
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)
