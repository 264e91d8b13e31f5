"""Items from wherever they are listed: a file, a static catalogue, stac-geoparquet or a STAC API."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator

import pystac
import pystac_client
import requests
import shapely
import shapely.geometry
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import NoConformsTo, PystacClientWarning
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.addresses import resolve
from groundbreak.pipeline.core.config import parse_span
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.show import clean
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.pages import item_key, read_pages
from groundbreak.pipeline.stac.reader import CatalogReader, own_href
from groundbreak.pipeline.stac.session import TIMEOUT

ITEMS_PER_PAGE = 100
"""Items that an API is asked for at once: servers behind a gateway cannot send more than a few megabytes."""
MOST_VERTICES = 500
"""Vertices of a polygon that an API is asked with; one with more is sent as its hull, and screening does the rest."""

_NO_ANSWER = (
    APIError, pystac.STACError, requests.RequestException, AttributeError, KeyError, TypeError, ValueError,
    RecursionError,
)  # fmt: skip
"""The exceptions that an answer raises that is none of a STAC API; RecursionError is that of JSON without end."""


def read_items(
    source: SourceConfig, area: BaseGeometry, path: Callable[[str], str], patience: float = 900.0
) -> Iterator[RawItem]:
    """Yield the items that a source lists; an API is asked for those that meet the area and the dates.

    Parameters
    ----------
    source : SourceConfig
    area : Polygon or MultiPolygon
        The area of interest, lon/lat, split at the antimeridian.
    path : callable
        Makes a user's path absolute (`pipeline.core.config.Config.path`).
    patience : float
        Seconds for which a host is waited for that throttles or is gone.

    Raises
    ------
    BadInput
        The source cannot be read, is not STAC, or lists nothing; raised while iterating.
    """
    if source.items is not None:
        href = path(source.items)
        what = f"[source] items = {hrefs.redact(source.items)!r}"
        found = CatalogReader(href, what, source, patience=patience).items()
    else:
        href = str(source.catalog)
        what = f"[source] catalog = {hrefs.redact(href)!r}"
        found = _search(CatalogReader(href, what, source, patience=patience), area)
    empty = True
    for raw in found:
        empty = False
        yield raw
    if empty:
        raise BadInput(what, "lists no items", "Check that it is the right one")


def _search(reader: CatalogReader, area: BaseGeometry) -> Iterator[RawItem]:
    """Yield the items of a STAC API, each once, though the parts of the area may share them."""
    collection = str(reader.source.collection)
    start, end = parse_span(reader.source.datetime)
    remedy = "Check the address and the network, or try again later"
    seen: set[tuple[str, str]] = set()
    try:
        client = _open(reader)
        for part in shapely.get_parts(area):
            shape = part if shapely.get_num_coordinates(part) <= MOST_VERTICES else part.convex_hull
            with warnings.catch_warnings():
                # The polygon of an area has to be posted. Many APIs accept that, and do not declare it.
                warnings.filterwarnings("ignore", "The requested method", PystacClientWarning)
                search = client.search(
                    collections=[collection],
                    intersects=shapely.geometry.mapping(shape),
                    datetime=f"{start}Z/{end}Z",
                    limit=ITEMS_PER_PAGE,
                )
            for item in read_pages(reader, search):
                if (key := item_key(item)) not in seen:
                    seen.add(key)
                    yield RawItem(item, resolve(own_href(item) or reader.href, reader.href), None)
    except _NO_ANSWER as error:
        _need_collection(reader, collection)
        raise reader.refuse(f"does not answer as a STAC API ({error})", remedy) from None
    if not seen:
        _need_collection(reader, collection)
        rule = f"has nothing of {collection!r} in the area and dates"
        raise reader.refuse(rule, "Check [area] and [source] datetime")


def _open(reader: CatalogReader) -> pystac_client.Client:
    """Open a STAC API that can be searched, or raise BadInput."""
    api = StacApiIO(timeout=TIMEOUT)
    api.session = reader.session
    with warnings.catch_warnings():
        # The search link, asked for below, tells whether the API can be searched.
        warnings.simplefilter("ignore", NoConformsTo)
        client = pystac_client.Client.open(reader.href, stac_io=api)
    if client.get_search_link() is None:
        rule = "is a catalogue without search, not an API"
        raise reader.refuse(rule, "Name it as [source] items")
    if not client.conforms_to("ITEM_SEARCH"):
        client.add_conforms_to("ITEM_SEARCH")
    return client


def _need_collection(reader: CatalogReader, wanted: str) -> None:
    """Raise BadInput where the API can be asked for its collections and has none of the wanted name."""
    try:
        answer = reader.session.get(reader.href.rstrip("/") + "/collections", timeout=TIMEOUT)
        answer.raise_for_status()
        known = [str(c["id"]) for c in answer.json()["collections"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if wanted not in known:
        known = [clean(name, 200) for name in known]
        near = difflib.get_close_matches(wanted, known[:1000], 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(sorted(known)[:20])}"
        raise BadInput(f"[source] collection = {wanted!r}", "is not in the catalogue", hint)
