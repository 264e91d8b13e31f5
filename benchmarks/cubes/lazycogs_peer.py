"""lazycogs, in an interpreter of its own.

It asks DuckDB which items a chunk needs, and DuckDB fetches an extension from the internet for that. Here the same
questions are answered from memory, which takes less time than DuckDB would.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lazycogs
import numpy as np
from arro3.core import Array, DataType, Table
from obstore.store import HTTPStore

from benchmarks.cubes.job import BANDS, MASK, Job, store_band


class Items:
    """Stands for rustac's DuckdbClient, as far as lazycogs asks it."""

    def __init__(self, path: str) -> None:
        self.features: list[dict[str, Any]] = json.loads(Path(path).read_text())["features"]
        for asset in (asset for feature in self.features for asset in feature["assets"].values()):
            if asset["href"].startswith("/"):
                asset["href"] = f"file://{asset['href']}"

    def search(
        self,
        href: str,  # noqa: ARG002  # lazycogs may give it by name
        *,
        bbox: Any,
        datetime: str | None,
        max_items: int | None = None,
        **_rest: Any,
    ) -> list[dict[str, Any]]:
        """Return the items that meet a box and an interval of ISO times."""
        west, south, east, north = bbox
        start, _, end = (datetime or "0000/9999").partition("/")
        end = end or start

        def wanted(feature: dict[str, Any]) -> bool:
            w, s, e, n = feature["bbox"]
            time = feature["properties"]["datetime"]
            near = w <= east and e >= west and s <= north and n >= south
            return bool(near and time[: len(start)] >= start and time[: len(end)] <= end)

        return [feature for feature in self.features if wanted(feature)][:max_items]

    def search_to_arrow(self, href: str, **query: Any) -> Table:
        """Return the times of the items that `search` finds."""
        times = [feature["properties"]["datetime"] for feature in self.search(href, **query)]
        return Table.from_pydict({"datetime": Array(times, DataType.utf8())})


def run(job: Job) -> dict[str, Any]:
    """Load and store, a band at a time; its own thread and event loop read."""
    items = Items(job.items)
    where = urlsplit(items.features[0]["assets"][MASK]["href"])
    # Its own stores refuse plain HTTP.
    served = where.scheme == "http"
    store = HTTPStore.from_url(f"http://{where.netloc}", client_options={"allow_http": True}) if served else None
    for band in (*BANDS, MASK):
        cube = lazycogs.open(
            job.items,
            bbox=job.bounds,
            crs=f"EPSG:{job.epsg}",
            resolution=20 if band == MASK else 10,
            bands=[band],
            store=store,
            duckdb_client=items,
        )
        store_band(job, band, np.asarray(cube.sel(band=band).values))
    return {}
