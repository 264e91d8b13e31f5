"""What Linux says of this machine and of the process that asks.

Standard library only, so that a worker can import it before anything that starts threads.
"""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path


def processor() -> str:
    """Return the name of the processor, or of its architecture where Linux gives no name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


class PeakMemory:
    """The peak of this process's resident memory, above what it held when this object was made."""

    def __init__(self) -> None:
        # What was freed goes back to the system first, or a run that uses it again would seem to need none.
        ctypes.CDLL(None).malloc_trim(0)
        # Linux keeps the peak of a process's resident memory, and forgets it when 5 is written here.
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")

    def mib(self) -> float:
        """Return the peak so far, MiB."""
        return max(_status("VmHWM") - self._before, 0) / 1024


def _status(key: str) -> int:
    """Return a size from the status that Linux keeps of this process, KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)
