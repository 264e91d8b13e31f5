"""The demo on several seeds: how near the dates come when sites, weather and dates are others.

python -m benchmarks.demo_seeds 1 2 3
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from groundbreak.cluster.connect import connect
from groundbreak.pipeline import api
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.testing.archive import write_archive
from groundbreak.pipeline.testing.demo import CONFIG, over_http
from groundbreak.pipeline.testing.server import ArchiveServer
from groundbreak.pipeline.testing.truth import passed, render, score


def main() -> None:
    """Run every seed on one local cluster and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("demo-seeds"))
    options = parser.parse_args()
    with connect("local") as client:
        for seed in options.seeds:
            folder = options.folder / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            truth = write_archive(folder / "archive", seed)
            file = folder / "demo.toml"
            file.write_text(CONFIG.format(bbox=list(truth.bbox), start=truth.start, end=truth.end))
            begun = time.monotonic()
            with ArchiveServer(folder / "archive") as server:
                result = api.run(over_http(Config.from_toml(file), server.url), client)
            rows = score(truth, result.sites)
            print(f"\nseed {seed}: run in {time.monotonic() - begun:.0f} s, {len(result.faults)} faults")
            print(render(rows))
            print("\n".join(f"not met: {text}" for text in passed(rows)) or "all criteria met", flush=True)


if __name__ == "__main__":
    main()
