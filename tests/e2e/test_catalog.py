"""Whole runs, whatever lists the items and however they say it; over zones, the antimeridian and January 2022."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import rustac
import shapely
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core.geo import ground_area
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.stac import catalog
from groundbreak.pipeline.testing import ArchiveServer
from tests.stac import ESA as WITHOUT_BLUE
from tests.stac import stac_api
from tests.stores import zarr_bytes
from tests.world import CLEAR, SIDES, Tile, configure, days, item, lonlat_box, write_items, write_source, write_tif

Item = dict[str, Any]

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_040, 4_399_500, 600_440, 4_399_800)
DATES = days("2021-01-03", 60, 12)
SPAN = "2021-01-01/2023-12-31"
ONSET, HALT = np.datetime64("2022-01-10"), np.datetime64("2022-06-10")
STEP = "2022-01-25"
"""When processing baseline 04.00 began, and added 1000 to every number."""


def reflectance(band: str, number: int, site: np.ndarray) -> np.ndarray:
    """Reflectance x 10 000: seasonal grass; on the site it is cleared, worked on, and built."""
    date, rng = np.datetime64(DATES[number]), np.random.default_rng([number, len(band)])
    season = np.sin(2 * np.pi * number * 12 / 365.25)
    grass = {"blue": 500, "red": 700 - 200 * season, "nir": 3000 + 700 * season, "swir16": 2000 - 300 * season}[band]
    bare = {"blue": 1200, "red": 2000, "nir": 2600, "swir16": 3300}[band]
    noise, works = rng.normal(0, 40), rng.normal(0, 450)
    changed = site & (date >= ONSET)
    return np.where(changed, bare + noise + (works if date <= HALT else 0.0), grass + noise)


def around(x0: float, y0: float, epsg: int) -> Callable[..., Any]:
    """Pixels of a site of 320 m x 200 m around a point of a CRS, whichever CRS the tile has."""

    def pixels(band: str, tile: Tile, number: int, x: np.ndarray, y: np.ndarray) -> Any:
        if band == "scl":
            return CLEAR
        x, y = np.broadcast_arrays(x, y)
        if tile.epsg != epsg:
            x, y = pyproj.Transformer.from_crs(tile.epsg, epsg, always_xy=True).transform(x, y)
        return reflectance(band, number, (abs(x - x0) < 160) & (abs(y - y0) < 100))

    return pixels


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveServer]:
    folder = tmp_path_factory.mktemp("archive")
    write_source(folder, [TILE], DATES, around(600_240, 4_399_640, 32638))
    with ArchiveServer(folder) as server:
        yield server


@pytest.fixture(scope="module")
def listed(archive: ArchiveServer) -> list[Item]:
    features: list[Item] = json.loads((archive.folder / "items.json").read_text())["features"]
    return features


@pytest.fixture(scope="module")
def expected(archive: ArchiveServer, tmp_path_factory: pytest.TempPathFactory, client: Client) -> dict[str, str]:
    """Every object of the stores of a run from the FeatureCollection."""
    folder = tmp_path_factory.mktemp("expected")
    result = api.run(configure(folder, BOX, SPAN, items=str(archive.folder / "items.json")), client)
    (site,) = result.sites
    assert site.area_m2 == pytest.approx(64_000, rel=0.06)
    return zarr_bytes(folder / "out")


def absolute(items: list[Item], base: str) -> list[Item]:
    """Return the items with absolute hrefs."""
    items = copy.deepcopy(items)
    for asset in (a for i in items for a in i["assets"].values()):
        asset["href"] = base + asset["href"].removeprefix(".")
    return items


def as_stac_1_1(given: Item) -> Item:
    """Return an item as STAC 1.1 writes it: proj:code; bands, whose common fields move up to the asset."""
    new = copy.deepcopy(given)
    new["stac_version"] = "1.1.0"
    new["properties"]["proj:code"] = f"EPSG:{new['properties'].pop('proj:epsg')}"
    for band, asset in new["assets"].items():
        (old,) = asset.pop("raster:bands")
        asset |= {"nodata": old["nodata"], "data_type": old["data_type"], "bands": [{"name": band}]}
        asset |= {f"raster:{k}": old[k] for k in ("scale", "offset") if k in old}
    return new


def test_a_served_api_page_by_page(
    archive: ArchiveServer,
    listed: list[Item],
    expected: dict[str, str],
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "ITEMS_PER_PAGE", 7)
    write_items(tmp_path, absolute(listed, archive.url))
    with stac_api(tmp_path / "items.json") as url:
        source = SourceConfig(SPAN, catalog=url, collection="sentinel-2-l2a", allow_hosts=("127.0.0.1",))
        result = api.run(dataclasses.replace(configure(tmp_path, BOX, SPAN), source=source), client)
    assert not result.faults
    assert zarr_bytes(tmp_path / "out") == expected


def test_stac_geoparquet(
    archive: ArchiveServer, listed: list[Item], expected: dict[str, str], tmp_path: Path, client: Client
) -> None:
    async def write() -> None:
        await rustac.write(str(archive.folder / "items.parquet"), listed)

    asyncio.run(write())
    api.run(configure(tmp_path, BOX, SPAN, items=str(archive.folder / "items.parquet")), client)
    assert zarr_bytes(tmp_path / "out") == expected


def test_a_static_catalogue_of_stac_1_1(
    archive: ArchiveServer, listed: list[Item], expected: dict[str, str], tmp_path: Path, client: Client
) -> None:
    links = []
    for given in listed:
        new = as_stac_1_1(given)
        for asset in new["assets"].values():
            asset["href"] = "." + asset["href"]
        path = archive.folder / "items" / f"{new['id']}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(new))
        links.append({"rel": "item", "href": f"./items/{path.name}"})
    document = {"type": "Catalog", "stac_version": "1.1.0", "id": "c", "description": "c", "links": links}
    (archive.folder / "catalog.json").write_text(json.dumps(document))
    api.run(configure(tmp_path, BOX, SPAN, items=str(archive.folder / "catalog.json")), client)
    assert zarr_bytes(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("west", "east", "lon", "lat"),
    [(32638, 32639, 48.0, 40.0), (32760, 32701, 180.0, -17.0)],
    ids=["zones 38 and 39", "the antimeridian"],
)
def test_a_site_over_two_zones_is_one(
    west: int, east: int, lon: float, lat: float, tmp_path: Path, client: Client
) -> None:
    tiles = []
    for epsg, code, reach in ((west, "38TQK", 900), (east, "39TUK", 380)):
        x, y = pyproj.Transformer.from_crs("OGC:CRS84", epsg, always_xy=True).transform(lon, lat)
        tiles.append(Tile(code, epsg, round((x - reach) / 20) * 20, round((y + 640) / 20) * 20))
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", west, always_xy=True).transform(lon, lat)
    # On the western tile its edges are those of pixels of 20 m, too; on the eastern one some pixels are mixed.
    x, y = round(x / 20) * 20, round(y / 20) * 20
    write_source(tmp_path / "source", tiles, DATES, around(x, y, west))
    box = lonlat_box(west, x - 250, y - 160, x + 250, y + 160)
    assert (box[0] > box[2]) == (lon == 180)
    settings = configure(tmp_path, box, SPAN, cube={"region": 128})
    plan = api.plan(settings)
    assert [g.grid.frame.epsg for g in plan.grids] == [west, east]
    assert plan.uncovered_km2 == 0
    result = api.run(settings, client)
    assert not result.faults
    assert {p.name for p in (tmp_path / "out/change").iterdir()} == {f"{west}.zarr", f"{east}.zarr"}
    owned = {}
    for epsg in (west, east):
        with xr.open_zarr(tmp_path / f"out/change/{epsg}.zarr", consolidated=False) as layers:
            owned[epsg] = int((layers.status != 255).sum())
            assert int((layers.status == 3).sum()) > 100
    # Every part of the area is owned once: what both own together is the area, to a seam of a pixel.
    whole = ground_area(plan.area) / 100
    assert sum(owned.values()) == pytest.approx(whole, rel=0.02)
    (row,) = pq.read_table(tmp_path / "out/sites.parquet").to_pylist()
    assert row["area_m2"] == pytest.approx(64_000, rel=0.06)
    assert row["n_pixels"] == pytest.approx(640, rel=0.06)
    shape = result.sites[0].geometry
    assert shape.is_valid
    assert ground_area(shape) == pytest.approx(64_000, rel=0.06)
    assert shapely.bounds(shape)[0] >= -180
    assert shapely.bounds(shape)[2] <= 180
    if lon == 180:
        assert shape.geom_type == "MultiPolygon"
        assert shapely.box(-180, -18, -179.9, -16).intersects(shape)
    assert abs(np.datetime64(row["onset"]) - ONSET) <= np.timedelta64(24, "D")


# Baseline 04.00 -------------------------------------------------------------------------------------------------------

ESA = {"blue": "B02", **WITHOUT_BLUE}


def earth_search_applied(given: Item, _new: bool) -> Item:
    """Return an item whose numbers are free of the offset, though raster:bands declare it."""
    return given


def earth_search_not_applied(given: Item, new: bool) -> Item:
    given["properties"]["earthsearch:boa_offset_applied"] = False
    for band, asset in given["assets"].items():
        if band != "scl":
            asset["raster:bands"][0]["offset"] = -0.1 if new else 0
    return given


def planetary_computer(given: Item, _new: bool) -> Item:
    """ESA's names, and not a word on scale and offset."""
    del given["properties"]["earthsearch:boa_offset_applied"]
    given["assets"] = {ESA[band]: asset for band, asset in given["assets"].items()}
    for asset in given["assets"].values():
        del asset["raster:bands"]
    return given


