"""Pictures of the published layers: windows thinned to what a map shows, their colours, and PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio.features
import zarr
from affine import Affine

from groundbreak.kernels import NO_DATE, OUTSIDE, Status
from groundbreak.pipeline.core import geo, places
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.patches import CHANGED
from groundbreak.pipeline.products.sites import Site
from groundbreak.pipeline.stores.layout import layers_frame

OVERVIEW = 1400
"""Pixels of the longer side of an overview, at most."""
CLOSE_UP = 160

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
"""Viridis (CC0) at ten even steps: equal steps in time look equal, in grey print and to the colour-blind too."""
CLASSES = {
    "stable": (Status.STABLE, "#e3e3df"),
    "onset not yet confirmed": (Status.PROVISIONAL, "#c6b9a6"),
    "too few observations": (Status.TOO_FEW_OBSERVATIONS, "#b4b9c2"),
    "failed": (Status.FAILED, "#6f747c"),
}
ONGOING = "#f0288c"
"""Ground still being changed, on the map of halts."""
FIRST_DATE = 16
"""Palette entries from here to 255 are the ramp."""


@dataclass(frozen=True)
class View:
    """Layers of a window, thinned to what a map shows."""

    frame: Frame
    """In the map's pixels, each of which shows the mosaic pixel at its middle."""
    status: np.ndarray
    onset: np.ndarray
    halt: np.ndarray

    def dated(self, event: str) -> np.ndarray:
        """(y, x) bool: pixels on which a map of an event (onset or halt) shows a date."""
        shown = np.isin(self.status, CHANGED) if event == "onset" else self.status == Status.HALTED
        found: np.ndarray = shown & (getattr(self, event) != NO_DATE)
        return found

    def inside(self, site: Site) -> np.ndarray:
        """(y, x) bool: pixels of a site."""
        outline = geo.from_lonlat(site.geometry, self.frame.epsg)
        transform = Affine(*self.frame.transform)
        return np.asarray(rasterio.features.geometry_mask([outline], self.status.shape, transform, invert=True))


def overview(output: Output, epsg: int) -> View | None:
    """A zone's mosaic, cropped to what is owned; None where nothing is."""
    frame = layers_frame(output.zarr(places.mosaic(epsg)))
    view = _read(output, epsg, slice(0, frame.height), slice(0, frame.width), OVERVIEW)
    owned = view.status != OUTSIDE
    if not owned.any():
        return None
    rows, cols = (np.flatnonzero(owned.any(axis=axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    window = view.frame.window(int(rows[0]), int(cols[0]), *owned[part].shape)
    return View(window, view.status[part], view.onset[part], view.halt[part])


def close_up(output: Output, site: Site) -> View:
    """A site and its surroundings, in its main zone."""
    frame = layers_frame(output.zarr(places.mosaic(site.epsg)))
    left, bottom, right, top = geo.from_lonlat(site.geometry, site.epsg).bounds
    pad = max(5 * frame.resolution, 0.15 * max(right - left, top - bottom))
    middle, half = ((left + right) / 2, (bottom + top) / 2), max(right - left, top - bottom) / 2 + pad
    rows, cols = (
        slice(max(0, round((centre - half) / frame.resolution)), min(size, round((centre + half) / frame.resolution)))
        for centre, size in ((frame.y0 - middle[1], frame.height), (middle[0] - frame.x0, frame.width))
    )
    return _read(output, site.epsg, rows, cols, CLOSE_UP)


def _read(output: Output, epsg: int, rows: slice, cols: slice, limit: int) -> View:
    store = output.zarr(places.mosaic(epsg))
    frame, group = layers_frame(store), zarr.open_group(store, mode="r")
    step = max(1, -(-max(rows.stop - rows.start, cols.stop - cols.start) // limit))
    # Nearest: the pixel in the middle of each step, as dates and codes cannot be averaged.
    thin = tuple(slice(s.start + min(step // 2, s.stop - s.start - 1), s.stop, step) for s in (rows, cols))
    status, onset, halt = (np.asarray(group[name][thin]) for name in ("status", "onset", "halt"))  # type: ignore[index]
    corner = frame.window(rows.start, cols.start, 1, 1)
    return View(Frame(epsg, corner.x0, corner.y0, frame.resolution * step, *status.shape), status, onset, halt)


def date_range(views: Sequence[View], event: str, site: Site | None = None) -> tuple[int, int] | None:
    """First and last day that the colours span, without the outermost hundredth; None where there is no date.

    Parameters
    ----------
    site : the one whose pixels count; left out, all do
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


def paint(view: View, event: str, span: tuple[int, int] | None) -> np.ndarray:
    """(y, x) uint8 palette entries: dates on the ramp, everything else by its class, 0 outside."""
    out = np.zeros(view.status.shape, np.uint8)
    for entry, (status, _) in enumerate(CLASSES.values(), 1):
        out[view.status == status] = entry
    out[np.isin(view.status, CHANGED)] = len(CLASSES) + 1
    if span is not None:
        dated = view.dated(event)
        share = (getattr(view, event)[dated].astype(np.float64) - span[0]) / (span[1] - span[0])
        out[dated] = FIRST_DATE + np.rint(np.clip(share, 0, 1) * (255 - FIRST_DATE)).astype(np.uint8)
    return out


def palette() -> np.ndarray:
    """(256, 4) uint8, red, green, blue, alpha; entry 0 is transparent."""
    table = np.zeros((256, 4), np.uint8)
    for entry, colour in enumerate([*(c for _, c in CLASSES.values()), ONGOING], 1):
        table[entry] = [*bytes.fromhex(colour[1:]), 255]
    steps = np.linspace(0, len(RAMP) - 1, 256 - FIRST_DATE)
    for channel in range(3):
        table[FIRST_DATE:, channel] = np.rint(np.interp(steps, np.arange(len(RAMP)), RAMP[:, channel]))
    table[FIRST_DATE:, 3] = 255
    return table


def classes(views: Sequence[View], event: str) -> list[tuple[str, str]]:
    """(name, colour) of what maps of an event show beside dates."""
    shown = {int(status) for view in views for status in np.unique(view.status)}
    found = [(name, colour) for name, (status, colour) in CLASSES.items() if status in shown]
    if event == "halt" and {Status.ACTIVE, Status.RESUMED} & shown:
        found.insert(0, ("still changing", ONGOING))
    return found


def png(entries: np.ndarray) -> bytes:
    """A PNG image of palette entries, (y, x) uint8."""
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
