"""Who takes part: a module that builds, its settings, and GDAL's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from groundbreak.pipeline.access.remote import REQUESTS as MANY

OURS, FLOOR = "groundbreak", "floor: decode + encode"
DATE = {"time": 1, "x": 1024, "y": 1024}

# Listing a folder to look for side files costs a request, or several, for every file.
LEAN = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
# The whole header in the first request, and blocks that lie side by side in one. Not CPL_VSIL_CURL_USE_HEAD=NO: GDAL
# then asks for a file's size by fetching all of it.
REMOTE = {**LEAN, "GDAL_INGESTED_BYTES_AT_OPEN": "32768", "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES"}
CACHED = {**REMOTE, "VSI_CACHE": "TRUE"}


@dataclass(frozen=True)
class Contender:
    """A row of the table."""

    name: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    gdal: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Configuration of GDAL, through the environment."""

    @property
    def family(self) -> str:
        """Return the builder's name; rows of one family are its settings."""
        return self.name.split(",")[0]


BOTH = (Contender(FLOOR, "floors"), Contender(OURS, "ours"))

LOCAL = (
    *BOTH,
    Contender("odc-stac, one thread", "odc", {}, LEAN),
    Contender("odc-stac, one thread, GDAL's defaults", "odc"),
    Contender("odc-stac, pool of 4, bands together", "odc", {"pool": 4, "together": True}, LEAN),
    Contender("odc-stac, dask, 1 thread, a chunk a date", "odc", {"chunks": DATE}, LEAN),
    Contender("stackstac, tuned", "stackstac_peer", {"tuned": True}),
    Contender("stackstac, defaults", "stackstac_peer"),
    Contender("lazycogs", "lazycogs_peer"),
)

HTTP = (
    *BOTH,
    Contender("odc-stac, pool of 16", "odc", {"pool": 16}, LEAN),
    Contender("odc-stac, pool of 16, bands together, CACHED", "odc", {"pool": 16, "together": True}, CACHED),
    Contender("odc-stac, pool of 32, bands together, CACHED", "odc", {"pool": 32, "together": True}, CACHED),
    Contender(f"odc-stac, pool of {MANY}, bands together, CACHED", "odc", {"pool": MANY, "together": True}, CACHED),
    Contender("odc-stac, dask, 16 threads, REMOTE", "odc", {"chunks": DATE, "threads": 16}, REMOTE),
    Contender(f"stackstac, tuned, {MANY} threads", "stackstac_peer", {"tuned": True, "threads": MANY}, REMOTE),
    Contender("stackstac, defaults, 16 threads", "stackstac_peer", {"threads": 16}),
    Contender("lazycogs", "lazycogs_peer"),
)
