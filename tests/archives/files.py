"""Writes a random archive down: GeoTIFFs (or JPEG 2000), items.json, and the configuration that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from groundbreak.pipeline.core.config import Config
from tests.archives.harms import KINDS, Item
from tests.archives.truth import classes, depth, extent, reflectance
from tests.archives.worlds import MASK, MASK_KEYS, NIR, RED, Spec, World, move

NAMELESS = (
    'PROJCS["UTM Zone {zone}, {half}",GEOGCS["Unknown datum based upon the WGS 84 ellipsoid",'
    'DATUM["Not_specified_based_on_WGS_84_spheroid",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",{meridian}],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",{north}],UNIT["metre",1]]'
)


def write(world: World, folder: Path) -> list[Item]:
    """Write files and items below a folder; return the items."""
    world.notes["keys"] = {RED: "B04", NIR: "B8A", MASK: MASK_KEYS[world.classes.kind]}
    items = []
    for spec in world.specs:
        for band in (RED, NIR, MASK):
            _write_band(world, spec, band, folder / _name(spec, band))
        item = _item(world, spec)
        if spec.harm:
            KINDS[spec.harm].apply(world, spec, item, folder)
        items.append(item)
        if spec.harm == "twice":
            items.append(item)
    return items


def save(items: list[Item], folder: Path) -> None:
    """Write items.json."""
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def settings(world: World) -> dict[str, dict[str, Any]]:
    """Return the configuration that reads a world, as it would stand in a file beside its folder."""
    numbers, kinds = world.numbers, world.classes
    mask: dict[str, Any] = {"asset": MASK_KEYS[kinds.kind], **kinds.rule}
    if _mask_fill(world) == "configuration":
        mask["nodata"] = kinds.nodata
    spec: dict[str, Any] = {"bands": {RED: "B04", NIR: "B8A"}, "lattice": world.lattice, "mask": mask}
    if numbers.told == "configuration":
        spec |= {"scale": numbers.scale, "offset": numbers.offset}
    if world.refused == "mask":
        mask["snow" if "clear" in mask else "clear"] = [70_000]
    if world.refused == "lattice":
        spec["lattice"] = "grid"
    if numbers.fill_told == "configuration":
        spec["nodata"] = numbers.nodata
    left, bottom, right, top = world.box
    xs, ys = move(world.epsg, 4326, [left, right, left, right], [bottom, bottom, top, top])
    cube: dict[str, Any] = {"region": world.region, "slab": world.slab}
    if world.resolution is not None:
        cube["resolution"] = world.resolution
    day = [str(world.dates[0])[:10], str(world.dates[-1])[:10]]
    return {
        "area": {"bbox": [min(xs), min(ys), max(xs), max(ys)]},
        "source": {
            "items": "source/items.json",
            "collection": "mine",
            "datetime": f"{day[0]}/{day[1]}",
            "provider": spec,
        },
        "output": {"path": "out"},
        "cube": cube,
        "detect": {"indices": ["ndvi"]},
        "run": {"attempts": 1, "fault_threshold": 1.0},
    }


def configure(world: World, folder: Path) -> Config:
    return Config.from_dict(settings(world), folder)


def _mask_fill(world: World) -> str:
    """Tell who says which value of the mask is no observation."""
    if world.classes.nodata is None:
        return "mask"
    return ("item", "file", "configuration")[world.seed % (3 if world.classes.nodata >= 0 else 2)]


def _name(spec: Spec, band: str) -> str:
    return f"files/{spec.id}/{band}.{'jp2' if spec.driver != 'GTiff' and band != MASK else 'tif'}"


def _write_band(world: World, spec: Spec, band: str, path: Path) -> None:
    """Write the pixels of one band of an item: the truth at their centres."""
    place, side = spec.place, world.sides[band]
    rows, cols = extent(place, side)
    x, y = np.meshgrid(place.left + side * (np.arange(cols) + 0.5), place.top - side * (np.arange(rows) + 0.5))
    if place.epsg != world.epsg:
        x, y = move(place.epsg, world.epsg, x, y)
    there = depth(world, spec, band, x, y) > 0
    numbers = world.numbers
    nodata: float | None
    if band == MASK:
        dtype, nodata = world.classes.dtype, world.classes.nodata
        values = classes(world, spec.take, x, y)
        fill = _mask_fill(world)
    else:
        dtype, nodata, fill = numbers.dtype, numbers.nodata, numbers.fill_told
        real = (reflectance(world, band, spec.take, x, y) + spec.lifted) * 1e-4
        values = (real - numbers.offset) / numbers.scale
        values = values if dtype == "float32" else np.rint(values)
    if fill != "mask" and nodata is not None:
        values = np.where(there, values, nodata)
    epsg, left, top = place.epsg, place.left, place.top
    if spec.harm == "elsewhere" or (spec.harm == "one_elsewhere" and spec.band == band):
        left, top = left + 60_000, top + 40_000
    if spec.harm == "other_zone":
        epsg += 2 if epsg % 100 < 58 else -2
    profile = _profile(world, dtype, path) | {
        "dtype": dtype,
        "count": 1,
        "height": rows,
        "width": cols,
        "crs": CRS.from_epsg(epsg) if not world.nameless else CRS.from_wkt(_nameless(epsg)),
        "transform": Affine(side, 0, left, 0, -side, top),
    }
    if fill == "file":
        profile["nodata"] = nodata
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as target:
        target.write(values.astype(dtype), 1)
        if fill == "mask" and not there.all():
            target.write_mask(np.where(there, 255, 0).astype(np.uint8))


def _profile(world: World, dtype: str, path: Path) -> dict[str, Any]:
    """Return how a file is laid out."""
    if path.suffix == ".jp2":
        return {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
    made = {"driver": "GTiff", **world.creation}
    if dtype != "float32" and made.get("predictor") == 3:
        made["predictor"] = 2
    return made


def _nameless(epsg: int) -> str:
    zone, south = epsg % 100, epsg > 32700
    half = "Southern Hemisphere" if south else "Northern Hemisphere"
    return NAMELESS.format(zone=zone, half=half, meridian=zone * 6 - 183, north=10_000_000 if south else 0)


def _footprint(world: World, spec: Spec) -> Any:
    """Return the ground of an item, lon/lat: of a part, where footprints tell parts, that of its data."""
    p = spec.place
    top, bottom = p.top, p.top - p.height
    if spec.part is not None and tells_footprints(world) and spec.gap is not None:
        line = spec.gap[2] * spec.gap[1]
        top, bottom = (top, line) if spec.gap[1] < 0 else (line, bottom)
    xs, ys = [p.left, p.left + p.width, p.left + p.width, p.left], [top, top, bottom, bottom]
    lon, lat = move(p.epsg, 4326, xs, ys)
    return shapely.Polygon(list(zip(lon, lat, strict=True)))


def tells_footprints(world: World) -> bool:
    """Tell whether the parts of a split tile are known by their footprints; otherwise by their shares of nodata."""
    return world.parts_told == "footprint" or world.style == "plain"


def _item(world: World, spec: Spec) -> Item:
    ground = _footprint(world, spec)
    properties: Item = {"datetime": f"{spec.time}Z", "platform": "sentinel-2a", "created": f"{spec.time}Z"}
    if spec.baseline == "04.00":
        properties["created"] = f"{spec.time - np.timedelta64(300, 'D')}Z"
    if world.style == "s2":
        stamp = str(world.dates[spec.take]).translate(str.maketrans("", "", "-:"))[:15]
        properties |= {
            "s2:processing_baseline": spec.baseline,
            "s2:datatake_id": f"GS2A_{stamp}_012345_N{spec.baseline}",
            "s2:generation_time": properties["created"],
        }
        if world.strips:
            strip = f"{stamp[:-2]}{spec.part or 0:02d}"
            properties["s2:datastrip_id"] = f"S2A_OPER_MSI_L2A_DS_X_{stamp}_S{strip}_N{spec.baseline}"
        if not tells_footprints(world):
            properties["s2:nodata_pixel_percentage"] = round(100 * (1 - _share(world, spec)), 2)
    if spec.place.code:
        properties["grid:code"] = f"MGRS-{spec.place.code}"
    if world.geometry in ("full", "nine"):
        properties["proj:epsg"] = spec.place.epsg
    if world.geometry == "code":
        properties["proj:code"] = f"EPSG:{spec.place.epsg}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": spec.id,
        "collection": "mine",
        "geometry": shapely.geometry.mapping(ground),
        "bbox": list(ground.bounds),
        "links": [],
        "properties": properties,
        "assets": {world.notes["keys"][band]: _asset(world, spec, band) for band in (RED, NIR, MASK)},
    }


def _share(world: World, spec: Spec) -> float:
    """Return the share of an item's pixels that hold data."""
    rows, cols = extent(spec.place, world.fine)
    x, y = np.meshgrid(
        spec.place.left + world.fine * (np.arange(cols) + 0.5), spec.place.top - world.fine * (np.arange(rows) + 0.5)
    )
    if spec.place.epsg != world.epsg:
        x, y = move(spec.place.epsg, world.epsg, x, y)
    return float((depth(world, spec, RED, x, y) > 0).mean())


