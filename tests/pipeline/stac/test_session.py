"""Answers of a bounded size, however they are sent; catalogues of a bounded depth; documents beside their files."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from obstore.store import MemoryStore

from groundbreak.pipeline.access import retries
from groundbreak.pipeline.access.providers import recognise
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput, Rejection
from groundbreak.pipeline.stac import reader
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.scenes import normalise
from groundbreak.pipeline.stac.session import Session, TooLarge
from tests.stac import AREA, collection, pc_item, reply, serve

MIB = 1 << 20
ZIPPED = {"Content-Encoding": "gzip"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "CATALOG_BACKOFF_S", 0.0)


def read(href: Path | str) -> list[RawItem]:
    source = SourceConfig(datetime="2024-07-01/2024-07-31", items=str(href))
    return list(read_items(source, AREA, lambda text: text))


def bomb(size: int) -> bytes:
    """Return `size` blanks and a document, zipped."""
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(b" " * MIB) for _ in range(size // MIB)]
    return b"".join([*pieces, packer.compress(json.dumps(collection(pc_item())).encode()), packer.flush()])


def test_a_zipped_body_is_not_inflated_beyond_the_cap() -> None:
    sent = bomb(512 * MIB)
    assert len(sent) < MIB
    with serve(lambda *_: (200, ZIPPED, sent)) as server:
        tracemalloc.start()
        with pytest.raises(TooLarge, match="more than 4 MiB"):
            Session(("127.0.0.1",), 4 * MIB).get(server.url)
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
        tracemalloc.stop()
        assert Session(("127.0.0.1",), 513 * MIB).get(f"{server.url}/x").content[-1:] == b"}"


def test_a_redirect_is_no_way_around_the_cap() -> None:
    sent = bomb(64 * MIB)
    with serve(lambda *_: (302, {**ZIPPED, "Location": "/x"}, sent)) as server, pytest.raises(TooLarge):
        Session(("127.0.0.1",), MIB).get(server.url)


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({}, b" " * (2 * MIB), "more than 1 MiB"),
        (ZIPPED, b"no gzip at all", "damaged"),
        (ZIPPED, gzip.compress(b"x" * 1000, mtime=0)[:-12], "breaks off"),
        ({"Content-Encoding": "br"}, b"x", "was not asked for"),
        (
            {"Content-Encoding": "gzip, gzip"},
            gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0),
            "was not asked for",
        ),
    ],
)
def test_bodies_that_are_refused(headers: dict[str, str], body: bytes, says: str) -> None:
    with serve(lambda *_: (200, headers, body)) as server, pytest.raises(requests.RequestException, match=says):
        Session(("127.0.0.1",), MIB).get(server.url)


def test_zipped_and_plain_answers_are_read() -> None:
    text = json.dumps(collection(pc_item())).encode()
    for headers, body in (({}, text), (ZIPPED, gzip.compress(text, mtime=0)), ({"Content-Encoding": "identity"}, text)):
        with serve(lambda *_, h=headers, b=body: (200, h, b)) as server:
            assert len(read(f"{server.url}/items.json")) == 1


def test_each_kind_of_list_is_refused_in_words_when_it_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_LIST_BYTES", MIB)
    monkeypatch.setattr(reader, "MOST_PAGE_BYTES", MIB // 2)
    (tmp_path / "items.json").write_bytes(b" " * MIB + json.dumps(collection(pc_item())).encode())
    with pytest.raises(BadInput, match=r"larger than 1 MiB\. Split it"):
        read(tmp_path / "items.json")
    split = pytest.raises(BadInput, match=r"sends more than 1 MiB.*Split it")
    with serve(lambda *_: (200, ZIPPED, bomb(8 * MIB))) as server, split:
        read(f"{server.url}/items.json")
    with (
        serve(
            lambda _m, path, _b: (
                (200, ZIPPED, bomb(8 * MIB))
                if "a" in path
                else reply({"type": "Catalog", "links": [{"rel": "child", "href": "a.json"}]})
            )
        ) as server,
        pytest.raises(BadInput, match="sends more than"),
    ):
        read(f"{server.url}/c.json")
    # Parquet packs 8 MiB of one text into a few bytes.
    table = pa.table({name: ["x" * MIB] * 8 for name in ("id", "geometry", "assets")})
    pq.write_table(table, tmp_path / "items.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "items.parquet").stat().st_size < MIB
    with pytest.raises(BadInput, match="larger than 1 MiB"):
        read(tmp_path / "items.parquet")


def test_a_document_on_an_object_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    obstore.put(store, "items.json", b" " * (2 * MIB))
    monkeypatch.setattr(reader, "MOST_LIST_BYTES", MIB)
    monkeypatch.setattr(Access, "open_prefix", lambda _self, _prefix: store)
    with pytest.raises(BadInput, match="larger than 1 MiB"):
        read("s3://bucket/items.json")


def test_catalogues_without_end_are_refused() -> None:
    def deeper(_method: str, path: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        return reply({"type": "Catalog", "links": [{"rel": "child", "href": f".{path[:-5]}x.json"}]})

    with serve(deeper) as server:
        with pytest.raises(BadInput, match="more than 32 levels deep"):
            read(f"{server.url}/a.json")
        assert len(server.asked) == reader.MOST_DEPTH + 1


def test_a_wide_catalogue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_ITEMS", 50)
    links = [{"rel": "child", "href": f"{n}.json"} for n in range(60)]
    with serve(lambda *_: reply({"type": "Catalog", "links": links})) as server:
        with pytest.raises(BadInput, match="links to more than 50 documents"):
            read(f"{server.url}/a.json")
        assert len(server.asked) == 1


def test_a_document_that_is_nested_too_deeply_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text("[" * 200_000)
    with pytest.raises(BadInput, match="is not JSON"):
        read(tmp_path / "items.json")


def test_a_collection_of_an_api_is_not_mistaken_for_a_catalogue(tmp_path: Path) -> None:
    document = {
        "type": "Collection",
        "id": "c",
        "links": [{"rel": "items", "href": "https://h.org/collections/c/items"}],
    }
    (tmp_path / "collection.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=r"behind the API.*as \[source\] catalog"):
        read(tmp_path / "collection.json")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "Check the keys"), (403, "Check the keys"), (404, "Check the address"), (500, "network")],
)
def test_remedies_fit_what_a_server_says(status: int, remedy: str) -> None:
    with serve(lambda *_: reply({}, status)) as server, pytest.raises(BadInput) as caught:
        read(f"{server.url}/items.json")
    assert remedy in caught.value.remedy


def test_a_folder_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is a folder.*Name the file in it"):
        read(tmp_path)


def relative(item: dict[str, Any], own: str | None) -> dict[str, Any]:
    """Return an item whose assets lie beside it, with a link to itself."""
    for key, asset in item["assets"].items():
        asset["href"] = f"./{key}.tif"
    item["links"] = [{"rel": "self", "href": own}] if own else []
    return item


def hrefs_of(raw: RawItem) -> set[str]:
    scene = normalise(raw, recognise(raw.item), ["red", "scl"], SourceConfig())
    assert not isinstance(scene, Rejection)
    return {asset.href for asset in scene.assets.values()}


REMOTE = "https://h.org/c/x/item.json"


@pytest.mark.parametrize("whose", ["item", "collection"])
def test_files_beside_a_saved_collection_are_found_though_its_own_link_leads_elsewhere(
    whose: str, tmp_path: Path
) -> None:
    for name in ("B04.tif", "SCL.tif"):
        (tmp_path / name).touch()
    document = collection(relative(pc_item(), REMOTE if whose == "item" else None))
    if whose == "collection":
        document["links"] = [{"rel": "self", "href": "https://h.org/c/x/items.json"}]
    (tmp_path / "items.json").write_text(json.dumps(document))
    (raw,) = read(tmp_path / "items.json")
    assert hrefs_of(raw) == {str(tmp_path / "B04.tif"), str(tmp_path / "SCL.tif")}
    # Each file by itself: what was not saved is still read where it came from.
    (tmp_path / "SCL.tif").unlink()
    assert hrefs_of(raw) == {str(tmp_path / "B04.tif"), "https://h.org/c/x/SCL.tif"}


def test_the_same_holds_for_items_of_a_static_catalogue(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/B04.tif").touch()
    (tmp_path / "x/item.json").write_text(json.dumps(relative(pc_item(), REMOTE)))
    links = [{"rel": "item", "href": "x/item.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    for path in ("catalog.json", "x/item.json"):
        (raw,) = read(tmp_path / path)
        assert hrefs_of(raw) == {str(tmp_path / "x/B04.tif"), "https://h.org/c/x/SCL.tif"}


def test_a_moved_catalogue_whose_own_links_are_old_paths_is_read_where_it_is(tmp_path: Path) -> None:
    for name in ("B04.tif", "SCL.tif"):
        (tmp_path / name).touch()
    (tmp_path / "item.json").write_text(json.dumps(relative(pc_item(), "/old/place/item.json")))
    (tmp_path / "items.json").write_text(json.dumps(collection(relative(pc_item(), "/old/place/item.json"))))
    for path in ("item.json", "items.json"):
        (raw,) = read(tmp_path / path)
        assert hrefs_of(raw) == {str(tmp_path / "B04.tif"), str(tmp_path / "SCL.tif")}


def test_links_of_a_catalogue_may_be_encoded_or_not(tmp_path: Path) -> None:
    for folder in ("a b", "a%20c", "é#1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "i.json").write_text(json.dumps({**pc_item(), "id": folder}))
    links = [{"rel": "item", "href": h} for h in ("a%20b/i.json", "./a%20c/i.json", "é#1/i.json")]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    assert [raw.item["id"] for raw in read(tmp_path / "catalog.json")] == ["a b", "a%20c", "é#1"]


def test_a_link_that_is_refused_says_what_helps(tmp_path: Path) -> None:
    links = [{"rel": "item", "href": "https://10.0.0.1/i.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    with pytest.raises(BadInput, match="not a public host") as caught:
        read(tmp_path / "catalog.json")
    assert "allow_hosts" in caught.value.remedy
