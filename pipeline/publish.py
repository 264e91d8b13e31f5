"""Publishing: from each grid's layers to what other programs and people read.

The work is done block by block and site by site, on the workers of a cluster or in this process; what is left to the
caller is to join what the blocks have found.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.products import geoparquet, mosaic
from groundbreak.pipeline.products.sites import find_sites
from groundbreak.pipeline.report import page
from groundbreak.pipeline.report.series import sites_series
from groundbreak.pipeline.running import place, publication
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.record_table import FAULT_COLUMNS
from groundbreak.pipeline.running.spread import mapper
from groundbreak.pipeline.summary import Summary, summarise

LOG = logging.getLogger(__name__)


def publish(
    plan: Plan, output: Output, ledger: Ledger, ignored: Mapping[str, Sequence[str]], client: Client | None = None
) -> Summary:
    """Write mosaics, sites, faults, the report and run.json, from the layers of every grid.

    Parameters
    ----------
    plan : Plan
        With the observations that the cubes really hold.
    output : Output
    ledger : Ledger
    ignored : mapping
        Grid -> items found inside finished slabs, not applied.
    client : distributed.Client, optional
        Of the cluster that does the work; left out, this process does it.

    Returns
    -------
    Summary

    Raises
    ------
    BadInput
        A store is damaged or is somebody else's, or the cluster has gone away. What was published before stands.
    """
    digests = {"cubes": {g.grid.name: g.cube for g in plan.grids}, "detection": plan.detection}
    regions = {g.grid.name: g.regions for g in plan.grids}
    place.check_stores(output, [], [g.grid.frame.epsg for g in plan.grids])
    apply, stage = mapper(client), publication.staged(output)
    zones = mosaic.publish_mosaics(output, stage, [g.grid for g in plan.grids], regions, digests, apply)
    LOG.info("%d chunks of %d zones are put together", sum(z.objects for z in zones.values()), len(zones))
    sites = find_sites(stage, zones, min_area_m2=plan.config.detect.min_area_m2, apply=apply)
    LOG.info("%d sites in %d zones", len(sites), len(zones))
    geoparquet.write_sites(stage, sites)
    summary = summarise(plan, ledger, sites)
    write_faults(stage, summary.faults)
    page.write_report(
        stage,
        title=f"groundbreak: {plan.config.source.collection or 'changes'}, {plan.config.source.datetime}",
        area=plan.area,
        sites=sites,
        epsgs=zones,
        series=sites_series(plan, output, sites[: page.CARDS], summary.kept, apply),
        summary=summary.headline,
        verdict=[summary.verdict.sentence, *summary.verdict.lines],
        faults=summary.faults,
        apply=apply,
    )
    described = publication.describe(stage, {places.mosaic(epsg): z.described for epsg, z in zones.items()})
    run = {**summary.to_json(output, digests, ignored), "publication": described}
    publication.switch(output, stage, run, apply)
    return summary


def write_faults(output: Output, faults: Sequence[Fault]) -> None:
    """Write faults.parquet, a row a fault; without faults, a table of no rows."""
    table = pa.Table.from_pylist([dataclasses.asdict(f) for f in faults], pa.schema(list(FAULT_COLUMNS)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    output.put(places.FAULTS, buffer.getvalue())
