"""The pages of a search: all of them, or a refusal. What came is held against what the API says that there is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pystac_client
import requests

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.stac.items import Json
from groundbreak.pipeline.stac.reader import MOST_ITEMS, CatalogReader, next_link, number_matched
from groundbreak.pipeline.stac.session import TIMEOUT

LOG = logging.getLogger(__name__)

MOST_PAGES = 10_000
"""Pages of a search; more are taken for a server that never ends."""
MOST_EMPTY = 20
"""Pages without items, one after the other, after which no more are asked for."""

_SAVE = "Ask for shorter dates or a smaller area, or save the items in a file and name it as [source] items"


def read_pages(reader: CatalogReader, search: pystac_client.ItemSearch) -> Iterator[Json]:
    """Yield the items of a search, page by page.

    Parameters
    ----------
    reader : CatalogReader
        What makes the requests, and whose source errors name.
    search : ItemSearch
        The search; its first page is asked for here, too.

    Raises
    ------
    BadInput
        Fewer items came than the API says match, pages repeat, or they have no end; raised while iterating.
    requests.RequestException, ValueError
        A page could not be had, or is no page.
    """
    href = search.url
    link: Json | None = _first(search)
    asked: set[str] = set()
    seen: set[tuple[str, str]] = set()
    came, empty, promised = 0, 0, None
    while link is not None and empty < MOST_EMPTY:
        href, request = _request(link, href, search)
        if (key := digest(request)) in asked:
            _need_all(reader, came, promised, f"leads from page {len(asked)} back to a page that was read already")
            return
        asked.add(key)
        page = _ask(reader, request)
        features = page.get("features")
        if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
            raise ValueError("a page holds no list of items")
        told = number_matched(page)
        promised = promised if told is None else told
        # An item that stands twice on one page was counted twice by the API; on two pages, it took another one's place.
        fresh = [f for f in features if item_key(f) not in seen]
        came += len(fresh)
        if fresh and len(fresh) < len(features) and told is None:
            LOG.warning(
                "%s: page %d repeats items of an earlier one, so others may be missing", redact(href), len(asked)
            )
        if features and not fresh:
            _need_all(reader, came, promised, f"lists on page {len(asked)} nothing but items of earlier pages")
            return
        seen |= {item_key(f) for f in fresh}
        if len(asked) > MOST_PAGES or len(seen) > MOST_ITEMS:
            raise reader.refuse(f"has no end: {len(asked):,} pages, {len(seen):,} items so far", _SAVE)
        reader.ticker.add(len(fresh))
        yield from fresh
        empty = 0 if features else empty + 1
        link = next_link(page)
    _need_all(reader, came, promised, "")


def item_key(item: Json) -> tuple[str, str]:
    """Return what tells an item from others of its source; one without an id is told by all that it holds."""
    return str(item.get("collection")), digest(item) if item.get("id") is None else str(item["id"])


def _need_all(reader: CatalogReader, came: int, promised: int | None, odd: str) -> None:
    """Raise BadInput where items are missing; where the API does not tell how many there are, what is odd decides."""
    if promised is not None and came < promised:
        rule = f"lists {came:,} of the {promised:,} items that it says match" + (f": it {odd}" if odd else "")
        raise reader.refuse(rule, _SAVE)
    if promised is None and odd:
        raise reader.refuse(odd, _SAVE)


def _first(search: pystac_client.ItemSearch) -> dict[str, Any]:
    """Return a link to the first page of a search."""
    key = "body" if search.method == "POST" else "params"
    return {"href": search.url, "method": search.method, key: search.get_parameters()}


def _request(link: Json, base: str, search: pystac_client.ItemSearch) -> tuple[str, dict[str, Any]]:
    """Return the URL of a link, and the request that it stands for as the arguments of requests."""
    href, method = urljoin(base, str(link["href"])), str(link.get("method") or "GET").upper()
    request: dict[str, Any] = {"method": method, "url": href, "headers": link.get("headers")}
    if method == "POST":
        body = link.get("body") or {}
        request["json"] = {**search.get_parameters(), **body} if link.get("merge") else body
    else:
        request["params"] = link.get("params")
    return href, request


def _ask(reader: CatalogReader, request: dict[str, Any]) -> Json:
    """Ask for a page, or raise an error of requests, or ValueError for what is no JSON object."""
    response = reader.session.request(**request, timeout=TIMEOUT)
    if not response.ok:
        text = response.text[:200].strip()
        raise requests.HTTPError(f"{response.status_code} of {response.url}: {text}", response=response)
    page = response.json()
    if not isinstance(page, dict):
        raise ValueError(f"{response.url} holds no JSON object")
    return page
