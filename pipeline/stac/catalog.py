"""Items from wherever they are listed: a file, a static catalogue, stac-geoparquet or a STAC API.

Items are handed on as their source wrote them. pystac is not asked to read static catalogues: it
migrates items to its own STAC version and follows links without asking where they lead.
"""

from __future__ import annotations

import difflib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pyarrow.parquet as pq
import pystac
import pystac_client
import requests
import rustac
import shapely
import shapely.geometry
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import NoConformsTo, PystacClientWarning
from requests.adapters import HTTPAdapter
from shapely.geometry.base import BaseGeometry
from urllib3.util import Retry

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core.config import parse_span
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.items import Json, RawItem

BACKOFF = 0.5
"""Seconds before the second retry of a request; each further one waits twice as long."""
TIMEOUT = (10, 120)
"""Seconds to connect, and between bytes."""
PAGE = 100
"""Items of a page: servers that answer through a gateway cannot send more than a few megabytes."""
VERTICES = 500
"""Corners of a polygon sent to an API; one with more is sent as its hull, and screening cuts."""


def read_items(source: SourceConfig, area: BaseGeometry, path: Callable[[str], str]) -> Iterator[RawItem]:
    """The items that a source lists; of an API, those that meet the area and the dates.

    Parameters
    ----------
    source : Source
    area : Polygon or MultiPolygon, lon/lat, split at the antimeridian
    path : callable
        Makes a user's path absolute (`pipeline.core.config.Config.path`).

    Raises
    ------
    BadInput
        The source cannot be read, is not STAC, or lists nothing; raised while iterating.
    """
    if source.items is not None:
        href = path(source.items)
        what = f"[source] items = {hrefs.redact(source.items)!r}"
        found = _Reader(href, what, source).items()
    else:
        href = str(source.catalog)
        what = f"[source] catalog = {hrefs.redact(href)!r}"
        found = _search(_Reader(href, what, source), area)
    empty = True
    for raw in found:
        empty = False
        yield raw
    if empty:
        raise BadInput(what, "lists no items", "Check that it is the right one")


class _Session(requests.Session):
    """Retries what may pass, and asks the policy before every request, redirected ones included."""

    def __init__(self, allow_hosts: tuple[str, ...]) -> None:
        super().__init__()
        self.allow_hosts = allow_hosts
        retry = Retry(
            total=5,
            connect=2,
            backoff_factor=BACKOFF,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
        )
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(max_retries=retry))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        refused = hrefs.check(str(request.url), root=None, allow_hosts=self.allow_hosts)
        if refused:
            raise requests.exceptions.InvalidURL(f"{request.url} {refused}")
        return super().send(request, **kwargs)


@dataclass
class _Reader:
    """Reads documents beside and below the one that the user named."""

    href: str
    what: str
    source: SourceConfig
    root: str | None = field(init=False)
    session: _Session = field(init=False)
    access: Access = field(init=False)

    def __post_init__(self) -> None:
        self.href = hrefs.resolve(self.href, "/")
        self.root = None if hrefs.is_url(self.href) else str(Path(self.href).parent)
        s = self.source
        self.access = Access(s.s3_endpoint, s.s3_region, s.requester_pays)
        # The user named this host: reading the catalogue from it needs no further leave. Assets do.
        own = urlsplit(self.href).hostname if self.root is None else None
        self.session = _Session((*self.source.allow_hosts, *([own] if own else [])))

    def items(self) -> Iterator[RawItem]:
        """Items of a file or static catalogue, in its order."""
        if self.href.partition("?")[0].lower().endswith((".parquet", ".geoparquet")):
            yield from self._collection(self._parquet())
            return
        document = self._json(self.href)
        kind = document.get("type")
        if kind == "FeatureCollection":
            yield from self._collection(document)
        elif kind == "Feature":
            yield RawItem(document, self.href, self.root)
        elif kind in ("Catalog", "Collection"):
            yield from self._walk(document)
        else:
            rule = f"is JSON of type {kind!r}, not a STAC item collection, item or catalogue"
            raise self.bad(rule, "Name such a file, or a stac-geoparquet file")

    def bad(self, rule: str, remedy: str) -> BadInput:
        return BadInput(self.what, hrefs.redact(rule), remedy)

    def _collection(self, document: Json) -> Iterator[RawItem]:
        features = document.get("features")
        if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
            raise self.bad("holds features that are no items", "Write it with a STAC tool")
        for feature in features:
            base = hrefs.resolve(own_href(feature) or self.href, self.href)
            yield RawItem(feature, base, self.root)

    def _walk(self, document: Json) -> Iterator[RawItem]:
        """Items under a catalogue, depth first; a document met twice is read once."""
        seen = {self.href}
        pending = [(self.href, document)]
        with ThreadPoolExecutor(8) as pool:
            while pending:
                href, document = pending.pop()
                leaves = self._links(document, href, "item", seen)
                for leaf, item in zip(leaves, pool.map(self._json, leaves), strict=True):
                    yield RawItem(item, leaf, self.root)
                below = self._links(document, href, "child", seen)
                pending += [(h, self._json(h)) for h in reversed(below)]

    def _links(self, document: Json, base: str, rel: str, seen: set[str]) -> list[str]:
        found = []
        for link in document.get("links") or ():
            if link.get("rel") != rel:
                continue
            href = hrefs.resolve(str(link.get("href")), base)
            allow = self.session.allow_hosts
            if refused := hrefs.check(href, root=self.root, allow_hosts=allow):
                raise self.bad(f"links to {href}, which {refused}", "Mend the catalogue")
            if href not in seen:
                seen.add(href)
                found.append(href)
        return found

    def _json(self, href: str) -> dict[str, Any]:
        try:
            document = json.loads(self._bytes(href))
        except ValueError as error:
            raise self.bad(f"{href} is not JSON ({error})", "Name a STAC file") from None
        if not isinstance(document, dict):
            raise self.bad(f"{href} holds no JSON object", "Name a STAC file")
        return document

    def _parquet(self) -> Mapping[str, Any]:
        content = self._bytes(self.href)
        try:
            table = pq.read_table(io.BytesIO(content))
            missing = {"id", "geometry", "assets"} - {*table.column_names}
            # rustac makes items of any table: what is none must be told before.
            document: Mapping[str, Any] = {} if missing else rustac.from_arrow(table)
        except Exception as error:  # rustac and Arrow raise bare and private classes
            raise self.bad(f"is not stac-geoparquet ({error})", "Write it with rustac") from None
        if missing:
            rule = f"is not stac-geoparquet: it has no column {', '.join(sorted(missing))}"
            raise self.bad(rule, "Write it with rustac")
        return document

    def _bytes(self, href: str) -> bytes:
        check = "Check the address, the network and the keys"
        if not hrefs.is_url(href):
            try:
                return Path(href).read_bytes()
            except FileNotFoundError:
                raise self.bad(f"{href} must exist", "Check the path") from None
            except OSError as error:
                raise self.bad(f"cannot be read ({error})", "Check the path") from None
        try:
            if not href.lower().startswith(("http://", "https://")):
                prefix, _, name = href.rpartition("/")
                return bytes(obstore.get(self.access.open_prefix(prefix), name).bytes())
            response = self.session.get(href, timeout=TIMEOUT)
            response.raise_for_status()
            return response.content
        except (OSError, ValueError, obstore.exceptions.BaseError) as error:
            raise self.bad(f"{href} cannot be read ({error})", check) from None


