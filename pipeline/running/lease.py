"""Leases: of all runs that may write into an output, one does, and a run that was taken for dead finds out.

A lease is an object whose name is its number. Whoever creates the next number has the output: the storage lets one of
several do that, on a disk and on an object store alike. The numbers only grow, and the last one stays when a run ends.
So a task that carries its run's number sees from the names alone whether a later run has come (`Output.demand_lease`).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from groundbreak.pipeline.core import places
from groundbreak.pipeline.core.output import DAMAGE, Output, StorageError
from groundbreak.pipeline.core.types import BadInput

LOG = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
STALE_S = 90.0

_ALIVE: set[str] = set()
"""Runs of this process that hold a lease; one that could not release it, on a full disk, is not among them."""


@dataclass
class Lease:
    """The right to write into an output, as long as no later lease is taken."""

    output: Output
    """The output, with the lease's number: what is written through it is refused once a later run has come."""
    contested: bool
    """Whether some earlier run did not end in good order, so that a task of it may still write."""
    loose: bool = False
    """Whether tasks of this run may be at work that nobody waits for."""
    used: bool = False
    """Whether any task was given the number; if not, nothing is left of the lease when it ends."""
    due: dict[str, int] = field(default_factory=dict)
    """Kind -> tasks that this run has to do."""
    run: str = field(default_factory=lambda: os.urandom(8).hex())

    @property
    def key(self) -> str:
        """The key of the lease's object."""
        return places.lease(self.output.lease)

    def text(self, *, released: bool = False) -> bytes:
        """Return what the lease's object says: who holds it, since when it is known, and how it ended."""
        who = {"host": socket.gethostname(), "space": _space(), "pid": os.getpid(), "run": self.run}
        marks = {"released": released, "loose": self.loose, "contested": self.contested}
        return json.dumps({**who, "renewed": time.time(), **marks, "due": self.due}).encode()

    def use(self, *, loose: bool, due: dict[str, int] | None = None) -> None:
        """Say that tasks get the number from now on, and clear the leases of earlier runs away.

        Parameters
        ----------
        loose : bool
            Whether tasks may go on when this process ends.
        due : dict, optional
            Kind -> tasks that the run has to do, for those who ask how far it is.
        """
        self.used, self.loose, self.due = True, loose, due or self.due
        self.output.put(self.key, self.text())
        for number in range(self.output.lease - 1, 0, -1):
            if self.output.age(places.lease(number)) is None:
                break
            self.output.delete(places.lease(number))


