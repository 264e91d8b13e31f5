"""Sites as GeoParquet 1.1: WKB geometry in lon/lat (OGC:CRS84, the format's default CRS) and plain columns."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from types import NoneType
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.sites import Site

SITE_COLUMNS = pa.schema(
    [
        pa.field(name, hint.__metadata__[0], nullable=NoneType in get_args(hint.__origin__))
        for name, hint in get_type_hints(Site, include_extras=True).items()
    ]
)
"""The columns of `sites.parquet`, as the fields of `Site` declare them."""


def write_sites(output: Output, sites: Sequence[Site]) -> None:
    """Write `sites.parquet`: a row for each site, in their order; where there is no site, a file without rows."""
    columns = {f.name: [_plain(f.type, getattr(site, f.name)) for site in sites] for f in SITE_COLUMNS}
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
    return [Site(**{f.name: _value(f.type, row[f.name]) for f in SITE_COLUMNS}) for row in rows]


def _plain(arrow: pa.DataType, value: Any) -> Any:
    """Return the value of a site's field as a column of a type holds it."""
    if pa.types.is_binary(arrow):
        # RFC 7946 winds shells counter-clockwise, and readers on a sphere depend on it.
        return shapely.to_wkb(shapely.orient_polygons(value), output_dimension=2)
    if not pa.types.is_list(arrow):
        return value
    entry = arrow.value_type
    return [dict(zip(entry.names, one, strict=True)) if pa.types.is_struct(entry) else one for one in value]


def _value(arrow: pa.DataType, value: Any) -> Any:
    """Return the value of a site's field, from what a column of a type holds."""
    if pa.types.is_binary(arrow):
        return shapely.from_wkb(value)
    if not pa.types.is_list(arrow):
        return value
    return tuple(tuple(one.values()) if pa.types.is_struct(arrow.value_type) else one for one in value)


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
