"""Reading a section of a configuration: from plain values, as TOML or Python has them, to a frozen dataclass.

A key is a field of the dataclass, and the field's type is the rule that the value is checked against.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

from groundbreak.pipeline.core.mistakes import BadInput, Mistakes


def read_section[T](kind: type[T], data: Any, name: str) -> T:
    """Make a section from its keys and values; a section that is made already is checked alike.

    Parameters
    ----------
    kind : type
        The section's dataclass.
    data : mapping or section
        Key -> plain value, or a value of the type ``kind``.
    name : str
        What messages call the section ("source.provider").

    Raises
    ------
    BadInput
        Keys are unknown, or values are not of their fields' types: all of them at once.
    """
    if isinstance(data, kind):
        data = {f.name: getattr(data, f.name) for f in dataclasses.fields(typing.cast(Any, kind))}
    if not isinstance(data, Mapping):
        raise BadInput(f"[{name}] = {data!r}", "must be a table", "Correct its value")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(typing.cast(Any, kind))}
    values, mistakes = {}, Mistakes()
    for key, value in data.items():
        label = f"[{name}] {key}"
        with mistakes.caught():
            check_known(key, known, label)
            values[key] = _value(hints[key], value, label, f"{name}.{key}")
    mistakes.settle()
    return kind(**values)


def check_known(key: str, known: set[str], label: str) -> None:
    """Raise BadInput for an unknown key, with the nearest known one as a hint.

    Parameters
    ----------
    key : str
        The key that was given.
    known : set of str
        The keys that there are.
    label : str
        What messages call the key.
    """
    if key not in known:
        near = difflib.get_close_matches(str(key), known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else "Remove it"
        raise BadInput(label, f"is not a key; the keys are {', '.join(sorted(known))}", hint)


def _value(hint: Any, value: Any, label: str, name: str) -> Any:
    """Return a value in the type that its field asks for, or raise BadInput."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    for option in options:
        origin = typing.get_origin(option)
        if dataclasses.is_dataclass(option):
            return read_section(typing.cast(type[Any], option), value, name)
        if origin is tuple and isinstance(value, list | tuple):
            inner = typing.get_args(option)[0]
            return tuple(_value(inner, v, label, name) for v in value)
        if origin is Mapping and isinstance(value, Mapping):
            return dict(value)
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return _float(value)
        if option is str and isinstance(value, os.PathLike):
            return os.fspath(value)
        if option in (int, str, bool) and type(value) is option:
            return value
    wanted = " or ".join(_in_words(o) for o in options if o is not types.NoneType)
    raise BadInput(f"{label} = {value!r}", f"must be {wanted}", "Correct its value")


def _float(value: float) -> float:
    """Return a number as a float; a whole number beyond all floats is infinite, which every range refuses."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _in_words(option: Any) -> str:
    """Return what a user would call a type."""
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if typing.get_origin(option) is tuple:
        return f"a list, each {_in_words(typing.get_args(option)[0])}"
    return names.get(option, "a table")
