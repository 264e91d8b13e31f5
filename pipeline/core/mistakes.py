"""Bad input: what the user gave, the rule that it breaks, and what can be done; and several of them in one answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BadInput(Exception):
    """The user's input cannot be used: the command line ends with exit code 2.

    Parameters
    ----------
    what : str
        The input, by the name and value that the user gave it.
    rule : str
        The rule that the input breaks.
    remedy : str
        What the user can do about it.
    *others : BadInput
        What else is wrong, where all of it was found at once.
    """

    def __init__(self, what: str, rule: str, remedy: str, *others: BadInput) -> None:
        super().__init__(what, rule, remedy, *others)
        self.what, self.rule, self.remedy, self.others = what, rule, remedy, others

    @property
    def mistakes(self) -> tuple[BadInput, ...]:
        """Each mistake by itself, this one first."""
        return BadInput(self.what, self.rule, self.remedy), *self.others

    def __str__(self) -> str:
        """Return what, rule and remedy as one message; of several mistakes, one line each."""
        if not self.others:
            return f"{self.what}: {self.rule}. {self.remedy}."
        return "\n".join([f"{len(self.mistakes)} mistakes", *(f"  {mistake}" for mistake in self.mistakes)])


class Mistakes:
    """Collects what is wrong, so that the user hears all of it at once."""

    def __init__(self) -> None:
        self.found: list[BadInput] = []

    def need(self, good: bool, what: str, rule: str, remedy: str = "Correct the configuration") -> None:
        """Take note of a mistake in the input ``what``, unless it is good."""
        if not good:
            self.found.append(BadInput(what, rule, remedy))

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take note of what is raised inside as BadInput, and go on behind the block."""
        try:
            yield
        except BadInput as error:
            self.found += error.mistakes

    def settle(self) -> None:
        """Raise all that was found as one BadInput; do nothing where all is well."""
        if self.found:
            first, *others = self.found
            raise BadInput(first.what, first.rule, first.remedy, *others)
