"""Reading the documents of a catalogue: files, static catalogues and stac-geoparquet, and the links between them.

Items are handed on as their source wrote them. pystac is not asked to read static catalogues: it migrates items to its
own STAC version and follows links without asking where they lead.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
import pyarrow.parquet as pq
import requests
import rustac
from obstore.store import ObjectStore

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.addresses import resolve
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import CATALOG_TRIES, ReadError, with_retries
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.show import clean
from groundbreak.pipeline.core.ticker import Ticker
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.items import Json, RawItem
from groundbreak.pipeline.stac.session import TIMEOUT, Session

MOST_LIST_BYTES = 1 << 30
"""Bytes of the document that the user names, inflated: some 60,000 items as Earth Search writes them."""
MOST_PAGE_BYTES = 64 << 20
"""Bytes of a page of an API, or of a document that another one links to."""
MOST_ITEMS = 1_000_000
"""Items of a source; more are taken for a server that never ends."""
MOST_DEPTH = 32
"""Catalogues inside catalogues; deeper ones are taken for a server that never ends."""


@dataclass
class CatalogReader:
    """Reads the document that the user named, and those that it links to."""

    href: str
    """Path or URL of the document that the user named."""
    what: str
    """What messages call the source."""
    source: SourceConfig
    root: str | None = field(init=False)
    """Folder of a local document, under which local paths must lie; None for a remote one."""
    session: Session = field(init=False)
    """What makes requests over HTTP."""
    patience: float = 900.0
    """Seconds for which its host is waited for."""
    access: Access = field(init=False)
    """How object stores are reached."""
    ticker: Ticker = field(init=False)
    """Tells how many items have been read."""

    def __post_init__(self) -> None:
        """Make the href absolute, and prepare what reads."""
        self.href = resolve(self.href, "/")
        self.root = None if hrefs.is_url(self.href) else str(Path(self.href).parent)
        s = self.source
        self.access = Access(s.s3_endpoint, s.s3_region, s.requester_pays)
        # The user named this host, so the catalogue may be read from it. Its assets still need to be allowed.
        own = urlsplit(self.href).hostname if self.root is None else None
        self.session = Session((*s.allow_hosts, *([own] if own else [])), MOST_PAGE_BYTES, self.patience)
        self.ticker = Ticker("reading items: {} so far")

    def items(self) -> Iterator[RawItem]:
        """Yield the items of a file or a static catalogue, in its order.

        Raises
        ------
        BadInput
            A document cannot be read, is not STAC, or is a part of a longer list; raised while iterating.
        """
        content = self._bytes(self.href, MOST_LIST_BYTES)
        if self.href.partition("?")[0].lower().endswith((".parquet", ".geoparquet")):
            found = self._collection(self._parquet(content))
        else:
            document = self._parse(self.href, content)
            kind = document.get("type")
            if kind == "FeatureCollection":
                found = self._collection(document)
            elif kind == "Feature":
                found = iter([self._raw(document, self.href)])
            elif kind in ("Catalog", "Collection"):
                found = self._walk(document)
            else:
                rule = f"is JSON of type {kind!r}, not a STAC item collection, item or catalogue"
                raise self.refuse(rule, "Name such a file, or a stac-geoparquet file")
        for raw in found:
            self.ticker.add()
            if self.ticker.count > MOST_ITEMS:
                raise self.refuse(f"lists more than {MOST_ITEMS:,} items", "Name a smaller list")
            yield raw

    def refuse(self, rule: str, remedy: str) -> BadInput:
        """Return the error that says which rule the source breaks, without signatures."""
        return BadInput(self.what, clean(hrefs.redact(rule)), clean(hrefs.redact(remedy)))

    def _collection(self, document: Json) -> Iterator[RawItem]:
        """Yield the items of an item collection, which must be whole."""
        features = document.get("features")
        if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
            raise self.refuse("holds features that are no items", "Write it with a STAC tool")
        self._need_whole(document, len(features))
        own = own_href(document) if self.root is not None else ""
        for feature in features:
            base = resolve(own_href(feature) or own or self.href, self.href)
            yield RawItem(feature, base, self.root, self.href)

    def _need_whole(self, document: Json, count: int) -> None:
        """Raise BadInput for an item collection that is one page of a longer search."""
        promised = number_matched(document)
        if promised is None:
            sign = "has a link to a next page" if next_link(document) is not None else None
        else:
            sign = f"holds {count} of {promised} items" if count < promised else None
        if sign is not None:
            remedy = (
                "Save all pages (item_collection() of pystac-client does), or name the API as [source] catalog; "
                "where a part is meant, take numberMatched and the link out of the file"
            )
            raise self.refuse(f"is one page of a search: it {sign}", remedy)

    def _raw(self, item: Json, href: str) -> RawItem:
        """Return an item that was read from a document of its own."""
        own = own_href(item)
        base = own if self.root is not None and hrefs.is_url(own) else href
        return RawItem(item, base, self.root, href)

    def _walk(self, document: Json) -> Iterator[RawItem]:
        """Yield the items under a catalogue, depth first; a document that is linked twice is read once."""
        seen = {self.href}
        pending: list[tuple[str, int]] = []
        href, depth = self.href, 0
        with ThreadPoolExecutor(8) as pool:
            while True:
                leaves = self._links(document, href, "item", seen)
                for leaf, item in zip(leaves, pool.map(self._json, leaves), strict=True):
                    yield self._raw(item, leaf)
                below = self._links(document, href, "child", seen)
                if below and depth == MOST_DEPTH:
                    rule = f"holds catalogues more than {MOST_DEPTH} levels deep, down to {href}"
                    raise self.refuse(rule, "Name the catalogue further down that holds the items")
                if len(seen) > MOST_ITEMS:
                    raise self.refuse(f"links to more than {MOST_ITEMS:,} documents", "Name a smaller catalogue")
                if href == self.href and not below and not leaves:
                    self._need_items(document)
                pending += [(h, depth + 1) for h in reversed(below)]
                if not pending:
                    return
                href, depth = pending.pop()
                document = self._json(href)

    def _need_items(self, document: Json) -> None:
        """Raise BadInput for a catalogue whose items are behind an API."""
        if {"items", "search"} & {link.get("rel") for link in _links_of(document)}:
            rule = "lists no items itself: they are behind the API that it belongs to"
            raise self.refuse(rule, "Name the API's address as [source] catalog, and a [source] collection")

    def _links(self, document: Json, base: str, rel: str, seen: set[str]) -> list[str]:
        """Return the hrefs of a document's links of one relation that were not seen before, and note them as seen."""
        found = []
        for link in _links_of(document):
            if link.get("rel") != rel:
                continue
            href = resolve(str(link.get("href")), base)
            allow = self.session.allow_hosts
            if refused := hrefs.check(href, root=self.root, allow_hosts=allow):
                remedy = refused.remedy[0].upper() + refused.remedy[1:]
                raise self.refuse(f"links to {href}, which {refused.rule}", remedy)
            if href not in seen:
                seen.add(href)
                found.append(href)
        return found

    def _json(self, href: str) -> dict[str, Any]:
        """Read a document that another one links to."""
        return self._parse(href, self._bytes(href, MOST_PAGE_BYTES))

    def _parse(self, href: str, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.refuse(f"{href} is not JSON ({error})", "Name a STAC file") from None
        if not isinstance(document, dict):
            raise self.refuse(f"{href} holds no JSON object", "Name a STAC file")
        return document

    def _parquet(self, content: bytes) -> Mapping[str, Any]:
        """Read stac-geoparquet as an item collection."""
        remedy = "Write it with rustac"
        try:
            file = pq.ParquetFile(io.BytesIO(content))
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            if sum(g.total_byte_size for g in groups) > MOST_LIST_BYTES or file.metadata.num_rows > MOST_ITEMS:
                raise self._too_large(self.href, MOST_LIST_BYTES)
            table = file.read()
            missing = {"id", "geometry", "assets"} - {*table.column_names}
            # rustac makes items of any table, so a table without these columns has to be refused before.
            document: Mapping[str, Any] = {} if missing else rustac.from_arrow(table)
        except BadInput:
            raise
        except Exception as error:  # rustac and Arrow raise plain and private exceptions
            raise self.refuse(f"is not stac-geoparquet ({error})", remedy) from None
        if missing:
            raise self.refuse(f"is not stac-geoparquet: it has no column {', '.join(sorted(missing))}", remedy)
        return document

    def _bytes(self, href: str, most: int) -> bytes:
        """Read a document of at most so many bytes."""
        try:
            if not hrefs.is_url(href):
                return self._local_bytes(href, most)
            if not href.lower().startswith(("http://", "https://")):
                prefix, _, name = href.rpartition("/")
                store = self.access.open_prefix(prefix)
                got = with_retries(href, CATALOG_TRIES, lambda _: self._object(store, unquote(name), href, most))
                if isinstance(got, BadInput):
                    raise got
                return got
            session = self.session
            if most != MOST_PAGE_BYTES:
                session = Session(session.allow_hosts, most, self.patience)
            response = session.get(href, timeout=TIMEOUT)
            response.raise_for_status()
            return response.content
        except ReadError as error:
            raise self.refuse(f"{href} cannot be read ({error.message})", _remedy(OSError(error.message))) from None
        except (OSError, ValueError) as error:
            raise self.refuse(f"{href} cannot be read ({error})", _remedy(error)) from None

    def _object(self, store: ObjectStore, name: str, href: str, most: int) -> bytes | BadInput:
        """Read an object of at most so many bytes; return the refusal of a larger one, which no repetition changes."""
        got = obstore.get(store, name)
        return self._too_large(href, most) if got.meta["size"] > most else bytes(got.bytes())

    def _local_bytes(self, href: str, most: int) -> bytes:
        path = Path(href)
        if not path.exists():
            raise self.refuse(f"{href} must exist", "Check the path")
        if path.is_dir():
            raise self.refuse(f"{href} is a folder and cannot be read", "Name the file in it that lists the items")
        if path.stat().st_size > most:
            raise self._too_large(href, most)
        return path.read_bytes()

    def _too_large(self, href: str, most: int) -> BadInput:
        return self.refuse(f"{href} is larger than {most >> 20} MiB", "Split it, or list fewer items")


def own_href(item: Json) -> str:
    """Return the href of an item's link to itself, or ""."""
    return next((str(k.get("href") or "") for k in _links_of(item) if k.get("rel") == "self"), "")


def next_link(page: Json) -> Json | None:
    """Return a page's link to the next one, or None."""
    return next((link for link in _links_of(page) if link.get("rel") == "next"), None)


def number_matched(page: Json) -> int | None:
    """Return how many items a search matches, as its page says in numberMatched or context.matched; None if untold."""
    context = page.get("context")
    told = page.get("numberMatched"), context.get("matched") if isinstance(context, Mapping) else None
    return next((n for n in told if isinstance(n, int) and not isinstance(n, bool)), None)


def _links_of(document: Json) -> list[Json]:
    """Return a document's links; what is no link is left out."""
    links = document.get("links")
    return [link for link in links if isinstance(link, Mapping)] if isinstance(links, list) else []


def _remedy(error: Exception) -> str:
    """Return what helps against an error of reading."""
    text = str(error)
    if isinstance(error, requests.exceptions.InvalidURL):
        return "Name an address that may be read"
    if "sends more than" in text:
        return "Split it, or list fewer items"
    if any(status in text for status in ("401", "403")):
        return "Check the keys, and the login that the host asks for (~/.netrc)"
    if "404" in text or isinstance(error, FileNotFoundError):
        return "Check the address"
    return "Check the address, the network and the keys"
