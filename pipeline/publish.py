"""Publishing: from each grid's layers to what other programs and people read."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import Fault
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.products import geoparquet, mosaic
from groundbreak.pipeline.products.sites import find_sites
from groundbreak.pipeline.report import page
from groundbreak.pipeline.report.series import site_series
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.records import FAULT_COLUMNS
from groundbreak.pipeline.summary import Summary, summarise

LOG = logging.getLogger(__name__)


def publish(plan: Plan, output: Output, ledger: Ledger, ignored: Mapping[str, Sequence[str]]) -> Summary:
    """Write mosaics, sites, faults, the report and run.json, from the layers of every grid.

    Parameters
    ----------
    plan : Plan
        With the observations that the cubes really hold.
    output : Output
    ledger : Ledger
    ignored : mapping
        Grid -> items found inside finished slabs, not applied.

    Returns
    -------
    Summary
    """
    digests = {"cubes": {g.grid.name: g.cube for g in plan.grids}, "detection": plan.detection}
    regions = {g.grid.name: g.regions for g in plan.grids}
    epsgs = mosaic.publish_mosaics(output, [g.grid for g in plan.grids], regions, digests)
    sites = find_sites(output, epsgs, min_area_m2=plan.config.detect.min_area_m2)
    LOG.info("%d sites in %d zones", len(sites), len(epsgs))
    geoparquet.write_sites(output, sites)
    summary = summarise(plan, ledger, sites)
    write_faults(output, summary.faults)
    with output.understood(" or ".join(places.cube(g.grid.name) for g in plan.grids), mosaic.REMEDY):
        shown = {site.id: site_series(plan, output, site, summary.kept) for site in sites[: page.CARDS]}
    page.write_report(
        output,
        title=f"groundbreak: {plan.config.source.collection or 'changes'}, {plan.config.source.datetime}",
        area=plan.area,
        sites=sites,
        epsgs=epsgs,
        series={name: series for name, series in shown.items() if series is not None},
        summary=summary.headline,
        verdict=[summary.verdict.sentence, *summary.verdict.lines],
        faults=summary.faults,
    )
    output.put(places.RUN, json.dumps(summary.to_json(output, digests, ignored), indent=1).encode())
    return summary


def write_faults(output: Output, faults: Sequence[Fault]) -> None:
    """Write faults.parquet, a row a fault; without faults, a table of no rows."""
    table = pa.Table.from_pylist([dataclasses.asdict(f) for f in faults], pa.schema(list(FAULT_COLUMNS)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    output.put(places.FAULTS, buffer.getvalue())
