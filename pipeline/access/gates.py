"""The gate of a host: where it throttles or is gone, everything in this process that asks it waits together.

A gate is open, and costs two short looks at a request. It closes when a host, and not a single file of it, is in
trouble. Then one request at a time is made to see whether the host is back, and all others wait for that. What tells a
host's trouble from a file's is whether the host serves another file: one that it served before is asked for a byte.

A host may also serve some and refuse others, as one does that counts requests. Then requests are spaced, further apart
as long as it refuses, and those that were refused are made again without counting as attempts, for a while.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Literal

from groundbreak.pipeline.access import clocks
from groundbreak.pipeline.access.troubles import Busy, HostDown, Trouble

LOG = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
"""Seconds between two requests that look whether a host is back; each pause is twice as long, up to the longest."""
SHARED_S = 45.0
"""Seconds for which a request is made again at no cost, where a host serves others and refuses several files."""
SEVERAL = 3
"""Files that a host refuses at about the same time before it is the host that throttles."""
LATELY_S = 10.0
"""What "at about the same time" means."""
LEAST_GAP_S, LARGEST_GAP_S = 0.02, 2.0
"""Seconds between two requests to a host that throttles: what it begins with, and the most."""
RECOVERS = 0.95
"""What is left of the gap after each request that is served."""


Whose = Literal["file", "host", "many"]
"""Whose trouble it is: a single file's; the host's, with everything; or the host's, with many of its files."""


