"""Trials: a run is struck at a random moment, started again, and compared with one that was left in peace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.record import Record
from groundbreak.pipeline.running.ledger import Ledger
from tests.commands import write_config
from tests.soak.cluster import Processes, kill
from tests.stores import zarr_bytes
from tests.world import Tile, days, lonlat_box, works, write_source

TILES = Tile("38TPK", 32638, 600_000, 4_400_000), Tile("38TQK", 32638, 600_800, 4_400_200)
BOX = lonlat_box(32638, 600_300, 4_399_000, 601_700, 4_399_700)
DATES = days("2021-01-03", 40, 14)
SITE = 600_950, 4_399_350, 150, 100

STRIKES: dict[str, tuple[int, ...]] = {
    "kill the client": (-signal.SIGKILL,),
    "kill a worker": (0,),
    "kill the scheduler": (2,),
    "terminate": (143,),
    "interrupt": (130,),
    "hang up": (129,),
}
"""What a run is struck with -> the exit codes that it may have then; 0 is right where it was done already."""

PATIENCE_S = 240.0


@dataclass(frozen=True)
class World:
    """A source, a cluster, and the bytes that an undisturbed run leaves."""

    folder: Path
    cluster: Processes
    expected: dict[str, str]
    seconds: float
    """How long the undisturbed run took, from its first record to its end."""


@dataclass(frozen=True)
class Run:
    """A run of the command line that has ended."""

    code: int
    said: str
    seconds: float
    """From its first record to its end."""


def make_world(folder: Path, cluster: Processes) -> World:
    """Write a source, start the cluster, and make the undisturbed run."""
    write_source(folder / "source", TILES, DATES, works(DATES, SITE, "2021-09-15", "2022-01-15"))
    cluster.mend()
    settings(folder, cluster, "peace")
    whole = ended(command(folder, "peace"), folder / "peace")
    assert whole.code == 0, whole.said
    return World(folder, cluster, zarr_bytes(folder / "peace"), whole.seconds)


def settings(folder: Path, cluster: Processes, name: str) -> Path:
    """Write the configuration of a run with a name."""
    at = {"kind": "address", "address": cluster.address}
    # The detector whose kernels are compiled soonest: each new worker compiles them.
    detect = {"detector": "cusum", "history_end": "2021-08-31"}
    return write_config(
        folder / f"{name}.toml", None, BOX, "2021-01-01/2023-12-31", out=name, cluster=at, detect=detect
    )


def command(folder: Path, name: str, what: str = "run") -> subprocess.Popen[bytes]:
    """Start a command on a configuration, in a session of its own."""
    # Whoever starts this in the background has it ignore Ctrl-C, and processes inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    main = f"{heed}; from groundbreak.pipeline.cli import program; raise SystemExit(program())"
    line = [sys.executable, "-c", main, what, str(folder / f"{name}.toml"), "--log", "json"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def wait_for_record(run: subprocess.Popen[bytes], out: Path) -> None:
    """Return when a run has left its first record, or has ended."""
    records, deadline = out / "ledger/records", time.monotonic() + PATIENCE_S
    while run.poll() is None and time.monotonic() < deadline and next(records.rglob("*.json"), None) is None:
        time.sleep(0.01)


def ended(run: subprocess.Popen[bytes], out: Path) -> Run:
    """Wait for a run's end."""
    wait_for_record(run, out)
    begun = time.monotonic()
    said = run.communicate(timeout=PATIENCE_S)[0].decode()
    return Run(run.returncode, said, time.monotonic() - begun)


def finished(out: Path) -> dict[str, Record]:
    """Return the records of the tasks that are done in an output."""
    return {name: record for name, record in Ledger(Output(str(out))).records.items() if record.state == "done"}


def strike(world: World, name: str, how: str, random: Random) -> str:
    """Strike a run at a random moment, start it again, and return what is wrong with what it leaves; "" for nothing."""
    out, folder, cluster = world.folder / name, world.folder, world.cluster
    cluster.mend()
    settings(folder, cluster, name)
    run = command(folder, name)
    wait_for_record(run, out)
    time.sleep(random.uniform(0, world.seconds))
    done = finished(out)
    if how == "kill a worker":
        kill(random.choice(cluster.running))
    elif how == "kill the scheduler" and cluster.scheduler is not None:
        kill(cluster.scheduler)
    else:
        signals = {"kill the client": "SIGKILL", "terminate": "SIGTERM", "interrupt": "SIGINT", "hang up": "SIGHUP"}
        os.kill(run.pid, signal.Signals[signals[how]])
    first = ended(run, out)
    wrong = [] if first.code in (*STRIKES[how], 0) else [f"exit code {first.code}: {first.said[-2000:]}"]
    cluster.mend()
    again = ended(command(folder, name), out)
    wrong += [] if again.code == 0 else [f"exit code {again.code} of the second run: {again.said[-2000:]}"]
    wrong += [said.said[-3000:] for said in (first, again) if "Traceback" in said.said or "Exception" in said.said]
    after = finished(out)
    twice = [task for task, record in done.items() if after.get(task) != record]
    wrong += [f"done again: {', '.join(twice)}"] if twice else []
    found = zarr_bytes(out)
    differ = [key for key in found.keys() | world.expected.keys() if found.get(key) != world.expected.get(key)]
    wrong += [f"other bytes: {', '.join(differ[:5])}"] if differ else []
    wrong += ["a lock is left"] if '"released": true' not in _lease(out) else []
    return "\n".join(wrong)


def quarantine(world: World) -> str:
    """Run with a region whose tasks kill their workers, and retry without; return what is wrong with what it leaves."""
    region, name = "38TQK/r001c000", "deadly"
    preload = {"DASK_DISTRIBUTED__WORKER__PRELOAD": "tests.soak.deadly", "DEADLY": region}
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    cluster = Processes(world.folder, restarted=True, environment=preload | path)
    out, wrong = world.folder / name, []
    try:
        cluster.mend()
        settings(world.folder, cluster, name)
        for number, what in enumerate(("workers die", "it is left alone")):
            run = ended(command(world.folder, name), out)
            good = run.code == 1 and f"failed: {region}: quarantined" in run.said and "1 regions failed" in run.said
            good &= number == 0 or any(line.startswith("0 tasks done") for line in run.said.splitlines())
            wrong += [] if good and "Traceback" not in run.said else [f"{what}: {run.code}: {run.said[-2000:]}"]
    finally:
        cluster.close()
    world.cluster.mend()
    settings(world.folder, world.cluster, name)
    retry = ended(command(world.folder, name, "retry"), out)
    wrong += [] if retry.code == 0 else [f"exit code {retry.code} of the retry: {retry.said[-2000:]}"]
    wrong += [] if zarr_bytes(out) == world.expected else ["other bytes"]
    return "\n".join(wrong)


def _lease(out: Path) -> str:
    return "".join(path.read_text() for path in (out / "ledger/leases").iterdir())
