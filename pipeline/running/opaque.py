"""Calls that travel as bytes.

A Dask scheduler opens what it is sent, and would have to import all of groundbreak, numba and GDAL with it. So it gets
bytes, whose unpickling on a worker is the call.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any


class _Call:
    """Unpickling it is calling a function."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def call_bytes(function: Callable[..., Any], *arguments: Any) -> bytes:
    """Return bytes that ``pickle.loads`` makes a call of, whose result it returns.

    Parameters
    ----------
    function : callable
        A function of a module, which is found there by its name.
    *arguments
        A `pickle.PickleBuffer` among them stands for bytes that come beside: the ``buffers`` of ``pickle.loads``.
    """
    return pickle.dumps(_Call(function, arguments), protocol=5, buffer_callback=lambda _: None)
