"""Which observations a cube holds, against those that a new plan finds.

A longer list appends. What turns up inside a finished slab (late, reprocessed or gone) is reported and not applied, so
that finished slabs keep their bytes; `--rebuild` applies it. The tail slab is replaced whole as it grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np

from groundbreak.pipeline.core.digests import canonical, digest, digest_text
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Observation, Region


@dataclass(frozen=True)
class Reconciled:
    """The list that a cube will have."""

    observations: tuple[Observation, ...]
    """Those of a finished slab may be stubs without scenes: they are never read again."""
    versions: tuple[str, ...]
    ignored: tuple[str, ...]
    """What was found inside finished slabs and is not applied, in words."""

    @property
    def digest(self) -> str:
        """The observation-list digest."""
        return digest(self.versions)


_FIELDS = attrgetter(*(field.name for field in fields(Frame)))


def slab_identity(cube: str, region: Region, start: int, versions: Sequence[str]) -> str:
    """Return the digest of what a slab's pixels depend on.

    That is the cube's identity, the part of the region that it holds, and the slab's own observations.

    Parameters
    ----------
    cube : str
        Digest of the cube's identity.
    region : Region
    start : int
        Position of the slab's first observation.
    versions : sequence of str
        Versions of the slab's observations, in time.
    """
    # The digest of the list of these, put together from parts: a country has a million regions, and few lists.
    window = _FIELDS(region.window_at(start))
    return digest_text(f"[{canonical(cube)},{canonical(window)},{start},{_written(tuple(versions))}]")


@lru_cache(maxsize=1024)
def _written(versions: tuple[str, ...]) -> str:
    return canonical(versions)


def stored_list(versions: Sequence[Observation]) -> list[dict[str, Any]]:
    """List what the cube's metadata keep of its observations: id, time, version and items of each."""
    return [
        {"id": o.id, "time": str(o.time), "version": o.version, "items": [s.id for s in o.scenes]} for o in versions
    ]


def reconcile(stored: Sequence[dict[str, Any]], found: Sequence[Observation], finished: int) -> Reconciled:
    """Set a new list against the stored one.

    Parameters
    ----------
    stored : sequence of dict
        As `stored_list` gives, in time; empty for a new cube.
    found : sequence of Observation
        The plan's, in time.
    finished : int
        How many of the stored, from the first, lie in slabs that every region has finished; 0 to apply all changes.
    """
    kept = stored[:finished]
    if not kept:
        return Reconciled(tuple(found), tuple(o.version for o in found), ())
    end = np.datetime64(kept[-1]["time"])
    by_id = {o.id: o for o in found}
    ignored = []
    observations, versions = [], []
    for entry in kept:
        now = by_id.get(entry["id"])
        if now is None:
            ignored.append(f"{entry['id']} is no longer offered")
        elif now.version != entry["version"]:
            ignored.append(f"{entry['id']} has been reprocessed")
        same = now if now is not None and now.version == entry["version"] else None
        observations.append(same or Observation(entry["id"], np.datetime64(entry["time"]), ()))
        versions.append(entry["version"])
    known = {e["id"] for e in kept}
    for observation in found:
        if observation.id in known:
            continue
        if observation.time <= end:
            ignored.append(f"{observation.id} is late")
            continue
        observations.append(observation)
        versions.append(observation.version)
    return Reconciled(tuple(observations), tuple(versions), tuple(ignored))
