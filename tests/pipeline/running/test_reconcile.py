"""Lists of observations: what appends, what is applied, what is reported."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np

from groundbreak.pipeline.core.digests import digest
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Observation, Region, Scene
from groundbreak.pipeline.planning.plans import slab_depth, slabs
from groundbreak.pipeline.running.reconcile import reconcile, slab_identity, stored_list

FRAME = Frame(32638, 600_000, 4_400_000, 10, 64, 64)
REGION = Region("g", 0, 0, FRAME, 1, FRAME)


def take(day: int, version: str = "1") -> Observation:
    time = np.datetime64("2024-01-01T07:00", "ms") + np.timedelta64(day, "D")
    scene = Scene(f"i{day}", "c", "p", time, f"t{day}", "", "", version, (0, 0, 1, 1), {})
    return Observation(f"t{day}", time, (scene,))


def test_slabs_are_whole_chunks_and_cover_the_list() -> None:
    assert [slab_depth(n) for n in (5, 12, 13, 60)] == [5, 12, 24, 60]
    found = slabs(130, 60)
    assert [(s.start, s.stop, s.full) for s in found] == [(0, 60, True), (60, 120, True), (120, 130, False)]
    assert slabs(0, 60) == ()


def test_a_new_cube_takes_the_list_as_it_is() -> None:
    found = [take(d) for d in range(5)]
    result = reconcile([], found, 0)
    assert result.observations == tuple(found)
    assert result.ignored == ()


def test_later_observations_append() -> None:
    old, new = [take(d) for d in range(7)], [take(d) for d in range(12)]
    result = reconcile(stored_list(old), new, 4)
    assert result.observations == tuple(new)
    assert result.ignored == ()
    versions = [o.version for o in old[:4]]
    expected = digest(["c", astuple(REGION.window_at(0)), 0, versions])
    assert slab_identity("c", REGION, 0, result.versions[:4]) == slab_identity("c", REGION, 0, versions) == expected


def test_changes_inside_finished_slabs_are_reported_and_those_of_the_tail_applied() -> None:
    old = [take(d) for d in (0, 2, 4, 6, 8, 10)]
    new = [take(0), take(1), take(2, "2"), take(6), take(8, "2"), take(9), take(10)]
    result = reconcile(stored_list(old), new, 4)
    assert [o.id for o in result.observations] == ["t0", "t2", "t4", "t6", "t8", "t9", "t10"]
    assert result.versions[:4] == tuple(o.version for o in old[:4])
    assert result.versions[4] == take(8, "2").version
    assert sorted(result.ignored) == ["t1 is late", "t2 has been reprocessed", "t4 is no longer offered"]
    # What is gone or reprocessed is a stub, which a building task would refuse to fill silently.
    assert [bool(o.scenes) for o in result.observations] == [True, False, False, True, True, True, True]


def test_rebuilding_applies_all() -> None:
    old, new = [take(d) for d in range(6)], [take(d) for d in (0, 1, 3, 4, 5, 7)]
    assert reconcile(stored_list(old), new, 0).observations == tuple(new)


def test_versions_name_what_was_observed_and_not_where_it_lies() -> None:
    a = take(1)
    assert a.version == take(1).version
    assert a.version != take(1, "2").version
    assert a.version == replace(a, scenes=(replace(a.scenes[0], bounds=(0, 0, 2, 2)),)).version
