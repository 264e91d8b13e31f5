"""Whole runs on HLS alone: items of three catalogues, tiles in zones of northern code, CRSs without a code, a login."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from groundbreak.pipeline import api, cli
from groundbreak.pipeline.access import providers
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.readers.assets import FETCHED
from tests.hosts import PAGE, Asked, Reply, host
from tests.sensor_items import FILES, filled, own, real, shape_of
from tests.sensors import (
    BANDS,
    Box,
    Ground,
    Shot,
    area_of,
    bare,
    days_of,
    demand_cube,
    demand_plan,
    demand_site,
    pixels_in,
    within,
)
from tests.shared import SHARED, needs_shared
from tests.world import days, write_items

UTM = (
    'PROJCS["UTM Zone {zone}, Northern Hemisphere",GEOGCS["Unknown datum based upon the WGS 84 ellipsoid",'
    'DATUM["Not specified (based on WGS 84 spheroid)",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",{meridian}],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]]'
)
"""The CRS of HLS' files, as their headers write it: no EPSG code, and an unnamed datum."""
L30 = {"blue": ".B02.tif", "red": ".B04.tif", "nir": ".B05.tif", "swir16": ".B06.tif", "mask": ".Fmask.tif"}
S30 = {"blue": ".B02.tif", "red": ".B04.tif", "nir": ".B8A.tif", "swir16": ".B11.tif", "mask": ".Fmask.tif"}
OTHERS = {"L30": (".B07.tif",), "S30": (".B05.tif", ".B06.tif", ".B07.tif", ".B08.tif")}
"""Files of other bands, some of which are called as those that are wanted of the other product."""
CLEAR = (0, 32, 64, 96, 128, 160, 192, 224, 1)
"""Clear land and water (bit 5), with any aerosol (bits 6 and 7); bit 0 is not used."""
UNCLEAR = (2, 4, 8, 16, 66, 132, 200, 208, 250)
"""Cloud, beside cloud, shadow, snow; with aerosol, and several of these at once."""
SPAN = "2021-11-01/2024-05-31"
SIZE = 96
"""Rows and columns of a tile here; real ones have 3660, and overlap by 4.9 km on each side."""


def world_of(epsg: int, x0: int, y0: int) -> tuple[Ground, Box]:
    """Return a ground near the upper left corner of a tile, and an area around it.

    The pond is so large that clouds never hide the darkest hundredth of an image: a run looks at it for false offsets.
    """
    site, pond = (x0 + 900, y0 - 1500, x0 + 1200, y0 - 1260), (x0 + 1350, y0 - 1980, x0 + 1950, y0 - 1380)
    ground = Ground(site, pond, onset="2023-02-20", halt="2023-07-20")
    return ground, area_of((x0 + 300, y0 - 2100, x0 + 2100, y0 - 700), epsg)


def shot(kind: str, tile: str, date: str, frame: Frame, ground: Ground, at: str = "172406") -> Shot:
    """Return what a product shows of a tile, of which a part may lie outside the swath; the mask is full of bits."""
    x, y = (values[None, :] if n == 0 else values[:, None] for n, values in enumerate(frame.centres()))
    rng = np.random.default_rng([days_of(date), len(kind), ord(tile[-1])])
    edge = frame.x0 + rng.choice([450, 9000, 9000, 9000])
    outside = (x < edge - 0.2 * (y - frame.y0)) & (edge < frame.x0 + 4000) & (y < 1e9)
    cell = np.arange(frame.height)[:, None] // 7, np.arange(frame.width)[None, :] // 6
    cloudy = rng.random((20, 20)) < (0.9 if rng.random() < 0.15 else 0.12)
    mask = np.where(cloudy[cell], rng.choice(UNCLEAR, (20, 20))[cell], rng.choice(CLEAR, (20, 20))[cell])
    mask = np.where(outside, 255, np.where(within(ground.pond, x, y) & ~cloudy[cell], 32, mask)).astype(np.uint8)
    numbers: dict[str, Any] = {"mask": mask}
    for band in BANDS:
        seen = np.where(np.isin(mask, CLEAR), ground.reflectance(band, date, x, y), 0.6)
        numbers[band] = np.where(outside, -9999, np.rint(seen * 1e4)).astype(np.int16)
    year, day = date[:4], (np.datetime64(date) - np.datetime64(date[:4])).astype(int) + 1
    name = f"HLS.{kind}.T{tile}.{year}{day:03d}T{at}.v2.0"
    time = f"{date}T{at[:2]}:{at[2:4]}:{at[4:]}"
    return Shot(name, time, frame, numbers, 1e-4, 0.0, -9999, CLEAR, L30 if kind == "L30" else S30)


