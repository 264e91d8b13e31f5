"""What tasks of an earlier run have overwritten: found before anything is published.

A task that still runs somewhere looks at the lease before each write, but a put that was on its way by then, or a
worker that was suspended, may come late. Each record keeps a digest of the tags that the storage gave to its objects,
so a listing tells which tasks' objects were written by somebody else since; only those are read and compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from groundbreak.kernels import LAYERS
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import Output, checksum
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.planning.plans import Plan
from groundbreak.pipeline.running.lease import Lease
from groundbreak.pipeline.running.ledger import Ledger, stamp
from groundbreak.pipeline.stores.layout import band_path

LOG = logging.getLogger(__name__)


def overwritten(lease: Lease, ledger: Ledger, plan: Plan, *, clear: bool) -> list[str]:
    """Find the finished tasks whose objects are not what they wrote, and have them done again by the next run.

    Nothing is looked for where every earlier run has ended in good order. Tasks of earlier runs are kept out first.

    Parameters
    ----------
    lease : Lease
    ledger : Ledger
    plan : Plan
    clear : bool
        Also delete the objects that no task has written; every task must have left its record.

    Returns
    -------
    list of str, names of tasks.
    """
    if not lease.contested:
        return []
    lease.use(loose=lease.loose)
    output, found = lease.output, []
    tasks = ledger.records.by_grid()
    for grid in (planned.grid for planned in plan.grids):
        cube, layers = places.cube(grid.name), places.layers(grid.name)
        arrays = [f"{cube}/{band_path(grid, band)}" for band in grid.bands]
        arrays += [f"{layers}/{name}" for name in LAYERS]
        tags = {key: tag for array in arrays for key, tag in output.tags(f"{array}/c")}
        records = [ledger.records[task] for task in tasks.get(grid.name, ())]
        found += [r.task for r in records if r.state == "done" and _differs(output, r, tags)]
        if clear:
            _delete(output, tags.keys() - {key for r in records for key in r.checksums})
    for task in found:
        LOG.warning("%s was overwritten by a task of an earlier run, and is done again", task)
        ledger.forget(task)
    return found


def _differs(output: Output, record: Record, tags: dict[str, str]) -> bool:
    """Tell whether some object of a record holds other bytes than those that the task wrote."""
    now = {key: tags[key] for key in record.checksums if key in tags}
    if record.stamp and stamp(now) == record.stamp:
        return False
    found = ((output.get(key), total) for key, total in record.checksums.items())
    return any(data is None or checksum(data) != total for data, total in found)


def _delete(output: Output, keys: Iterable[str]) -> None:
    for key in sorted(keys):
        LOG.warning("%s is no object of any task of this output, and is deleted", key)
        output.delete(key)
