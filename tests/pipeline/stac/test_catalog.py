"""Items from files, catalogues, stac-geoparquet, object stores and STAC APIs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import obstore.store
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import rustac
import shapely

from groundbreak.pipeline.access import retries
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac import catalog
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.items import RawItem
from tests.stac import AREA, BOX, collection, pc_item, reply, serve, stac_api
from tests.world import configure

DATES = "2024-07-01/2024-07-31"


def make_items(count: int) -> list[dict[str, Any]]:
    days = range(1, count + 1)
    return [pc_item(take=f"202407{d:02d}T173911", strip=f"202407{d:02d}T174608") for d in days]


def read(href: Path | str, area: Any = AREA, **more: Any) -> list[RawItem]:
    source = SourceConfig(datetime=DATES, items=str(href), **more)
    return list(read_items(source, area, lambda text: text))


def search(url: str, area: Any = AREA, **more: Any) -> list[RawItem]:
    source = SourceConfig(datetime=DATES, catalog=url, **{"collection": "sentinel-2-l2a", **more})
    return list(read_items(source, area, lambda text: text))


def ids(raws: list[RawItem]) -> list[str]:
    return [raw.item["id"] for raw in raws]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "CATALOG_BACKOFF_S", 0.0)


def test_a_feature_collection_relative_to_the_configuration(tmp_path: Path) -> None:
    given = make_items(2)
    given[1]["links"] = [{"rel": "self", "href": "https://h.org/c/i.json"}]
    (tmp_path / "items.json").write_text(json.dumps(collection(*given)))
    config = configure(tmp_path, (46.0, 39.0, 47.0, 40.0), DATES, items="items.json")
    raws = list(read_items(config.source, AREA, config.path))
    assert [raw.item for raw in raws] == given
    assert [raw.base for raw in raws] == [str(tmp_path / "items.json"), "https://h.org/c/i.json"]
    assert {raw.root for raw in raws} == {str(tmp_path)}


def test_a_single_item(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps(pc_item()))
    assert ids(read(tmp_path / "item.json")) == [pc_item()["id"]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "must exist"),
        ("{", "is not JSON"),
        ("[]", "no JSON object"),
        ('{"type": "Topology"}', "not a STAC item collection"),
        ('{"type": "FeatureCollection"}', "no items"),
        ('{"type": "FeatureCollection", "features": [1]}', "no items"),
        ('{"type": "FeatureCollection", "features": []}', "lists no items"),
        ('{"type": "Catalog", "links": []}', "lists no items"),
    ],
)
def test_a_file_that_is_no_source(tmp_path: Path, text: str | None, part: str) -> None:
    if text is not None:
        (tmp_path / "items.json").write_text(text)
    with pytest.raises(BadInput, match=part):
        read(tmp_path / "items.json")


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path)


def _write_catalogue(root: Path, given: list[dict[str, Any]]) -> Path:
    """catalog.json -> collection.json -> items, all by relative links, with a cycle."""
    (root / "c" / "items").mkdir(parents=True)
    links = [{"rel": "root", "href": "./catalog.json"}, {"rel": "child", "href": "c/collection.json"}]
    (root / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "x", "links": links}))
    links = [{"rel": "item", "href": f"./items/{n}.json"} for n in range(len(given))]
    links += [{"rel": "child", "href": "../catalog.json"}, {"rel": "item", "href": "items/0.json"}]
    text = json.dumps({"type": "Collection", "id": "c", "links": links})
    (root / "c" / "collection.json").write_text(text)
    for n, item in enumerate(given):
        (root / "c" / "items" / f"{n}.json").write_text(json.dumps(item))
    return root / "catalog.json"


def test_a_static_catalogue_with_relative_links_and_a_cycle(tmp_path: Path) -> None:
    given = make_items(3)
    path = _write_catalogue(tmp_path, given)
    raws = read(path)
    assert [raw.item for raw in raws] == given
    assert raws[1].base == str(tmp_path / "c" / "items" / "1.json")
    assert {raw.root for raw in raws} == {str(tmp_path)}


def test_a_static_catalogue_over_http_needs_no_leave_for_its_own_host(tmp_path: Path) -> None:
    path = _write_catalogue(tmp_path, make_items(3))

    def answer(_method: str, asked: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, (path.parent / asked.lstrip("/")).read_bytes()

    with serve(answer) as server:
        raws = read(f"{server.url}/catalog.json")
        assert ids(raws) == ids(read(path))
        assert raws[0].base == f"{server.url}/c/items/0.json"
        assert raws[0].root is None
        assert len(server.asked) == 5


@pytest.mark.parametrize("href", ["../secret.json", "/etc/passwd", "http://127.0.0.1:1/x", "https://10.0.0.1/x"])
def test_a_catalogue_does_not_lead_where_nothing_may_be_read(tmp_path: Path, href: str) -> None:
    (tmp_path / "secret.json").write_text(json.dumps(pc_item()))
    root = tmp_path / "archive"
    root.mkdir()
    document = {"type": "Catalog", "links": [{"rel": "item", "href": href}]}
    (root / "catalog.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match="links to"):
        read(root / "catalog.json")


async def _write(path: Path, given: list[dict[str, Any]]) -> None:
    await rustac.write(str(path), given)


def test_geoparquet_there_and_back(tmp_path: Path) -> None:
    given = make_items(3)
    path = tmp_path / "items.parquet"
    asyncio.run(_write(path, given))
    raws = read(path)
    assert ids(raws) == [item["id"] for item in given]
    assert raws[0].item["assets"] == given[0]["assets"]
    assert raws[0].base == str(path)

    def answer(_method: str, _asked: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, path.read_bytes()

    with serve(answer) as server:
        assert ids(read(f"{server.url}/items.parquet?sig=x")) == ids(raws)


def test_parquet_without_items_is_bad_input(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("nothing")
    for name in ("a", "b"):
        with pytest.raises(BadInput, match="stac-geoparquet"):
            read(tmp_path / f"{name}.parquet")


def test_what_passes_is_tried_again_and_what_does_not_is_told() -> None:
    left = [503, 429, 500]

    def answer(_method: str, path: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/gone.json"):
            return reply({}, 404)
        return reply({}, left.pop()) if left else reply(collection(pc_item()))

    with serve(answer) as server:
        assert len(read(f"{server.url}/items.json")) == 1
        assert len(server.asked) == 4
        with pytest.raises(BadInput, match="404") as caught:
            read(f"{server.url}/gone.json?sig=SECRET")
        assert "SECRET" not in str(caught.value)


def test_a_redirect_is_asked_for_leave() -> None:
    with serve(lambda *_: reply(collection(pc_item()))) as inner:
        place = inner.url.replace("127.0.0.1", "localhost") + "/items.json"
        with serve(lambda *_: (302, {"Location": place}, b"")) as outer:
            with pytest.raises(BadInput, match="private name"):
                read(f"{outer.url}/items.json")
            assert inner.asked == []
            assert len(read(f"{outer.url}/items.json", allow_hosts=("localhost",))) == 1


def test_items_on_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        requests.put(f"{endpoint}/archive", timeout=10).raise_for_status()
        store = obstore.store.S3Store(
            "archive", endpoint=endpoint, region="us-east-1", client_options={"allow_http": True}
        )
        obstore.put(store, "a/items.json", json.dumps(collection(pc_item())).encode())
        more = {"s3_endpoint": endpoint, "s3_region": "us-east-1"}
        (raw,) = read("s3://archive/a/items.json", **more)
        assert raw.base == "s3://archive/a/items.json"
        assert raw.root is None
        with pytest.raises(BadInput, match=r"s3://archive/a/none\.json cannot be read"):
            read("s3://archive/a/none.json", **more)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Thirty items of July over the area, one elsewhere, one in August."""
    path = tmp_path_factory.mktemp("api") / "items.json"
    other = [pc_item(tile="31UFT", box=(4, 52, 5, 53)), pc_item(take="20240801T173911")]
    path.write_text(json.dumps(collection(*make_items(30), *other)))
    with stac_api(path) as url:
        yield url