def write(folder: Path, shots: Sequence[Shot], *, zone: int) -> None:
    """Write the files of scenes, and those of other bands, which hold what no ground has."""
    wkt = UTM.format(zone=zone, meridian=zone * 6 - 183)
    wrong = {"red": np.full_like(shots[0].numbers["red"], 9999)}
    replace(shots[0], name="wrong", numbers=wrong, files={"red": ".tif"}).write(
        folder, mask_fill=255, wkt=wkt, scale=1e-4
    )
    for one in shots:
        one.write(folder, mask_fill=255, wkt=wkt, scale=1e-4)
        for file in OTHERS[one.name[4:7]]:
            os.link(folder / "wrong.tif", folder / f"{one.name}{file}")


def demand_all(
    result: Any, out: Path, shots: Mapping[str, Sequence[Shot]], area: Box, ground: Ground | None = None
) -> None:
    """Assert that the tiles' pixels are what their files say, each of the area in one tile; and the site, if any."""
    assert not result.outcome.failed
    assert not result.faults
    assert not result.verdict.rejections
    if ground is not None:
        demand_site(result, ground, (20, 35))
    frames = [of_tile[0].frame for of_tile in shots.values()]
    owned = sum(int(demand_cube(out, tile, frames[0].epsg, shots[tile]).sum()) for tile in shots)
    wanted = pixels_in(area, frames)
    assert abs(owned - wanted) <= 0.005 * wanted


KINDS = {
    # kind of item: (tile, product, zone, corner of the tile's first pixel, name of the collection where it is another)
    "lp L30": ("13TGF", "L30", 13, (699_960, 4_600_020), None),
    "lp L30 2022": ("10SGD", "L30", 10, (699_960, 4_000_020), None),
    "lp S30 static": ("15MXV", "S30", 15, (600_000, 0), None),
    "pc S30": ("19LDD", "S30", 19, (399_960, -1_599_960), "hls2-s30"),
    "pc L30": ("19LDD", "L30", 19, (399_960, -1_599_960), "hls2-l30"),
}


def items_of(kind: str, shots: Sequence[Shot], prefix: str, told_epsg: int | None = None) -> list[dict[str, Any]]:
    """Return the items of scenes: the Planetary Computer's are NASA's own, without links and of another collection."""
    collection = KINDS[kind][-1]
    found = []
    for one in shots:
        item = filled("lp S30 static" if collection else kind, one, prefix, told_epsg=told_epsg)
        if collection:
            item |= {"collection": collection, "links": []}
        if collection == "hls2-l30":
            item["properties"] |= {"platform": "landsat-8", "instruments": ["oli", "tirs"]}
            item["assets"] = {k: a for k, a in item["assets"].items() if k not in ("B08", "B8A", "B12")}
        found.append(item)
    return found


