"""Random archives with known pixels: what was said beforehand is read, or named; there is no third outcome.

An archive follows from its number alone: `ARCHIVES=1 FIRST_ARCHIVE=48` tries number 48 again.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from distributed import Client

from tests.archives.check import Verdict, try_archive, world_of

COUNT = int(os.environ.get("ARCHIVES", "100"))
"""Archives that are tried; 2,000 by night."""
FIRST = int(os.environ.get("FIRST_ARCHIVE", "0"))
AT_ONCE = 20
"""Archives of one test."""


def story(verdict: Verdict) -> str:
    """Return what must be known of an archive in which something is wrong."""
    world = verdict.world
    harms = dict(Counter(spec.harm or "none" for spec in world.specs))
    said = (
        f"{world.layout}, lattice {world.lattice}, pixels of {world.sides}, resolution {world.resolution}, "
        f"{world.numbers}, mask {world.classes.kind}, items {world.style} and {world.geometry}, harms {harms}"
    )
    return "\n    ".join((f"archive {world.seed}: {said}", *verdict.wrong))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, AT_ONCE))
def test_what_was_said_beforehand_is_read_or_named(tmp_path: Path, client: Client, first: int) -> None:
    wrong = []
    for seed in range(first, min(first + AT_ONCE, FIRST + COUNT)):
        verdict = try_archive(seed, tmp_path / str(seed), client)
        if verdict.wrong:
            wrong.append(story(verdict))
        else:
            shutil.rmtree(tmp_path / str(seed))
            assert verdict.outcome == "refused" or verdict.readings
    assert not wrong, "\n".join(wrong)


def test_an_archive_follows_from_its_number() -> None:
    assert world_of(7) == world_of(7)
    assert world_of(7) != world_of(8)
