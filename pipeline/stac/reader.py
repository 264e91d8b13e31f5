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
from urllib.parse import urlsplit

import obstore
import pyarrow.parquet as pq
import requests
import rustac
from requests.adapters import HTTPAdapter

from groundbreak.pipeline.access import hrefs
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import catalog_retries
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.items import Json, RawItem

TIMEOUT = (10, 120)
"""Seconds to connect, and between bytes."""


class _Session(requests.Session):
    """Repeats requests that may yet succeed, and asks the policy before every request, redirected ones included."""

    def __init__(self, allow_hosts: tuple[str, ...]) -> None:
        super().__init__()
        self.allow_hosts = allow_hosts
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(max_retries=catalog_retries()))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, unless the policy refuses its address."""
        refused = hrefs.check(str(request.url), root=None, allow_hosts=self.allow_hosts)
        if refused:
            raise requests.exceptions.InvalidURL(f"{request.url} {refused}")
        return super().send(request, **kwargs)


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
    session: _Session = field(init=False)
    """What makes all requests over HTTP."""
    access: Access = field(init=False)
    """How object stores are reached."""

    def __post_init__(self) -> None:
        """Make the href absolute, and prepare what reads."""
        self.href = hrefs.resolve(self.href, "/")
        self.root = None if hrefs.is_url(self.href) else str(Path(self.href).parent)
        s = self.source
        self.access = Access(s.s3_endpoint, s.s3_region, s.requester_pays)
        # The user named this host, so the catalogue may be read from it. Its assets still need to be allowed.
        own = urlsplit(self.href).hostname if self.root is None else None
        self.session = _Session((*self.source.allow_hosts, *([own] if own else [])))

    def items(self) -> Iterator[RawItem]:
        """Yield the items of a file or a static catalogue, in its order.

        Raises
        ------
        BadInput
            A document cannot be read, or is not STAC; raised while iterating.
        """
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
            raise self.refuse(rule, "Name such a file, or a stac-geoparquet file")

    def refuse(self, rule: str, remedy: str) -> BadInput:
        """Return the error that says which rule the source breaks, without signatures."""
        return BadInput(self.what, hrefs.redact(rule), remedy)

    def _collection(self, document: Json) -> Iterator[RawItem]:
        """Yield the items of an item collection."""
        features = document.get("features")
        if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
            raise self.refuse("holds features that are no items", "Write it with a STAC tool")
        for feature in features:
            base = hrefs.resolve(own_href(feature) or self.href, self.href)
            yield RawItem(feature, base, self.root)

    def _walk(self, document: Json) -> Iterator[RawItem]:
        """Yield the items under a catalogue, depth first; a document that is linked twice is read once."""
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
        """Return the hrefs of a document's links of one relation that were not seen before, and note them as seen."""
        found = []
        for link in document.get("links") or ():
            if link.get("rel") != rel:
                continue
            href = hrefs.resolve(str(link.get("href")), base)
            allow = self.session.allow_hosts
            if refused := hrefs.check(href, root=self.root, allow_hosts=allow):
                raise self.refuse(f"links to {href}, which {refused}", "Mend the catalogue")
            if href not in seen:
                seen.add(href)
                found.append(href)
        return found

    def _json(self, href: str) -> dict[str, Any]:
        try:
            document = json.loads(self._bytes(href))
        except ValueError as error:
            raise self.refuse(f"{href} is not JSON ({error})", "Name a STAC file") from None
        if not isinstance(document, dict):
            raise self.refuse(f"{href} holds no JSON object", "Name a STAC file")
        return document

    def _parquet(self) -> Mapping[str, Any]:
        """Read stac-geoparquet as an item collection."""
        content = self._bytes(self.href)
        try:
            table = pq.read_table(io.BytesIO(content))
            missing = {"id", "geometry", "assets"} - {*table.column_names}
            # rustac makes items of any table, so a table without these columns has to be refused before.
            document: Mapping[str, Any] = {} if missing else rustac.from_arrow(table)
        except Exception as error:  # rustac and Arrow raise plain and private exceptions
            raise self.refuse(f"is not stac-geoparquet ({error})", "Write it with rustac") from None
        if missing:
            rule = f"is not stac-geoparquet: it has no column {', '.join(sorted(missing))}"
            raise self.refuse(rule, "Write it with rustac")
        return document

    def _bytes(self, href: str) -> bytes:
        check = "Check the address, the network and the keys"
        if not hrefs.is_url(href):
            try:
                return Path(href).read_bytes()
            except FileNotFoundError:
                raise self.refuse(f"{href} must exist", "Check the path") from None
            except OSError as error:
                raise self.refuse(f"cannot be read ({error})", "Check the path") from None
        try:
            if not href.lower().startswith(("http://", "https://")):
                prefix, _, name = href.rpartition("/")
                return bytes(obstore.get(self.access.open_prefix(prefix), name).bytes())
            response = self.session.get(href, timeout=TIMEOUT)
            response.raise_for_status()
            return response.content
        except (OSError, ValueError, obstore.exceptions.BaseError) as error:
            raise self.refuse(f"{href} cannot be read ({error})", check) from None


def own_href(item: Json) -> str:
    """Return the href of an item's link to itself, or ""."""
    links = (link for link in item.get("links") or () if isinstance(link, Mapping))
    return next((str(k.get("href") or "") for k in links if k.get("rel") == "self"), "")
