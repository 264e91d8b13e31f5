"""Items of Landsat and HLS as real catalogues write them: the real ones where they lie beside the repository.

Of a real item everything is kept but its name, place, time and hrefs. Where the shared data are not there, plain copies
of their shapes stand in.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import shapely

from groundbreak.pipeline.core import geo
from tests.sensors import Shot
from tests.shared import SHARED

Item = dict[str, Any]
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
USGS_COG = "image/vnd.stac.geotiff; cloud-optimized=true"

FILES = {
    "pc": ("pc_landsat_c2l2_LC08_LC09_LE07_033032_034032_2023-2024_rustac.json", "LC08_L2SP_033032_20231024"),
    "pc LE07": ("pc_landsat_c2l2_LC08_LC09_LE07_033032_034032_2023-2024_rustac.json", "LE07_L2SP_034032_20231028"),
    "pc L2SR": ("pc_landsat_c2l2_LC09_084_20250722_L2SR_L2SP_pystacclient.json", "LC09_L2SR_084082_20250722"),
    "pc south": ("pc_landsat_c2l2_LC09_089087-089090_20240417_twozones_stacgeoparquet.json", "LC09_L2SP_089087"),
    "earth-search": ("earthsearch_landsat_c2l2_LC08_033032_20231008_with_s2_pystacclient.json", "LC08"),
    "usgs": ("usgs_landsat_c2l2_LC09_092068_20230607_stacasset.json", "LC09"),
    "usgs LE07": ("usgs_landsat_c2l2_LE07_044033_20210329_odcstac.json", "LE07"),
    "usgs 0.7": ("usgs_landsat_c2l2_LC08_084024_20160111_L2SR_stactools.json", "LC08"),
    "lp L30": ("lpcloud_hlsl30_T13TGF_20210513_cmrstac_lpdaac.json", "HLS.L30"),
    "lp L30 2022": ("lpcloud_hlsl30_T10SGD_20200903_cmrstac2022_openscapes.json", "HLS.L30"),
    "lp S30 static": ("lpcloud_hlss30_T15MXV_20151129_static_lazycogs.json", "HLS.S30"),
}
"""Kind of item -> its file in the shared data, and the beginning of its id there."""


def template(kind: str) -> Item:
    """Return an item of a kind: the real one if it is here, else a copy of its shape."""
    file, start = FILES[kind]
    path = SHARED / "data" / "stac_fixtures" / file
    return real(path, start) if path.is_file() else own(kind)


def real(path: Path, start: str) -> Item:
    """Return the first item of a file whose id begins so."""
    document = json.loads(path.read_text())
    found: Item = next(f for f in document.get("features", [document]) if f["id"].startswith(start))
    return found


def own(kind: str) -> Item:
    """Return a copy of the shape of a kind's items, without what reading does not look at."""
    return HLS_SHAPES[kind]() if kind in HLS_SHAPES else _landsat(kind)


def _item(name: str, collection: str, properties: Item, assets: Item, version: str = "1.0.0") -> Item:
    return {
        "type": "Feature", "stac_version": version, "id": name, "collection": collection, "bbox": [], "geometry": {},
        "links": [{"rel": "self", "href": f"https://elsewhere.example/items/{name}"}],
        "properties": {"eo:cloud_cover": 1, **properties}, "assets": assets,
    }  # fmt: skip


def _landsat(kind: str) -> Item:
    """Return a Landsat item: which of its bands are where differs by sensor, and what is told of them by catalogue."""
    etm, usgs, first = "LE07" in kind, kind.startswith("usgs"), kind == "usgs 0.7"
    sensor, level = ("LE07" if etm else "LC08"), ("L2SR" if "L2SR" in kind or first else "L2SP")
    product = f"{sensor}_{level}_033032_20231024_20231101_02_T1"
    keys = ["blue", "green", "red", "nir08", "swir16"]
    if not etm:
        keys.insert(0, "coastal")
    host = {"pc": "https://landsateuwest.blob.core.windows.net/landsat-c2", "earth-search": "s3://usgs-landsat"}
    base = f"{host.get(kind.split()[0], 'https://landsatlook.usgs.gov/data')}/collection02/{product}/{product}"
    assets: Item = {"mtl.txt": {"href": f"{base}_MTL.txt", "type": "text/plain"}}
    for n, key in [*enumerate(keys, 1), (0, "qa_pixel")]:
        file = f"SR_B{n}.TIF" if n else "QA_PIXEL.TIF"
        asset: Item = {"href": f"{base}_{file}", "type": USGS_COG if usgs else COG}
        if usgs and not first:
            asset["alternate"] = {"s3": {"storage:requester_pays": True, "href": f"s3://usgs-landsat/{product}_{file}"}}
        if not usgs:
            told = {"scale": 2.75e-5, "offset": -0.2, "nodata": 0} if n else {"nodata": 1}
            asset["raster:bands"] = [{**told, "data_type": "uint16", "spatial_resolution": 30}]
        if n:
            asset["eo:bands"] = [n - 1] if first else [{"name": f"B{n}", "common_name": key}]
        assets[file if first else key] = asset
    if not first:
        assets |= {k: {"href": f"{base}_x.TIF"} for k in (("atmos_opacity", "cloud_qa") if etm else ("qa_aerosol",))}
    platform = f"landsat-{int(sensor[2:])}"
    properties: Item = {
        "platform": platform.upper().replace("-", "_") if usgs else platform, "landsat:wrs_path": "033",
        "landsat:wrs_row": "032", "landsat:correction": level, "landsat:collection_category": "T1",
        "created": "2023-11-03T11:03:39.986Z", "proj:epsg": 32613, "proj:shape": [1, 1], "proj:transform": [30.0] * 6,
    }  # fmt: skip
    if first:
        properties = {k: v for k, v in properties.items() if k.startswith("landsat:")} | {"eo:platform": "LANDSAT_8"}
    name = product + "_SR" if usgs and not first else product
    if not usgs:
        name = name.replace("_20231101", "")
    collection = "landsat-c2l2-sr" if usgs else "landsat-c2-l2"
    return _item(name, collection, properties, assets, "0.7.0" if first else "1.0.0")


