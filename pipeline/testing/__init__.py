"""Simulated Sentinel-2 archives with known truth, a loopback server with faults, and scoring.

`write_archive` makes the archive and returns its truth, `ArchiveServer` serves it on this machine and fails as it is
told to, and `score` and `render` set what a run has found against the truth.
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
