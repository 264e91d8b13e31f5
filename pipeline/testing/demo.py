"""`groundbreak demo`: the whole job on an archive whose truth is known, over loopback HTTP, and how near it came."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from groundbreak.pipeline import api
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.running.progress import listener
from groundbreak.pipeline.testing.archive import write_archive
from groundbreak.pipeline.testing.server import ArchiveServer
from groundbreak.pipeline.testing.truth import Truth, passed, render, score

CONFIG = """\
# Written by `groundbreak demo`; run it again, as it is, with: groundbreak run demo.toml
[area]
bbox = {bbox}

[source]
items = "archive/items.json"
datetime = "{start}/{end}"

[output]
path = "out"
"""


def run_demo(folder: Path, seed: int, log: str = "auto") -> int:
    """Write the archive, serve it, run on it, and print found against true dates.

    Parameters
    ----------
    folder : Path
        Gets archive/, demo.toml and out/. What an earlier demo of the same seed has finished is used again.
    seed : int
        0 is the compound's own story; others move sites, weather and dates.
    log : {"auto", "plain", "json"}

    Returns
    -------
    int
        0 where every criterion of the demo is met, 1 otherwise.
    """
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "archive"
    print(f"archive of seed {seed} in {archive} ...", flush=True)
    truth = write_archive(archive, seed)
    print(f"archive ready after {time.monotonic() - begun:.0f} s", flush=True)
    config = folder / "demo.toml"
    config.write_text(CONFIG.format(bbox=list(truth.bbox), start=truth.start, end=truth.end))
    with ArchiveServer(archive) as server, listener(log) as tell:
        result = api.run(over_http(Config.from_toml(config), server.url), listener=tell)
        requests = server.requests
    rows = score(truth, result.sites)
    print(f"\n{_headline(truth)}\n\n{render(rows)}\n")
    print(f"{len(requests)} requests over HTTP, {len(result.faults)} faults, {time.monotonic() - begun:.0f} s in all")
    print(f"open {folder / 'out' / 'report.html'}")
    unmet = passed(rows)
    for text in unmet:
        print(f"not met: {text}")
    return 1 if unmet or result.outcome.failed else 0


def over_http(config: Config, url: str) -> Config:
    """Return a configuration that reaches its archive over HTTP, as users do; ``url`` is the address of the archive."""
    source = dataclasses.replace(config.source, items=f"{url}/items.json", allow_hosts=("127.0.0.1",))
    return dataclasses.replace(config, source=source)


def _headline(truth: Truth) -> str:
    return f"found against true, seed {truth.seed}, {truth.start} to {truth.end}"
