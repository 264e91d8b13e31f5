"""A search gives all that it promises, or is refused; never a part without a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from groundbreak.pipeline.access import retries
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac import pages, reader
from groundbreak.pipeline.stac.catalog import read_items
from tests.stac import AREA, collection, pc_item, reply, serve

Json = dict[str, Any]
DATES = "2024-07-01/2024-09-30"
ITEMS = [
    pc_item(take=f"2024{7 + n // 25:02d}{1 + n % 25:02d}T173911", strip=f"2024{7 + n // 25:02d}{1 + n % 25:02d}T174608")
    for n in range(75)
]
SIZE = 20


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "CATALOG_BACKOFF_S", 0.0)


Page = Callable[[int, str], Json | tuple[int, dict[str, str], bytes]]
"""(first item that is asked for, the server's URL) -> page, or a whole reply."""


@contextmanager
def api(page: Page) -> Iterator[str]:
    """Serve a STAC API whose pages come from a function."""

    def answer(_method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/":
            link = {"rel": "search", "type": "application/geo+json", "href": f"{server.url}/search", "method": "POST"}
            return reply({"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x", "links": [link]})
        if path == "/collections":
            return reply({"collections": [{"id": "sentinel-2-l2a"}], "links": []})
        asked = json.loads(body) if body else {}
        token = asked.get("token") or path.partition("token=")[2] or 0
        got = page(int(token), server.url)
        return reply(got) if isinstance(got, dict) else got

    with serve(answer) as server:
        yield server.url


def read(url: str) -> list[str]:
    source = SourceConfig(datetime=DATES, catalog=url, collection="sentinel-2-l2a", allow_hosts=("127.0.0.1",))
    return [raw.item["id"] for raw in read_items(source, AREA, lambda text: text)]


def page_of(start: int, links: list[Json], matched: int | None = 75, items: list[Json] | None = None) -> Json:
    found = {**collection(*(ITEMS[start : start + SIZE] if items is None else items)), "links": links}
    return found if matched is None else {**found, "numberMatched": matched}


def by_post(start: int, url: str, merge: bool = True) -> list[Json]:
    link = {"rel": "next", "href": f"{url}/search", "method": "POST", "body": {"token": start}, "merge": merge}
    return [link] if start < len(ITEMS) else []


def by_get(start: int, url: str) -> list[Json]:
    return [{"rel": "next", "href": f"{url}/search?token={start}"}] if start < len(ITEMS) else []


def relative(start: int, _url: str) -> list[Json]:
    return [{"rel": "next", "href": f"./search?token={start}"}] if start < len(ITEMS) else []


def empty_last(start: int, url: str) -> list[Json]:
    return [{"rel": "next", "href": f"{url}/search?token={start}"}] if start < len(ITEMS) + SIZE else []


@pytest.mark.parametrize("following", [by_post, by_get, relative, empty_last])
@pytest.mark.parametrize("matched", [75, None])
def test_all_pages_come(following: Callable[[int, str], list[Json]], matched: int | None) -> None:
    with api(lambda start, url: page_of(start, following(start + SIZE, url), matched)) as url:
        assert sorted(read(url)) == sorted(i["id"] for i in ITEMS)


def test_other_legitimate_answers() -> None:
    ids = sorted(i["id"] for i in ITEMS)
    # An estimate that is too low; context.matched; a page without items in the middle; one item twice on a page.
    with api(lambda start, url: page_of(start, by_get(start + SIZE, url), 10)) as url:
        assert sorted(read(url)) == ids
    with api(lambda start, url: {**page_of(start, by_get(start + SIZE, url), None), "context": {"matched": 75}}) as url:
        assert sorted(read(url)) == ids
    with api(
        lambda start, url: (
            page_of(start, by_get(start - 1, url), items=[])
            if start == 41
            else page_of(start, by_get(start + SIZE + (start == 20), url))
        )
    ) as url:
        assert sorted(read(url)) == ids
    with api(lambda _start, _url: page_of(0, [], 3, [ITEMS[0], ITEMS[0], ITEMS[1]])) as url:
        assert read(url) == [ITEMS[0]["id"], ITEMS[1]["id"]]
    # Items that are none are handed on, each of them: screening rejects them by name.
    odd = [{k: v for k, v in {**i, "id": None}.items() if k != "id" or n % 2} for n, i in enumerate(ITEMS[:40])]
    with api(
        lambda start, url: page_of(start, by_get(20, url) if not start else [], 40, odd[start : start + 20])
    ) as url:
        source = SourceConfig(datetime=DATES, catalog=url, collection="sentinel-2-l2a", allow_hosts=("127.0.0.1",))
        assert len(list(read_items(source, AREA, lambda text: text))) == 40
    # The next link leads to the same page for ever, but all that is promised has come.
    with api(lambda start, url: page_of(start, by_get(min(start + SIZE, 60), url))) as url:
        assert sorted(read(url)) == ids


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (lambda start, _url: page_of(start, []), "lists 20 of the 75 items that it says match"),
        (lambda start, _url: {**page_of(start, [], None), "context": {"matched": 75}}, "lists 20 of the 75"),
        (lambda _start, url: page_of(0, by_get(7, url)), "lists 20 of the 75 .* earlier pages"),
        (lambda _start, url: page_of(0, by_get(0, url), None), "nothing but items of earlier pages"),
        (
            lambda start, url: page_of(start, by_get(20, url), None),
            "leads from page 2 back to a page that was read already",
        ),
        (
            lambda start, url: page_of(start, by_get(20, url)) if not start else page_of(0, [], None, []),
            "lists 20 of the 75",
        ),
        (lambda start, url: page_of(start, by_get(start + 15, url) if start < 45 else []), "lists 65 of the 75"),
        (lambda _start, _url: page_of(0, [], items=[]), "lists 0 of the 75"),
        (
            lambda start, url: (
                page_of(start, by_get(start + SIZE, url)) if start < 40 else (502, {}, b"<html>bad</html>")
            ),
            "does not answer as a STAC API",
        ),
        (lambda start, url: page_of(0, by_get(start + 1, url), None, []), "nothing of|lists no items"),
        (lambda _start, _url: {"type": "FeatureCollection", "features": "none"}, "no list of items"),
        (lambda _start, _url: (200, {}, b"[1]"), "no JSON object"),
    ],
)
def test_a_part_is_refused(page: Page, says: str) -> None:
    with api(page) as url, pytest.raises(BadInput, match=says):
        read(url)


