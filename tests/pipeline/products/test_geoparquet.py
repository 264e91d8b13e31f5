"""sites.parquet as other programs read it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.products.geoparquet import read_sites, write_sites
from groundbreak.pipeline.products.mosaic import publish_mosaics
from groundbreak.pipeline.products.sites import Site, find_sites
from tests.pipeline.ground import change, day, stable_grid, store_grids


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(str(tmp_path))


@pytest.fixture
def sites(output: Output) -> list[Site]:
    grid = stable_grid("A", 32638, 500_000, 200, 200)
    change(grid[1], np.s_[50:80, 50:80], day("2022-07-01"), day("2023-09-01"), quality=4)
    change(grid[1], np.s_[100:110, 100:110], day("2021-07-01"))
    return find_sites(output, publish_mosaics(output, output, *store_grids(output, [grid]), {}), min_area_m2=2000)


def test_what_is_written_is_read(output: Output, sites: list[Site]) -> None:
    write_sites(output, sites)
    assert read_sites(output) == sites


def test_geopandas_reads_it(output: Output, sites: list[Site], tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    write_sites(output, sites)
    frame = geopandas.read_parquet(tmp_path / places.SITES)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid.all()
    assert frame.geometry.iloc[0].equals(sites[0].geometry)
    assert frame["id"].tolist() == ["site-0001", "site-0002"]
    assert frame["onset"].tolist() == [dt.date(2022, 7, 1), dt.date(2021, 7, 1)]
    assert frame["halt"].tolist() == [dt.date(2023, 9, 1), None]
    assert frame["growth"].iloc[0][0] == {"date": dt.date(2022, 7, 31), "area_m2": 90_000.0}
    assert list(frame["quality"].iloc[0]) == ["snow_season"]


def test_metadata_is_geoparquet_1_1(output: Output, sites: list[Site], tmp_path: Path) -> None:
    write_sites(output, sites)
    schema = pq.read_schema(tmp_path / places.SITES)
    meta = json.loads(schema.metadata[b"geo"])
    assert meta["version"] == "1.1.0"
    assert meta["primary_column"] == "geometry"
    column = meta["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == pytest.approx(list(shapely.total_bounds([s.geometry for s in sites])))
    # No crs means OGC:CRS84.
    assert "crs" not in column
    assert str(schema.field("onset").type) == "date32[day]"


def test_no_site_is_a_valid_file(output: Output, sites: list[Site], tmp_path: Path) -> None:
    write_sites(output, sites)
    full = pq.read_schema(tmp_path / places.SITES)
    write_sites(output, [])
    assert pq.read_schema(tmp_path / places.SITES).equals(full, check_metadata=False)
    assert read_sites(output) == []
    geopandas = pytest.importorskip("geopandas")
    assert len(geopandas.read_parquet(tmp_path / places.SITES)) == 0


def test_bytes_are_the_same_every_time(output: Output, sites: list[Site]) -> None:
    write_sites(output, sites)
    first = output.get(places.SITES)
    write_sites(output, sites)
    assert output.get(places.SITES) == first


def test_nothing_published_yet(output: Output) -> None:
    with pytest.raises(FileNotFoundError, match=r"sites\.parquet"):
        read_sites(output)
