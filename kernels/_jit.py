"""The one place where numba's decorator is applied, so every kernel is compiled alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba


def jit[Function: Callable[..., object]](function: Function) -> Function:
    """Compile ``function`` to machine code that runs without the interpreter lock.

    Not parallel (dask supplies the threads, and ``parallel=True`` aborts under several of
    them), not cached on disk (many processes have crashed on one cache; workers warm up instead),
    and not fastmath (results must not depend on how a loop was vectorised).
    """
    return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


def helper[Function: Callable[..., object]](function: Function) -> Function:
    """Compile ``function`` like :func:`jit`, to be called by other kernels only: sooner done, without wrappers.

    A stage should call few helpers, and those few others: every caller optimises them once more.
    """
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, numba.njit(nogil=True, error_model="numpy", **options)(function))