def _hls(product: str, collection: str, extra: Item, told: Item) -> Item:
    bands = ("B02", "B04", "B05", "B06", "B07", *(("B08", "B8A", "B11", "B12") if ".S30." in product else ()), "Fmask")
    host = f"https://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected/{product[:7]}/{product}/{product}"
    assets = {band: {"href": f"{host}.{band}.tif", **told} for band in bands}
    assets["metadata"] = {"href": "https://cmr.earthdata.nasa.gov/search/x.xml", "type": "application/xml"}
    return _item(product, collection, extra, assets)


HLS_SHAPES: dict[str, Callable[[], Item]] = {
    "lp L30": lambda: _hls("HLS.L30.T13TGF.2021133T172406.v2.0", "HLSL30_2.0", {"end_datetime": ""}, {"roles": []}),
    "lp L30 2022": lambda: _hls("HLS.L30.T10SGD.2020247T184028.v2.0", "HLSL30.v2.0", {"end_datetime": ""}, {}),
    "lp S30 static": lambda: _hls(
        "HLS.S30.T15MXV.2015333T161622.v2.0",
        "HLSS30_2.0",
        {"platform": "sentinel-2a", "proj:epsg": 32615, "proj:shape": [1, 1], "proj:transform": [30.0] * 9},
        {"type": COG, "roles": ["data"]},
    ),
}  # fmt: skip


def filled(kind: str, shot: Shot, prefix: str, name: str | None = None, told_epsg: int | None = None) -> Item:
    """Return an item of a kind that stands for a scene; all but name, place, time and hrefs is as it was.

    Parameters
    ----------
    kind : str
    shot : Shot
    prefix : str
        What hrefs begin with, before the names of the files. If it is on S3 and the kind has alternate hrefs, it goes
        into these.
    name : str, optional
        Id of the item; left out, the name of the product.
    told_epsg : int, optional
        The code that the item tells; left out, that of the files.
    """
    item = copy.deepcopy(template(kind))
    paths = [a["href"].rpartition("/")[2] for a in item["assets"].values()]
    product = next(p for p in paths if p.upper().endswith("TIF"))
    cut = ".B" if product.startswith("HLS") else "_SR_"
    mark = next(p.rpartition(cut)[0] for p in paths if cut in p and p.upper().endswith("TIF"))
    for asset in item["assets"].values():
        hrefs = [asset, *asset.get("alternate", {}).values()]
        if len(hrefs) > 1 and prefix.startswith("s3:"):
            hrefs = hrefs[1:]
        for one in hrefs:
            file = one["href"].rpartition("/")[2]
            if file.startswith(mark):
                one["href"] = prefix + shot.name + file.removeprefix(mark)
    item["links"] = json.loads(json.dumps(item["links"]).replace(item["id"], name or shot.name))
    item["id"] = name or shot.name
    ground = geo.to_lonlat(shapely.box(*shot.frame.bounds), shot.frame.epsg)
    item["geometry"], item["bbox"] = json.loads(shapely.to_geojson(ground)), list(ground.bounds)
    _tell(item["properties"], shot, told_epsg)
    return item


def _tell(properties: Item, shot: Shot, told_epsg: int | None) -> None:
    """Write time and place into properties, as far as the kind has them."""
    day_only = len(str(properties.get("datetime", ""))) == 10
    properties["datetime"] = shot.date if day_only else f"{shot.time}.480Z"
    for key in ("start_datetime", "end_datetime"):
        if key in properties:
            properties[key] = properties["datetime"]
    if "proj:transform" in properties:
        tail = [0.0, 0.0, 1.0] if len(properties["proj:transform"]) == 9 else []
        properties["proj:transform"] = [*shot.frame.transform, *tail]
        properties["proj:shape"] = [shot.frame.height, shot.frame.width]
        properties["proj:epsg"] = told_epsg or shot.frame.epsg
    sensor, parts = shot.name[:4], shot.name.split("_")
    if sensor[0] == "L":
        usual = "LANDSAT_{}" if "_" in str(properties.get("platform")) else "landsat-{}"
        if "platform" in properties:
            properties["platform"] = usual.format(int(sensor[2:]))
        for key, value in (
            ("landsat:wrs_path", parts[2][:3]),
            ("landsat:wrs_row", parts[2][3:]),
            ("landsat:collection_category", parts[-1]),
            ("landsat:correction", parts[1]),
            ("grid:code", f"WRS2-{parts[2]}"),
        ):
            if key in properties:
                properties[key] = value


def shape_of(item: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what reading looks at in an item: which fields are there, item by item and asset by asset."""
    told = ("type", "raster:bands", "alternate", "proj:transform", "proj:shape", "proj:epsg")
    fields = ("platform", "proj:epsg", "proj:shape", "proj:transform", "grid:code")
    return {
        "collection": item.get("collection"),
        "fields": {f: f in item["properties"] for f in fields},
        "assets": {k: {t: t in item["assets"][k] for t in told} for k in keys},
        "types": {k: item["assets"][k].get("type") for k in keys},
        "raster": {
            k: {n: v for n, v in band.items() if n in ("scale", "offset", "nodata")}
            for k in keys
            for band in item["assets"][k].get("raster:bands", [])
        },
    }
