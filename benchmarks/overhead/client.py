"""A process of its own that goes through so many regions, ours or bare, and prints what that cost as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

from distributed import Client, as_completed

from benchmarks.machine import PeakMemory
from benchmarks.overhead import world
from groundbreak.pipeline.planning.budget import TASKS_PER_THREAD
from groundbreak.pipeline.running import runner
from groundbreak.pipeline.running.due import due
from groundbreak.pipeline.running.lease import locked
from groundbreak.pipeline.running.ledger import Ledger
from groundbreak.pipeline.running.progress import silent
from groundbreak.pipeline.running.room import Room

CALL = pickle.dumps(0)


def bare(client: Client, _folder: Path, regions: int, _dates: int) -> None:
    """Go through as many futures that do nothing."""
    window, sent, stream = TASKS_PER_THREAD * sum(client.nthreads().values()), 0, as_completed()
    for _ in range(min(window, regions)):
        stream.add(client.submit(pickle.loads, CALL, key=("bare", sent), pure=False))
        sent += 1
    for future in stream:
        future.result()
        future.release()
        if sent < regions:
            stream.add(client.submit(pickle.loads, CALL, key=("bare", sent), pure=False))
            sent += 1


def ours(client: Client, folder: Path, regions: int, dates: int) -> None:
    """Run all regions of a plan, and fold their records into the ledger's table."""
    plan, grids = world.make(folder, regions, dates)
    with locked(grids[0].output) as lease:
        grids = [type(g)(g.plan, g.planned, g.settled, lease.output) for g in grids]
        lease.use(loose=False)
        ledger = Ledger(lease.output)
        outcome = runner.execute(due(grids, ledger), client, ledger, silent(), Room(plan, 0))
        assert outcome.done == 2 * regions, outcome
        ledger.compact()


def resume(_client: Client, folder: Path, regions: int, dates: int) -> None:
    """Look for what is left to do where everything is done."""
    _, grids = world.make(folder, regions, dates)
    assert due(grids, Ledger(grids[0].output)).tasks == 0


LOOPS: dict[str, Callable[[Client, Path, int, int], None]] = {"bare": bare, "ours": ours, "resume": resume}


def main() -> None:
    """Connect, go through, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("regions", type=int)
    parser.add_argument("dates", type=int)
    parser.add_argument("address")
    options = parser.parse_args()
    with Client(options.address) as client:
        client.submit(pickle.loads, CALL, pure=False).result()
        gc.collect()
        memory, cpu, wall = PeakMemory(), time.process_time(), time.perf_counter()
        LOOPS[options.loop](client, options.folder, options.regions, options.dates)
        cost = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    print(json.dumps({**cost, "memory_mib": memory.mib()}))


if __name__ == "__main__":
    main()