def cdse(given: Item, new: bool) -> Item:
    """STAC 1.1, the resolution in the names, raster:offset in the bands."""
    given = as_stac_1_1(given)
    del given["properties"]["earthsearch:boa_offset_applied"]
    given["assets"] = {f"{ESA[band]}_{SIDES[band]}m": asset for band, asset in given["assets"].items()}
    for key, asset in given["assets"].items():
        if not key.startswith("SCL"):
            asset["bands"][0] |= {"raster:scale": asset.pop("raster:scale"), "raster:offset": -0.1 if new else 0}
            del asset["raster:offset"]
    return given


FLAVOURS = (earth_search_applied, earth_search_not_applied, planetary_computer, cdse)


def test_the_step_of_january_2022_is_gone_whoever_provides(tmp_path: Path, client: Client) -> None:
    features: dict[str, list[Item]] = {flavour.__name__: [] for flavour in FLAVOURS}
    nowhere = np.zeros((1, 1), bool)
    for number, date in enumerate(DATES):
        new = date >= STEP
        for band, side in SIDES.items():
            frame = TILE.frame(side)
            x, y = frame.centres()
            texture = (x[None] / 10 + 3 * y[:, None] / 10) % 97
            plain = np.rint(reflectance(band, number, nowhere) + texture) if band != "scl" else texture * 0 + CLEAR
            for kind, added in (("plain", 0), ("raised", 1000 if new and band != "scl" else 0)):
                values = (plain + added).astype(np.uint8 if band == "scl" else np.uint16)
                write_tif(tmp_path / "source" / kind / f"{date}_0" / f"{band}.tif", values, frame)
        for flavour in FLAVOURS:
            given = item(TILE, date, baseline="04.00" if new else "03.01")
            kind = "plain" if flavour is earth_search_applied else "raised"
            for asset in given["assets"].values():
                asset["href"] = asset["href"].replace(TILE.code, kind)
            features[flavour.__name__].append(flavour(given, new))
    found = {}
    for name, items in features.items():
        write_items(tmp_path / "source", items).rename(tmp_path / "source" / f"{name}.json")
        result = api.run(configure(tmp_path, BOX, SPAN, items=f"source/{name}.json", output={"path": name}), client)
        assert not result.faults
        assert not result.sites
        assert json.loads((tmp_path / name / "run.json").read_text())["rejected"] == {}
        out = tmp_path / name
        found[name] = {k: v for k, v in zarr_bytes(out).items() if "/c/" in k}
        with xr.open_zarr(out / "38TPK/cube.zarr/10m", consolidated=False) as cube:
            # Reflectance as it was made, before and after.
            assert float(cube.red.sel(time=slice("2022-02", None)).mean()) == pytest.approx(0.0748, abs=0.02)
        with xr.open_zarr(out / "change/32638.zarr", consolidated=False) as layers:
            assert set(np.unique(layers.status)) == {0, 255}
    assert found["earth_search_applied"]
    for name in features:
        assert found[name] == found["earth_search_applied"], name
