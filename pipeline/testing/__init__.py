"""Simulated Sentinel-2 archives with known truth, a loopback server with faults, and scoring.

truth = write_archive(folder, seed=0)
with ArchiveServer(folder) as server:
    ...
print(render(score(truth, found)))
"""

from groundbreak.pipeline.testing.archive import write_archive
from groundbreak.pipeline.testing.server import ArchiveServer
from groundbreak.pipeline.testing.truth import (
    Found,
    FoundSite,
    NegativeZone,
    ScoreRow,
    TrueSite,
    Truth,
    passed,
    render,
    score,
)

__all__ = [
    "ArchiveServer",
    "Found",
    "FoundSite",
    "NegativeZone",
    "ScoreRow",
    "TrueSite",
    "Truth",
    "passed",
    "render",
    "score",
    "write_archive",
]