@pytest.mark.parametrize("kind", ["lp L30", "lp L30 2022", "lp S30 static"])
def test_one_product_of_one_tile(kind: str, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tile's own pixels, whatever its CRS is called; the bands of the product; south of the equator, too."""
    tile, product, zone, (x0, y0), _ = KINDS[kind]
    epsg = 32600 + zone
    ground, area = world_of(epsg, x0, y0)
    frame = Frame(epsg, x0, y0, 30, SIZE, SIZE)
    shots = [shot(product, tile, date, frame, ground) for date in days("2021-11-03", 72, 12)]
    if kind == "lp L30 2022":  # it differs in what its collection is called
        shots = shots[:8]
    write(tmp_path, shots, zone=zone)
    write_items(tmp_path, items_of(kind, shots, "./"))
    file = bare(tmp_path, area, 'items = "items.json"', SPAN)
    assert cli.main(["plan", str(file)]) == 0
    said = capsys.readouterr().out
    demand_plan(said, tile, epsg, shots)
    result = api.run(file, client)
    demand_all(result, tmp_path / "out", {tile: shots}, area, ground if len(shots) > 8 else None)


def test_both_products_are_one_source(client: Client, tmp_path: Path) -> None:
    """L30 as CMR-STAC answers and S30 as the static items are: one record, though B05 and B06 are other bands."""
    tile, epsg, x0, y0 = "19LDD", 32619, 399_960, -1_599_960
    ground, area = world_of(epsg, x0, y0)
    frame = Frame(epsg, x0, y0, 30, SIZE, SIZE)
    l30 = [shot("L30", tile, date, frame, ground, "144040") for date in days("2021-11-04", 45, 20)]
    s30 = [shot("S30", tile, date, frame, ground, "144739") for date in days("2021-11-05", 45, 20)]
    write(tmp_path, [*l30, *s30], zone=19)
    write_items(tmp_path, items_of("lp L30", l30, "./") + items_of("lp S30 static", s30, "./"))
    result = api.run(bare(tmp_path, area, 'items = "items.json"', SPAN), client)
    demand_all(result, tmp_path / "out", {tile: [*l30, *s30]}, area, ground)


def test_neighbouring_tiles_share_their_overlap(client: Client, tmp_path: Path) -> None:
    """Each pixel belongs to one of two tiles that overlap, and a site over their seam is one site."""
    epsg, x0, y0 = 32613, 699_960, 4_600_020
    west, east = Frame(epsg, x0 - 2160, y0, 30, SIZE, 90), Frame(epsg, x0, y0, 30, SIZE, SIZE)
    site = x0 + 120, y0 - 1500, x0 + 420, y0 - 1260  # they overlap from x0 to x0 + 540
    ground = Ground(site, (x0 + 840, y0 - 1980, x0 + 1380, y0 - 1380), "2023-02-20", "2023-07-20")
    area = area_of((x0 - 900, y0 - 2100, x0 + 1500, y0 - 700), epsg)
    shots: dict[str, list[Shot]] = {"13TFF": [], "13TGF": []}
    for date in days("2021-11-03", 72, 12):
        for tile, frame in (("13TFF", west), ("13TGF", east)):
            shots[tile].append(shot("L30", tile, date, frame, ground))
    every = [s for of_tile in shots.values() for s in of_tile]
    write(tmp_path, every, zone=13)
    write_items(tmp_path, items_of("lp L30", every, "./"))
    result = api.run(bare(tmp_path, area, 'items = "items.json"', SPAN), client)
    demand_all(result, tmp_path / "out", shots, area, ground)


def behind_login(elsewhere: str) -> Callable[[Asked], Path | Reply]:
    """Answer as LP DAAC does: whoever brings the token is sent to a signed address at another host."""

    def answer(asked: Asked) -> Path | Reply:
        if asked.path.startswith("/oauth"):
            return 200, {"Content-Type": "text/html"}, PAGE
        if asked.headers.get("authorization") != "Bearer OWN":
            return 302, {"Location": f"/oauth/authorize?state={asked.path}"}, b""
        file = asked.path.rpartition("/")[2]
        return 303, {"Location": f"{elsewhere}/{file}?A-userid=me&Expires=1&Signature=SECRET"}, b""

    return answer


def test_files_behind_earthdata_login(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tile, product, zone, (x0, y0), _ = KINDS["lp L30"]
    ground, area = world_of(32600 + zone, x0, y0)
    frame = Frame(32600 + zone, x0, y0, 30, SIZE, SIZE)
    shots = [shot(product, tile, date, frame, ground) for date in days("2021-11-03", 12, 10)]
    write(tmp_path, shots, zone=zone)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))

    def signed(asked: Asked) -> Path | Reply:
        assert "authorization" not in asked.headers
        path, _, query = asked.path.partition("?")
        return tmp_path / path.lstrip("/") if "Signature=SECRET" in query else (403, {}, b"")

    with host(signed) as store, host(behind_login(store.url)) as server:
        write_items(tmp_path, items_of("lp L30", shots, f"{server.url}/lp-prod-protected/HLSL30.020/"))
        source = 'items = "items.json"\nallow_hosts = ["127.0.0.1"]\nlogin_hosts = ["127.0.0.1"]'
        file = bare(tmp_path, area, source, SPAN)
        monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
        assert cli.main(["plan", str(file)]) == 2
        said = capsys.readouterr().err
        assert f"127.0.0.1 asks for a login (it leads to {server.url}/oauth/authorize)" in said
        assert "set EARTHDATA_TOKEN, or write the account into ~/.netrc" in said
        monkeypatch.setenv("EARTHDATA_TOKEN", "OWN")
        (grid,) = api.plan(file).grids
        assert dict(grid.ways) == {FETCHED: 60}
        result = api.run(file, client)
    demand_all(result, tmp_path / "out", {tile: shots}, area)
    for path in (p for p in (tmp_path / "out").rglob("*") if p.is_file()):
        assert not any(secret in path.read_bytes() for secret in (b"OWN", b"SECRET")), path


