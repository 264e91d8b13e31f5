"""`groundbreak demo`: the whole job on an archive whose truth is known, over loopback HTTP, and how near it came."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from groundbreak.pipeline import api
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running.progress import listener
from groundbreak.pipeline.testing.archive import VERSION, write_archive
from groundbreak.pipeline.testing.server import ArchiveServer
from groundbreak.pipeline.testing.truth import Truth, passed, render, score

MARKER = ".groundbreak-demo.json"
"""File that tells which world lies in a folder; written before anything else."""

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
        Gets archive/, demo.toml and out/. What an earlier demo of the same seed has finished is used again; where the
        folder holds anything else, a folder of the seed's own below it is taken (`home`).
    seed : int
        0 is the compound's own story; others move sites, weather and dates.
    log : {"auto", "plain", "json"}

    Returns
    -------
    int
        0 where every criterion of the demo is met, 1 otherwise.

    Raises
    ------
    BadInput
        No folder for this seed is free.
    """
    begun = time.monotonic()
    top, folder = folder, home(folder, seed)
    if folder != top:
        print(f"{top} holds another world, or other files; seed {seed} goes to {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(json.dumps(_world(seed)) + "\n")
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
    return 0 if result.good and not unmet else 1


def home(folder: Path, seed: int) -> Path:
    """Choose the folder of a seed's world: nothing of another world, and nothing of anybody else, may lie there.

    Parameters
    ----------
    folder : Path
    seed : int

    Returns
    -------
    Path
        The folder itself where it is free or holds this very world, else a folder below it.

    Raises
    ------
    BadInput
        All of them hold something else.
    """
    choices = (folder, folder / f"seed-{seed}", folder / f"seed-{seed}-v{VERSION}")
    for choice in choices:
        if _held(choice) in (None, _world(seed)):
            return choice
    rule = f"holds other worlds or other files, and so do {', '.join(map(str, choices[1:]))}"
    raise BadInput(f"--folder {folder}", rule, "Name another folder, or take these away")


def _world(seed: int) -> dict[str, int]:
    """Return what tells one world from another."""
    return {"seed": seed, "version": VERSION}


def _held(folder: Path) -> dict[str, Any] | None:
    """Return the world that a folder holds, as the demo has noted it; None where the folder is free.

    What the demo did not note is somebody else's, or of a demo that took no notes: it counts as another world.
    """
    try:
        return dict(json.loads((folder / MARKER).read_text()))
    except FileNotFoundError:
        taken = not folder.is_dir() if folder.exists() else False
        return {} if taken or any((folder / name).exists() for name in ("archive", "out", "demo.toml")) else None
    except (OSError, ValueError, TypeError):
        return {}


def over_http(config: Config, url: str) -> Config:
    """Return a configuration that reaches its archive over HTTP, as users do; ``url`` is the address of the archive."""
    source = dataclasses.replace(config.source, items=f"{url}/items.json", allow_hosts=("127.0.0.1",))
    return dataclasses.replace(config, source=source)


def _headline(truth: Truth) -> str:
    return f"found against true, seed {truth.seed}, {truth.start} to {truth.end}"
