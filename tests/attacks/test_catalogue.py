"""A catalogue that means harm: what it names is not read, what it says is harmless text, and it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from distributed import Client
from markupsafe import escape

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.access import retries
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput, Rejection
from groundbreak.pipeline.stac import pages
from groundbreak.pipeline.stac.catalog import read_items
from groundbreak.pipeline.stac.items import RawItem
from groundbreak.pipeline.stac.screening import screen_items
from tests.commands import write_config
from tests.stac import AREA, Loopback, pc_item, reply, serve
from tests.world import Tile, days, item, lonlat_box, write_items, write_source

DEEP = 100_000
SPAN = "2021-01-01/2022-12-31"
SCRIPT = "<script>alert('PWNED')</script><img src=x onerror=alert(1)>"
ODD = "\x1b[2J\x07\u202e\ud800\0"
"""A cleared screen, a bell, writing from right to left, half a character, and an end of text."""
TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_500, 600_500, 4_399_900)
HARMLESS = re.compile(r"[A-Za-z0-9._\-]+")

Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "CATALOG_BACKOFF_S", 0.0)


def search(url: str) -> list[RawItem]:
    source = SourceConfig(catalog=url, collection="c", datetime="2024-07-01/2024-07-31", allow_hosts=("127.0.0.1",))
    return list(read_items(source, AREA, lambda text: text))


@contextmanager
def stac_api(page: Callable[[str], Reply]) -> Iterator[Loopback]:
    """Serve a STAC API whose pages a function makes of the path that is asked for."""

    def answer(_method: str, path: str, _body: bytes) -> Reply:
        if path != "/":
            return page(path)
        link = {"rel": "search", "type": "application/geo+json", "href": f"{server.url}/search", "method": "GET"}
        return reply({"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x", "links": [link]})

    with serve(answer) as server:
        yield server


@pytest.mark.parametrize("fresh", [True, False])
def test_paging_without_end_ends(fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_PAGES", 30)

    def page(path: str) -> Reply:
        number = int(re.sub(r"\D", "", path.partition("page=")[2]) or 0)
        items = [{**pc_item(), "id": f"i{number if fresh else 0}"}]
        link = {"rel": "next", "href": f"/search?page={number + 1}"}
        return reply({"type": "FeatureCollection", "features": items, "links": [link]})

    with stac_api(page) as server:
        with pytest.raises(BadInput, match="has no end" if fresh else "nothing but items of earlier pages"):
            search(server.url)
        assert len(server.asked) < 40


@pytest.mark.parametrize("text", ["[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP])
def test_json_that_is_nested_without_end_is_refused_in_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text(text)
    source = SourceConfig(datetime="2024-07-01/2024-07-31", items=str(tmp_path / "items.json"))
    with pytest.raises(BadInput) as caught:
        list(read_items(source, AREA, lambda name: name))
    assert len(str(caught.value)) < 3000
    body = (200, {"Content-Type": "application/json"}, text.encode())
    with serve(lambda *_: body) as whole, stac_api(lambda _path: body) as paged:
        for url in (whole.url, paged.url):
            with pytest.raises(BadInput) as caught:
                search(url)
            assert len(str(caught.value)) < 3000


def test_an_item_that_is_nested_without_end_is_rejected_alone() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    bad = {**pc_item(), "id": "deep", "geometry": {"type": "Polygon", "coordinates": deep}}
    raws = [RawItem(one, "https://h.org/x", None) for one in (bad, pc_item())]
    (rejected,) = screened(raws)
    assert (rejected.item, rejected.reason in ("no_footprint", "malformed")) == ("deep", True)


def screened(raws: list[RawItem]) -> tuple[Rejection, ...]:
    span = (np.datetime64("2024-07-01", "ms"), np.datetime64("2024-07-31", "ms"))
    return screen_items(raws, area=AREA, span=span, bands=("red", "nir"), source=SourceConfig()).rejections


WRONG: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("an id that is a number", lambda i: i.update(id=7)),
    ("an id that is a list", lambda i: i.update(id=["a"])),
    ("an id without end", lambda i: i.update(id="a" * 1_000_000)),
    ("no properties", lambda i: i.update(properties=[])),
    ("a datetime that is an object", lambda i: i["properties"].update(datetime={"a": 1})),
    ("a datetime without end", lambda i: i["properties"].update(datetime="2" * 1_000_000)),
    ("a box that is no number", lambda i: i.update(geometry=None, bbox=[float("nan")] * 4)),
    ("a box without end", lambda i: i.update(geometry=None, bbox=[0, 0, float("inf"), 1e400])),
    ("a box of texts", lambda i: i.update(geometry=None, bbox=["a", "b", "c", "d"])),
    ("a geometry that is a text", lambda i: i.update(geometry="POLYGON")),
    ("assets that are texts", lambda i: i.update(assets=dict.fromkeys(i["assets"], "x"))),
    ("hrefs that are objects", lambda i: [a.update(href={"a": 1}) for a in i["assets"].values()]),
    ("hrefs with half a character", lambda i: [a.update(href="https://h.org/\ud800") for a in i["assets"].values()]),
    ("hrefs of files", lambda i: [a.update(href="file:///etc/passwd.tif") for a in i["assets"].values()]),
    ("hrefs of this machine", lambda i: [a.update(href="/etc/passwd.tif") for a in i["assets"].values()]),
    ("hrefs of GDAL", lambda i: [a.update(href="/vsicurl/https://h.org/a.tif") for a in i["assets"].values()]),
    ("hrefs of GDAL in a URL", lambda i: [a.update(href="vsizip://a.zip/a.tif") for a in i["assets"].values()]),
    ("hrefs of metadata", lambda i: [a.update(href="http://169.254.169.254/a.tif") for a in i["assets"].values()]),
    ("hrefs without end", lambda i: [a.update(href="https://h.org/" + "a" * 100_000) for a in i["assets"].values()]),
]  # fmt: skip


@pytest.mark.parametrize("harm", [harm for _, harm in WRONG], ids=[name for name, _ in WRONG])
def test_an_item_that_says_what_cannot_be_is_rejected_alone(harm: Callable[[dict[str, Any]], Any]) -> None:
    bad = json.loads(json.dumps(pc_item()))
    harm(bad)
    (rejected,) = screened([RawItem(one, "https://h.org/x", None) for one in (bad, pc_item())])
    assert len(rejected.item) < 3000
    assert len(rejected.detail) < 3000
    (rejected.item + rejected.detail).encode()


def test_odd_texts_of_items_reach_every_output_as_harmless_text(
    tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids with ../, of 4,000 characters, with control characters and scripts; some files are broken."""
    dates = days("2021-01-03", 16, 15)
    write_source(tmp_path / "source", [TILE], dates)
    features = [item(TILE, date) for date in dates]
    ids = [
        "../../../../tmp/PWNED",
        "/etc/PWNED",
        "a" * 4000,
        f"odd{ODD}",
        SCRIPT,
        "..",
        "a\nb",
        "{{ 7 * 7 }}",
        "%s%n",
        "x;y",
    ]
    for feature, name in zip(features, ids, strict=False):
        feature["id"] = name
        feature["properties"] |= {"title": SCRIPT, "grid:code": "../../PWNED", "platform": f"{SCRIPT}/../{ODD}"}
        feature["properties"] |= {"odd": ODD, "s2:processing_baseline": "../05.00", "nan": float("nan")}
        feature["collection"] = f"../{SCRIPT}"
    for feature in features[-3:]:
        feature["id"], feature["properties"]["datetime"] = f"{SCRIPT}{ODD}../", f"{SCRIPT}{ODD}"
    for date in dates[6:9]:
        (tmp_path / "source" / TILE.code / f"{date}_0" / "red.tif").write_bytes(b"II*\0")
    items = write_items(tmp_path / "source", features)
    bands = {band: band for band in ("blue", "red", "nir", "swir16")}
    provider = {"bands": bands, "scale": 1e-4, "offset": -0.1, "nodata": 0.0, "mask": {"asset": "scl", "clear": [5]}}
    path = write_config(
        tmp_path / "run.toml", client, BOX, SPAN, items=str(items), source={"provider": provider},
        run={"attempts": 1, "fault_threshold": 1.0}
    )  # fmt: skip
    assert cli.main(["plan", str(path), "--json"]) == 0
    assert cli.main(["plan", str(path)]) == 0
    assert cli.main(["run", str(path), "-vv"]) in (0, 1)
    assert cli.main(["status", str(path), "--json"]) in (0, 1)
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert not set(text) & set("\x1b\x07\u202e\ud800\0")
    out = tmp_path / "out"
    for file in out.rglob("*"):
        assert all(HARMLESS.fullmatch(part) for part in file.relative_to(out).parts), file
        assert "PWNED" not in file.name
    assert not list(tmp_path.parent.rglob("*PWNED*"))
    page = (out / "report.html").read_text()
    assert SCRIPT not in page
    assert "<img src=x" not in page
    assert str(escape(SCRIPT)) in page


def test_scripts_in_a_title_of_a_configuration_are_text(tmp_path: Path, client: Client) -> None:
    dates = days("2021-01-03", 12, 15)
    write_source(tmp_path / "source", [TILE], dates)
    path = write_config(tmp_path / "run.toml", client, BOX, SPAN, out=f"out {SCRIPT.replace('/', '')}")
    result = api.run(str(path), client)
    page = Path(result.output.path, "report.html").read_text()
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "vsis3://b/a", "http://127.0.0.2/a.json", "http://169.254.169.254/a"]
)
@pytest.mark.parametrize("rel", ["item", "child"])
def test_a_remote_catalogue_links_to_nothing_of_this_machine(rel: str, href: str) -> None:
    catalogue = {"type": "Catalog", "id": "a", "links": [{"rel": rel, "href": href}]}
    with serve(lambda *_: reply(catalogue)) as server:
        source = SourceConfig(datetime="2024-07-01/2024-07-31", items=f"{server.url}/c.json")
        with pytest.raises(BadInput, match="links to"):
            list(read_items(source, shapely.box(0, 0, 1, 1), lambda name: name))
        assert len(server.asked) == 1
