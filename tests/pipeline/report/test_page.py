"""The report in a real browser: it stands alone, shows what was found, and runs nothing that others wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.io
import shapely

from groundbreak.kernels import Status
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.products.mosaic import publish_mosaics
from groundbreak.pipeline.products.sites import Site, find_sites
from groundbreak.pipeline.report import figures
from groundbreak.pipeline.report.charts import SiteSeries, ticks
from groundbreak.pipeline.report.page import write_report
from tests.pipeline.ground import NORTH, change, day, stable_grid, store_grids

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
Published = tuple[Output, list[int], list[Site]]
AREA = geo.to_lonlat(shapely.box(500_000, NORTH - 2000, 502_000, NORTH), 32638)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """(output, epsgs, sites): a halted and an active site in two zones."""
    output = Output(str(tmp_path_factory.mktemp("out")))
    west, east = stable_grid("A", 32638, 500_000, 200, 200), stable_grid("B", 32639, 300_000, 64, 64)
    change(west[1], np.s_[50:80, 50:80], day("2022-07-01") + np.arange(30), day("2023-09-01"), quality=4)
    change(west[1], np.s_[150:160, 20:40], day("2023-06-01"))
    west[1].status[:20] = Status.TOO_FEW_OBSERVATIONS
    epsgs = list(publish_mosaics(output, output, *store_grids(output, [west, east]), {}))
    return output, epsgs, find_sites(output, epsgs, min_area_m2=2000)


def _series() -> SiteSeries:
    dates = np.arange(np.datetime64("2021-01-01"), np.datetime64("2024-12-01"), np.timedelta64(7, "D"))
    values = np.where(np.arange(len(dates)) % 3, np.linspace(0.6, 0.1, len(dates)), np.nan).astype("f4")
    return SiteSeries(dates, {"ndvi": values, "cloudy": np.full(len(dates), np.nan, "f4")})


def _page(output: Output) -> str:
    page = output.get("report.html")
    assert page is not None
    return page.decode()


def _write(published: Published, sites: list[Site] | None = None, **changes: Any) -> str:
    output, epsgs, found = published
    sites = found if sites is None else sites
    arguments: dict[str, Any] = {
        "title": "Compound",
        "area": AREA,
        "sites": sites,
        "epsgs": epsgs,
        "faults": [],
        "series": {s.id: _series() for s in sites},
        "summary": {"Observations": 1234},
        "verdict": ["Two sites.", "every item was used"],
        **changes,
    }
    write_report(output, **arguments)
    return _page(output)


def test_it_holds_what_was_found(published: Published) -> None:
    page = _write(published)
    assert "<title>Compound</title>" in page
    assert '<p class="verdict">Two sites.</p>' in page
    assert "1,234" in page
    assert "90,000 m²" in page
    assert page.count('<article id="card-') == 2
    assert '<time datetime="2023-09-01">' in page
    assert "2023-08-27 \N{EN DASH} 2023-09-06" in page
    assert "a date falls in the snow season" in page
    assert "EPSG:32638" in page
    assert "EPSG:32639" in page
    assert "None: every image" in page


def test_zero_sites_reads_well(published: Published) -> None:
    page = _write(published, sites=[], verdict=["No site was found.", "1 item not used", "  1 malformed (<b>)"])
    assert '<p class="verdict">No site was found.</p>' in page
    assert '<p class="told">1 item not used</p>' in page
    assert '<p class="told deeper">1 malformed (&lt;b&gt;)</p>' in page
    assert "<article" not in page
    assert 'id="sites"' not in page


def test_nothing_published_at_all(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    write_report(output, title="t", area=AREA, sites=[], epsgs=[], series={}, summary={}, verdict=[], faults=[])
    assert "<h2>Maps</h2>" not in _page(output)


def test_only_the_largest_sites_get_cards(published: Published) -> None:
    many = [replace(published[2][0], id=f"site-{n:04d}") for n in range(1, 61)]
    page = _write(published, sites=many, series={})
    assert page.count('<article id="card-') == 50
    assert "The 50 largest of 60 sites." in page
    assert "site-0060" in page


def test_hostile_texts_are_escaped_and_signatures_dropped(published: Published) -> None:
    signed = "https://x.example/a.tif?sig=SECRET"
    fault = Fault("A/r000c000", HOSTILE, HOSTILE, "red", signed, f"HTTP 403 for {signed}", 3)
    hostile = [replace(published[2][0], quality=(HOSTILE,), id=HOSTILE)]
    page = _write(
        published,
        sites=hostile,
        title=HOSTILE,
        faults=[fault],
        summary={HOSTILE: HOSTILE},
        series={HOSTILE: SiteSeries(_series().dates, {HOSTILE: _series().values["ndvi"]})},
    )
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert" in page
    assert "{{7*7}}" in page
    assert "SECRET" not in page
    assert "https://x.example/a.tif" in page


def test_the_policy_names_no_origin(published: Published) -> None:
    page = _write(published)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    # Whatever is named by an address stands in the page.
    assert {m[:5] for m in re.findall(r'(?:href|src)="([^#"][^"]*)"', page)} == {"data:"}


def test_bytes_are_the_same_every_time(published: Published) -> None:
    assert _write(published) == _write(published)


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs chromium")
@pytest.mark.parametrize("hostile", [False, True])
def test_in_a_browser(published: Published, hostile: bool) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    name = HOSTILE if hostile else "Compound"
    fault = Fault("A/r000c000", name, name, "red", "https://x.example/a.tif", name, 3)
    _write(published, title=name, faults=[fault])
    asked: list[str] = []
    said: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto((Path(published[0].path) / "report.html").as_uri())
        assert page.locator("h1").inner_text() == name
        assert page.locator("article").count() == 2
        # Styles are allowed by their hash, so a broken policy would show as an unstyled page.
        assert page.locator("article").first.evaluate("e => getComputedStyle(e).borderTopWidth") == "1px"
        sizes = page.locator("svg.map").evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
        assert len(sizes) == 8
        assert min(sizes) > 50
        first = "#sites tbody tr:first-child td:nth-child(2)"
        assert page.locator(first).inner_text() == "site-0001"
        page.locator("#sites th").nth(5).click()
        assert page.locator(first).inner_text() == "site-0002"
        page.locator("#card-1").scroll_into_view_if_needed()
        box = page.locator("#card-1 svg.chart").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.25)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d: 0\.\d{3}", page.locator("#card-1 .hover").inner_text())
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_picture_is_a_png_of_its_palette() -> None:
    entries = np.arange(256, dtype=np.uint8).reshape(8, 32)
    with rasterio.io.MemoryFile(figures.png(entries)) as file, file.open(driver="PNG") as image:
        np.testing.assert_array_equal(image.read(1), entries)
        table = image.colormap(1)
    assert table[0][3] == 0
    assert table[255] == (241, 229, 29, 255)


def test_the_ramp_grows_evenly_lighter() -> None:
    rgb = figures.palette()[figures.FIRST_DATE :, :3] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(linear) - 16
    steps = np.diff(lightness[::24])
    assert steps.min() > 0
    assert steps.max() < 2.5 * steps.min()


def test_an_overview_is_thinned_by_nearest_and_cropped_to_what_is_owned(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    grid, layers = stable_grid("A", 32638, 500_000, 100, 3000, region=1000)
    layers.status[:, 2000:] = 255
    change(layers, np.s_[:, :], np.arange(3000)[None, :].repeat(100, 0)[:, :], status=Status.ACTIVE)
    layers.status[:, 2000:] = 255
    publish_mosaics(output, output, *store_grids(output, [(grid, layers)]), {})
    view = figures.overview(output, 32638)
    assert view is not None
    assert view.frame.resolution == 30
    assert view.status.shape == (33, 667)
    np.testing.assert_array_equal(view.onset[0, :3], [1, 4, 7])


@pytest.mark.parametrize(
    "span", [("2020-01-05", "2024-12-30"), ("2022-06-20", "2022-09-10"), ("2022-06-02", "2022-06-20")]
)
def test_ticks_lie_within_and_ascend(span: tuple[str, str]) -> None:
    first, last = day(span[0]), day(span[1])
    found = ticks(first, last, 8)
    assert 2 <= len(found) <= 8
    assert [d for d, _ in found] == sorted(d for d, _ in found)
    assert all(first <= d <= last for d, _ in found)
    assert len({label for _, label in found}) == len(found)
