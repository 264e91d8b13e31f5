"""`make soak`: kill -9 at 30 random moments (client, worker, scheduler), and signals at 12, ten of them SIGTERM."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.soak.cluster import Processes
from tests.soak.trials import make_world, quarantine, strike

PLAN = [
    *(10 * ["kill the client", "kill a worker", "kill the scheduler"]),
    *(10 * ["terminate"]),
    "interrupt",
    "hang up",
]


def main() -> int:
    """Make all trials, print a line of each, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="other moments")
    seed = parser.parse_args().seed
    folder, random, bad = Path(tempfile.mkdtemp(prefix="soak")), Random(seed), 0  # noqa: S311 - moments, no secrets
    cluster = Processes(folder)
    try:
        world = make_world(folder, cluster)
        for number, how in enumerate(random.sample(PLAN, len(PLAN))):
            begun = time.monotonic()
            wrong = strike(world, f"trial{number}", how, random)
            bad += bool(wrong)
            print(
                f"{number + 1:2} of {len(PLAN)}  {how:<20} {wrong or 'good'}  {time.monotonic() - begun:.0f} s",
                flush=True,
            )
            if not wrong:
                shutil.rmtree(folder / f"trial{number}")
        wrong = quarantine(world)
        bad += bool(wrong)
        print(f"a region that kills its workers: {wrong or 'good'}", flush=True)
    finally:
        cluster.close()
    print(f"{bad} of {len(PLAN) + 1} trials failed" + (f"; what they left is in {folder}" if bad else ""))
    if not bad:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
