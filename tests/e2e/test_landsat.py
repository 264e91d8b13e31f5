"""Whole runs on Landsat alone: items as three catalogues write them, simulated pixels, and no more said than needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from distributed import Client

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.access import providers
from groundbreak.pipeline.core import geo
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.readers.assets import FETCHED, ON_DISK
from tests.hosts import Asked, Reply, host
from tests.sensor_items import FILES, filled, own, real, shape_of
from tests.sensors import (
    BANDS,
    Ground,
    Shot,
    area_of,
    bare,
    demand_cube,
    demand_plan,
    demand_site,
    opened,
    pixels_in,
    refused,
    within,
)
from tests.shared import SHARED, needs_shared
from tests.world import days, write_items

GROUND = Ground(
    site=(470_775, 4_449_015, 471_075, 4_449_255),
    pond=(471_375, 4_448_595, 471_885, 4_449_105),
    onset="2023-02-20",
    halt="2023-07-20",
)
AREA = area_of((470_460, 4_448_500, 472_000, 4_449_500), 32613)
SPAN = "2021-11-01/2024-05-31"
CLEAR_OLI, CLEAR_ETM = (21824, 21952), (5440, 5504)
"""Clear land and clear water."""
UNCLEAR_OLI = (22280, 23888, 30048, 54596, 21826)
"""Cloud, cloud shadow, snow, cirrus, dilated cloud."""
UNCLEAR_ETM = (5896, 7440, 13600)
"""Cloud, cloud shadow, snow."""
OLI = {"blue": "_SR_B2.TIF", "red": "_SR_B4.TIF", "nir": "_SR_B5.TIF", "swir16": "_SR_B6.TIF", "mask": "_QA_PIXEL.TIF"}
ETM = {"blue": "_SR_B1.TIF", "red": "_SR_B3.TIF", "nir": "_SR_B4.TIF", "swir16": "_SR_B5.TIF", "mask": "_QA_PIXEL.TIF"}
QA_FILL = 1


def shot(sensor: str, path: str, date: str, corner: tuple[int, int]) -> Shot:
    """Return a scene whose window begins at a corner, and whose swath ends within it."""
    frame = Frame(32613, *corner, 30, 92, 104)
    x, y = (values[None, :] if n == 0 else values[:, None] for n, values in enumerate(frame.centres()))
    outside = x + 0.2 * y > corner[0] + 0.2 * corner[1] + 2900 if path.startswith("034") else x + 0 * y < -1e9
    etm = sensor == "LE07"
    clear, unclear = (CLEAR_ETM, UNCLEAR_ETM) if etm else (CLEAR_OLI, UNCLEAR_OLI)
    rng = np.random.default_rng([int(date.replace("-", "")), int(path)])
    patch = rng.random((12, 12)) < (0.9 if rng.random() < 0.15 else 0.12)
    kinds = rng.choice(unclear, (12, 12))
    rows, cols = np.arange(frame.height)[:, None] // 8, np.arange(frame.width)[None, :] // 9
    land = np.where(within(GROUND.pond, x, y), clear[1], clear[0])
    qa = np.where(outside, 1, np.where(patch[rows, cols], kinds[rows, cols], land)).astype(np.uint16)
    numbers = {"mask": qa}
    for band in BANDS:
        seen = np.where(np.isin(qa, clear), GROUND.reflectance(band, date, x, y), 0.6)
        numbers[band] = np.where(outside, 0, np.rint((seen + 0.2) / 2.75e-5)).astype(np.uint16)
    day, seconds = date.replace("-", ""), 29 if path.startswith("033") else 45
    name = f"{sensor}_L2SP_{path}_{day}_{day}_02_T1"
    time = f"{date}T{15 if etm else 17}:37:{seconds}"
    return Shot(name, time, frame, numbers, 2.75e-5, -0.2, 0, clear, ETM if etm else OLI)


def corner(number: int, x: int = 470_085, y: int = 4_450_215) -> tuple[int, int]:
    """Return where a date's window begins: it moves by tens of pixels."""
    return x + 300 * (number * 7 % 4 - 1), y - 300 * (number * 5 % 3 - 1)