def test_pages_that_overlap_are_told_where_no_count_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    with api(lambda start, url: page_of(start, by_get(start + 15, url), None)) as url:
        assert len(read(url)) == 75
    assert "page 2 repeats items of an earlier one" in caplog.text


def test_what_passes_between_pages_is_tried_again() -> None:
    left = [502, 502]

    def page(start: int, url: str) -> Json | tuple[int, dict[str, str], bytes]:
        if start == 40 and left:
            return left.pop(), {}, b"<html>bad gateway</html>"
        return page_of(start, by_post(start + SIZE, url))

    with api(page) as url:
        assert len(read(url)) == 75


def test_pages_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def page(start: int, url: str) -> Json:
        new = [{**ITEMS[0], "id": f"S2A_{start}_{n}"} for n in range(SIZE)]
        return {**collection(*new), "links": [{"rel": "next", "href": f"{url}/search?token={start + 1}"}]}

    with api(page) as url:
        monkeypatch.setattr(pages, "MOST_PAGES", 5)
        with pytest.raises(BadInput, match="has no end: 6 pages, 120 items so far"):
            read(url)
        monkeypatch.setattr(pages, "MOST_PAGES", 500)
        monkeypatch.setattr(pages, "MOST_ITEMS", 50)
        with pytest.raises(BadInput, match="has no end: 3 pages, 60 items so far"):
            read(url)


NEXT = {"rel": "next", "href": "https://h.org/search?token=20"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"numberMatched": 75}, "holds 20 of 75 items"),
        ({"context": {"matched": 75}}, "holds 20 of 75 items"),
        ({"links": [NEXT]}, "has a link to a next page"),
        ({"numberMatched": 75, "links": [NEXT]}, "holds 20 of 75 items"),
        ({"numberMatched": 20, "links": [NEXT]}, None),
        ({"numberMatched": 3, "links": []}, None),
        ({"numberReturned": 20, "links": [{"rel": "self", "href": "https://h.org/search"}, None, "x"]}, None),
        ({"links": None, "context": None, "numberMatched": None}, None),
        ({"links": {"next": "x"}}, None),
    ],
)
def test_a_saved_page_is_whole_or_refused(more: Json, says: str | None, tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text(json.dumps({**collection(*ITEMS[:20]), **more}))
    source = SourceConfig(datetime=DATES, items=str(path))

    def found() -> int:
        return len(list(read_items(source, AREA, lambda text: text)))

    if says is None:
        assert found() == 20
        return
    with pytest.raises(BadInput, match=says) as caught:
        found()
    assert "[source] catalog" in caught.value.remedy


def test_a_saved_page_over_http_is_no_better() -> None:
    page = {**collection(*ITEMS[:20]), "links": [NEXT]}
    with serve(lambda *_: reply(page)) as server, pytest.raises(BadInput, match="one page of a search"):
        list(read_items(SourceConfig(datetime=DATES, items=f"{server.url}/items"), AREA, lambda text: text))


def test_a_list_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "items.json").write_text(json.dumps(collection(*ITEMS[:20])))
    monkeypatch.setattr(reader, "MOST_ITEMS", 19)
    with pytest.raises(BadInput, match="lists more than 19 items"):
        list(read_items(SourceConfig(datetime=DATES, items=str(tmp_path / "items.json")), AREA, lambda text: text))
