"""The one place where numba's decorator is applied, so every kernel is compiled alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
from numba.core.compiler import Compiler

FAST = {"contract", "nsz", "arcp"}
"""What the lanes may do to arithmetic: fuse a multiplication with an addition, ignore the sign of zero, multiply by a
reciprocal. None of it assumes that NaN or infinity cannot occur, and none reorders a sum."""


def jit[Function: Callable[..., object]](function: Function) -> Function:
    """Compile ``function`` to machine code that runs without the interpreter lock.

    Not parallel (dask supplies the threads, and ``parallel=True`` aborts under several of
    them), not cached on disk (many processes have crashed on one cache; workers warm up instead),
    and not fastmath (results must not depend on how a loop was vectorised).
    """
    return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


def helper[Function: Callable[..., object]](function: Function) -> Function:
    """Compile ``function`` like `jit`, to be called by other kernels only: sooner done, without wrappers.

    A kernel should call few helpers, and those few others: every caller optimises them once more.
    """
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, numba.njit(nogil=True, error_model="numpy", **options)(function))


def step[Function: Callable[..., object]](function: Function) -> Function:
    """Compile ``function`` as a part of the kernel that calls it, as if it were written there: a call costs nothing.

    For the steps of a kernel that spends some microseconds on a pixel: there a `helper` costs several per cent, because
    it counts the references of every array that it is given.
    """
    options: dict[str, Any] = {"inline": "always", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, numba.njit(nogil=True, error_model="numpy", **options)(function))


class _Restrict(Compiler):
    """Numba's compiler, told that the arrays of a call do not overlap (C's ``restrict``)."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]  # numba has no types


def lane[Function: Callable[..., object]](function: Function) -> Function:
    """Compile a word of the lane vocabulary (`kernels.lanes.words`): a loop over pixels, to be called by kernels.

    Its arrays must not overlap. Saying so lets LLVM vectorise a loop over many rows without comparing their
    addresses first, which measured 1.7 times faster (docs/decisions/0005).
    """
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": _Restrict}
    return cast(Function, numba.njit(nogil=True, error_model="numpy", fastmath=FAST, **options)(function))
