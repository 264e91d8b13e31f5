"""STAC items of the simulated archive, shaped like Earth Search's sentinel-2-l2a."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, transform
from shapely.geometry import mapping
from shapely.ops import orient

from groundbreak.pipeline.testing.frames import EPSG, PIXEL_M, Frame, Layout, to_lonlat
from groundbreak.pipeline.testing.granules import Granule

COLLECTION = "sentinel-2-l2a"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

_EXTENSIONS = {
    "raster": "1.1.0",
    "mgrs": "1.0.0",
    "eo": "1.1.0",
    "grid": "1.0.0",
    "view": "1.0.0",
    "processing": "1.1.0",
    "projection": "1.1.0",
}
# Asset key: title, band description, centre wavelength and width (micrometres), resolution (m).
_BANDS: dict[str, tuple[str, float, float, int]] = {
    "blue": ("Blue (band 2)", 0.49, 0.098, 10),
    "red": ("Red (band 4)", 0.665, 0.038, 10),
    "nir": ("NIR 1 (band 8)", 0.842, 0.145, 10),
    "swir16": ("SWIR 1 (band 11)", 1.61, 0.143, 20),
}


def make_item(layout: Layout, granule: Granule, folder: str, scl: NDArray[np.uint8]) -> dict[str, Any]:
    """Make one STAC 1.0.0 item.

    Parameters
    ----------
    layout
        The world's lattice.
    granule
        The product.
    folder
        Path of its files relative to the item collection, with slashes.
    scl
        (row, col) uint8 scene classification, for the percentages.
    """
    utm = [layout.utm(col, row) for col, row in orient(granule.footprint, -1.0).exterior.coords]
    outline = transform(Polygon(utm), to_lonlat().transform, interleaved=False)
    geometry = mapping(transform(outline, lambda xy: np.round(xy, 7)))
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": granule.id,
        "properties": _properties(granule, scl),
        "geometry": {"type": "Polygon", "coordinates": _lists(geometry["coordinates"])},
        "links": [],
        "assets": _assets(granule, folder),
        "bbox": [round(float(v), 7) for v in outline.bounds],
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/v{version}/schema.json" for name, version in _EXTENSIONS.items()
        ],
        "collection": COLLECTION,
    }


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _properties(granule: Granule, scl: NDArray[np.uint8]) -> dict[str, Any]:
    o, code = granule.overpass, granule.frame.code
    # The reprocessed twin's time is one millisecond later, as in the real archive.
    time = o.time + timedelta(milliseconds=int(granule.flavour == "reprocessed"))
    made = _generated(granule)
    stamp, sensed = made.strftime("%Y%m%dT%H%M%S"), o.time.replace(second=11)
    start = sensed.strftime("%Y%m%dT%H%M%S")
    # A split datatake's second strip begins where the first ends.
    strip = (sensed + timedelta(seconds=124 if granule.part == "north" else 95)).strftime("%Y%m%dT%H%M%S")
    level, compact = f"N{granule.baseline}", f"N{granule.baseline.replace('.', '')}"
    station = "S2RP" if granule.flavour == "reprocessed" else "SGS_"
    if granule.baseline >= "03.00" and granule.flavour == "plain":
        station = "VGS2" if granule.part == "north" else "VGS1"
    counts = np.bincount(scl.ravel(), minlength=12)[:12] / scl.size
    valid = max(1.0 - float(counts[0]), 1e-9)
    share = {n: round(100 * float(counts[n]) / valid, 6) for n in range(12)}
    catalogued = _iso(made + timedelta(hours=7))
    return {
        "created": catalogued,
        "platform": {"S2A": "sentinel-2a", "S2B": "sentinel-2b"}[o.platform],
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(share[8] + share[9] + share[10], 6),
        "proj:epsg": EPSG,
        "mgrs:utm_zone": int(code[:2]),
        "mgrs:latitude_band": code[2],
        "mgrs:grid_square": code[3:],
        "grid:code": f"MGRS-{code}",
        "s2:degraded_msi_data_percentage": 0,
        "s2:nodata_pixel_percentage": round(100 * float(counts[0]), 6),
        "s2:saturated_defective_pixel_percentage": 0,
        "s2:dark_features_percentage": share[2],
        "s2:cloud_shadow_percentage": share[3],
        "s2:vegetation_percentage": share[4],
        "s2:not_vegetated_percentage": share[5],
        "s2:water_percentage": share[6],
        "s2:unclassified_percentage": share[7],
        "s2:medium_proba_clouds_percentage": share[8],
        "s2:high_proba_clouds_percentage": share[9],
        "s2:thin_cirrus_percentage": share[10],
        "s2:snow_ice_percentage": share[11],
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": granule.baseline,
        "s2:product_uri": f"{o.platform}_MSIL2A_{start}_{compact}_R{o.relative_orbit:03d}_T{code}_{stamp}.SAFE",
        "s2:generation_time": _iso(made, 6),
        "s2:datatake_id": f"G{o.platform}_{start}_{o.absolute_orbit:06d}_{level}",
        "s2:datatake_type": "INS-NOBS",
        "s2:datastrip_id": f"{o.platform}_OPER_MSI_L2A_DS_{station}_{stamp}_S{strip}_{level}",
        "s2:granule_id": f"{o.platform}_OPER_MSI_L2A_TL_{station}_{stamp}_A{o.absolute_orbit:06d}_T{code}_{level}",
        "datetime": _iso(time, 6),
        "s2:sequence": str(granule.sequence),
        "earthsearch:boa_offset_applied": granule.boa_offset_applied,
        "processing:software": {"sentinel2-to-stac": "0.1.1"},
        "updated": catalogued,
    }


def _generated(granule: Granule) -> datetime:
    if granule.flavour == "reprocessed":
        late = datetime(2023, 6, 18, 17, 37, 4, tzinfo=UTC)
        return late + timedelta(hours=granule.overpass.day % 400)
    hours = 5.5 if granule.part == "north" else 4.25
    return (granule.overpass.time + timedelta(hours=hours)).replace(microsecond=0)


def _iso(time: datetime, digits: int = 3) -> str:
    text = time.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[: len(text) - 6 + digits] + "Z"


def _assets(granule: Granule, folder: str) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    for key, (title, centre, width, resolution) in _BANDS.items():
        assets[key] = {
            "href": f"{folder}/{key}.tif",
            "type": COG_TYPE,
            "title": f"{title} - {resolution}m",
            "eo:bands": [
                {
                    "name": key,
                    "common_name": key,
                    "description": title,
                    "center_wavelength": centre,
                    "full_width_half_max": width,
                }
            ],
            "gsd": resolution,
            **_grid(granule.frame, resolution),
            "raster:bands": [
                {
                    "nodata": 0,
                    "data_type": "uint16",
                    "bits_per_sample": 15,
                    "spatial_resolution": resolution,
                    "scale": 0.0001,
                    "offset": granule.offset or 0,
                }
            ],
            "roles": ["data", "reflectance"],
        }
    assets["scl"] = {
        "href": f"{folder}/scl.tif",
        "type": COG_TYPE,
        "title": "Scene classification map (SCL)",
        **_grid(granule.frame, 2 * PIXEL_M),
        "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}],
        "roles": ["data", "reflectance"],
    }
    return assets


def _grid(frame: Frame, resolution: int) -> dict[str, Any]:
    a = frame.transform(resolution)
    return {
        "proj:shape": list(frame.shape(resolution)),
        "proj:transform": [int(v) for v in (a.a, a.b, a.c, a.d, a.e, a.f)],
    }