def _asset(world: World, spec: Spec, band: str) -> Item:
    side, numbers = world.sides[band], world.numbers
    name = _name(spec, band)
    kind = "image/jp2" if name.endswith("jp2") else "image/tiff; application=geotiff; profile=cloud-optimized"
    asset: Item = {"href": f"./{name}", "type": kind, "roles": ["data"]}
    if world.geometry != "none":
        transform = [side, 0, spec.place.left, 0, -side, spec.place.top]
        asset["proj:transform"] = [*transform, 0, 0, 1] if world.geometry == "nine" else transform
        asset["proj:shape"] = list(extent(spec.place, side))
    if world.geometry == "asset":
        asset["proj:code"] = f"EPSG:{spec.place.epsg}"
    told: Item = {}
    if band == MASK:
        if _mask_fill(world) == "item":
            told["nodata"] = world.classes.nodata
    else:
        if numbers.told != "configuration":
            told |= {"scale": numbers.scale, "offset": numbers.offset}
            if world.refused == "scale":  # as tools copy it from a file
                told |= {"scale": 1.0, "offset": 0.0}
        if numbers.fill_told == "item":
            told["nodata"] = numbers.nodata
    if told and numbers.told == "asset":
        asset |= {key if key == "nodata" else f"raster:{key}": value for key, value in told.items()}
        asset["data_type"] = numbers.dtype if band != MASK else world.classes.dtype
    elif told:
        asset["raster:bands"] = [told]
    return asset
