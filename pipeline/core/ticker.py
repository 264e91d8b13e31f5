"""Telling how far something is that may take long, in a line every few seconds.

The lines go to a logger of their own, `groundbreak.progress`, which the command line shows unless it is to be quiet.
"""

from __future__ import annotations

import logging
import time

PROGRESS = logging.getLogger("groundbreak.progress")

EVERY_S = 5.0
"""Seconds before the first line, and between two lines."""


class Ticker:
    """Counts, and says so now and then.

    Parameters
    ----------
    text : str
        What is done, with a place for the count: "reading items: {} so far".
    """

    def __init__(self, text: str) -> None:
        self.text, self.count, self._last = text, 0, time.monotonic()

    def add(self, count: int = 1) -> None:
        """Count some more; log a line where the last one is long ago."""
        self.count += count
        if time.monotonic() - self._last >= EVERY_S:
            self._last = time.monotonic()
            PROGRESS.info(self.text.format(f"{self.count:,}"))