def own_href(item: Json) -> str:
    """An item's self link, or ""."""
    links = (link for link in item.get("links") or () if isinstance(link, Mapping))
    return next((str(k.get("href") or "") for k in links if k.get("rel") == "self"), "")


def _search(reader: _Reader, area: BaseGeometry) -> Iterator[RawItem]:
    """Items of a STAC API, each once, though the parts of the area may share them."""
    collection = str(reader.source.collection)
    start, end = parse_span(reader.source.datetime)
    remedy = "Check the address and the network, or try again later"
    seen: set[tuple[Any, Any]] = set()
    try:
        client = _open(reader)
        for part in shapely.get_parts(area):
            shape = part if shapely.get_num_coordinates(part) <= VERTICES else part.convex_hull
            with warnings.catch_warnings():
                # Many APIs take POST, as an area's polygon needs, and do not say so.
                warnings.filterwarnings("ignore", "The requested method", PystacClientWarning)
                search = client.search(
                    collections=[collection],
                    intersects=shapely.geometry.mapping(shape),
                    datetime=f"{start}Z/{end}Z",
                    limit=PAGE,
                )
            for item in search.items_as_dicts():
                key = (item.get("collection"), item.get("id"))
                if key not in seen:
                    seen.add(key)
                    yield RawItem(item, own_href(item) or reader.href, None)
    except (APIError, pystac.STACError, KeyError, ValueError, requests.RequestException) as error:
        _need_collection(reader, collection)
        raise reader.bad(f"does not answer as a STAC API ({error})", remedy) from None
    if not seen:
        _need_collection(reader, collection)
        rule = f"has nothing of {collection!r} in the area and dates"
        raise reader.bad(rule, "Check [area] and [source] datetime")


def _open(reader: _Reader) -> pystac_client.Client:
    api = StacApiIO(timeout=TIMEOUT)
    api.session = reader.session
    with warnings.catch_warnings():
        # Conformance is told by the search link below.
        warnings.simplefilter("ignore", NoConformsTo)
        client = pystac_client.Client.open(reader.href, stac_io=api)
    if client.get_search_link() is None:
        rule = "is a catalogue without search, not an API"
        raise reader.bad(rule, "Name it as [source] items")
    if not client.conforms_to("ITEM_SEARCH"):
        client.add_conforms_to("ITEM_SEARCH")
    return client


def _need_collection(reader: _Reader, wanted: str) -> None:
    """BadInput where the API can be asked for its collections and has none of that name."""
    try:
        answer = reader.session.get(reader.href.rstrip("/") + "/collections", timeout=TIMEOUT)
        answer.raise_for_status()
        known = [str(c["id"]) for c in answer.json()["collections"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(sorted(known)[:20])}"
        raise BadInput(f"[source] collection = {wanted!r}", "is not in the catalogue", hint)
