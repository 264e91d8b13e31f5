"""Carrying a prepared run out: all that is due on the cluster, again what others have overwritten, then publishing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distributed import Client

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.publish import publish
from groundbreak.pipeline.running import contest, figures, prepared, runner
from groundbreak.pipeline.running.due import Outcome, Work, due
from groundbreak.pipeline.running.lease import Lease
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.room import Room
from groundbreak.pipeline.running.runner import Listener
from groundbreak.pipeline.summary import Summary
from groundbreak.pipeline.workers import connected, memory_limit

LOG = logging.getLogger(__name__)

ALONE = 256
"""Regions up to which an area is published in this process where no cluster is there: starting one takes longer."""
CONTESTS = 3
"""How often what an earlier run's tasks have overwritten is done again, before a run gives up."""


def carry_out(
    config: Config,
    lease: Lease,
    ledger: Ledger,
    grids: Sequence[prepared.PreparedGrid],
    client: Client | None,
    listener: Listener,
) -> tuple[Outcome, Summary]:
    """Build and detect what is due, and publish.

    Parameters
    ----------
    config : Config
    lease : Lease
        Under which is written.
    ledger : Ledger
    grids : sequence of PreparedGrid
    client : distributed.Client, optional
        Left out, the cluster that the configuration names.
    listener : Listener

    Raises
    ------
    BadInput
        Pixels contradict the metadata, the cluster has gone away, the output cannot be written, or tasks of an earlier
        run go on writing into it.
    """
    planned, work = prepared.settled_plan(grids), due(grids, ledger)
    # Workers that are ours end with us; others may go on with what they have begun.
    loose = client is not None or config.cluster.kind != "local"
    with workers_for(config, client, planned, needed=bool(work.tasks)) as workers:
        outcome = _work_off(work, grids[0].plan, lease, ledger, workers, listener, loose=loose)
        for _ in range(CONTESTS):
            if not contest.overwritten(lease, ledger, grids[0].plan, clear=True):
                break
            before, work = outcome, due(grids, ledger)
            _demand_scenes(work, lease)
            with workers_for(config, client or workers, planned, needed=True) as again:
                outcome = _work_off(work, grids[0].plan, lease, ledger, again, listener, loose=loose)
            # What the first round did is neither done before nor done twice.
            outcome.done, outcome.skipped = outcome.done + before.done, before.skipped
        else:
            rule = "is written to by tasks of a run that has ended"
            raise BadInput(lease.output.label, rule, "Stop the workers of earlier runs, and run it again")
        with lease.output.named():
            return outcome, publish(planned, lease.output, ledger, outcome.ignored, workers)


def _demand_scenes(work: Work, lease: Lease) -> None:
    """Raise BadInput where a slab must be built again of observations that this run has not asked the source for.

    It has left them as they were, inside a slab that was finished, and was overwritten only now.
    """
    builds = [(region.grid, build.slab) for region in work.regions() for build in region.builds]
    lacking = sum(not all(o.scenes for o in g.settled.observations[slab.start : slab.stop]) for g, slab in builds)
    if lacking:
        rule = f"holds {lacking} slabs that were overwritten, just now, by tasks of a run that was killed"
        raise BadInput(lease.output.label, rule, "`groundbreak run` builds them again")


@contextmanager
def workers_for(
    config: Config, client: Client | None, planned: Plan, *, needed: bool = False
) -> Iterator[Client | None]:
    """Yield a client whose workers are ready; None where a little publishing is all that is to be done, and done here.

    Where regions are ``needed``, too, workers compile the detector beforehand.
    """
    many = sum(len(g.regions) for g in planned.grids) > ALONE
    if client is None and not many and not needed:
        yield None
        return
    with connected(config, client, detecting=needed) as ready:
        yield ready


def _work_off(
    work: Work,
    plan: Plan,
    lease: Lease,
    ledger: Ledger,
    workers: Client | None,
    listener: Listener,
    *,
    loose: bool,
) -> Outcome:
    """Do all that is due, and fold the records into the ledger's table, however it ends."""
    try:
        if work.tasks:
            assert workers is not None
            detections = work.left.total()
            lease.use(loose=loose, due={places.BUILD: work.tasks - detections, places.DETECT: detections})
            room = Room(plan, memory_limit(plan.config, workers))
            room.demand()
            runner.execute(work, workers, ledger, figures.telling(workers, listener), room)
            lease.loose = False
    except BaseException:
        try:
            ledger.compact()
        except BadInput as error:  # the first error is the cause; the records count without the table
            LOG.warning("the records could not be folded into the table: %s", error)
        raise
    ledger.compact()
    return work.outcome
