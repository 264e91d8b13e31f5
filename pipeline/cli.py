"""The command line: `groundbreak plan|run|detect|status|retry|verify|publish CONFIG.toml` and `groundbreak demo`.

Exit codes: 0 every region done (faults within the threshold are listed), 1 regions failed or no pixel could be judged,
2 bad input, or storage or a cluster that went away; 129, 130 and 143 stopped by SIGHUP, SIGINT (Ctrl-C) and SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundbreak.pipeline.core import places, show
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.logs import log_to_stderr
from groundbreak.pipeline.version import __version__

if TYPE_CHECKING:
    from groundbreak.pipeline.api import Result

DONE, FAILED, BAD_INPUT = 0, 1, 2

SIGNALS = {
    getattr(signal, name): word
    for name, word in (("SIGTERM", "terminated"), ("SIGHUP", "hung up"), ("SIGINT", "interrupted"))
    if hasattr(signal, name)
}
"""Signals that stop a command in good order -> what it then says of itself; its exit code is the signal's plus 128."""


class Stopped(BaseException):
    """The process was asked to end: it leaves all that it is in, so that no lease and no worker stays behind."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, do, and turn what happened into an exit code."""
    options = _parser().parse_args(arguments)
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    as_json = getattr(options, "log", "") == "json"
    log_to_stderr(levels.get(options.verbose - options.quiet, logging.DEBUG), as_json=as_json)
    try:
        with _heeding_signals():
            command: Callable[[argparse.Namespace], int] = options.command
            return command(options)
    except BadInput as error:
        print(f"groundbreak: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        # Whoever read our output (head, less) has had enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (Stopped, KeyboardInterrupt) as stop:
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        with suppress(OSError):  # a terminal that was closed
            print(f"groundbreak: {SIGNALS[number]}; run it again to go on from here", file=sys.stderr)
        return 128 + number


def program() -> int:
    """Do what a process of its own does: `main`; a signal that finds all done does not change the exit code."""
    code = main()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # until the interpreter has ended
    return code


@contextmanager
def _heeding_signals() -> Iterator[None]:
    """Raise `Stopped` at the first signal that asks the process to end; later ones do not disturb its end.

    A signal that is ignored (nohup) stays so, and a thread that is not the main one cannot listen.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, _frame: object) -> None:
        for other in heeded:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, end) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="groundbreak", description="Finds when ground began to change (onset) and when it stopped (halt)."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, function: Callable[[argparse.Namespace], int], text: str, *, config: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        if config:
            sub.add_argument("config", metavar="CONFIG.toml")
        loud = sub.add_mutually_exclusive_group()
        loud.add_argument(
            "-v", "--verbose", action="count", default=0, help="log what the run decides; twice: every task"
        )
        loud.add_argument(
            "-q", "--quiet", action="store_true", help="no progress and no warnings: the result and errors"
        )
        return sub

    sub = add("plan", _plan, "show what a run would do, without reading a pixel")
    sub.add_argument("--json", action="store_true", help="for programs, with every rejected item")
    runs = [
        add("run", _run, "plan, build, detect and publish; goes on where an earlier run stopped"),
        add("detect", _detect, "detect again, from the cube alone, and publish"),
        add("retry", _retry, "run, doing again the tasks that failed or met faults"),
    ]
    runs[0].add_argument("--rebuild", action="store_true", help="also apply items that changed inside finished slabs")
    sub = add("status", _status, "show how far a run is, how fast it goes, and which regions are slow or in trouble")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--watch", action="store_true", help="go on until the run ends")
    sub.add_argument("--every", type=_seconds, default=5.0, metavar="SECONDS", help="between two looks of --watch (5)")
    add("verify", _verify, "hash what was written; damaged tasks will be done again by the next run")
    add("publish", _publish, "publish again from the layers that are there")
    demo = add("demo", _demo, "make a small archive with known truth in ./demo, run on it, and compare", config=False)
    demo.add_argument("--seed", type=int, default=0, help="another seed moves sites, weather and dates")
    demo.add_argument("--folder", type=Path, default=Path("demo"), help="where (default: ./demo)")
    for sub in (*runs, demo):
        how = "progress as a bar or lines; json: the log, too"
        sub.add_argument("--log", choices=("auto", "plain", "json"), default="auto", help=how)
    return parser


def _seconds(text: str) -> float:
    """Return the seconds between two looks, which must be more than none."""
    with suppress(ValueError):
        if 0 < (seconds := float(text)) <= 3600:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, more than 0 and at most 3600")


def _plan(options: argparse.Namespace) -> int:
    from groundbreak.pipeline import api
    from groundbreak.pipeline.planning import plans

    planned = api.plan(options.config)
    if options.json:
        print(plans.to_json(planned))
        return DONE
    for name, value in planned.summary().items():
        print(f"{name:<28} {show.figure(name, value)}")
    for g in planned.grids:
        print(
            f"\ngrid {g.grid.name}: EPSG:{g.grid.frame.epsg}, {len(g.regions)} regions of {g.grid.region} px, "
            f"{len(g.observations)} observations"
        )
        for way, count in sorted(g.ways.items()):
            print(f"  {count} assets: {way}")
    from groundbreak.pipeline.stac.screening import REASONS

    rejected = [(r.item, r.reason, r.detail) for r in planned.rejections]
    _print_listed("rejected items", rejected, REASONS)
    _print_listed("notices", [(n.subject, n.kind, n.detail) for n in planned.notices], plans.NOTICES)
    return DONE


def _print_listed(title: str, entries: Sequence[tuple[str, str, str]], meanings: Mapping[str, str]) -> None:
    """Print (subject, reason, detail) entries: how many of each reason there are, and the first of them."""
    if not entries:
        return
    print(f"\n{title}")
    for reason, count in Counter(reason for _, reason, _ in entries).most_common():
        print(f"  {count} {reason} ({meanings.get(reason, reason)})")
    for subject, reason, detail in entries[: show.LISTED_ROWS]:
        print(f"    {subject}: {reason}: {detail}")
    if (more := len(entries) - show.LISTED_ROWS) > 0:
        print(f"    ... and {more} more (--json lists them all)")


def _run(options: argparse.Namespace) -> int:
    return _job(options, "run", rebuild=options.rebuild)


def _retry(options: argparse.Namespace) -> int:
    return _job(options, "run", retry=True)


def _detect(options: argparse.Namespace) -> int:
    return _job(options, "redetect")


def _job(options: argparse.Namespace, call: str, **arguments: Any) -> int:
    from groundbreak.pipeline import api
    from groundbreak.pipeline.running.progress import listener

    with listener("none" if options.quiet else options.log) as tell:
        result: api.Result = getattr(api, call)(options.config, listener=tell, **arguments)
    return _report(result)


def _publish(options: argparse.Namespace) -> int:
    from groundbreak.pipeline import api

    return _report(api.republish(options.config))


def _report(result: Result) -> int:
    """Print what a run did, in a few lines, and return the exit code."""
    outcome = result.outcome
    print(
        f"{outcome.done} tasks done, {outcome.skipped} done before, {len(outcome.failed)} regions failed, "
        f"{len(result.faults)} faults, {len(result.sites)} sites"
    )
    for site in result.sites[: show.LISTED_ROWS]:
        halt = site.halt or "-"
        print(f"  {site.id}  onset {site.onset}  halt {halt}  {site.status:<8} {site.area_m2:,.0f} m2")
    for grid, items in outcome.ignored.items():
        print(f"  {grid}: {len(items)} items changed inside finished slabs (--rebuild applies them): {items[0]} ...")
    for region, steps in list(result.steps.items())[: show.LISTED_ROWS]:
        print(f"  {region}: offset step of {steps[0].size:+.3f} on dark pixels since {steps[0].since}, accepted")
    for fault in result.faults[: show.LISTED_ROWS]:
        print(f"  fault: {_fault(fault)}")
    for region, error in list(outcome.failed.items())[: show.LISTED_ROWS]:
        print(f"  failed: {region}: {(error.splitlines() or ['it left no record'])[0]}")
    for line in (result.verdict.sentence, *result.verdict.lines, *result.notes):
        print(line)
    print(f"results in {result.output.path}: {places.REPORT}, {places.SITES}, change/, {places.FAULTS}, {places.RUN}")
    return DONE if result.good else FAILED


def _fault(fault: Fault) -> str:
    return f"{fault.region} {fault.item} {fault.band}: {fault.error} ({fault.attempts} attempts)"


def _status(options: argparse.Namespace) -> int:
    from groundbreak.pipeline import api, status
    from groundbreak.pipeline.core.config import Config

    config = Config.from_toml(options.config)
    while True:
        found = status.status(config, api.output_of(config))
        if options.json:
            print(json.dumps(found, indent=None if options.watch else 2), flush=True)
        else:
            # A terminal shows one state in the place of the last one.
            clear = "\033[2J\033[H" if options.watch and sys.stdout.isatty() else ""
            print(clear + "\n".join(status.lines(found)), flush=True)
        if not (options.watch and found["running"]):
            return FAILED if found["failed"] else DONE
        time.sleep(options.every)


def _verify(options: argparse.Namespace) -> int:
    from groundbreak.pipeline import api, upkeep
    from groundbreak.pipeline.core.config import Config

    config = Config.from_toml(options.config)
    damaged = upkeep.verify(config, api.output_of(config))
    for task, objects in damaged.items():
        print(f"{task}: {', '.join(objects)}")
    print(f"{len(damaged)} tasks damaged" + ("; `groundbreak run` does them again" if damaged else ""))
    return FAILED if damaged else DONE


def _demo(options: argparse.Namespace) -> int:
    from groundbreak.pipeline.testing.demo import run_demo

    return run_demo(options.folder, options.seed, "none" if options.quiet else options.log)


if __name__ == "__main__":
    sys.exit(program())
