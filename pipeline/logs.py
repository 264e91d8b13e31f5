"""Where log lines go: to standard error, of the command line and of the workers that it starts.

Modules log by ``logging.getLogger(__name__)``. As a library groundbreak sets nothing up: whoever imports it decides.
"""

from __future__ import annotations

import logging
import sys

LOGGER = logging.getLogger("groundbreak")

PROGRESS = logging.getLogger("groundbreak.progress")
"""Gets a line every few seconds while something takes long (`pipeline.core.ticker`)."""

TALKERS = ("distributed.client", "distributed.deploy.cluster", "distributed.worker", "tornado.application", "asyncio")
"""Loggers that give each error a traceback which ends a task, or the talk with the scheduler."""

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def _no_error(record: logging.LogRecord) -> bool:
    """Let no error pass."""
    return record.levelno < logging.ERROR


class _StandardError(logging.Handler):
    """Writes to what standard error is at the time, so that lines go above a progress bar and not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # as logging's own handlers do: a log line must not end a run
            self.handleError(record)


def log_to_stderr(level: int) -> None:
    """Have this process write groundbreak's log lines from ``level`` on; calling it again changes the level."""
    LOGGER.setLevel(level)
    # How far a plan is concerns whoever waits for it, unless they asked for quiet.
    PROGRESS.setLevel(min(level, logging.INFO) if level <= logging.WARNING else level)
    # What ends a run is said in a line of ours; with -v also in the tracebacks of those who met it.
    for logger in map(logging.getLogger, TALKERS):
        # A filter: Dask sets the levels of its loggers when it is imported, which may be later.
        (logger.addFilter if level > logging.INFO else logger.removeFilter)(_no_error)
    if not any(isinstance(handler, _StandardError) for handler in LOGGER.handlers):
        handler = _StandardError()
        handler.setFormatter(logging.Formatter(FORMAT))
        LOGGER.addHandler(handler)
        LOGGER.propagate = False