def test_one_token_of_the_planetary_computer_serves_both_products(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile, _, zone, (x0, y0), _ = KINDS["pc S30"]
    ground, area = world_of(32600 + zone, x0, y0)
    frame = Frame(32600 + zone, x0, y0, 30, SIZE, SIZE)
    l30 = [shot("L30", tile, date, frame, ground, "144040") for date in days("2021-11-04", 5, 16)]
    s30 = [shot("S30", tile, date, frame, ground, "144739") for date in days("2021-11-05", 5, 16)]
    write(tmp_path, [*l30, *s30], zone=zone)
    tokens: list[str] = []

    def answer(asked: Asked) -> Path | Reply:
        path, _, query = asked.path.partition("?")
        if path.startswith("/api/sas/"):
            tokens.append(path)
            return 200, {}, json.dumps({"msft:expiry": "2999-01-01T00:00:00Z", "token": "sr=c&sig=SECRET"}).encode()
        return tmp_path / path.rpartition("/")[2] if "sig=SECRET" in query else (403, {}, b"")

    with host(answer) as server:
        url = "https://planetarycomputer.microsoft.com"
        moved = [
            replace(p, token_url=p.token_url and p.token_url.replace(url, server.url)) for p in providers.PROVIDERS
        ]
        monkeypatch.setattr(providers, "PROVIDERS", tuple(moved))
        prefix = f"{server.url}/hls2/"
        # Items of hls2-l30 are known that tell the southern zone's code of files that have the northern one.
        told = items_of("pc L30", l30, prefix, told_epsg=32700 + zone)
        write_items(tmp_path, told + items_of("pc S30", s30, prefix))
        file = bare(tmp_path, area, 'items = "items.json"\nallow_hosts = ["127.0.0.1"]', SPAN)
        result = api.run(file, client)
        notices = api.plan(file).notices
    assert {(n.subject, n.kind) for n in notices} == {(s.name, "frame_contradicts_file") for s in l30}
    assert tokens == ["/api/sas/v1/token/hls2euwest/hls2"]
    demand_all(result, tmp_path / "out", {tile: [*l30, *s30]}, area)


@needs_shared
@pytest.mark.parametrize("kind", [k for k in FILES if k.startswith("lp")])
def test_the_copies_of_shapes_are_like_the_real_items(kind: str) -> None:
    file, start = FILES[kind]
    keys = ("B02", "B04", "B05", "B06", "Fmask", *(("B8A", "B08", "B11") if "S30" in kind else ()))
    assert shape_of(own(kind), keys) == shape_of(real(SHARED / "data/stac_fixtures" / file, start), keys)


def test_the_masks_of_these_tests_are_those_of_the_users_guide() -> None:
    """Bits of Fmask: 1 cloud, 2 next to it, 3 cloud shadow, 4 snow; 255 has them all, and is fill."""
    assert not any(value & 0b11110 for value in CLEAR)
    assert all(value & 0b11110 for value in (*UNCLEAR, 255))
