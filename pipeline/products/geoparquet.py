"""Sites as GeoParquet 1.1: WKB geometry in lon/lat (OGC:CRS84, the format's default CRS) and plain columns."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.sites import Site

SITE_COLUMNS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("onset", pa.date32(), nullable=False),
        pa.field("onset_earliest", pa.date32(), nullable=False),
        pa.field("onset_latest", pa.date32(), nullable=False),
        pa.field("halt", pa.date32()),
        pa.field("halt_earliest", pa.date32()),
        pa.field("halt_latest", pa.date32()),
        pa.field("area_m2", pa.float64(), nullable=False),
        pa.field("n_pixels", pa.int64(), nullable=False),
        pa.field("confidence", pa.uint8(), nullable=False),
        pa.field("n_changes", pa.uint8(), nullable=False),
        pa.field("quality", pa.list_(pa.string()), nullable=False),
        pa.field("growth", pa.list_(pa.struct([("date", pa.date32()), ("area_m2", pa.float64())])), nullable=False),
        pa.field("epsg", pa.int32(), nullable=False),
        pa.field("sample", pa.list_(pa.struct([("x", pa.float64()), ("y", pa.float64())])), nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),
    ]
)


def write_sites(output: Output, sites: Sequence[Site]) -> None:
    """Write `sites.parquet`: a row for each site, in their order; where there is no site, a file without rows."""
    columns = {name: [_plain(name, getattr(site, name)) for site in sites] for name in SITE_COLUMNS.names}
    table = pa.table(columns, schema=SITE_COLUMNS.with_metadata({"geo": json.dumps(_geo(sites))}))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    output.put(places.SITES, buffer.getvalue())


def read_sites(output: Output) -> list[Site]:
    """Read the sites of `sites.parquet`, in the order of its rows.

    Raises
    ------
    FileNotFoundError
        Nothing was published yet.
    """
    data = output.get(places.SITES)
    if data is None:
        raise FileNotFoundError(f"{output.path}/{places.SITES}")
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    return [Site(**{f.name: _value(f.name, row[f.name]) for f in fields(Site)}) for row in rows]


def _plain(name: str, value: Any) -> Any:
    """Return the value of a site's field as the file has it."""
    if name == "geometry":
        # RFC 7946 winds shells counter-clockwise, and readers on a sphere depend on it.
        return shapely.to_wkb(shapely.orient_polygons(value), output_dimension=2)
    if name == "growth":
        return [{"date": date, "area_m2": area} for date, area in value]
    if name == "sample":
        return [{"x": x, "y": y} for x, y in value]
    return list(value) if name == "quality" else value


def _value(name: str, value: Any) -> Any:
    """Return the value of a site's field, from the file's."""
    if name == "geometry":
        return shapely.from_wkb(value)
    if name in ("growth", "sample"):
        return tuple(tuple(entry.values()) for entry in value)
    return tuple(value) if name == "quality" else value


def _geo(sites: Sequence[Site]) -> dict[str, Any]:
    """Return the metadata that the file keeps under "geo"."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({site.geometry.geom_type for site in sites}),
        "orientation": "counterclockwise",
    }
    if sites:
        column["bbox"] = [float(value) for value in shapely.total_bounds([site.geometry for site in sites])]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
