"""Preloaded by a worker: it stops before it writes layers, until it is told to go on, and then may be told to be blind.

Files of the folder $LATE talk with it: it makes "waiting" and "gone", and waits for "go"; with "blind" there it does
not look at the lease, like a put that was on its way when the lease was lost.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.stores import store

FOLDER = Path(os.environ["LATE"])

_write = store.write_layers


def _late(*arguments: Any) -> None:
    (FOLDER / "waiting").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.02)
    if (FOLDER / "blind").exists():
        Output.demand_lease = lambda *_args, **_options: None  # type: ignore[method-assign]
    try:
        _write(*arguments)
    finally:
        (FOLDER / "gone").touch()


store.write_layers = _late  # type: ignore[assignment]
