"""Running a coroutine from code that is not one itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


def run_coroutine[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    The caller may itself run within an event loop, as every cell of a notebook does: the coroutine then runs in the
    loop of another thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(copy_context().run, asyncio.run, work).result()
