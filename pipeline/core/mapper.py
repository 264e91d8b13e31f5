"""Doing one function for many jobs, here or on a cluster: whoever has such work is told how by a `Mapper`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol


class Mapper(Protocol):
    """Calls a function for each job and gives the results in the order of the jobs, as they are asked for.

    The function is one of a module's top level, a job is small (keys and plain values), and doing a job twice does no
    harm: on a cluster both travel to workers, one of which may die.
    """

    def __call__[Job, Result](self, function: Callable[[Job], Result], jobs: Iterable[Job], /) -> Iterator[Result]:
        """Do the jobs; the results come in their order."""


def here[Job, Result](function: Callable[[Job], Result], jobs: Iterable[Job], /) -> Iterator[Result]:
    """Do the jobs in this process, one after the other."""
    return map(function, jobs)