@dataclass(frozen=True)
class World:
    """The files of all scenes, and the scenes."""

    folder: Path
    shots: tuple[Shot, ...]

    def items(self, catalogue: str, prefix: str) -> list[dict[str, Any]]:
        """Return the items of all scenes as a catalogue writes them."""
        found = []
        for one in self.shots:
            usgs = catalogue.startswith("usgs")
            kind = f"{catalogue} LE07" if one.name.startswith("LE07") else catalogue
            parts = one.name.split("_")
            name = one.name + "_SR" if usgs else "_".join(parts[:4] + parts[5:])
            found.append(filled(kind, one, prefix, name))
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two paths a day apart, three satellites: LC08 on path 033, LC09 on 034 the day before, LE07 at times."""
    folder = tmp_path_factory.mktemp("landsat")
    shots = []
    for number, date in enumerate(days("2021-11-05", 58, 16)):
        before, between = days(date, 2, -1)[1], days(date, 2, 8)[1]
        shots += [shot("LC09", "034032", before, corner(number + 1)), shot("LC08", "033032", date, corner(number))]
        if number % 4 == 2:
            shots.append(shot("LE07", "033032", between, corner(number + 2)))
    for one in shots:
        one.write(folder, mask_fill=QA_FILL)
    return World(folder, tuple(sorted(shots, key=lambda s: s.time)))


@pytest.fixture(scope="module")
def few(world: World) -> World:
    """Return the first scenes, which are enough to see which way they are read."""
    return replace(world, shots=world.shots[:12])


def files_of(
    world: World, refuse: Callable[[Asked], Reply | None], prefix: str = "/"
) -> Callable[[Asked], Path | Reply]:
    """Return what a host answers: the files, to whoever is not refused."""

    def answer(asked: Asked) -> Path | Reply:
        path = asked.path.partition("?")[0]
        if (said := refuse(asked)) is not None:
            return said
        return world.folder / path.rpartition("/")[2] if path.startswith(prefix) else (404, {}, b"")

    return answer


def demand_all(out: Path, result: Any, world: World) -> None:
    """Assert that every pixel of the world was read as it is."""
    assert not result.outcome.failed
    assert not result.faults
    owned = int(demand_cube(out, "32613_30m", 32613, world.shots).sum())
    wanted = pixels_in(AREA, [s.frame for s in world.shots])
    assert abs(owned - wanted) <= 0.005 * wanted
    assert not result.verdict.rejections


def way(file: Path) -> dict[str, int]:
    (grid,) = api.plan(file).grids
    return dict(grid.ways)


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Take the logins of this machine away."""
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "EARTHDATA_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize("catalogue", ["pc", "usgs"])
def test_files_on_this_machine(
    world: World, client: Client, catalogue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Items saved beside their files, whose links lead to where they came from."""
    (world.folder / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": world.items(catalogue, "./")})
    )
    file = bare(world.folder, AREA, 'items = "items.json"', SPAN, out=f"out-{catalogue}")
    assert cli.main(["plan", str(file)]) == 0
    said = capsys.readouterr().out
    demand_plan(said, "32613_30m", 32613, world.shots)
    result = api.run(file, client)
    demand_all(world.folder / f"out-{catalogue}", result, world)
    demand_site(result, GROUND, (16, 30))


@pytest.mark.usefixtures("no_keys")
def test_the_planetary_computer_and_its_tokens(
    few: World, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: list[str] = []

    def refuse(asked: Asked) -> Reply | None:
        if asked.path.startswith("/api/sas/"):
            tokens.append(asked.path)
            body = {"msft:expiry": "2999-01-01T00:00:00Z", "token": "st=2026-01-01&sr=c&sig=SECRET%3D"}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        return None if "sig=SECRET%3D" in asked.path else (403, {}, b"")

    with host(files_of(few, refuse)) as server:
        url = "https://planetarycomputer.microsoft.com"
        moved = [
            replace(p, token_url=p.token_url and p.token_url.replace(url, server.url)) for p in providers.PROVIDERS
        ]
        monkeypatch.setattr(providers, "PROVIDERS", tuple(moved))
        write_items(tmp_path, few.items("pc", f"{server.url}/landsat-c2/level-2/standard/"))
        source = 'items = "items.json"\nallow_hosts = ["127.0.0.1"]'
        file = bare(tmp_path, AREA, source, SPAN)
        assert way(file) == {FETCHED: 5 * len(few.shots)}
        result = api.run(file, client)
    demand_all(tmp_path / "out", result, few)
    assert tokens == ["/api/sas/v1/token/landsat-c2-l2"]
    assert not any(b"SECRET" in p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())


@pytest.mark.parametrize("catalogue", ["earth-search", "usgs"])
def test_whoever_reads_pays(
    few: World, client: Client, tmp_path: Path, no_keys: pytest.MonkeyPatch, catalogue: str
) -> None:
    """A bucket whose reader pays, which Earth Search names, and USGS as the other way to its files."""
    if catalogue == "earth-search":  # no item of ETM+ as it writes them is known
        few = replace(few, shots=tuple(s for s in few.shots if not s.name.startswith("LE07")))

    def refuse(asked: Asked) -> Reply | None:
        signed = "Credential=OWN/" in asked.headers.get("authorization", "")
        return None if signed and asked.headers.get("x-amz-request-payer") == "requester" else (403, {}, b"")

    items = few.items(catalogue, "s3://usgs-landsat/collection02/level-2/")
    write_items(tmp_path, items)
    with host(files_of(few, refuse, prefix="/usgs-landsat/collection02/level-2/")) as server:
        source = f'items = "items.json"\ns3_endpoint = "{server.url}"'
        said = refused(api.plan, bare(tmp_path, AREA, source, SPAN)) if catalogue == "earth-search" else ""
        assert ("requester_pays: must be true: s3://usgs-landsat bills" in said) == (catalogue == "earth-search")
        assert not server.asked
        no_keys.setenv("AWS_ACCESS_KEY_ID", "OWN")
        no_keys.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
        file = bare(tmp_path, AREA, source + "\nrequester_pays = true", SPAN)
        assert way(file) == {FETCHED: 5 * len(few.shots)}
        result = api.run(file, client)
    demand_all(tmp_path / "out", result, few)


@pytest.mark.usefixtures("no_keys")
def test_versions_of_a_scene_and_catalogues_of_other_days(client: Client, tmp_path: Path) -> None:
    """Real time, L2SR beside L2SP, USGS' first items: each overpass is read once, from its best version."""
    dates = days("2022-03-01", 10, 16)
    used = [shot("LC08", "033032", date, corner(n)) for n, date in enumerate(dates)]
    for one in used:
        one.write(tmp_path, mask_fill=QA_FILL)
    items = [filled("usgs" if n % 3 else "usgs 0.7", one, "./") for n, one in enumerate(used)]
    worse = []
    for n, other in ((1, "LC08_L2SP_033032_{0}_20990101_02_RT"), (4, "LC08_L2SR_033032_{0}_19990101_02_T1")):
        one = replace(used[n], name=other.format(dates[n].replace("-", "")))
        one.write(tmp_path, noise=4000, mask_fill=QA_FILL)
        worse.append(filled("usgs", one, "./", one.name + "_SR"))
    write_items(tmp_path, [*worse[:1], *items, *worse[1:]])
    result = api.run(bare(tmp_path, AREA, 'items = "items.json"', SPAN), client)
    assert not result.faults
    demand_cube(tmp_path / "out", "32613_30m", 32613, used)
    assert {(r.item, r.reason) for r in result.verdict.rejections} == {(w["id"], "older_version") for w in worse}


SIDELAP = 150.02, -38.9
"""Near the meridian between zones 55 and 56, south of the equator."""


def smooth(band: str, lon: Any, lat: Any) -> Any:
    """Reflectance that both zones see alike: it changes by 0.0003 from pixel to pixel at most."""
    level = {"blue": 0.05, "red": 0.08, "nir": 0.3, "swir16": 0.2}[band]
    return level + 0.6 * (lon - SIDELAP[0]) + 0.5 * (lat - SIDELAP[1])


def sidelap_shot(epsg: int, date: str, number: int) -> Shot:
    """Return a scene of one of two zones, both of northern code, with negative northings."""
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", epsg, always_xy=True).transform(*SIDELAP)
    left, top = (int(v // 300) * 300 + 15 for v in (x - 1700, y + 1800))
    frame = Frame(epsg, left + 300 * (number % 2), top, 30, 110, 120)
    lon, lat = geo.transformer(epsg, 4326).transform(*np.meshgrid(*frame.centres()))
    cloudy = lon > SIDELAP[0] + 0.004
    qa = np.where(cloudy & (number % 3 == 0), 22280, 21824).astype(np.uint16)
    numbers = {b: np.rint((smooth(b, lon, lat) + 0.01 * number + 0.2) / 2.75e-5).astype(np.uint16) for b in BANDS}
    path = "089087" if epsg == 32656 else "090087"
    day = date.replace("-", "")
    name = f"LC09_L2SP_{path}_{day}_{day}_02_T1"
    return Shot(name, f"{date}T23:45:08", frame, numbers | {"mask": qa}, 2.75e-5, -0.2, 0, CLEAR_OLI, OLI)


@pytest.mark.usefixtures("no_keys")
def test_two_zones_of_a_sidelap_south_of_the_equator(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dates = days("2023-01-04", 12, 8)
    zones = [32655 if n % 3 == 1 else 32656 for n in range(12)]
    shots = [sidelap_shot(zone, date, n) for n, (zone, date) in enumerate(zip(zones, dates, strict=True))]
    for one in shots:
        assert one.frame.y0 < -4_000_000
        one.write(tmp_path, mask_fill=QA_FILL)
    write_items(tmp_path, [filled("pc south", s, "./", s.name[:25] + s.name[34:]) for s in shots])
    lon, lat = SIDELAP
    file = bare(tmp_path, (lon - 0.008, lat - 0.006, lon + 0.008, lat + 0.006), 'items = "items.json"', SPAN)
    assert cli.main(["plan", str(file)]) == 0
    said = capsys.readouterr().out
    assert "grid 32656_30m: EPSG:32656, " in said
    assert f"  40 assets: {ON_DISK}\n" in said
    assert "  20 assets: general: warped, EPSG:32655 onto EPSG:32656\n" in said
    result = api.run(file, client)
    assert not result.faults
    assert not result.outcome.failed
    out = tmp_path / "out/32656_30m"
    cube, layers = opened(out / "cube.zarr", "30m"), opened(out / "change.zarr")
    lon, lat = geo.transformer(32656, 4326).transform(*np.meshgrid(cube.x, cube.y))
    owned = layers.status.values != 255
    assert owned.sum() > 1500
    assert len(cube.time) == 12
    for band in BANDS:
        values = cube[band].values
        for n in range(12):
            got = values[n][owned] * 1e-4
            want = (smooth(band, lon, lat) + 0.01 * n)[owned]
            # A zone's own pixels are exact; those of its neighbour are interpolated, and the ground is smooth.
            assert np.abs(got - want).max() <= (0.5e-4 + 1.4e-5 if zones[n] == 32656 else 1.5e-4), (band, n)
    cloudy = (lon > SIDELAP[0] + 0.004)[owned]
    sure = np.abs(lon[owned] - SIDELAP[0] - 0.004) > 0.0006  # what lies beside the cloud's edge may be on either side
    np.testing.assert_array_equal(layers.n_valid.values[owned][sure], np.where(cloudy, 8, 12)[sure])


@needs_shared
@pytest.mark.parametrize("kind", [k for k in FILES if not k.startswith("lp")])
def test_the_copies_of_shapes_are_like_the_real_items(kind: str) -> None:
    file, start = FILES[kind]
    keys: Sequence[str] = ("blue", "red", "nir08", "swir16", "qa_pixel")
    if kind == "usgs 0.7":
        keys = ("SR_B2.TIF", "SR_B4.TIF", "SR_B5.TIF", "SR_B6.TIF", "QA_PIXEL.TIF")
    genuine = shape_of(real(SHARED / "data/stac_fixtures" / file, start), tuple(keys))
    copied = shape_of(own(kind), tuple(keys))
    genuine["fields"].pop("grid:code"), copied["fields"].pop("grid:code")
    assert copied == genuine


def test_the_masks_of_these_tests_are_those_of_the_handbook() -> None:
    """Bits of QA_PIXEL: 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 shadow, 5 snow."""
    for value in (*CLEAR_OLI, *CLEAR_ETM):
        assert value & 0b111111 == 0
    assert [v & 0b111111 for v in UNCLEAR_OLI] == [0b001000, 0b010000, 0b100000, 0b000100, 0b000010]
    assert [v & 0b111111 for v in UNCLEAR_ETM] == [0b001000, 0b010000, 0b100000]
