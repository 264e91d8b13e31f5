"""Where log lines go: to standard error, of the command line and of the workers that it starts.

Modules log by ``logging.getLogger(__name__)``. As a library groundbreak sets nothing up: whoever imports it decides.
"""

from __future__ import annotations

import json
import logging
import sys
import time

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


class _Json(logging.Formatter):
    """Writes a log line as a JSON object: time, level, logger, message, process, and what else the line tells."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {key: value for key, value in vars(record).items() if key not in _USUAL}
        line = {
            "time": f"{moment}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **told,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""What every log line has; what else one has was given by ``extra``."""


def log_to_stderr(level: int, *, as_json: bool = False) -> None:
    """Have this process write groundbreak's log lines from ``level`` on; calling it again changes level and form.

    Parameters
    ----------
    level : int
    as_json : bool
        Whether each line is a JSON object, for programs.
    """
    LOGGER.setLevel(level)
    # How far a plan is concerns whoever waits for it, unless they asked for quiet.
    PROGRESS.setLevel(min(level, logging.INFO) if level <= logging.WARNING else level)
    # What ends a run is said in a line of ours; with -v also in the tracebacks of those who met it.
    for logger in map(logging.getLogger, TALKERS):
        # A filter: Dask sets the levels of its loggers when it is imported, which may be later.
        (logger.addFilter if level > logging.INFO else logger.removeFilter)(_no_error)
    ours = [handler for handler in LOGGER.handlers if isinstance(handler, _StandardError)]
    for handler in ours or [_StandardError()]:
        handler.setFormatter(_Json() if as_json else logging.Formatter(FORMAT))
        if handler not in LOGGER.handlers:
            LOGGER.addHandler(handler)
            LOGGER.propagate = False


def is_json() -> bool:
    """Tell whether this process writes its log lines as JSON, so that its workers do so, too."""
    return any(isinstance(handler.formatter, _Json) for handler in LOGGER.handlers)