class Gate:
    """What this process knows of one host, and the way of all its requests there."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._changed = threading.Condition()
        self._checking = threading.Lock()
        self._closed: float | None = None
        self._last = ""
        self._due, self._pause, self._probing = 0.0, FIRST_PAUSE_S, False
        self._served: dict[str, tuple[float, Callable[[], object]]] = {}
        self._refused: dict[str, tuple[float, float, int]] = {}
        self._gap, self._slot, self._widened = 0.0, 0.0, 0.0
        self._verdict = (0.0, False)

    def ask[T](
        self,
        name: str,
        request: Callable[[], T],
        again: Callable[[], object],
        patience: float,
        *,
        known: bool = False,
        alone: bool = False,
    ) -> T:
        """Make a request when the host may be asked; wait, and make it again, while the host is in trouble.

        Parameters
        ----------
        name : str
            What is asked for: the address of a file, without a signature.
        request : callable
            Makes the request, and raises `Trouble` for what may be the host's.
        again : callable
            Asks for the least that shows that the host serves this file.
        patience : float
            Seconds for which the host is waited for; 0 to wait for nothing.
        known : bool
            Whether the host has served this file earlier, be it to another process.
        alone : bool
            Whether the host has no other file, so that each trouble is its own.

        Raises
        ------
        HostDown
            The host was waited for in vain.
        Exception
            What ``request`` raises where the cause is this file alone.
        """
        while True:
            probing = self._enter(name, patience)
            began = monotonic()
            try:
                found = request()
            except Trouble as trouble:
                whose = "host" if probing else self._whose(name, trouble, began, patience, known, alone)
                if whose == "file":
                    raise
                if whose == "host":
                    self._close(trouble, probing)
                else:
                    self._space(name, trouble)
            except Exception:  # the host has answered, though not with what was asked for
                self._open()
                raise
            except BaseException:
                with self._changed:
                    self._probing = self._probing and not probing
                    self._changed.notify_all()
                raise
            else:
                self._open(name, again)
                clocks.served()
                return found

    def _enter(self, name: str, patience: float) -> bool:
        """Wait until a request may be made; return whether it is the one that shows whether the host is back."""
        if self._closed is None and not self._gap:
            return False
        with clocks.waiting():
            while self._wait(patience):
                # What the host served before tells more than a file that may itself be the trouble.
                other = self._other(name)
                if other is None:
                    return True
                if not self._fails(other):
                    self._open()
        return False

    def _wait(self, patience: float) -> bool:
        """Wait; return False when the gate is open, and True when it is for this thread to look."""
        with self._changed:
            while self._closed is not None:
                now = monotonic()
                over = self._closed + patience
                if now >= self._due and not self._probing:
                    self._probing = True
                    return True
                if now >= over:
                    waited = now - self._closed
                    raise HostDown(f"{self.host} has served nothing for {waited:.0f} s ({self._last})")
                self._changed.wait(min(over, max(self._due, now + 1.0) if self._probing else self._due) - now)
            slot = max(monotonic(), self._slot)
            self._slot = slot + self._gap
        sleep(max(slot - monotonic(), 0.0))
        return False

    def _other(self, name: str) -> Callable[[], object] | None:
        """Return what asks again for a file that was served, another than this one; the latest."""
        with self._changed:
            found = [(when, again) for key, (when, again) in self._served.items() if key != name]
        return max(found, key=lambda one: one[0])[1] if found else None

    def _fails(self, again: Callable[[], object]) -> bool:
        """Ask for a file that was served before; return whether the host is in trouble with it."""
        try:
            again()
        except Trouble as trouble:
            self._close(trouble, True)
            return True
        except Exception:  # an answer, if not the one that was hoped for: its signature may have ended
            return False
        return False

    def _whose(self, name: str, trouble: Trouble, began: float, patience: float, known: bool, alone: bool) -> Whose:
        """Tell whose a trouble is that a request has met which began at some time."""
        if patience <= 0:
            return "file"
        with self._changed:
            now = monotonic()
            first, _, count = self._refused.get(name, (now, now, 0))
            self._refused = {k: v for k, v in self._refused.items() if v[1] > now - SHARED_S}
            self._refused[name] = first, now, count + 1
            lately = sum(last > now - LATELY_S for _, last, _ in self._refused.values())
            served = max((when for key, (when, _) in self._served.items() if key != name), default=None)
            was_there, throttles = known or bool(self._served), lately >= SEVERAL or self._gap > 0
        answers = isinstance(trouble, Busy)
        if not trouble.connected or alone:
            # A host that was never there may be a slip in its name: nobody should wait for that.
            return "host" if answers or was_there else "file"
        if served is None:
            return "host" if (answers or known) and lately > 1 else "file"
        if served <= began and self._serves_nothing(name, began):
            return "host"
        return "many" if answers and throttles and now - first < SHARED_S else "file"

    def _serves_nothing(self, name: str, began: float) -> bool:
        """Tell whether the host has trouble with a file that it served before; one thread asks for all."""
        with self._checking:
            when, verdict = self._verdict
            if when <= began:
                other = self._other(name)
                verdict = other is not None and self._fails(other)
                self._verdict = monotonic(), verdict
        return verdict

    def _space(self, name: str, trouble: Trouble) -> None:
        """Space the requests further apart, at most once a second, and wait before this one is made again."""
        with self._changed:
            now = monotonic()
            count = self._refused[name][2] if name in self._refused else 1
            if now > self._widened + 1.0:
                self._widened = now
                self._gap = min(max(2 * self._gap, LEAST_GAP_S), LARGEST_GAP_S)
        with clocks.waiting():
            sleep(min(max(trouble.retry_after, FIRST_PAUSE_S * 2 ** (count - 1)), LATELY_S) * clocks.jitter())

    def _close(self, trouble: Trouble, probing: bool) -> None:
        """Close the gate, or keep it closed for another pause."""
        with self._changed:
            now = monotonic()
            if self._closed is None:
                self._closed, self._pause, probing = now, FIRST_PAUSE_S, True
                # When it opens, those that wait must not all come at once.
                self._gap = max(self._gap, LEAST_GAP_S)
                LOG.warning("%s is in trouble and is waited for (%s)", self.host, trouble, extra={"host": self.host})
            self._last = str(trouble)
            self._due = max(self._due, now + trouble.retry_after)
            if probing:
                self._due = max(self._due, now + self._pause * clocks.jitter())
                self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
                self._probing = False
            self._changed.notify_all()

    def _open(self, name: str = "", again: Callable[[], object] | None = None) -> None:
        """Say that the host has answered, and has served a file where one is named."""
        with self._changed:
            if again is not None:
                self._served.pop(name, None)
                self._served[name] = monotonic(), again
                if len(self._served) > 2:
                    del self._served[next(iter(self._served))]
                self._refused.pop(name, None)
                self._gap = self._gap * RECOVERS if self._gap > LEAST_GAP_S / 10 else 0.0
            if self._closed is not None:
                gone = monotonic() - self._closed
                told = {"host": self.host, "waited_s": round(gone, 1)}
                LOG.warning("%s answers again after %.0f s", self.host, gone, extra=told)
                self._closed, self._probing, self._due = None, False, 0.0
                self._changed.notify_all()


_GATES: dict[str, Gate] = {}
_NEW = threading.Lock()


def gate_of(host: str) -> Gate:
    """Return this process's gate of a host (its name and port, or a bucket)."""
    with _NEW:
        if host not in _GATES:
            _GATES[host] = Gate(host)
        return _GATES[host]
