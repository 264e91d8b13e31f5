"""A publication takes the place of the one that stands: it is put together elsewhere, checked, and then switched in.

`run.json` is the seal. It names the publication and says whether it is whole: a reader who finds the same whole one
there before and after has read that one alone, and no mixture (decision 0021).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any

from groundbreak.kernels import LAYERS
from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.mapper import Mapper, here
from groundbreak.pipeline.core.output import DAMAGE, Output, checksum
from groundbreak.pipeline.stores.layout import ROOT

FILES = (places.SITES, places.FAULTS, places.REPORT)
"""The files of a publication beside its mosaics; `run.json`, its seal, comes last."""
PARTS = (*LAYERS, "x", "y", "spatial_ref")
"""The arrays of a mosaic."""
COPIES = 64
"""Objects that one job copies on an object store."""


@dataclass(frozen=True)
class CopyJob:
    """A job: copy some objects of an output."""

    output: Output
    keys: tuple[tuple[str, str], ...]
    """(key, new key) of each object."""


def staged(output: Output) -> Output:
    """Return the empty place in which a publication is put together; what a crash has left there is deleted."""
    output.clear(places.PUBLISHING)
    return output.below(places.PUBLISHING)


def describe(stage: Output, stores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what `run.json` says of a publication: its id, and the checksums of all in it.

    Parameters
    ----------
    stage : Output
        Where it was put together.
    stores : mapping
        Key of a mosaic -> its number of chunks, and their checksum.
    """
    files = {key: checksum(stage.get(key) or b"") for key in FILES}
    # The report is made of what the others hold, and of the words of this version.
    named = digest([stores, {key: value for key, value in files.items() if key != places.REPORT}])
    return {"id": named, "whole": True, "stores": stores, "files": files}


def is_whole(output: Output) -> bool | None:
    """Tell whether what is published is whole; None where nothing is."""
    data = output.get(places.RUN)
    try:
        return None if data is None else bool(json.loads(data)["publication"]["whole"])
    except DAMAGE:  # it is written again with the next publication
        return False


def switch(output: Output, stage: Output, run: Mapping[str, Any], apply: Mapper = here) -> None:
    """Put a publication in the place of the one that stands.

    On a disk, stores and files change places by renaming; on an object store, objects are copied and the root of each
    store comes last. Meanwhile `run.json` says that the publication is not whole, and a crash leaves it saying so: the
    next run publishes again.

    Parameters
    ----------
    output : Output
    stage : Output
        Where it was put together; nothing is left there.
    run : mapping
        The content of `run.json`, with the publication as `describe` returned it.
    apply : Mapper
        Does the copying on an object store.
    """
    stores = sorted(run["publication"]["stores"])
    _seal(output, {**run, "publication": {**run["publication"], "whole": False}})
    if output.local is not None and stage.local is not None:
        with output.named():
            _rename(output.local, stage.local, stores)
    else:
        for _ in apply(copy_objects, _copies(output, stores)):
            pass
        for store in stores:
            _delete_stale(output, store)
        last = [*(f"{store}/{ROOT}" for store in stores), *FILES]
        output.copy({f"{places.PUBLISHING}/{key}": key for key in last})
    _seal(output, run)
    output.clear(places.PUBLISHING)


def copy_objects(job: CopyJob) -> None:
    """Copy the objects of a job."""
    job.output.copy(dict(job.keys))


def _seal(output: Output, run: Mapping[str, Any]) -> None:
    output.put(places.RUN, json.dumps(run, indent=1).encode())


def _rename(root: Path, stage: Path, stores: Sequence[str]) -> None:
    """Let the stores and files below a folder take their places; what was there is put aside, and deleted later."""
    for key in stores:
        aside = stage / "replaced" / key
        aside.parent.mkdir(parents=True, exist_ok=True)
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(root / key):
            (root / key).rename(aside)
        (stage / key).rename(root / key)
    for key in FILES:
        (stage / key).replace(root / key)


def _copies(output: Output, stores: Iterable[str]) -> Iterator[CopyJob]:
    """Make the jobs that copy all objects of some stores but their roots."""
    for store in stores:
        for part in PARTS:
            keys = output.list(f"{places.PUBLISHING}/{store}/{part}")
            for some in batched(keys, COPIES):
                yield CopyJob(output, tuple((key, key.removeprefix(f"{places.PUBLISHING}/")) for key in some))


def _delete_stale(output: Output, store: str) -> None:
    """Delete the objects of a store that the publication does not have; memory holds the keys of one array."""
    for part in PARTS:
        fresh = {
            key.removeprefix(f"{places.PUBLISHING}/") for key in output.list(f"{places.PUBLISHING}/{store}/{part}")
        }
        output.delete_all([key for key in output.list(f"{store}/{part}") if key not in fresh])
