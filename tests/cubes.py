"""One cube three ways: block by block, every asset the general way, and as odc-stac loads it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import odc.stac
import pystac
import zarr
from affine import Affine
from distributed.protocol.pickle import dumps, loads
from odc.geo.geobox import GeoBox

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault, Record
from groundbreak.pipeline.core.types import REFLECTANCE_FILL
from groundbreak.pipeline.planning import planner
from groundbreak.pipeline.planning.plans import GridPlan, Plan
from groundbreak.pipeline.readers.cog import NotByBlocks
from groundbreak.pipeline.running import prepared, tasks
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.shared import pack
from groundbreak.pipeline.stores import layout
from tests.world import SIDES

BLOCKS = "blocks, as they lie in the file"
"""How a plan names the way of an asset that the block reader reads."""
APPLIED = "earthsearch:boa_offset_applied"
"""Property of an item: whether its pixels are free of ESA's offset."""


class Meaning(NamedTuple):
    """What a band's digital numbers are: reflectance = scale x number + offset."""

    dtype: str
    nodata: float
    scale: float = 1e-4
    offset: float = 0.0


USUAL = {band: Meaning("uint8" if band == "scl" else "uint16", 0) for band in SIDES}
"""What the bands of tests.world mean."""


@dataclass(frozen=True)
class Built:
    """A cube that tasks have written."""

    plan: Plan
    output: Output
    records: list[Record]

    @property
    def faults(self) -> list[Fault]:
        return [f for r in self.records for f in r.faults]

    def stored(self, grid: str, band: str, resolution: float) -> np.ndarray:
        """Return a band as it is stored, (time, y, x)."""
        path = f"{layout.group_name(resolution)}/{band}"
        return np.asarray(zarr.open_array(self.output.zarr(places.cube(grid)), path=path, mode="r")[:])


def build(config: Config, *, general: bool = False) -> Built:
    """Plan, lay out and build every slab of every region, each task having travelled as to a worker."""
    plan = planner.plan(config)
    if general:
        forced = (dataclasses.replace(g, headers=dict.fromkeys(g.headers, NotByBlocks("forced"))) for g in plan.grids)
        plan = dataclasses.replace(plan, grids=tuple(forced))
    output = Output(config.path(config.output.path))
    ready = prepared.prepare(plan, output, Ledger(output), rebuild=False)
    records = []
    for grid in ready:
        share = pack(grid.share).open()
        records += [tasks.build(share, loads(dumps(t))) for r in grid.planned.regions for t in grid.builds(r)]
    assert not [r.error for r in records if r.error]
    return Built(plan, output, records)


def read_items(path: Path, unused: Collection[str] = ()) -> list[pystac.Item]:
    """Read the items of an items.json, without those whose ids are in ``unused``."""
    items = [pystac.Item.from_dict(feature) for feature in json.loads(path.read_text())["features"]]
    for item in items:
        item.set_self_href(str(path))
    return [item for item in items if item.id not in unused]


def by_odc(items: list[pystac.Item], asset: str, frame: Frame, meaning: Meaning) -> np.ndarray:
    """Load digital numbers on a frame with odc-stac, (time, y, x); of the items of a datatake the first given wins."""
    loaded = odc.stac.load(
        items,
        bands=[asset],
        geobox=GeoBox((frame.height, frame.width), Affine(*frame.transform), f"EPSG:{frame.epsg}"),
        groupby="s2:datatake_id",
        preserve_original_order=True,
        resampling="nearest",
        dtype=meaning.dtype,
        nodata=meaning.nodata,
        fail_on_error=False,
    )
    return np.asarray(loaded[asset].values)


def reflectance(numbers: np.ndarray, meaning: Meaning, offsets: np.ndarray) -> np.ndarray:
    """Return what a cube stores of digital numbers, (time, y, x) int16; ``offsets`` (time,) add to the band's own."""
    scaled = np.rint((meaning.scale * numbers.astype("f8") + meaning.offset + offsets[:, None, None]) * 1e4)
    missing = np.isnan(numbers) | (numbers == meaning.nodata)
    return np.where(missing, REFLECTANCE_FILL, np.clip(scaled, -32767, 32767)).astype("i2")


def inside(planned: GridPlan, resolution: float) -> np.ndarray:
    """Return which pixels (y, x) of a grid's frame the cube holds."""
    frame = planned.grid.frame.at(resolution)
    found = np.zeros((frame.height, frame.width), bool)
    for region in planned.regions:
        part = region.window.at(resolution)
        row, col = round((frame.y0 - part.y0) / resolution), round((part.x0 - frame.x0) / resolution)
        found[row : row + part.height, col : col + part.width] = True
    return found


def assert_three_ways(
    configured: Callable[[str], Config],
    items: Mapping[str, list[pystac.Item]],
    meanings: Mapping[str, Meaning],
) -> Built:
    """Build by blocks and the general way, and compare every stored pixel of both with odc-stac's.

    Parameters
    ----------
    configured : output path -> configuration
    items : grid -> its items, those of a datatake in fusing order
    meanings : band -> its digital numbers; a mask's are kept as they are
    """
    ours, general = build(configured("blocks")), build(configured("general"), general=True)
    assert [g.grid.name for g in ours.plan.grids] == list(items)
    for planned in ours.plan.grids:
        grid = planned.grid
        assert BLOCKS in planned.ways
        assert not [way for way in planned.ways if way.startswith("general")]
        takes = {i.properties["s2:datatake_id"]: i for i in items[grid.name]}
        offsets = np.array([0.0 if takes[t].properties[APPLIED] else -0.1 for t in sorted(takes)])
        for band, resolution in grid.bands.items():
            stored = ours.stored(grid.name, band, resolution)
            np.testing.assert_array_equal(stored, general.stored(grid.name, band, resolution), band)
            expected = by_odc(items[grid.name], band, grid.frame.at(resolution), meanings[band])
            fill = ours.plan.mask.nodata
            if band != ours.plan.mask.band:
                expected, fill = reflectance(expected, meanings[band], offsets), REFLECTANCE_FILL
            regions = inside(planned, resolution)
            np.testing.assert_array_equal(stored, np.where(regions, expected, np.asarray(fill, stored.dtype)), band)
            assert (stored[:, regions] != fill).mean() > 0.2
    assert ours.faults == general.faults
    return ours