@contextmanager
def locked(output: Output) -> Iterator[Lease]:
    """Hold an output against other runs; of racing runs one gets it.

    The lease of a holder that has not renewed it for a minute and a half, or died on this machine, is taken over.

    Raises
    ------
    BadInput
        Another run holds it, its lease is damaged, or nothing can be written there.
    """
    output = replace(output, lease=0)  # whatever lease it had before
    with _no_folder_left(output):
        lease = _take(output)
        LOG.debug("lease %d of %s", lease.output.lease, output.path)
        stop = threading.Event()
        thread = threading.Thread(target=_renew, args=(output, lease, stop), name="lease", daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            stop.set()
            thread.join()
            _ALIVE.discard(lease.run)
            _release(output, lease)


def holder(output: Output) -> tuple[int, str, dict[str, int]]:
    """Return the number of the newest lease, who holds it and lives ("" where nobody does), and what is due there.

    Returns
    -------
    (number, who, kind -> tasks that the run has to do; empty where that is not known yet)
    """
    number = output.newest_lease()
    held = _holder(output.get(places.lease(number)) or b"")
    if held is None or held.get("released") or _abandoned(held):
        return number, "", {}
    return number, f"process {held['pid']} on {held['host']}", dict(held.get("due") or {})


def _take(output: Output) -> Lease:
    """Create the next lease, once the newest one and a lock of version 0.1.0 are free."""
    while True:
        newest = output.newest_lease()
        before = [_demand_free(output, places.lease(newest)), _demand_free(output, places.LOCK)]
        lease = Lease(replace(output, lease=newest + 1), contested=any(before))
        _ALIVE.add(lease.run)  # before anybody can read of it
        taken = False
        try:
            taken = _put(output, lease)
        finally:
            if not taken:  # also where it is interrupted: what was put of it is then nobody's
                _ALIVE.discard(lease.run)
        if taken:
            return lease


def _put(output: Output, lease: Lease) -> bool:
    """Put the object of a lease; return whether the lease is this run's, and nobody has come and gone meanwhile."""
    try:
        mine = output.create(lease.key, lease.text())
    except StorageError:
        if not _holds(output, lease):
            raise
        mine = True
    # A put that was answered by silence is made again by the client, and then finds what it has put itself.
    if not (mine or _holds(output, lease)):
        return False
    if output.newest_lease() != lease.output.lease:
        output.delete(lease.key)  # others have come and gone since the first look
        return False
    output.delete(places.LOCK)
    return True


def _holds(output: Output, lease: Lease) -> bool:
    """Tell whether the object of a lease was put by this very run."""
    holder = _holder(output.get(lease.key) or b"")
    return holder is not None and holder.get("run") == lease.run


def _renew(output: Output, lease: Lease, stop: threading.Event) -> None:
    """Write every few seconds that the holder lives, until it ends or another run has come."""
    while not stop.wait(HEARTBEAT_S):
        try:
            if output.newest_lease() > lease.output.lease:
                LOG.error("%s was taken over by another run; what this one still does is refused", output.path)
                return
            output.put(lease.key, lease.text())
        except Exception as error:  # tried again; a task that writes meets what does not pass
            LOG.warning("the lease could not be renewed, and will be tried again: %s", error)


def _release(output: Output, lease: Lease) -> None:
    """Say that the holder has ended; of a lease that was never used nothing is left, and its number is free again."""
    try:
        if output.newest_lease() > lease.output.lease:
            return
        if lease.used:
            output.put(lease.key, lease.text(released=True))
        else:
            output.delete(lease.key)
    except BadInput as error:
        # It becomes free by itself: its process is gone, or does not renew it any more.
        LOG.warning("the lease could not be released: %s", error)


@contextmanager
def _no_folder_left(output: Output) -> Iterator[None]:
    """Take away the folders that a lease makes, once nothing is in them; an output's own stays if it was there before.

    A run that is refused does so, too: what it stages as it asks for a lease may keep the holder from doing it.
    """
    if output.local is None:
        yield
        return
    folder = output.local / places.LEASES
    above = [path for path in (output.local, *output.local.parents) if not path.exists()]
    try:
        yield
    finally:
        for path in (folder, folder.parent, *above):
            with suppress(OSError):  # something was written there
                path.rmdir()


def _demand_free(output: Output, key: str) -> bool:
    """Return whether tasks of the run that held a lease may still be at work.

    Raises
    ------
    BadInput
        Its holder is at work; or the lease cannot be read, and is young.
    """
    data = output.get(key)
    if data is None:
        return False
    holder = _holder(data)
    if holder is None:
        # A run puts its lease whole, and anew every few seconds: an old one that cannot be read is of no living run.
        if (output.age(key) or 0.0) < STALE_S:
            what, rule = f"{output.path.rstrip('/')}/{key}", "is damaged: it does not tell who is writing here"
            raise BadInput(what, rule, f"Wait for {STALE_S:.0f} s, or delete it if no run is writing here")
        LOG.warning("taking over a damaged lock, which nobody has renewed")
        return True
    if holder.get("released"):
        return bool(holder.get("loose") or holder.get("contested"))
    if not _abandoned(holder):
        rule = f"is being written by process {holder['pid']} on {holder['host']}"
        raise BadInput(output.label, rule, "Wait for it to end, or stop it")
    said = "taking over the lock of process %s on %s, which is gone"
    LOG.warning(said, holder["pid"], holder["host"], extra={"lease": key})
    return True


def _holder(data: bytes) -> dict[str, Any] | None:
    """Return who holds a lease; None where its text does not tell."""
    try:
        holder = json.loads(data)
        kinds = {"host": str, "pid": int, "renewed": int | float}
        good = all(isinstance(holder[name], kind) for name, kind in kinds.items()) and holder["pid"] > 0
    except DAMAGE:
        return None
    return holder if good else None


def _space() -> str:
    """Name the space of process numbers: containers of one host name may each have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # a system without such spaces
        return ""


def _abandoned(holder: dict[str, Any]) -> bool:
    if holder["host"] == socket.gethostname() and holder.get("space", _space()) == _space():
        if holder["pid"] == os.getpid():
            return holder.get("run") not in _ALIVE
        try:
            os.kill(holder["pid"], 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            return False
    return bool(time.time() - holder["renewed"] > STALE_S)