def test_an_api_is_searched_page_by_page(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "ITEMS_PER_PAGE", 7)
    raws = search(api)
    assert sorted(ids(raws)) == sorted(item["id"] for item in make_items(30))
    assert {raw.root for raw in raws} == {None}
    assert all(raw.base.startswith(api) for raw in raws)


def test_parts_of_a_split_area_share_items_but_list_them_once(api: str) -> None:
    west, south, east, north = BOX
    parts = [shapely.box(west, south, west + 0.1, north), shapely.box(east - 0.1, south, east, north)]
    assert len(ids(search(api, shapely.MultiPolygon(parts)))) == 30


def test_a_long_coastline_is_sent_as_its_hull(api: str) -> None:
    circle = shapely.Point(-105.5, 39.3).buffer(0.1, quad_segs=1000)
    assert len(search(api, circle)) == 30


def test_an_unknown_collection_is_named_with_its_like(api: str) -> None:
    with pytest.raises(BadInput, match="Did you mean 'sentinel-2-l2a'") as caught:
        search(api, collection="sentinel-2-l1c")
    assert "sentinel-2-l1c" in caught.value.what


def test_a_search_that_finds_nothing(api: str) -> None:
    with pytest.raises(BadInput, match=r"nothing of 'sentinel-2-l2a' in the area and dates"):
        search(api, shapely.box(100, 10, 101, 11))


def test_what_is_no_api() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    refused = pytest.raises(BadInput, match="does not answer as a STAC API")
    with refused:
        search(url)
    with serve(lambda *_: (200, {}, b"<html>hello</html>")) as server, refused:
        search(server.url)
    document = {"type": "Catalog", "id": "x", "description": "x", "stac_version": "1.0.0"}
    refused = pytest.raises(BadInput, match=r"Name it as \[source\] items")
    with serve(lambda *_: reply({**document, "links": []})) as server, refused:
        search(server.url)


def test_an_api_that_breaks_off_or_leads_astray() -> None:
    root = {"type": "Catalog", "id": "x", "description": "x", "stac_version": "1.0.0"}
    page = collection(pc_item())

    def answer(_method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/":
            link: dict[str, Any] = {"rel": "search", "href": server.url + "/search", "type": "application/geo+json"}
            return reply({**root, "links": [link]})
        if path == "/collections":
            return reply({}, 404)
        asked = json.loads(body)
        if "token" in asked:
            return reply({}, 400)
        link = {"rel": "next", "method": "POST", "href": following, "body": {"token": 2}}
        return reply({**page, "links": [link]})

    with serve(answer) as server:
        following = server.url + "/search"
        with pytest.raises(BadInput, match="does not answer"):
            search(server.url)
        following = "http://169.254.169.254/latest"
        with pytest.raises(BadInput, match="not a public host"):
            search(server.url)
